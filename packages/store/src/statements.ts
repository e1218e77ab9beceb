/** The boundary to prepared SQL: every statement of the writer, typed by what it takes and gives, compiled once. */
import type { ActorRow, CensusRow, ChunkRow, MessageRow, StepRow, WatchRow } from "@pontoon/runtime"
import type { Database, Statement } from "better-sqlite3"
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

/** A row of `watches` as SQL gives it. */
export interface WatchColumns {
  readonly watchedType: string
  readonly watchedId: string
  readonly watcherType: string
  readonly watcherId: string
  readonly linked: number
  readonly atMs: number
}

export const toWatchRow = (row: WatchColumns): WatchRow => ({
  watched: { type: row.watchedType, id: row.watchedId },
  watcher: { type: row.watcherType, id: row.watcherId },
  linked: row.linked === 1,
  atMs: row.atMs,
})

/** A statement that only changes rows. */
type Change = Statement<Array<Value>>

export interface Statements {
  readonly begin: Statement<[]>
  readonly commit: Statement<[]>
  readonly rollback: Statement<[]>
  readonly savepoint: Statement<[]>
  readonly releaseSavepoint: Statement<[]>
  readonly rollbackToSavepoint: Statement<[]>

  readonly append: Change
  readonly messageById: Statement<[string], MessageRow>
  readonly messageByKey: Statement<[string, string, string], MessageRow>
  readonly freeKey: Change
  readonly claim: Change
  readonly retry: Change
  readonly postpone: Change
  readonly forward: Change
  readonly reroute: Change
  readonly settle: Change
  readonly redrive: Change
  readonly recordAttempt: Change
  readonly isRunning: Statement<[string, number], { readonly 1: number }>
  readonly unfinished: Statement<[number, number], MessageRow>
  readonly census: Statement<[number, number], CensusRow>
  readonly lastSeq: Statement<[], { readonly seq: number }>
  readonly dueAt: Statement<[number, number, number], MessageRow>
  readonly dueAfter: Statement<[number, number], MessageRow>
  readonly deadLetters: Statement<[number, number], MessageRow>

  readonly putActor: Change
  readonly putActorKeepingState: Change
  readonly actor: Statement<[string, string], ActorColumns>
  readonly lifecycleEvent: Change
  readonly routeDecision: Change
  readonly recordStep: Change
  readonly steps: Statement<[string], StepRow>
  readonly appendChunk: Change
  readonly chunks: Statement<[string, number, number], ChunkRow>
  readonly putFeedback: Change
  readonly suspended: Statement<[string, string, number], ActorColumns>
  readonly crashes: Statement<[string, string, number, number], { readonly atMs: number }>

  readonly putWatch: Change
  readonly dropWatch: Change
  readonly dropWatchesOf: Change
  readonly watchers: Statement<[string, string, number], WatchColumns>
  readonly watchesOf: Statement<[string, string, number], WatchColumns>
  readonly endedWatches: Statement<[number], WatchColumns>
}

export const prepareStatements = (database: Database): Statements => ({
  begin: database.prepare("begin immediate"),
  commit: database.prepare("commit"),
  rollback: database.prepare("rollback"),
  savepoint: database.prepare("savepoint one"),
  releaseSavepoint: database.prepare("release one"),
  rollbackToSavepoint: database.prepare("rollback to one"),

  append: database.prepare(messages.APPEND),
  messageById: database.prepare(messages.MESSAGE_BY_ID),
  messageByKey: database.prepare(messages.MESSAGE_BY_KEY),
  freeKey: database.prepare(messages.FREE_KEY),
  claim: database.prepare(messages.CLAIM),
  retry: database.prepare(messages.RETRY),
  postpone: database.prepare(messages.POSTPONE),
  forward: database.prepare(messages.FORWARD),
  reroute: database.prepare(messages.REROUTE),
  settle: database.prepare(messages.SETTLE),
  redrive: database.prepare(messages.REDRIVE),
  recordAttempt: database.prepare(messages.RECORD_ATTEMPT),
  isRunning: database.prepare(messages.IS_RUNNING),
  unfinished: database.prepare(messages.UNFINISHED),
  census: database.prepare(messages.CENSUS),
  lastSeq: database.prepare(messages.LAST_SEQ),
  dueAt: database.prepare(messages.DUE_AT),
  dueAfter: database.prepare(messages.DUE_AFTER),
  deadLetters: database.prepare(messages.DEAD_LETTERS),

  putActor: database.prepare(records.PUT_ACTOR),
  putActorKeepingState: database.prepare(records.PUT_ACTOR_KEEPING_STATE),
  actor: database.prepare(records.ACTOR),
  lifecycleEvent: database.prepare(records.LIFECYCLE_EVENT),
  routeDecision: database.prepare(records.ROUTE_DECISION),
  recordStep: database.prepare(records.RECORD_STEP),
  steps: database.prepare(records.STEPS),
  appendChunk: database.prepare(records.APPEND_CHUNK),
  chunks: database.prepare(records.CHUNKS),
  putFeedback: database.prepare(records.PUT_FEEDBACK),
  suspended: database.prepare(records.SUSPENDED),
  crashes: database.prepare(records.CRASHES),

  putWatch: database.prepare(records.PUT_WATCH),
  dropWatch: database.prepare(records.DROP_WATCH),
  dropWatchesOf: database.prepare(records.DROP_WATCHES_OF),
  watchers: database.prepare(records.WATCHERS),
  watchesOf: database.prepare(records.WATCHES_OF),
  endedWatches: database.prepare(records.ENDED_WATCHES),
})
