/**
 * The boundary between writes as data and rows: applies one commit's writes, in order, inside a transaction that the
 * caller has opened. `packages/runtime/src/testing/MemoryLog.ts` says the same without SQL.
 */
import {
  type Append,
  type AppendChunk,
  type DropWatch,
  type Envelope,
  formatAddress,
  type MessageRow,
  type PutActor,
  type Retry,
  type Settle,
  TerminalStaleAttempt,
  type Write,
} from "@pontoon/runtime"
import type { Statements } from "./statements.ts"

/** A fence refused the write at `index`; what stood before it in its commit is applied and must be taken back. */
export interface StaleWrite {
  readonly index: number
  readonly failure: TerminalStaleAttempt
}

/** What an idempotency key is unique in, as the column holds it. */
const idempotencyScope = (message: Envelope): string =>
  message.pool === null
    ? `actor ${formatAddress({ type: message.actorType, id: message.actorId })}`
    : `pool ${message.pool}`

const staleAttempt = (
  statements: Statements,
  write: { readonly messageId: string; readonly attempt: number },
): TerminalStaleAttempt => {
  const { messageId, attempt } = write
  const row = statements.messageById.get(messageId)
  return new TerminalStaleAttempt({
    messageId,
    attempt,
    message:
      row === undefined
        ? `A write of attempt ${attempt} was refused: there is no message ${messageId}.`
        : `A write of attempt ${attempt} of message ${messageId} was refused: the message is ${row.status} at attempt ${row.attempt}.`,
  })
}

/** Shared: no commit of a thousand has another. */
export const NONE: ReadonlyArray<MessageRow> = []

const NO_IDS: ReadonlyArray<string> = []

/** What the appends of one commit met: nothing, nearly always. */
export class Appends {
  /** The earlier messages that stood in the way; `NONE` where none did. */
  duplicates: ReadonlyArray<MessageRow> = NONE
  /** The ids that were not appended. */
  refused: ReadonlyArray<string> = NO_IDS
}

/** How many rows it added: none where the id or the key is taken. */
const insert = (statements: Statements, { message, claimedAtMs }: Append, scope: string | null): number =>
  statements.append.run(
    message.id,
    message.actorType,
    message.actorId,
    message.pool,
    message.task,
    message.codec,
    claimedAtMs === null ? "pending" : "running",
    message.priority,
    claimedAtMs === null ? 0 : 1,
    message.createdAtMs,
    message.deliverAtMs,
    message.deadlineAtMs,
    claimedAtMs,
    message.sender,
    message.correlationId,
    message.causationId,
    message.idempotencyKey,
    scope,
    message.traceId,
    message.body,
  ).changes

const append = (statements: Statements, write: Append, appends: Appends): void => {
  const { message, keysSinceMs } = write
  const scope = message.idempotencyKey === null ? null : idempotencyScope(message)
  if (insert(statements, write, scope) === 1) return
  let earlier = statements.messageById.get(message.id)
  if (earlier === undefined) {
    const key = [scope ?? "", message.task, message.idempotencyKey ?? ""] as const
    // Looked at only here: a key that is new, which nearly all are, costs what it did.
    if (keysSinceMs !== undefined && statements.freeKey.run(...key, keysSinceMs).changes === 1) {
      insert(statements, write, scope)
      return
    }
    earlier = statements.messageByKey.get(...key)
  }
  appends.refused = [...appends.refused, message.id]
  if (earlier !== undefined) appends.duplicates = [...appends.duplicates, earlier]
}

const retry = (statements: Statements, write: Retry): boolean => {
  const { messageId, attempt, target } = write
  statements.recordAttempt.run(write.atMs, write.error, messageId, attempt)
  return statements.retry.run(write.deliverAtMs, target.type, target.id, messageId, attempt).changes === 1
}

const settle = (statements: Statements, write: Settle): boolean => {
  const { messageId, attempt, status, reply, error, atMs } = write
  if (error !== null) statements.recordAttempt.run(atMs, error, messageId, attempt)
  return statements.settle.run(status, reply, error, atMs, messageId, attempt).changes === 1
}

const putActor = (statements: Statements, write: PutActor): void => {
  const { address, lifecycle, state, version, restarts, atMs } = write
  if (state === undefined) {
    statements.putActorKeepingState.run(address.type, address.id, lifecycle, version, restarts, atMs)
  } else {
    statements.putActor.run(address.type, address.id, lifecycle, state, version, restarts, atMs)
  }
}

const dropWatch = (statements: Statements, { watched, watcher }: DropWatch): void => {
  if (watched === undefined) statements.dropWatchesOf.run(watcher.type, watcher.id)
  else statements.dropWatch.run(watched.type, watched.id, watcher.type, watcher.id)
}

const appendChunk = (statements: Statements, write: AppendChunk): void => {
  const { messageId, attempt, ordinal, data, atMs } = write
  statements.appendChunk.run(messageId, attempt, ordinal, data, atMs)
}

/** Whether a chunk comes right after another of the same attempt. */
const isSameAttempt = (before: Write | undefined, { attempt, messageId }: AppendChunk): boolean =>
  before?._tag === "AppendChunk" && before.messageId === messageId && before.attempt === attempt

/** Applies one write; false where its fence refuses it, and then it has changed nothing. */
const applyWrite = (statements: Statements, write: Write, appends: Appends): boolean => {
  switch (write._tag) {
    case "Append":
      append(statements, write, appends)
      return true
    case "Claim":
      return statements.claim.run(write.attempt, write.atMs, write.messageId, write.attempt - 1).changes === 1
    case "Retry":
      return retry(statements, write)
    case "Postpone":
      return statements.postpone.run(write.deliverAtMs, write.messageId, write.attempt).changes === 1
    case "Forward": {
      const { target, pool, via, messageId, attempt } = write
      return statements.forward.run(target.type, target.id, pool, via, messageId, attempt).changes === 1
    }
    case "Reroute": {
      const { target, deliverAtMs, messageId, attempt } = write
      return statements.reroute.run(deliverAtMs, target.type, target.id, messageId, attempt).changes === 1
    }
    case "Settle":
      return settle(statements, write)
    case "Redrive": {
      const { deliverAtMs, target, body, messageId, attempt } = write
      const { changes } = statements.redrive.run(deliverAtMs, target.type, target.id, body ?? null, messageId, attempt)
      return changes === 1
    }
    case "PutActor":
      putActor(statements, write)
      return true
    case "LifecycleEvent": {
      const { address, from, to, event, reason, atMs } = write
      statements.lifecycleEvent.run(address.type, address.id, from, to, event, reason, atMs)
      return true
    }
    case "RouteDecision": {
      const { messageId, attempt, pool, chosen, reason, evidence, atMs } = write
      if (appends.refused.includes(messageId)) return true
      statements.routeDecision.run(messageId, attempt, pool, chosen, reason, evidence, atMs)
      return true
    }
    case "RecordStep": {
      const { messageId, attempt, ordinal, kind, name, result, atMs } = write
      if (statements.isRunning.get(messageId, attempt) === undefined) return false
      statements.recordStep.run(messageId, ordinal, kind, name, result, atMs)
      return true
    }
    case "AppendChunk":
      if (statements.isRunning.get(write.messageId, write.attempt) === undefined) return false
      appendChunk(statements, write)
      return true
    case "PutWatch": {
      const { watched, watcher, linked, atMs } = write
      statements.putWatch.run(watched.type, watched.id, watcher.type, watcher.id, linked ? 1 : 0, atMs)
      return true
    }
    case "DropWatch":
      dropWatch(statements, write)
      return true
    case "PutFeedback":
      statements.putFeedback.run(write.messageId, write.score, write.label, write.source, write.atMs)
      return true
  }
}

/**
 * Applies the writes in order, up to the first that is refused.
 *
 * @param appends receives what stood in their way
 * @throws an error of SQLite, or of a value that it cannot hold
 */
export const applyWrites = (
  statements: Statements,
  writes: ReadonlyArray<Write>,
  appends: Appends,
): StaleWrite | undefined => {
  for (let index = 0; index < writes.length; index++) {
    const write = writes[index]!
    if (write._tag === "AppendChunk" && isSameAttempt(writes[index - 1], write)) {
      // The fence has let the chunk before it through, and nothing has happened since.
      appendChunk(statements, write)
      continue
    }
    if (applyWrite(statements, write, appends)) continue
    // Only a fenced write is refused, and each of those names its message.
    if ("messageId" in write && "attempt" in write) return { index, failure: staleAttempt(statements, write) }
  }
  return undefined
}
