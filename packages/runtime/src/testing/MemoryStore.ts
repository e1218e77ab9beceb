/**
 * The boundary to a store without a disk: the reference that tests, examples and models of other stores run on. It
 * keeps every promise of `MessageStore` but durability past the process.
 */
import { Context, Effect, Layer } from "effect"
import { type Address, formatAddress } from "../message/Address.ts"
import type { MessageRow, MessageStatus } from "../message/Envelope.ts"
import { CrashPoints } from "../ports/CrashPoints.ts"
import { type LatencyRow, LogReader, type MailboxRow, type MessageFilter } from "../ports/LogReader.ts"
import { type ActorRow, MessageStore, type WatchFilter, type WatchRow } from "../ports/MessageStore.ts"
import { checkReadLimit } from "../ports/readLimit.ts"
import { type CommitFailure, TerminalStaleAttempt, TerminalStoreFailure } from "../ports/StoreFailure.ts"
import type { Write } from "../ports/Write.ts"
import { applyCommit, type MemoryLog, makeMemoryLog } from "./MemoryLog.ts"

/** One opening of a log in memory. */
export interface MemoryStoreHandle {
  readonly store: MessageStore["Service"]
  readonly reader: LogReader["Service"]
  /** What is on the "disk", for a checker to look at. */
  readonly log: MemoryLog
  /** Dies as by kill -9 and starts again: this handle refuses everything from now on, the new one has the same data. */
  readonly reopen: Effect.Effect<MemoryStoreHandle>
}

const closed = (): TerminalStoreFailure =>
  new TerminalStoreFailure({
    reason: "closed",
    message: "The memory store was closed; open it again before using it.",
    cause: undefined,
  })

const isUnfinished = (status: MessageStatus): boolean => status === "pending" || status === "running"

const byOrdinal = <A extends { readonly ordinal: number }>(rows: ReadonlyArray<A> | undefined): ReadonlyArray<A> =>
  [...(rows ?? [])].sort((a, b) => a.ordinal - b.ordinal)

const matches = (row: MessageRow, filter: MessageFilter): boolean =>
  row.seq > (filter.afterSeq ?? 0) &&
  row.seq < (filter.beforeSeq ?? Number.POSITIVE_INFINITY) &&
  (filter.status === undefined || row.status === filter.status) &&
  (filter.actorType === undefined || row.actorType === filter.actorType) &&
  (filter.actorId === undefined || row.actorId === filter.actorId) &&
  (filter.correlationId === undefined || row.correlationId === filter.correlationId)

const filterMessages = (log: MemoryLog, filter: MessageFilter): ReadonlyArray<MessageRow> => {
  const found = [...log.messages.values()].filter((row) => matches(row, filter))
  return filter.newest === true ? found.slice(-filter.limit) : found.slice(0, filter.limit)
}

const dueMessages = (log: MemoryLog, afterMs: number, afterSeq: number): ReadonlyArray<MessageRow> =>
  [...log.messages.values()]
    .filter(({ createdAtMs, deliverAtMs, status }) => status === "pending" && deliverAtMs > createdAtMs)
    .filter(({ deliverAtMs, seq }) => deliverAtMs > afterMs || (deliverAtMs === afterMs && seq > afterSeq))
    .sort((a, b) => a.deliverAtMs - b.deliverAtMs || a.seq - b.seq)

const mailboxes = (log: MemoryLog): ReadonlyArray<MailboxRow> => {
  const boxes = new Map<string, MailboxRow>()
  for (const row of log.messages.values()) {
    if (!isUnfinished(row.status)) continue
    const key = formatAddress({ type: row.actorType, id: row.actorId })
    const box = boxes.get(key)
    boxes.set(key, {
      actorType: row.actorType,
      actorId: row.actorId,
      pending: (box?.pending ?? 0) + (row.status === "pending" ? 1 : 0),
      running: (box?.running ?? 0) + (row.status === "running" ? 1 : 0),
      oldestAtMs: Math.min(box?.oldestAtMs ?? row.createdAtMs, row.createdAtMs),
    })
  }
  return [...boxes.values()].sort((a, b) => a.oldestAtMs - b.oldestAtMs)
}

/** The smallest value that at least `share` of the sorted values do not exceed (nearest rank). */
const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!

const latencies = (log: MemoryLog): ReadonlyArray<LatencyRow> => {
  const groups = new Map<string, { actorType: string; task: string; durations: Array<number> }>()
  for (const row of log.messages.values()) {
    if ((row.status !== "done" && row.status !== "failed") || row.finishedAtMs === null) continue
    const key = `${row.actorType}/${row.task}`
    const group = groups.get(key) ?? { actorType: row.actorType, task: row.task, durations: [] }
    group.durations.push(row.finishedAtMs - row.createdAtMs)
    groups.set(key, group)
  }
  return [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { actorType, task, durations }]) => {
      const sorted = durations.sort((a, b) => a - b)
      return {
        actorType,
        task,
        count: sorted.length,
        p50Ms: percentile(sorted, 0.5),
        p95Ms: percentile(sorted, 0.95),
        p99Ms: percentile(sorted, 0.99),
      }
    })
}

/** Answers a question of so many rows, while the log is open. */
type Read = <A>(limit: number, evaluate: () => A) => Effect.Effect<A, TerminalStoreFailure>

const readerOf = (log: MemoryLog, store: MessageStore["Service"], read: Read): LogReader["Service"] =>
  LogReader.of({
    messages: (filter) => read(filter.limit, () => filterMessages(log, filter)),
    message: store.message,
    actors: (limit) =>
      read(limit, () => [...log.actors.values()].sort((a, b) => b.updatedAtMs - a.updatedAtMs).slice(0, limit)),
    lifecycle: (afterSeq, limit) =>
      read(limit, () => log.lifecycle.filter((row) => row.seq > afterSeq).slice(0, limit)),
    lifecycleOf: (address, untilMs, limit) =>
      read(limit, () =>
        log.lifecycle
          .filter(({ actorId, actorType }) => actorType === address.type && actorId === address.id)
          .filter(({ atMs }) => atMs <= untilMs)
          .sort((a, b) => b.atMs - a.atMs || b.seq - a.seq)
          .slice(0, limit),
      ),
    routes: ({ messageId, pool }, limit) =>
      read(limit, () =>
        log.routes
          .filter((row) => (messageId ?? row.messageId) === row.messageId && (pool ?? row.pool) === row.pool)
          .slice(-limit),
      ),
    attempts: (messageId) => read(1, () => log.attempts.get(messageId) ?? []),
    steps: store.steps,
    chunks: store.chunks,
    mailbox: (limit) => read(limit, () => mailboxes(log).slice(0, limit)),
    latency: read(1, () => latencies(log)),
  })
const hasEnded = (log: MemoryLog, address: Address): boolean => {
  const lifecycle = log.actors.get(formatAddress(address))?.lifecycle
  return lifecycle === "failed" || lifecycle === "stopped"
}

const isAmong = (log: MemoryLog, { watched, watcher }: WatchRow, filter: WatchFilter): boolean => {
  if ("ended" in filter) return hasEnded(log, watched)
  const [is, wanted] = "watched" in filter ? [watched, filter.watched] : [watcher, filter.watcher]
  return is.id === wanted.id && is.type === wanted.type
}

const watchesOf = (log: MemoryLog, filter: WatchFilter): ReadonlyArray<WatchRow> =>
  [...log.watches]
    .filter(([, row]) => isAmong(log, row, filter))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, row]) => row)

/** By type, and then by id. */
const orderOf = ({ type, id }: Address): string => `${type}\n${id}`

const suspendedOf = (log: MemoryLog, after: Address | undefined): ReadonlyArray<ActorRow> =>
  [...log.actors.values()]
    .filter(({ lifecycle }) => lifecycle === "suspended")
    .filter(({ address }) => after === undefined || orderOf(address) > orderOf(after))
    .sort((a, b) => (orderOf(a.address) < orderOf(b.address) ? -1 : 1))

const crashesOf = (log: MemoryLog, { type, id }: Address, afterMs: number): ReadonlyArray<number> =>
  log.lifecycle
    .filter((row) => row.actorType === type && row.actorId === id && row.event === "CRASHED" && row.atMs > afterMs)
    .map(({ atMs }) => atMs)
    .sort((a, b) => a - b)

/** Both services over `log`; a test that needs the log itself, or to open it a second time, starts here. */
export const openMemoryLog = (log: MemoryLog): Effect.Effect<MemoryStoreHandle> =>
  Effect.gen(function* () {
    const crash = yield* CrashPoints
    let open = true
    const read: Read = (limit, evaluate) =>
      Effect.suspend(() => (open ? Effect.map(checkReadLimit(limit), evaluate) : Effect.fail(closed())))

    const commit = (writes: ReadonlyArray<Write>) =>
      Effect.suspend(() => {
        if (!open) return Effect.fail(closed())
        try {
          crash("commit.begun")
          const receipt = applyCommit(log, writes, () => crash("commit.written"))
          crash("commit.done")
          // As with a disk, the answer comes in a later turn of the loop than the call.
          return Effect.as(Effect.yieldNow, receipt)
        } catch (error) {
          return error instanceof TerminalStaleAttempt ? Effect.fail<CommitFailure>(error) : Effect.die(error)
        }
      })

    const store = MessageStore.of({
      commit,
      message: (id) => read(1, () => log.messages.get(id)),
      actor: (address) => read(1, () => log.actors.get(formatAddress(address))),
      steps: (messageId) => read(1, () => byOrdinal(log.steps.get(messageId))),
      chunks: (messageId, from, limit) =>
        read(limit, () =>
          byOrdinal(log.chunks.get(messageId))
            .filter((row) => row.ordinal >= from)
            .slice(0, limit),
        ),
      unfinished: (afterSeq, limit) =>
        read(limit, () =>
          [...log.messages.values()].filter((row) => row.seq > afterSeq && isUnfinished(row.status)).slice(0, limit),
        ),
      census: (afterSeq, limit) => store.unfinished(afterSeq, limit),
      lastSeq: read(1, () => log.messages.size),
      due: (afterMs, afterSeq, limit) => read(limit, () => dueMessages(log, afterMs, afterSeq).slice(0, limit)),
      deadLetters: (afterSeq, limit) =>
        read(limit, () =>
          [...log.messages.values()].filter((row) => row.seq > afterSeq && row.status === "dead").slice(0, limit),
        ),
      watches: (filter, limit) => read(limit, () => watchesOf(log, filter).slice(0, limit)),
      suspended: (after, limit) => read(limit, () => suspendedOf(log, after).slice(0, limit)),
      crashes: (address, afterMs, limit) => read(limit, () => crashesOf(log, address, afterMs).slice(-limit)),
      location: "memory",
    })

    const reader = readerOf(log, store, read)

    const reopen = Effect.suspend(() => {
      open = false
      return Effect.provideService(openMemoryLog(log), CrashPoints, crash)
    })
    return { store, reader, log, reopen }
  })

/** An empty log in memory: both services over it, and `reopen`, which is a crash. */
const make: Effect.Effect<MemoryStoreHandle> = Effect.suspend(() => openMemoryLog(makeMemoryLog()))

/** `MessageStore` and `LogReader` over one empty log. */
const layer: Layer.Layer<MessageStore | LogReader> = Layer.effectContext(
  Effect.map(make, ({ store, reader }) => Context.make(MessageStore, store).pipe(Context.add(LogReader, reader))),
)

export const MemoryStore = { make, layer }
