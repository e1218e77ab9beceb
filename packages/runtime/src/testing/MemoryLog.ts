/**
 * The boundary to the reference store's memory: the log as plain maps, and `applyCommit`, the meaning of every write in
 * the fewest words. Other stores are right where they do what this does.
 */
import { type Address, formatAddress } from "../message/Address.ts"
import { type Envelope, isFinal, type MessageRow } from "../message/Envelope.ts"
import type { AttemptRow, LifecycleRow, RouteRow } from "../ports/LogReader.ts"
import type { ActorRow, ChunkRow, CommitReceipt, StepRow, WatchRow } from "../ports/MessageStore.ts"
import { TerminalStaleAttempt } from "../ports/StoreFailure.ts"
import type {
  Append,
  Claim,
  DropWatch,
  Forward,
  LifecycleEvent,
  Postpone,
  PutActor,
  PutFeedback,
  PutWatch,
  Redrive,
  Retry,
  Settle,
  Write,
} from "../ports/Write.ts"

export interface MemoryLog {
  /** By id, in the order of acceptance. */
  readonly messages: Map<string, MessageRow>
  /** Message ids by idempotency scope. */
  readonly keys: Map<string, string>
  readonly actors: Map<string, ActorRow>
  /** By message id, in the order of recording. */
  readonly steps: Map<string, ReadonlyArray<StepRow>>
  readonly chunks: Map<string, ReadonlyArray<ChunkRow>>
  /** By message id, oldest first. */
  readonly attempts: Map<string, ReadonlyArray<AttemptRow>>
  readonly lifecycle: Array<LifecycleRow>
  readonly routes: Array<RouteRow>
  readonly feedback: Array<PutFeedback>
  /** By `watchKey`. */
  readonly watches: Map<string, WatchRow>
}

export const makeMemoryLog = (): MemoryLog => ({
  messages: new Map(),
  keys: new Map(),
  actors: new Map(),
  steps: new Map(),
  chunks: new Map(),
  attempts: new Map(),
  lifecycle: [],
  routes: [],
  feedback: [],
  watches: new Map(),
})

/**
 * The scope of an idempotency key. It is fixed when the message is accepted: a message that is rerouted later still
 * answers for the actor, or the pool, it was addressed to.
 */
const keyOf = (message: Envelope): string | undefined =>
  message.idempotencyKey === null
    ? undefined
    : JSON.stringify([
        message.pool === null ? "actor" : "pool",
        message.pool ?? formatAddress({ type: message.actorType, id: message.actorId }),
        message.task,
        message.idempotencyKey,
      ])

/** What takes a commit back again; run from the last to the first. */
type Undo = Array<() => void>

const put = <K, V>(map: Map<K, V>, key: K, value: V, undo: Undo): void => {
  const had = map.has(key)
  const before = map.get(key)
  map.set(key, value)
  undo.push(() => {
    if (had) map.set(key, before!)
    else map.delete(key)
  })
}

const push = <A>(list: Array<A>, value: A, undo: Undo): void => {
  list.push(value)
  undo.push(() => {
    list.pop()
  })
}

/** Adds a row to a message's list, unless one with its ordinal is there already. */
const putOrdinal = <A extends { readonly messageId: string; readonly ordinal: number }>(
  lists: Map<string, ReadonlyArray<A>>,
  row: A,
  undo: Undo,
): void => {
  const rows = lists.get(row.messageId) ?? []
  if (!rows.some(({ ordinal }) => ordinal === row.ordinal)) put(lists, row.messageId, [...rows, row], undo)
}

/** The message that answers for a key, unless it has ended and was accepted before keys count. */
const holderOf = (log: MemoryLog, key: string, sinceMs: number | undefined): MessageRow | undefined => {
  const row = log.messages.get(log.keys.get(key) ?? "")
  const isOver = row !== undefined && isFinal(row.status) && sinceMs !== undefined && row.createdAtMs < sinceMs
  return isOver ? undefined : row
}

/** False where an earlier message stands in the way. */
const append = (log: MemoryLog, write: Append, duplicates: Array<MessageRow>, undo: Undo): boolean => {
  const { message } = write
  const key = keyOf(message)
  const earlier =
    log.messages.get(message.id) ?? (key === undefined ? undefined : holderOf(log, key, write.keysSinceMs))
  if (earlier !== undefined) {
    duplicates.push(earlier)
    return false
  }
  if (key !== undefined) put(log.keys, key, message.id, undo)
  const row: MessageRow = {
    ...message,
    via: null,
    seq: log.messages.size + 1,
    status: write.claimedAtMs === null ? "pending" : "running",
    attempt: write.claimedAtMs === null ? 0 : 1,
    attemptsBefore: 0,
    startedAtMs: write.claimedAtMs,
    finishedAtMs: null,
    reply: null,
    error: null,
  }
  put(log.messages, message.id, row, undo)
  return true
}

/** The row that a fenced write is about; throws where the message is elsewhere in its life. */
const fenced = (
  log: MemoryLog,
  write: { readonly messageId: string; readonly attempt: number },
  rowAttempt: number,
  statuses: ReadonlyArray<string>,
): MessageRow => {
  const row = log.messages.get(write.messageId)
  if (row !== undefined && row.attempt === rowAttempt && statuses.includes(row.status)) return row
  throw new TerminalStaleAttempt({
    messageId: write.messageId,
    attempt: write.attempt,
    message:
      row === undefined
        ? `A write of attempt ${write.attempt} was refused: there is no message ${write.messageId}.`
        : `A write of attempt ${write.attempt} of message ${write.messageId} was refused: the message is ${row.status} at attempt ${row.attempt}.`,
  })
}

const recordAttempt = (log: MemoryLog, row: MessageRow, write: Retry | Settle, error: string, undo: Undo): void => {
  const attempt: AttemptRow = {
    messageId: row.id,
    attempt: row.attempt,
    actorType: row.actorType,
    actorId: row.actorId,
    startedAtMs: row.startedAtMs,
    finishedAtMs: write.atMs,
    error,
  }
  put(log.attempts, row.id, [...(log.attempts.get(row.id) ?? []), attempt], undo)
}

const onTarget = (row: MessageRow, target: Address): MessageRow => ({
  ...row,
  actorType: target.type,
  actorId: target.id,
})

const settle = (log: MemoryLog, write: Settle, undo: Undo): void => {
  const row = fenced(log, write, write.attempt, ["running", "pending"])
  if (row.status === "running" && write.error !== null) recordAttempt(log, row, write, write.error, undo)
  const { status, reply, error, atMs } = write
  put(log.messages, row.id, { ...row, status, reply, error, finishedAtMs: atMs }, undo)
}

const retry = (log: MemoryLog, write: Retry, undo: Undo): void => {
  const row = fenced(log, write, write.attempt, ["running"])
  recordAttempt(log, row, write, write.error, undo)
  const { deliverAtMs, target } = write
  put(log.messages, row.id, { ...onTarget(row, target), status: "pending", startedAtMs: null, deliverAtMs }, undo)
}

const claim = (log: MemoryLog, write: Claim, undo: Undo): void => {
  const row = fenced(log, write, write.attempt - 1, ["pending"])
  const { attempt, atMs } = write
  put(log.messages, row.id, { ...row, status: "running", attempt, startedAtMs: atMs }, undo)
}

const postpone = (log: MemoryLog, write: Postpone, undo: Undo): void => {
  const row = fenced(log, write, write.attempt, ["running"])
  const { deliverAtMs } = write
  const attemptsBefore = row.attemptsBefore + 1
  put(log.messages, row.id, { ...row, status: "pending", startedAtMs: null, deliverAtMs, attemptsBefore }, undo)
}

const forward = (log: MemoryLog, write: Forward, undo: Undo): void => {
  const row = fenced(log, write, write.attempt, ["running"])
  const { pool, target, via } = write
  const next = { ...onTarget(row, target), pool, via, attemptsBefore: row.attempt }
  put(log.messages, row.id, { ...next, status: "pending", startedAtMs: null, deliverAtMs: row.createdAtMs }, undo)
}

const redrive = (log: MemoryLog, write: Redrive, undo: Undo): void => {
  const row = fenced(log, write, write.attempt, ["dead"])
  const next: MessageRow = {
    ...onTarget(row, write.target),
    status: "pending",
    attemptsBefore: row.attempt,
    deliverAtMs: write.deliverAtMs,
    body: write.body ?? row.body,
    deadlineAtMs: null,
    startedAtMs: null,
    finishedAtMs: null,
    error: null,
  }
  put(log.messages, row.id, next, undo)
}

/** Sorts by the watched actor, then by the watcher; no part of an address holds a line break. */
const watchKey = (watched: Address, watcher: Address): string =>
  [watched.type, watched.id, watcher.type, watcher.id].join("\n")

const putWatch = (log: MemoryLog, { _tag, ...write }: PutWatch, undo: Undo): void => {
  const key = watchKey(write.watched, write.watcher)
  const before = log.watches.get(key)
  const linked = write.linked || before?.linked === true
  put(log.watches, key, before === undefined ? write : { ...before, linked }, undo)
}

const dropWatch = (log: MemoryLog, { watched, watcher }: DropWatch, undo: Undo): void => {
  for (const [key, row] of [...log.watches]) {
    if (formatAddress(row.watcher) !== formatAddress(watcher)) continue
    if (watched !== undefined && formatAddress(row.watched) !== formatAddress(watched)) continue
    log.watches.delete(key)
    undo.push(() => log.watches.set(key, row))
  }
}

const putActor = (log: MemoryLog, { _tag, atMs, state, ...rest }: PutActor, undo: Undo): void => {
  const key = formatAddress(rest.address)
  const before = log.actors.get(key)
  // The version is that of the state, and stays with it.
  const kept =
    state === undefined ? { state: before?.state ?? null, version: before?.version ?? rest.version } : { state }
  put(log.actors, key, { ...rest, ...kept, updatedAtMs: atMs }, undo)
}

const lifecycleEvent = (log: MemoryLog, { _tag, address, ...rest }: LifecycleEvent, undo: Undo): void =>
  push(log.lifecycle, { seq: log.lifecycle.length + 1, actorType: address.type, actorId: address.id, ...rest }, undo)

const applyOne = (
  log: MemoryLog,
  write: Write,
  { duplicates, refused }: { readonly duplicates: Array<MessageRow>; readonly refused: Set<string> },
  undo: Undo,
): void => {
  switch (write._tag) {
    case "Append":
      if (!append(log, write, duplicates, undo)) refused.add(write.message.id)
      break
    case "Claim":
      claim(log, write, undo)
      break
    case "Retry":
      retry(log, write, undo)
      break
    case "Postpone":
      postpone(log, write, undo)
      break
    case "Forward":
      forward(log, write, undo)
      break
    case "Reroute": {
      const row = fenced(log, write, write.attempt, ["pending"])
      put(log.messages, row.id, { ...onTarget(row, write.target), deliverAtMs: write.deliverAtMs }, undo)
      break
    }
    case "Settle":
      settle(log, write, undo)
      break
    case "Redrive":
      redrive(log, write, undo)
      break
    case "PutActor":
      putActor(log, write, undo)
      break
    case "LifecycleEvent":
      lifecycleEvent(log, write, undo)
      break
    case "RouteDecision": {
      if (refused.has(write.messageId)) break
      const { _tag, ...rest } = write
      push(log.routes, { seq: log.routes.length + 1, ...rest }, undo)
      break
    }
    case "RecordStep": {
      fenced(log, write, write.attempt, ["running"])
      const { _tag, attempt, ...step } = write
      putOrdinal(log.steps, step, undo)
      break
    }
    case "AppendChunk": {
      fenced(log, write, write.attempt, ["running"])
      const { _tag, ...chunk } = write
      putOrdinal(log.chunks, chunk, undo)
      break
    }
    case "PutFeedback":
      push(log.feedback, write, undo)
      break
    case "PutWatch":
      putWatch(log, write, undo)
      break
    case "DropWatch":
      dropWatch(log, write, undo)
      break
  }
}

/**
 * Applies every write in the order given, or none.
 *
 * @param beforeCommit called when all of them are applied; where it throws, they are taken back
 * @throws TerminalStaleAttempt where a fence refuses one
 */
export const applyCommit = (
  log: MemoryLog,
  writes: ReadonlyArray<Write>,
  beforeCommit: () => void = () => {},
): CommitReceipt => {
  const duplicates: Array<MessageRow> = []
  const undo: Undo = []
  try {
    const appends = { duplicates, refused: new Set<string>() }
    for (const write of writes) applyOne(log, write, appends, undo)
    beforeCommit()
    return { duplicates }
  } catch (error) {
    for (const step of undo.reverse()) step()
    throw error
  }
}
