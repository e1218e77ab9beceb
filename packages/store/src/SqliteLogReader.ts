/**
 * The boundary to everybody who only looks at a file: `LogReader` on a connection of its own, read-only, that takes no
 * lock an owner could feel.
 */
import {
  type AttemptRow,
  type ChunkRow,
  checkReadLimit,
  type LatencyRow,
  type LifecycleRow,
  LogReader,
  type MailboxRow,
  type MessageRow,
  type ReadFailure,
  type RouteRow,
  type StepRow,
  type TerminalStoreFailure,
} from "@pontoon/runtime"
import type { Database } from "better-sqlite3"
import { Effect, Layer, type Scope } from "effect"
import { openForReading } from "./openForReading.ts"
import * as messages from "./sql/messages.ts"
import * as reads from "./sql/reads.ts"
import * as records from "./sql/records.ts"
import { closedFailure, toOpenFailure, toStoreTrouble } from "./sqliteFailure.ts"
import { type ActorColumns, toActorRow } from "./statements.ts"

/** `LogReader` over an open connection; the inspector, which needs the connection too, starts here. */
export const logReaderOf = (database: Database): LogReader["Service"] => {
  const statements = {
    message: database.prepare<[string], MessageRow>(messages.MESSAGE_BY_ID),
    actors: database.prepare<[number], ActorColumns>(reads.ACTORS),
    lifecycle: database.prepare<[number, number], LifecycleRow>(reads.LIFECYCLE),
    attempts: database.prepare<[string], AttemptRow>(reads.ATTEMPTS),
    steps: database.prepare<[string], StepRow>(records.STEPS),
    chunks: database.prepare<[string, number, number], ChunkRow>(records.CHUNKS),
    mailbox: database.prepare<[number], MailboxRow>(reads.MAILBOX),
    latency: database.prepare<[], LatencyRow>(reads.LATENCY),
  }

  const read = <A>(evaluate: () => A): Effect.Effect<A, ReadFailure> =>
    Effect.suspend(() =>
      database.open
        ? Effect.try({ try: evaluate, catch: (error) => toStoreTrouble(database.name, error) })
        : Effect.fail(closedFailure(database.name)),
    )
  const list = <A>(limit: number, evaluate: () => A): Effect.Effect<A, ReadFailure> =>
    Effect.andThen(checkReadLimit(limit), read(evaluate))
  const all = <A>({ sql, parameters }: reads.Query): Array<A> =>
    database.prepare<Array<string | number>, A>(sql).all(...parameters)

  return LogReader.of({
    messages: (filter) =>
      list(filter.limit, () => {
        const rows = all<MessageRow>(reads.messagesQuery(filter))
        return filter.newest === true ? rows.reverse() : rows
      }),
    message: (id) => read(() => statements.message.get(id)),
    actors: (limit) => list(limit, () => statements.actors.all(limit).map(toActorRow)),
    lifecycle: (afterSeq, limit) => list(limit, () => statements.lifecycle.all(afterSeq, limit)),
    routes: (filter, limit) => list(limit, () => all<RouteRow>(reads.routesQuery(filter, limit)).reverse()),
    attempts: (messageId) => read(() => statements.attempts.all(messageId)),
    steps: (messageId) => read(() => statements.steps.all(messageId)),
    chunks: (messageId, from, limit) => list(limit, () => statements.chunks.all(messageId, from, limit)),
    mailbox: (limit) => list(limit, () => statements.mailbox.all(limit)),
    latency: read(() => statements.latency.all()),
  })
}

/** A read-only connection, closed with the scope. @fails TerminalStoreFailure */
export const openReader = (file: string): Effect.Effect<Database, TerminalStoreFailure, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({ try: () => openForReading(file), catch: (error) => toOpenFailure(file, error) }),
    (database) => Effect.sync(() => database.close()),
  )

/**
 * Reads `file`, whose owner may be alive or dead. Any number of readers may.
 *
 * @fails TerminalStoreFailure `missing`, `corrupt`, `newer`, `read-only` or `other`
 */
const make = (file: string): Effect.Effect<LogReader["Service"], TerminalStoreFailure, Scope.Scope> =>
  Effect.map(openReader(file), logReaderOf)

const layer = (file: string): Layer.Layer<LogReader, TerminalStoreFailure> => Layer.effect(LogReader, make(file))

export const SqliteLogReader = { make, layer }
