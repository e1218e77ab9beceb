/**
 * Step 3 of a message's life. The boundary between a promise and a fact: one durable append into the target's mailbox.
 * Only when it is on disk is the message accepted; from then on it ends exactly once, whatever happens to the process.
 */
import { Effect } from "effect"
import type { DispatchNote } from "../actor/ActorContext.ts"
import {
  RetryableMailboxFull,
  TerminalIdempotencyConflict,
  TerminalReplayMismatch,
} from "../message/DeliveryFailure.ts"
import type { Envelope, MessageRow } from "../message/Envelope.ts"
import type { RouteDecision, Write } from "../ports/Write.ts"
import { assigned, freshSignals } from "../supervision/adaptive/signals.ts"
import { LiveMessage } from "./LiveMessage.ts"
import type { Prepared } from "./prepare.ts"
import type { System } from "./System.ts"

/** What became of an append: a new message, or the earlier one that it repeats. */
export type Delivered =
  | { readonly _tag: "Accepted"; readonly message: LiveMessage }
  | { readonly _tag: "Repeated"; readonly row: MessageRow }

/** An hour of backlog at one message a second needs no exact figure; a caller that waits this long meets a shorter queue. */
const RETRY_AFTER_MS = 1_000

export const dispatchWrite = (envelope: Envelope, note: DispatchNote): RouteDecision => ({
  _tag: "RouteDecision",
  messageId: envelope.id,
  attempt: 1,
  pool: envelope.sender ?? "",
  chosen: envelope.pool === null ? `${envelope.actorType}/${envelope.actorId}` : `pool ${envelope.pool}`,
  reason: note.reason,
  evidence: JSON.stringify(note.evidence),
  atMs: envelope.createdAtMs,
})

export const poolOf = (system: System, envelope: Envelope) =>
  envelope.pool === null ? undefined : system.pools.get(envelope.pool)

/** Counts the message among those that its pool's target has to do. */
export const countAssigned = (system: System, envelope: Envelope, key: string): void => {
  const pool = poolOf(system, envelope)
  if (pool !== undefined) pool.signals.set(key, assigned(pool.signals.get(key) ?? freshSignals(system.now())))
}

const repeated = (envelope: Envelope, row: MessageRow) => {
  const same = row.task === envelope.task && row.body === envelope.body
  if (row.id === envelope.id && !same) {
    const message = `The handler of ${envelope.causationId} now sends ${envelope.task} where it sent ${row.task} before; a handler must do the same again when it is run again.`
    return Effect.fail(
      new TerminalReplayMismatch({ messageId: envelope.id, ordinal: Number(envelope.id.split(".").at(-1)), message }),
    )
  }
  if (!same) {
    const key = envelope.idempotencyKey ?? ""
    const message = `The idempotency key ${key} was used for another ${row.task} (message ${row.id}); use a new key for a new message.`
    return Effect.fail(new TerminalIdempotencyConflict({ messageId: row.id, idempotencyKey: key, message }))
  }
  const delivered: Delivered = { _tag: "Repeated", row }
  return Effect.succeed(delivered)
}

/**
 * Writes the message, and its claim with it where its actor is free. Not interruptible: a message on disk that memory
 * does not know would hold its actor until the next start.
 */
export const deliver = Effect.fnUntraced(function* (system: System, { draft, to, note }: Prepared) {
  const { cell } = to
  const envelope: Envelope = {
    ...draft.envelope,
    actorType: cell.address.type,
    actorId: cell.address.id,
    pool: to.pool,
  }
  if (cell.mailbox.size >= cell.actor.mailbox.capacity) {
    const message = `${cell.key} has ${cell.mailbox.size} messages waiting, as many as its mailbox holds; send again in about ${RETRY_AFTER_MS} ms.`
    return yield* new RetryableMailboxFull({
      actor: cell.key,
      depth: cell.mailbox.size,
      retryAfterMs: RETRY_AFTER_MS,
      message,
    })
  }
  const claimed = cell.freeSlots > 0 && !cell.mailbox.hasQueue && envelope.deliverAtMs <= system.now()
  if (claimed) cell.reserved++
  const writes: Array<Write> = [{ _tag: "Append", message: envelope, claimed }]
  if (note !== undefined) writes.push(dispatchWrite(envelope, note))
  if (to.decision !== undefined) writes.push({ ...to.decision, messageId: envelope.id, attempt: 1 })
  system.crashPoint("append.before")
  const release = () => {
    if (claimed) cell.reserved--
  }
  const receipt = yield* system.store.commit(writes).pipe(Effect.onError(() => Effect.sync(release)))
  system.crashPoint("append.after")
  release()
  const earlier = receipt.duplicates[0]
  if (earlier !== undefined) return yield* repeated(envelope, earlier)
  const message = new LiveMessage(envelope, cell, claimed ? 1 : 0, claimed, system.nextOrder++)
  message.claimedAtMs = envelope.createdAtMs
  if (claimed) cell.running.add(message)
  system.live.set(message.id, message)
  countAssigned(system, envelope, cell.key)
  const delivered: Delivered = { _tag: "Accepted", message }
  return delivered
}, Effect.uninterruptible)
