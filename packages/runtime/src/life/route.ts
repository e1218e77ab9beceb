/**
 * Step 2 of a message's life. The boundary between an address and a target: an actor's address is its own target; for a
 * pool the target is decided from evidence, and the decision becomes a line in `routes`.
 */
import { Effect } from "effect"
import { isGone } from "../actor/lifecycle.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import { RetryablePoolBusy, TerminalActorFailed, TerminalUnknownActor } from "../message/DeliveryFailure.ts"
import type { RouteDecision } from "../ports/Write.ts"
import { decide } from "../supervision/adaptive/decide.ts"
import type { MessageFacts, Prediction } from "../supervision/adaptive/Evidence.ts"
import { reasonOf } from "../supervision/adaptive/explain.ts"
import type { LiveCell, LiveMessage } from "./LiveMessage.ts"
import type { LivePool, System } from "./System.ts"

/** Where a message goes, and for a pool, why. */
export interface Route {
  readonly cell: LiveCell
  readonly pool: string | null
  readonly decision: Omit<RouteDecision, "messageId" | "attempt"> | undefined
  /** What a pool expects of it. */
  readonly predicted?: Prediction
}

/** What a pool has decided. */
export type PoolRoute =
  | (Route & { readonly _tag: "Routed" })
  | { readonly _tag: "Refused"; readonly retryAfterMs: number; readonly reason: string }
  /** Nothing now: its budget of retries is used up. */
  | { readonly _tag: "Later"; readonly waitMs: number }

/** A message that is accepted and needs a target, whatever its terms. */
export const PROMISED: MessageFacts = {
  phase: "promised",
  leftMs: null,
  priority: 0,
  outsideEffects: false,
  attempts: 0,
}

/** What a pool knows of a message that it has had before. */
export const factsOf = (system: System, message: LiveMessage, phase: "promised" | "failed"): MessageFacts => {
  const { deadlineAtMs, priority } = message.envelope
  const leftMs = deadlineAtMs === null ? null : Math.max(0, deadlineAtMs - system.now())
  return { ...PROMISED, phase, leftMs, priority, attempts: message.tries }
}

/** Has a pool decide on a message that failed on `tried`; `undefined` where every target is gone for good. */
export const routeWithin = (
  system: System,
  live: LivePool,
  facts: MessageFacts,
  tried: ReadonlySet<string>,
): PoolRoute | undefined => {
  const nowMs = system.now()
  const cellOf = (target: string) => live.cells.find(({ cell }) => cell.key === target)?.cell
  const lifecycleOf = (target: string) => cellOf(target)?.lifecycle.state ?? "stopped"
  const evidence = live.memory.evidence(facts, lifecycleOf, tried, nowMs)
  const decision = decide(evidence, system.random())
  if (decision?._tag === "Later") return decision
  if (decision?._tag === "Refuse") {
    return { _tag: "Refused", retryAfterMs: decision.retryAfterMs, reason: reasonOf(evidence, decision) }
  }
  const cell = decision?._tag === "Route" ? cellOf(decision.chosen) : undefined
  if (decision?._tag !== "Route" || cell === undefined) return undefined
  const { chosen, predicted } = decision
  const pool = live.pool.name
  return {
    _tag: "Routed",
    cell,
    pool,
    predicted,
    decision: {
      _tag: "RouteDecision",
      pool,
      chosen,
      reason: reasonOf(evidence, decision),
      evidence: JSON.stringify({ ...evidence, predicted }),
      atMs: nowMs,
    },
  }
}

const unknown = (actor: string, known: Iterable<string>) =>
  new TerminalUnknownActor({
    actor,
    message: `There is no ${actor} in this system; it has ${[...known].join(", ") || "none"}. Add it where the system is opened.`,
  })

const routeToPool = (system: System, pool: LivePool, facts: MessageFacts) => {
  if (facts.phase === "new") pool.memory.arrived(facts.leftMs)
  const found = routeWithin(system, pool, facts, new Set())
  if (found?._tag === "Routed") return Effect.succeed<Route>(found)
  const { name } = pool.pool
  if (found?._tag === "Refused") {
    const { reason, retryAfterMs } = found
    const message = `The pool ${name} is too busy: ${reason}. Send it again in ${retryAfterMs} ms, or with a later deadline.`
    return Effect.fail(new RetryablePoolBusy({ pool: name, retryAfterMs, message }))
  }
  const reasons = pool.cells.map(({ cell }) => `${cell.key}: ${cell.reason}`).join("; ")
  const message = `Every target of the pool ${name} has failed (${reasons}).`
  return Effect.fail(new TerminalActorFailed({ actor: `pool ${name}`, message }))
}

/** Has ended already when it is returned. @param facts what a pool is to know of the message. @see Route */
export const route = (
  system: System,
  ref: Ref<AnyTask>,
  facts: MessageFacts,
): Effect.Effect<Route, TerminalUnknownActor | TerminalActorFailed | RetryablePoolBusy> => {
  if (ref.kind === "pool") {
    const pool = system.pools.get(ref.type)
    return pool === undefined
      ? Effect.fail(unknown(`pool ${ref.type}`, system.pools.keys()))
      : routeToPool(system, pool, facts)
  }
  const actor = system.actors.get(ref.type)
  if (actor === undefined) return Effect.fail(unknown(`actor ${ref.type}`, system.actors.keys()))
  const cell = system.registry.cell({ type: ref.type, id: ref.id }, actor)
  if (isGone(cell.lifecycle.state)) {
    const message = `${cell.key} is ${cell.lifecycle.state} and takes no messages (${cell.reason}).`
    return Effect.fail(new TerminalActorFailed({ actor: cell.key, message }))
  }
  return Effect.succeed({ cell, pool: null, decision: undefined })
}
