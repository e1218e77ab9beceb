/**
 * The boundary between an actor that does not run its messages and another that may: what waits moves within its pool;
 * what cannot move waits on, or dies with its actor.
 */
import { Effect } from "effect"
import { isGone } from "../actor/lifecycle.ts"
import { commitPatiently } from "../life/commit.ts"
import { countAssigned, countWithdrawn, poolOf } from "../life/deliver.ts"
import type { LiveCell, LiveMessage } from "../life/LiveMessage.ts"
import type { Life } from "../life/life.ts"
import { lose, requeue } from "../life/reply.ts"
import { factsOf, routeWithin } from "../life/route.ts"
import type { System } from "../life/System.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { Write } from "../ports/Write.ts"

/** Gives a waiting message to another target of its pool. */
const reroute = (system: System, life: Life, message: LiveMessage, reason: string): boolean => {
  const pool = poolOf(system, message.envelope)
  const to =
    pool === undefined
      ? undefined
      : routeWithin(system, pool, factsOf(system, message, "promised"), message.triedTargets)
  if (to?._tag !== "Routed" || to.decision === undefined || to.cell === message.cell) return false
  const { cell, decision } = to
  message.cell.mailbox.remove(message)
  countWithdrawn(system, message)
  message.phase = "moving"
  const { id: messageId, attempt } = message
  const writes: ReadonlyArray<Write> = [
    { _tag: "Reroute", messageId, attempt, target: cell.address, deliverAtMs: message.deliverAtMs },
    { ...decision, reason: `${reason}; ${decision.reason}`, messageId, attempt: attempt + 1 },
  ]
  system.fork(
    Effect.matchEffect(commitPatiently(system, writes), {
      onSuccess: () =>
        Effect.sync(() => {
          requeue(message, cell, message.dueAtMs)
          countAssigned(system, message.envelope, cell.key)
          life.enqueue(message)
        }),
      onFailure: (failure) => lose(system, message, failure),
    }).pipe(Effect.uninterruptible),
  )
  return true
}

/** What becomes of one message of an actor that does not run it. */
export const rescueMessage = (system: System, life: Life, message: LiveMessage, reason: string): void => {
  const { cell } = message
  const { state } = cell.lifecycle
  if (reroute(system, life, message, `${cell.key} is ${state}`) || !isGone(state)) return
  const text = `${cell.key} is ${state}: ${reason}`
  const record: FailureRecord = { tag: "TerminalActorFailed", message: text, retry: "terminal" }
  life.endWaiting(message, "dead", record)
}

/** What becomes of everything that waits for the actor. */
export const rescueMessages = (system: System, life: Life, cell: LiveCell, reason: string): void => {
  // What waits is left to the next start, which may have what this one lacks.
  if (system.closing) return
  for (const message of cell.mailbox.all()) rescueMessage(system, life, message, reason)
  // Whoever waits for a place comes in, and is rescued as these were.
  if (cell.line !== undefined) life.pump(cell)
}
