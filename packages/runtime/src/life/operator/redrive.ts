/**
 * Beside the steps of a life: the boundary between a dead letter and another life of the same message, on an operator's
 * word. It keeps its id, its place in its conversation and what its attempts recorded; a handler that runs again finds
 * the steps that it had finished.
 */
import { Effect } from "effect"
import { isGone } from "../../actor/lifecycle.ts"
import {
  RetryableClosing,
  TerminalActorFailed,
  TerminalInvalidMessage,
  TerminalUnknownActor,
} from "../../message/DeliveryFailure.ts"
import type { MessageRow } from "../../message/Envelope.ts"
import { countAssigned, poolOf } from "../deliver.ts"
import { type LiveCell, LiveMessage } from "../LiveMessage.ts"
import { PROMISED, routeWithin } from "../route.ts"
import type { System } from "../System.ts"
import { holdPlace, releasePlace } from "../waiting/places.ts"
import { redriveWrites, whyNotRedriven } from "./operatorWrites.ts"

/** Where the message runs now: its pool chooses anew, an actor stays itself. */
const targetOf = Effect.fnUntraced(function* (system: System, row: MessageRow) {
  const pool = poolOf(system, row)
  if (pool !== undefined) {
    const to = routeWithin(system, pool, PROMISED, new Set())
    if (to?._tag === "Routed") return to.cell
    const message = `Every target of the pool ${pool.pool.name} has failed, so message ${row.id} was not redriven.`
    return yield* new TerminalActorFailed({ actor: `pool ${pool.pool.name}`, message })
  }
  const actor = system.actors.get(row.actorType)
  if (actor === undefined) {
    const message = `Message ${row.id} is for an actor ${row.actorType}, which this system does not have; it was not redriven.`
    return yield* new TerminalUnknownActor({ actor: row.actorType, message })
  }
  const cell = system.registry.cell({ type: row.actorType, id: row.actorId }, actor)
  if (!isGone(cell.lifecycle.state)) return cell
  const message = `${cell.key} is ${cell.lifecycle.state} and takes no messages, so message ${row.id} was not redriven.`
  return yield* new TerminalActorFailed({ actor: cell.key, message })
})

/** A body is checked as one that is sent: an edited one that no handler can read would only die again. */
const checkBody = Effect.fnUntraced(function* (system: System, cell: LiveCell, row: MessageRow, body: string) {
  const refuse = (why: string) =>
    new TerminalInvalidMessage({
      actor: cell.key,
      task: row.task,
      message: `Message ${row.id} was not redriven, because its new body ${why}`,
    })
  const sizeBytes = Buffer.byteLength(body)
  const limitBytes = system.settings.messageBytesMax
  if (sizeBytes > limitBytes) return yield* refuse(`has ${sizeBytes} bytes, and the limit is ${limitBytes}.`)
  const codec = cell.actor.tasks.get(row.task)
  if (codec === undefined) return yield* refuse(`is for a task ${row.task} that ${cell.key} no longer has.`)
  yield* codec
    .decodePayload(body)
    .pipe(Effect.mapError((error) => refuse(`does not fit ${row.task}: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`)))
})

/**
 * Gives a dead letter its place in its actor's queue again.
 *
 * @param enqueue puts it there
 */
export const redrive = Effect.fnUntraced(function* (
  system: System,
  enqueue: (message: LiveMessage) => void,
  messageId: string,
  body?: string,
) {
  if (system.closing) {
    return yield* new RetryableClosing({
      message: `The system is closing; redrive ${messageId} when it is open again.`,
    })
  }
  const row = yield* system.store.message(messageId)
  const why = whyNotRedriven(messageId, row)
  if (row === undefined || why !== undefined) {
    return yield* new TerminalInvalidMessage({ actor: row?.actorType ?? "", task: row?.task ?? "", message: why ?? "" })
  }
  const cell = system.registry.keep(yield* targetOf(system, row))
  if (body !== undefined) yield* checkBody(system, cell, row, body)
  const full = holdPlace(system, cell)
  if (full !== undefined) return yield* full
  const atMs = system.now()
  const writes = redriveWrites(row, { target: cell.address, body, atMs })
  system.reserved.add(messageId)
  yield* Effect.ensuring(
    system.store.commit(writes),
    Effect.sync(() => releasePlace(system, cell)),
  ).pipe(Effect.onError(() => Effect.sync(() => system.reserved.delete(messageId))))
  const { type: actorType, id: actorId } = cell.address
  const envelope = { ...row, actorType, actorId, body: body ?? row.body, deliverAtMs: atMs, deadlineAtMs: null }
  const message = new LiveMessage(envelope, cell, row.attempt, "waiting", system.nextOrder++, row.attempt)
  // Now, also where the clock was set back while it was written.
  message.dueAtMs = 0
  system.live.set(message.id, message)
  system.reserved.delete(messageId)
  countAssigned(system, envelope, cell.key)
  enqueue(message)
}, Effect.uninterruptible)
