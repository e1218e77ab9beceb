/**
 * Step 7 of a message's life. The boundary between a process that died and the one that goes on: every unfinished message
 * of the log gets its place in memory again. One that was running is counted as a failed attempt, so that a message which
 * kills its process becomes a dead letter and not a crash loop.
 */
import { Effect } from "effect"
import type { MessageRow } from "../message/Envelope.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { Write } from "../ports/Write.ts"
import { countAssigned } from "./deliver.ts"
import { endingSince, uncompensated } from "./journal/compensate.ts"
import { wakesAt } from "./journal/sleep.ts"
import { LiveMessage } from "./LiveMessage.ts"
import type { System } from "./System.ts"

/** Rows read, and commits grouped, at once: a page of ordinary messages is about a megabyte. */
const PAGE = 1_000

const DIED: FailureRecord = {
  tag: "RetryableProcessDied",
  message: "The process died while the message ran.",
  retry: "retryable",
}

export interface Recovered {
  /** In the order of their acceptance. */
  readonly messages: ReadonlyArray<LiveMessage>
  /** Actor types that messages wait for and this system does not have, with how many; they stay in the log. */
  readonly unknown: ReadonlyMap<string, number>
}

/** A message that ran is run again, or dead; one that was being compensated has as many attempts for that once more. */
const again = Effect.fnUntraced(function* (system: System, row: MessageRow, attemptsMax: number, nowMs: number) {
  const { attempt, attemptsBefore, id: messageId } = row
  const target = { type: row.actorType, id: row.actorId }
  const common = { messageId, attempt, atMs: nowMs }
  const retry: Write = { _tag: "Retry", ...common, error: JSON.stringify(DIED), deliverAtMs: nowMs, target }
  if (attempt - attemptsBefore < attemptsMax) return retry
  const steps = yield* system.store.steps(messageId)
  const since = endingSince(steps, attemptsBefore)
  if (since !== undefined && attempt - since < attemptsMax) return retry
  const error = JSON.stringify(uncompensated(DIED, steps, attemptsBefore, "its process died each time"))
  const dead: Write = { _tag: "Settle", ...common, error, status: "dead", reply: null }
  return dead
})

const isOver = (write: Write | undefined): boolean => write?._tag === "Settle"

/** Reads every unfinished message back, and takes the interrupted ones out of `running`. */
export const recover = Effect.fnUntraced(function* (system: System) {
  const messages: Array<LiveMessage> = []
  const unknown = new Map<string, number>()
  for (let afterSeq = -1; ; ) {
    const page = yield* system.store.unfinished(afterSeq, PAGE)
    const writes: Array<Write> = []
    for (const row of page) {
      afterSeq = row.seq
      const actor = system.actors.get(row.actorType)
      if (actor === undefined) {
        unknown.set(row.actorType, (unknown.get(row.actorType) ?? 0) + 1)
        continue
      }
      const nowMs = system.now()
      const write = row.status === "running" ? yield* again(system, row, actor.retry.attemptsMax, nowMs) : undefined
      if (write !== undefined) writes.push(write)
      if (isOver(write)) continue
      const cell = system.registry.cell({ type: row.actorType, id: row.actorId }, actor)
      const message = new LiveMessage(row, cell, row.attempt, "waiting", system.nextOrder++, row.attemptsBefore)
      if (write !== undefined) message.dueAtMs = nowMs
      // In backoff, for no longer than a backoff takes; or asleep until then.
      message.backsOff =
        row.attempt > row.attemptsBefore &&
        !(
          row.deliverAtMs > nowMs + actor.retry.backoff.maxMs &&
          wakesAt(yield* system.store.steps(row.id), row.attemptsBefore, row.deliverAtMs)
        )
      countAssigned(system, row, cell.key)
      system.live.set(message.id, message)
      messages.push(message)
    }
    if (writes.length > 0) yield* system.store.commit(writes)
    if (page.length < PAGE) break
  }
  const recovered: Recovered = { messages, unknown }
  return recovered
})
