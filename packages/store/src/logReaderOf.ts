/** The boundary between SQL and the reader's port: `LogReader` over a connection that somebody else opened. */
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
} from "@pontoon/runtime"
import type { Database } from "better-sqlite3"
import { Effect } from "effect"
import * as messages from "./sql/messages.ts"
import * as reads from "./sql/reads.ts"
import * as records from "./sql/records.ts"
import { closedFailure, toStoreTrouble } from "./sqliteFailure.ts"
import { type ActorColumns, toActorRow } from "./statements.ts"

export const logReaderOf = (database: Database): LogReader["Service"] => {
  const statements = {
    message: database.prepare<[string], MessageRow>(messages.MESSAGE_BY_ID),
    actors: database.prepare<[number], ActorColumns>(reads.ACTORS),
    lifecycle: database.prepare<[number, number], LifecycleRow>(reads.LIFECYCLE),
    lifecycleOf: database.prepare<[string, string, number, number], LifecycleRow>(reads.LIFECYCLE_OF),
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
    lifecycleOf: ({ type, id }, untilMs, limit) =>
      list(limit, () => statements.lifecycleOf.all(type, id, untilMs, limit)),
    routes: (filter, limit) => list(limit, () => all<RouteRow>(reads.routesQuery(filter, limit)).reverse()),
    attempts: (messageId) => read(() => statements.attempts.all(messageId)),
    steps: (messageId) => read(() => statements.steps.all(messageId)),
    chunks: (messageId, from, limit) => list(limit, () => statements.chunks.all(messageId, from, limit)),
    mailbox: (limit) => list(limit, () => statements.mailbox.all(limit)),
    latency: read(() => statements.latency.all()),
  })
}
