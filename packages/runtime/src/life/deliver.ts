/**
 * Step 3 of a message's life. The boundary between a promise and a fact: one durable append into the target's mailbox.
 * Only when it is on disk is the message accepted; from then on it ends exactly once, whatever happens to the process.
 */
import { Exit } from "effect"
import type { DispatchNote } from "../actor/ActorContext.ts"
import {
  type RetryableClosing,
  type RetryableMailboxFull,
  type RetryableSystemFull,
  TerminalIdempotencyConflict,
  TerminalReplayMismatch,
} from "../message/DeliveryFailure.ts"
import { type Envelope, firstAddresseeOf, type MessageRow } from "../message/Envelope.ts"
import { childOrdinal } from "../message/MessageId.ts"
import type { CommitFailure } from "../ports/StoreFailure.ts"
import type { Append, RouteDecision, Write } from "../ports/Write.ts"
import { commit } from "./commit.ts"
import { type LiveCell, LiveMessage } from "./LiveMessage.ts"
import type { Prepared } from "./prepare.ts"
import type { System } from "./System.ts"
import { acquit, canRunNow, holdPlace, holdPlaceOf, releasePlace, type Victim } from "./waiting/places.ts"

/** What became of an append: a new message, or the earlier one that it repeats. */
export type Delivered =
  /** `victim` is the message that goes for it. */
  | { readonly _tag: "Accepted"; readonly message: LiveMessage; readonly victim: Victim | undefined }
  | { readonly _tag: "Repeated"; readonly row: MessageRow }

export type DeliverFailure =
  | RetryableMailboxFull
  | RetryableSystemFull
  | RetryableClosing
  | TerminalIdempotencyConflict
  | TerminalReplayMismatch
  | CommitFailure

export const appendWrite = (system: System, message: Envelope, claimedAtMs: number | null): Append =>
  message.idempotencyKey === null
    ? { _tag: "Append", message, claimedAtMs }
    : { _tag: "Append", message, claimedAtMs, keysSinceMs: message.createdAtMs - system.settings.keyWindowMs }

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
  poolOf(system, envelope)?.memory.assigned(key)
}

const uncount = (system: System, envelope: Envelope, key: string): void => {
  poolOf(system, envelope)?.memory.withdrawn(key)
}

/** The message leaves its target's queue: for another's, or for good, without having been run. */
export const countWithdrawn = (system: System, message: LiveMessage): void =>
  uncount(system, message.envelope, message.cell.key)

/** What a handler sent, as far as it has to send it again: a reroute within a pool, or another payload, is not another act. */
const actOf = (envelope: Envelope): string => `${envelope.task} to ${firstAddresseeOf(envelope)}`

const repeated = (envelope: Envelope, row: MessageRow): Exit.Exit<Delivered, DeliverFailure> => {
  if (row.id === envelope.id) {
    const [now, before] = [actOf(envelope), actOf(row)]
    // The payload may differ: it may depend on what a newer program is configured to do, and the answer is recorded.
    if (now === before) return Exit.succeed({ _tag: "Repeated", row })
    const message = `The handler of ${envelope.causationId} now sends ${now} where it sent ${before} before; a handler must do the same again when it is run again.`
    return Exit.fail(
      new TerminalReplayMismatch({ messageId: envelope.id, ordinal: childOrdinal(envelope.id), message }),
    )
  }
  if (row.task !== envelope.task || row.body !== envelope.body) {
    const key = envelope.idempotencyKey ?? ""
    const message = `The idempotency key ${key} was used for another ${row.task} (message ${row.id}); use a new key for a new message.`
    return Exit.fail(new TerminalIdempotencyConflict({ messageId: row.id, idempotencyKey: key, message }))
  }
  return Exit.succeed({ _tag: "Repeated", row })
}

/** Whether the agenda would find the message on disk. */
export const isPutOff = ({ createdAtMs, deliverAtMs }: Envelope): boolean => deliverAtMs > createdAtMs

/** The accepted message, as memory holds it from now on. */
const accept = (
  system: System,
  envelope: Envelope,
  cell: LiveCell,
  claimedAtMs: number | null,
  victim: Victim | undefined,
): Delivered => {
  const isClaimed = claimedAtMs !== null
  const phase = isClaimed ? "running" : "waiting"
  const message = new LiveMessage(envelope, cell, isClaimed ? 1 : 0, phase, system.nextOrder++)
  if (isClaimed) {
    message.claimedAtMs = claimedAtMs
    cell.running.add(message)
  }
  system.live.set(message.id, message)
  return { _tag: "Accepted", message, victim }
}

/**
 * Writes the message, and its claim with it where its actor is free. Not to be taken back: a message on disk that memory
 * does not know would hold its actor until the next start.
 *
 * @param cell the target of the route, as it is in memory now
 * @param then takes the accepted message in the very step in which its held place is given up: should anything come in
 * between, it would find the actor free, and overtake
 */
export const deliver = (
  system: System,
  { draft, to, note }: Prepared,
  cell: LiveCell,
  then: (exit: Exit.Exit<Delivered, DeliverFailure>) => void,
): void => {
  const envelope: Envelope = {
    ...draft.envelope,
    actorType: cell.address.type,
    actorId: cell.address.id,
    pool: to.pool,
  }
  const claimedAtMs = canRunNow(system, cell, envelope, to.pool) ? system.now() : null
  let victim: Victim | undefined
  if (claimedAtMs !== null) cell.reserved++
  else {
    const full = holdPlace(system, cell)
    if (full?._tag === "RetryableMailboxFull") victim = holdPlaceOf(system, cell, envelope)
    if (full !== undefined && victim === undefined) {
      then(Exit.fail(full))
      return
    }
    cell.arriving++
  }
  const writes: Array<Write> = [appendWrite(system, envelope, claimedAtMs)]
  if (note !== undefined) writes.push(dispatchWrite(envelope, note))
  if (to.decision !== undefined) writes.push({ ...to.decision, messageId: envelope.id, attempt: 1 })
  // Before the commit: of messages that come at once, each is routed knowing of those before it.
  countAssigned(system, envelope, cell.key)
  if (isPutOff(envelope)) system.agenda?.expect(envelope.id)
  system.crashPoint("append.before")
  commit(system, writes, (exit) => {
    if (claimedAtMs !== null) cell.reserved--
    else {
      releasePlace(system, cell)
      cell.arriving--
    }
    if (victim !== undefined) acquit(cell, victim)
    if (isPutOff(envelope)) {
      system.agenda?.arrived(envelope.id, Exit.isSuccess(exit) && exit.value.duplicates[0]?.id !== envelope.id)
    }
    if (Exit.isFailure(exit)) {
      uncount(system, envelope, cell.key)
      return then(Exit.failCause(exit.cause))
    }
    system.crashPoint("append.after")
    const earlier = exit.value.duplicates[0]
    if (to.predicted !== undefined) poolOf(system, envelope)?.memory.admitted(envelope.id, to.predicted)
    if (earlier === undefined) return then(Exit.succeed(accept(system, envelope, cell, claimedAtMs, victim)))
    uncount(system, envelope, cell.key)
    then(repeated(envelope, earlier))
  })
}
