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

const again = (row: MessageRow, attemptsMax: number, nowMs: number): Write => {
  const common = { messageId: row.id, attempt: row.attempt, error: JSON.stringify(DIED), atMs: nowMs }
  return row.attempt - row.attemptsBefore >= attemptsMax
    ? { _tag: "Settle", ...common, status: "dead", reply: null }
    : { _tag: "Retry", ...common, deliverAtMs: nowMs, target: { type: row.actorType, id: row.actorId } }
}

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
      const write = row.status === "running" ? again(row, actor.retry.attemptsMax, nowMs) : undefined
      if (write !== undefined) writes.push(write)
      if (isOver(write)) continue
      const cell = system.registry.cell({ type: row.actorType, id: row.actorId }, actor)
      const message = new LiveMessage(row, cell, row.attempt, "waiting", system.nextOrder++, row.attemptsBefore)
      if (write !== undefined) message.dueAtMs = nowMs
      message.backsOff = row.attempt > row.attemptsBefore
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
