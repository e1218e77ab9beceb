/**
 * Step 7 of a message's life. The boundary between a process that died and the one that goes on: an unfinished message of
 * the log gets its place in memory again. One that was running is counted as a failed attempt, so that a message which
 * kills its process becomes a dead letter and not a crash loop.
 */
import { Effect } from "effect"
import type { AnyActor } from "../actor/Actor.ts"
import type { MessageRow } from "../message/Envelope.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { CommitReceipt } from "../ports/MessageStore.ts"
import type { CommitFailure } from "../ports/StoreFailure.ts"
import type { Write } from "../ports/Write.ts"
import { countAssigned, countWithdrawn } from "./deliver.ts"
import { endingSince, mustCompensate, recordedEnd, uncompensated } from "./journal/compensate.ts"
import { wakesAt } from "./journal/sleep.ts"
import { LiveMessage } from "./LiveMessage.ts"
import { readPatiently } from "./readPatiently.ts"
import { forget, lose } from "./reply.ts"
import type { System } from "./System.ts"
import type { ReadAhead } from "./shelf/ReadAhead.ts"

const DIED: FailureRecord = {
  tag: "RetryableProcessDied",
  message: "The process died while the message ran.",
  retry: "retryable",
}

/** In the order of acceptance, and before every message that this process accepts, which count from 0. */
const orderOf = ({ seq }: MessageRow): number => seq - Number.MAX_SAFE_INTEGER

/** The journal of a message, as far as it can be read; a log that cannot be read any more takes no commit either. */
const stepsOf = (system: System, { id }: MessageRow) =>
  Effect.map(readPatiently(system, system.store.steps(id)), (rows) => rows ?? [])

/** A message that ran is run again, or dead; one that was being compensated has as many attempts for that once more. */
const again = Effect.fnUntraced(function* (system: System, row: MessageRow, attemptsMax: number) {
  const { attempt, attemptsBefore, id: messageId } = row
  const nowMs = system.now()
  const target = { type: row.actorType, id: row.actorId }
  const common = { messageId, attempt, atMs: nowMs }
  // Its time had come: a later one would make a delayed message of it, which others may pass.
  const deliverAtMs = Math.min(row.deliverAtMs, nowMs)
  const retry: Write = { _tag: "Retry", ...common, error: JSON.stringify(DIED), deliverAtMs, target }
  if (attempt - attemptsBefore < attemptsMax) return retry
  const steps = yield* stepsOf(system, row)
  const since = endingSince(steps, attemptsBefore)
  if (since !== undefined && attempt - since < attemptsMax) return retry
  // What is compensated has the end that it came to; what is not is for a person to look at.
  const end = mustCompensate(steps, attemptsBefore) ? undefined : recordedEnd(steps, attemptsBefore)
  const { record, status } = end ?? ({ record: DIED, status: "dead" } as const)
  const error = JSON.stringify(uncompensated(record, steps, attemptsBefore, "its process died each time"))
  const settle: Write = { _tag: "Settle", ...common, error, status, reply: null }
  return settle
})

/** Whether a message that waits is in backoff, for no longer than a backoff takes; else it is asleep until then. */
const isInBackoff = Effect.fnUntraced(function* (system: System, row: MessageRow, backoffMsMax: number) {
  if (row.attempt <= row.attemptsBefore) return false
  if (row.deliverAtMs <= system.now() + backoffMsMax) return true
  return !wakesAt(yield* stepsOf(system, row), row.attemptsBefore, row.deliverAtMs)
})

/** What `recover` leaves to others. */
export interface Recovering {
  /** Counts the messages until they end. */
  readonly readAhead: ReadAhead
  readonly commit: (writes: ReadonlyArray<Write>) => Effect.Effect<CommitReceipt, CommitFailure>
  /** Puts a message into its actor's queue. */
  readonly enqueue: (message: LiveMessage) => void
}

/** The row's message, in memory from now on. */
const remember = (system: System, row: MessageRow, actor: AnyActor, readAhead: ReadAhead): LiveMessage => {
  const cell = system.registry.cell({ type: row.actorType, id: row.actorId }, actor)
  // Known before its commit: whoever takes it back meanwhile is heard when it is enqueued.
  const message = new LiveMessage(row, cell, row.attempt, "moving", orderOf(row), row.attemptsBefore)
  if (row.status === "running") message.dueAtMs = 0
  message.readAhead = readAhead
  readAhead.took()
  countAssigned(system, row, cell.key)
  system.live.set(message.id, message)
  // Until it is enqueued: an idle cell may be dropped at any time.
  cell.expected++
  return message
}

/** Its attempts are used up, and the log says so. */
const bury = (system: System, message: LiveMessage, error: string): void => {
  forget(system, message)
  countWithdrawn(system, message)
  const record = JSON.parse(error) as FailureRecord
  system.askers.end(message.id, {
    _tag: "Replied",
    reply: { messageId: message.id, status: "dead", reply: null, error: record },
  })
}

/**
 * Brings rows back to memory and into their queues, in order, and takes the interrupted ones out of `running`; none of them
 * where that cannot be written.
 *
 * @param rows unfinished, not in memory
 */
export const recover = Effect.fnUntraced(function* (
  system: System,
  rows: ReadonlyArray<MessageRow>,
  { commit, enqueue, readAhead }: Recovering,
) {
  const messages: Array<readonly [LiveMessage, MessageRow]> = []
  const writes: Array<Write> = []
  for (const row of rows) {
    const actor = system.actors.get(row.actorType)
    if (actor !== undefined) messages.push([remember(system, row, actor, readAhead), row])
  }
  const ends = new Map<string, string>()
  for (const [message, row] of messages) {
    const { retry } = message.cell.actor
    if (row.status !== "running") {
      message.backsOff = yield* isInBackoff(system, row, retry.backoff.maxMs)
      continue
    }
    const write = yield* again(system, row, retry.attemptsMax)
    if (write._tag === "Settle") message.phase = "ending"
    if (write._tag === "Settle" && write.error !== null) ends.set(row.id, write.error)
    writes.push(write)
  }
  if (writes.length > 0) {
    // Nothing of the page goes on without the rest of it: a later message must not overtake one that still says `running`.
    const giveUp = (failure: CommitFailure) => Effect.forEach(messages, ([message]) => lose(system, message, failure))
    yield* Effect.tapError(commit(writes), giveUp)
  }
  for (const [message] of messages) {
    message.cell.expected--
    const error = ends.get(message.id)
    if (error === undefined) enqueue(message)
    else bury(system, message, error)
  }
})
