/**
 * The boundary between what the customers remember and what the file says: reads nothing but the log, and finds what was
 * lost or doubled.
 */
import { LogReader, type MessageRow } from "@pontoon/runtime"
import { SqliteLogReader } from "@pontoon/store"
import { Effect } from "effect"
import type { ActorLine, DemoSummary, RerouteLine } from "../terminal/formatSummary.ts"
import type { LedgerEntry } from "./Stage.ts"

/** Rows read at once. */
const PAGE = 10_000

/** Every message of the log, page by page. */
const readMessages = Effect.gen(function* () {
  const reader = yield* LogReader
  const rows: Array<MessageRow> = []
  for (let afterSeq = 0; ; ) {
    const page = yield* reader.messages({ afterSeq, limit: PAGE })
    rows.push(...page)
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return rows
    afterSeq = last.seq
  }
})

const count = <A>(items: Iterable<A>, is: (item: A) => boolean): number => {
  let found = 0
  for (const item of items) if (is(item)) found++
  return found
}

/** Reroutes: a message that has more than one line in `routes` for its pool. */
const findReroutes = Effect.gen(function* () {
  const reader = yield* LogReader
  const routes = yield* reader.routes({}, PAGE)
  const last = new Map<string, string>()
  const lines = new Map<string, RerouteLine>()
  for (const { chosen, messageId, pool, reason } of [...routes].sort((a, b) => a.seq - b.seq)) {
    const from = last.get(`${pool} ${messageId}`)
    last.set(`${pool} ${messageId}`, chosen)
    if (from === undefined || from === chosen) continue
    const why = reason.split(";")[0]!
    const key = [pool, from, chosen, why].join(" ")
    lines.set(key, { pool, from, to: chosen, reason: why, count: (lines.get(key)?.count ?? 0) + 1 })
  }
  return [...lines.values()]
})

const describeActors = Effect.gen(function* () {
  const reader = yield* LogReader
  const actors = yield* reader.actors(PAGE)
  const latency = yield* reader.latency
  return latency.map(({ actorType, count: messages, p50Ms, p95Ms, p99Ms }): ActorLine => {
    const ofType = actors.filter(({ address }) => address.type === actorType)
    const restarts = ofType.reduce((sum, actor) => sum + actor.restarts, 0)
    return { actor: actorType, actors: ofType.length, messages, restarts, p50Ms, p95Ms, p99Ms }
  })
})

/** Holds the ledger of the stage against the log. */
export const audit = Effect.fnUntraced(
  function* (db: string, ledger: ReadonlyMap<string, LedgerEntry>) {
    const rows = yield* readMessages
    const heard = rows.filter((row) => row.idempotencyKey !== null && ledger.has(row.idempotencyKey))
    const byKey = Map.groupBy(heard, (row) => row.idempotencyKey)
    const conversations = Map.groupBy(rows, (row) => row.correlationId)
    /** The first conversation that all of these took part in. */
    const traceOf = (...types: ReadonlyArray<string>) =>
      heard.find(({ correlationId }) => {
        const there = new Set(conversations.get(correlationId)?.map((row) => row.actorType))
        return types.every((type) => there.has(type))
      })?.correlationId
    const isLost = (entry: LedgerEntry) => {
      const [row] = byKey.get(entry.key) ?? []
      return row === undefined || row.status === "pending" || row.status === "running"
    }
    const summary: DemoSummary = {
      accepted: heard.length,
      done: count(heard, (row) => row.status === "done"),
      failed: count(heard, (row) => row.status === "failed" || row.status === "expired" || row.status === "cancelled"),
      dead: count(heard, (row) => row.status === "dead"),
      lost: count(ledger.values(), isLost),
      doubled: count(byKey.values(), (same) => same.length > 1),
      actors: yield* describeActors,
      reroutes: yield* findReroutes,
      db,
      // The most to see; an input of the user's may have nobody who asks for two things at once.
      traceId: traceOf("integrator", "coffee") ?? traceOf("coffee") ?? traceOf() ?? "",
    }
    return summary
  },
  (effect, db) => Effect.provide(effect, SqliteLogReader.layer(db)),
)
