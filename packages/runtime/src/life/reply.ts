/**
 * Step 5 of a message's life, carried out: the sealing commit, and then everything that may only happen once it stands:
 * the asker is told, memory follows the log.
 */
import { Effect } from "effect"
import { addresseeOf, type Envelope, firstAddresseeOf, type MessageRow } from "../message/Envelope.ts"
import type { CommitReceipt } from "../ports/MessageStore.ts"
import type { CommitFailure } from "../ports/StoreFailure.ts"
import { closing, replyOf } from "./answer.ts"
import { countAssigned, poolOf } from "./deliver.ts"
import { handedOver } from "./handOn.ts"
import { type LiveCell, LiveMessage } from "./LiveMessage.ts"
import type { System } from "./System.ts"
import type { Seal } from "./seal.ts"
import type { Verdict } from "./verdict.ts"

/** Tells the pool what its target did. */
export const noteSignals = (system: System, message: LiveMessage, verdict: Verdict): void => {
  const pool = poolOf(system, message.envelope)
  if (pool === undefined) return
  const { memory } = pool
  const { key } = message.cell
  const nowMs = system.now()
  const tookMs = nowMs - message.claimedAtMs
  if (verdict._tag === "Done") {
    memory.succeeded(key, message.id, tookMs, nowMs)
    memory.settled(message.id, !message.isLate(nowMs))
  } else if (verdict._tag === "Retry") {
    message.triedTargets = new Set([...message.triedTargets, key])
    memory.failed(key, message.id, nowMs)
  } else if (verdict._tag === "Expired") {
    // It ran for too long; what its sender ends says nothing about the target.
    memory.cutShort(key, message.id, tookMs, nowMs)
    memory.settled(message.id, false)
  } else memory.released(key, message.id, verdict._tag === "Failed")
}

/** The message is over, in memory too. */
export const forget = (system: System, message: LiveMessage): void => {
  message.cell.running.delete(message)
  message.cancelDeadline?.()
  message.cancelDue?.()
  system.live.delete(message.id)
  message.readAhead?.ended()
  poolOf(system, message.envelope)?.memory.settled(message.id, undefined)
  // Memory that has grown old keeps what it refers to until the next full collection, though nobody can reach it.
  message.fiber = undefined
}

const sameKey = (row: MessageRow, sent: Envelope): boolean =>
  sent.idempotencyKey !== null &&
  row.idempotencyKey === sent.idempotencyKey &&
  row.task === sent.task &&
  // Wherever it has moved, or was handed on to, it answers for whom it was sent to.
  firstAddresseeOf(row) === addresseeOf(sent)

/**
 * Which of the sends of a commit were not new. The receipt gives the messages that stood in the way, in the order of
 * their appends, but not whose way: from the last send back, each takes the last row that is left, where that row is of
 * its id or its key. (Forwards, a send would take for its duplicate the row that a later send of the same key met: its
 * own.)
 */
export const repeatedSends = (
  sent: ReadonlyArray<Envelope>,
  duplicates: ReadonlyArray<MessageRow>,
): ReadonlySet<string> => {
  const repeated = new Set<string>()
  let left = duplicates.length
  for (const envelope of sent.toReversed()) {
    const row = duplicates[left - 1]
    if (row === undefined) break
    if (row.id !== envelope.id && !sameKey(row, envelope)) continue
    repeated.add(envelope.id)
    left--
  }
  return repeated
}

/**
 * Memory follows the commit. Gives the messages that now wait in a mailbox, in order: a retry, and what the handler sent.
 */
export const follow = (
  system: System,
  message: LiveMessage,
  sealed: Seal,
  receipt: CommitReceipt,
): ReadonlyArray<LiveMessage> => {
  const { outcome } = sealed
  const waiting: Array<LiveMessage> = []
  if (outcome._tag === "Ended") {
    message.cell.ended++
    if (outcome.state !== undefined) message.cell.state = outcome.state.value
    if (message.unstashes && outcome.reply.status === "done") message.cell.mailbox.unstash()
    forget(system, message)
  } else if (outcome._tag === "HandedOn") {
    const { over, state } = outcome
    if (state !== undefined) message.cell.state = state.value
    if (message.unstashes) message.cell.mailbox.unstash()
    handedOver(message, over)
    requeue(message, over.to.cell, message.dueAtMs)
    countAssigned(system, message.envelope, message.cell.key)
    waiting.push(message)
  } else {
    const stashed = outcome._tag === "Stashed"
    requeue(message, stashed ? message.cell : outcome.cell, stashed ? message.dueAtMs : outcome.dueAtMs)
    if (!stashed && outcome.putOff) message.attemptsBefore++
    if (stashed) {
      message.attemptsBefore++
      message.stashed = true
    }
    message.backsOff = outcome._tag === "Again" && !outcome.putOff
    countAssigned(system, message.envelope, message.cell.key)
    waiting.push(message)
  }
  if (sealed.sent.length === 0) return waiting
  const repeated = repeatedSends(
    sealed.sent.map(({ envelope }) => envelope),
    receipt.duplicates,
  )
  for (const { envelope, cell } of sealed.sent) {
    if (repeated.has(envelope.id)) continue
    const sent = new LiveMessage(envelope, cell, 0, "waiting", system.nextOrder++)
    system.live.set(sent.id, sent)
    countAssigned(system, envelope, cell.key)
    waiting.push(sent)
  }
  return waiting
}

/** Tells whoever waits for the message how it ended. */
export const tell = (system: System, message: LiveMessage, { outcome }: Seal): void => {
  if (outcome._tag === "Ended") system.askers.end(message.id, { _tag: "Replied", reply: outcome.reply })
}

/** Prepares a message that ran, or waited elsewhere, for waiting at `cell`. */
export const requeue = (message: LiveMessage, cell: LiveCell, dueAtMs: number): void => {
  message.cell.running.delete(message)
  message.cell = cell
  message.envelope = { ...message.envelope, actorType: cell.address.type, actorId: cell.address.id }
  message.dueAtMs = dueAtMs
  message.phase = "waiting"
  message.fiber = undefined
  message.stashed = false
  message.unstashes = false
}

/** A message whose end this process does not write: it stays in the log as it is, for the next start. */
export const abandon = (system: System, message: LiveMessage, failure: CommitFailure | undefined): void => {
  forget(system, message)
  const end = failure?._tag === "TerminalStoreFailure" ? failure : closing(message.id)
  system.askers.end(message.id, { _tag: "Unknown", failure: end })
}

/** Whether a commit failed because this is the end: of the system, or of its store. */
export const isOver = (system: System, failure: CommitFailure): boolean =>
  system.closed || (failure._tag === "TerminalStoreFailure" && failure.reason === "closed")

/**
 * A commit about the message was refused for good. Where that is because the log knows more than memory does (another
 * program ended the message), the log is right.
 */
export const lose = Effect.fnUntraced(function* (system: System, message: LiveMessage, failure: CommitFailure) {
  if (!isOver(system, failure))
    yield* Effect.logError(`Message ${message.id} is given up by this process: ${failure.message}`)
  if (failure._tag === "TerminalStaleAttempt") {
    const row = yield* Effect.orElseSucceed(system.store.message(message.id), () => undefined)
    const reply = row === undefined ? undefined : replyOf(row)
    if (reply !== undefined) {
      forget(system, message)
      return system.askers.end(message.id, { _tag: "Replied", reply })
    }
  }
  abandon(system, message, failure)
})
