/**
 * The boundary between a message and another actor that answers it in place of the one it came to. The row itself goes on:
 * same id, same asker, same deadline; the handler's state and sends are sealed in the commit that gives it away, and its
 * place is free from then on.
 *
 * The target begins anew. It has a budget of attempts of its own, and a journal of its own: that of the handler who hands on
 * is closed in the same commit, so that the acts of both have different numbers.
 */
import { Effect } from "effect"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import { formatAddress } from "../message/Address.ts"
import {
  type RetryableMailboxFull,
  type RetryableSystemFull,
  TerminalForwardLoop,
  TerminalReentrantAsk,
  TerminalUnknownTask,
} from "../message/DeliveryFailure.ts"
import { addresseeOf, handedOnFrom } from "../message/Envelope.ts"
import type { RecordStep, Write } from "../ports/Write.ts"
import { endOrdinal } from "./journal/Space.ts"
import { type LiveMessage, NONE_TRIED } from "./LiveMessage.ts"
import { refuseCycle } from "./prepare.ts"
import { PROMISED, type Route, route } from "./route.ts"
import type { System } from "./System.ts"
import type { ChunkWriter } from "./streams/emit.ts"
import { holdPlace } from "./waiting/places.ts"

/** Far more than a chain of gateways has; a ring of two comes to it in a few milliseconds. */
export const FORWARDS_MAX = 16

/** A message that its handler gives away, once the handler is done. */
export interface HandOver {
  readonly to: Route
  /** The row's `via` from then on. */
  readonly via: string
}

export type HandOnFailure =
  | TerminalUnknownTask
  | TerminalForwardLoop
  | TerminalReentrantAsk
  | RetryableMailboxFull
  | RetryableSystemFull
  | Effect.Error<ReturnType<typeof route>>

/** What a handler has said cannot be taken back, and its target would say it again. */
const refuseSpoken = (system: System, { attempt, id }: LiveMessage, writer: ChunkWriter | undefined) => {
  if (writer === undefined) return Effect.void
  const spoken = Effect.die(
    new Error(`Message ${id} cannot be handed on: its handler has emitted chunks, and a reader may have them.`),
  )
  if (writer.said > 0) return spoken
  if (attempt === 1) return Effect.void
  return Effect.flatMap(system.store.chunks(id, 0, 1), (rows) => (rows.length > 0 ? spoken : Effect.void))
}

const refuseTask = (ref: Ref<AnyTask>, { cell, envelope }: LiveMessage): TerminalUnknownTask | undefined => {
  if (ref.tasks.has(envelope.task)) return undefined
  const named = ref.kind === "pool" ? `pool ${ref.type}` : formatAddress(ref)
  const message = `${cell.key} cannot hand ${envelope.task} on to ${named}, which has no such task; it has ${[...ref.tasks.keys()].join(", ")}.`
  return new TerminalUnknownTask({ actor: named, task: envelope.task, message })
}

/** Chooses the target and holds a place in its mailbox, which the seal gives up. */
export const handOn = Effect.fnUntraced(function* (
  system: System,
  message: LiveMessage,
  ref: Ref<AnyTask>,
  writer: ChunkWriter | undefined,
) {
  const { cell: own, envelope, id } = message
  const wrongTask = refuseTask(ref, message)
  if (wrongTask !== undefined) return yield* wrongTask
  yield* refuseSpoken(system, message, writer)
  const from = [...handedOnFrom(envelope), addresseeOf(envelope)]
  if (from.length > FORWARDS_MAX) {
    const way = `${from.slice(-4).join(", ")}`
    const text = `Message ${id} has been handed on ${FORWARDS_MAX} times, last by ${way}; it goes round in a circle.`
    return yield* new TerminalForwardLoop({ messageId: id, message: text })
  }
  const to = yield* route(system, ref, PROMISED)
  const asker = envelope.causationId === null ? undefined : system.live.get(envelope.causationId)
  const cycle = asker === undefined ? undefined : refuseCycle(system, asker, to)
  if (cycle !== undefined) {
    const text = `${own.key} cannot hand message ${id} on to ${to.cell.key}: ${to.cell.key} waits for its answer.`
    return yield* new TerminalReentrantAsk({ messageId: id, actor: to.cell.key, message: text })
  }
  const cell = system.registry.keep(to.cell)
  const full = holdPlace(system, cell)
  if (full !== undefined) return yield* full
  const over: HandOver = { to: { ...to, cell }, via: JSON.stringify(from) }
  return over
})

/** Closes the journal of the handler who hands on; `endOf` reads it, `closedIn` counts it. */
const closeJournal = (message: LiveMessage, journal: number, atMs: number): RecordStep => ({
  _tag: "RecordStep",
  messageId: message.id,
  attempt: message.attempt,
  ordinal: endOrdinal(journal),
  kind: "end",
  name: "forwarded",
  result: JSON.stringify({ attempt: message.attempt }),
  atMs,
})

/**
 * The writes that give the message away.
 *
 * @param journal which of the message's journals its handler was at; undefined where it has done nothing that is numbered
 */
export const handOnWrites = (
  message: LiveMessage,
  { to, via }: HandOver,
  journal: number | undefined,
  atMs: number,
): Array<Write> => {
  const { attempt, cell, envelope, id: messageId } = message
  const writes: Array<Write> = journal === undefined ? [] : [closeJournal(message, journal, atMs)]
  writes.push({ _tag: "Forward", messageId, attempt, target: to.cell.address, pool: to.pool, via })
  if (to.decision !== undefined) writes.push({ ...to.decision, messageId, attempt: attempt + 1 })
  writes.push({
    _tag: "RouteDecision",
    messageId,
    attempt: attempt + 1,
    pool: cell.key,
    chosen: to.pool === null ? to.cell.key : `pool ${to.pool}`,
    reason: `handed on by ${cell.key}`,
    evidence: JSON.stringify({ sentTo: addresseeOf(envelope), handedOn: handedOnFrom(envelope).length + 1 }),
    atMs,
  })
  return writes
}

/** Memory follows: the message is as one that was just sent to its target. */
export const handedOver = (message: LiveMessage, { to, via }: HandOver): void => {
  const { createdAtMs } = message.envelope
  message.envelope = { ...message.envelope, pool: to.pool, via, deliverAtMs: createdAtMs }
  message.dueAtMs = 0
  message.attemptsBefore = message.attempt
  message.triedTargets = NONE_TRIED
}
