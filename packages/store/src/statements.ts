/** The boundary to prepared SQL: every statement of the writer, typed by what it takes and gives, compiled once. */
import type { ActorRow, ChunkRow, MessageRow, StepRow } from "@pontoon/runtime"
import type { Database } from "better-sqlite3"
import * as messages from "./sql/messages.ts"
import * as records from "./sql/records.ts"

type Value = string | number | null

/** A row of `actors` as SQL gives it. */
export interface ActorColumns {
  readonly actorType: string
  readonly actorId: string
  readonly lifecycle: string
  readonly state: string | null
  readonly version: number
  readonly restarts: number
  readonly updatedAtMs: number
}

export const toActorRow = ({ actorType, actorId, ...rest }: ActorColumns): ActorRow => ({
  address: { type: actorType, id: actorId },
  ...rest,
})

export const prepareStatements = (database: Database) => ({
  begin: database.prepare("begin immediate"),
  commit: database.prepare("commit"),
  rollback: database.prepare("rollback"),
  savepoint: database.prepare("savepoint one"),
  releaseSavepoint: database.prepare("release one"),
  rollbackToSavepoint: database.prepare("rollback to one"),

  append: database.prepare<Array<Value>>(messages.APPEND),
  messageById: database.prepare<[string], MessageRow>(messages.MESSAGE_BY_ID),
  messageByKey: database.prepare<[string, string, string], MessageRow>(messages.MESSAGE_BY_KEY),
  claim: database.prepare<Array<Value>>(messages.CLAIM),
  retry: database.prepare<Array<Value>>(messages.RETRY),
  reroute: database.prepare<Array<Value>>(messages.REROUTE),
  settle: database.prepare<Array<Value>>(messages.SETTLE),
  recordAttempt: database.prepare<Array<Value>>(messages.RECORD_ATTEMPT),
  isRunning: database.prepare<[string, number], { readonly 1: number }>(messages.IS_RUNNING),
  unfinished: database.prepare<[number, number], MessageRow>(messages.UNFINISHED),

  putActor: database.prepare<Array<Value>>(records.PUT_ACTOR),
  putActorKeepingState: database.prepare<Array<Value>>(records.PUT_ACTOR_KEEPING_STATE),
  actor: database.prepare<[string, string], ActorColumns>(records.ACTOR),
  lifecycleEvent: database.prepare<Array<Value>>(records.LIFECYCLE_EVENT),
  routeDecision: database.prepare<Array<Value>>(records.ROUTE_DECISION),
  recordStep: database.prepare<Array<Value>>(records.RECORD_STEP),
  steps: database.prepare<[string], StepRow>(records.STEPS),
  appendChunk: database.prepare<Array<Value>>(records.APPEND_CHUNK),
  chunks: database.prepare<[string, number, number], ChunkRow>(records.CHUNKS),
  putFeedback: database.prepare<Array<Value>>(records.PUT_FEEDBACK),
})

export type Statements = ReturnType<typeof prepareStatements>
