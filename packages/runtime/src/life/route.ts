/**
 * Step 2 of a message's life. The boundary between an address and a target: an actor's address is its own target; for a
 * pool the target is decided from evidence, and the decision becomes a line in `routes`.
 */
import { Effect } from "effect"
import { isGone } from "../actor/lifecycle.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import { TerminalActorFailed, TerminalUnknownActor } from "../message/DeliveryFailure.ts"
import type { RouteDecision } from "../ports/Write.ts"
import { decide, type Evidence } from "../supervision/adaptive/decide.ts"
import { believedSuccess, freshSignals, oldestRunningMs, quietMs } from "../supervision/adaptive/signals.ts"
import type { LiveCell } from "./LiveMessage.ts"
import type { LivePool, System } from "./System.ts"

/** Where a message goes, and for a pool, why. */
export interface Route {
  readonly cell: LiveCell
  readonly pool: string | null
  readonly decision: Omit<RouteDecision, "messageId" | "attempt"> | undefined
}

/** What is known of a pool's targets now, from the point of view of a message that failed on `tried`. */
export const gatherEvidence = (system: System, live: LivePool, tried: ReadonlySet<string>): Evidence => {
  const nowMs = system.now()
  const candidates = live.cells.map(({ cell, tier }) => {
    const signals = live.signals.get(cell.key) ?? freshSignals(nowMs)
    return {
      target: cell.key,
      lifecycle: cell.lifecycle.state,
      tier,
      slots: cell.actor.concurrency,
      outstanding: signals.outstanding,
      serviceMs: signals.serviceMs,
      quietMs: quietMs(signals, nowMs),
      success: believedSuccess(signals, nowMs),
      oldestRunningMs: oldestRunningMs(signals, nowMs),
      ejectedUntilMs: signals.ejectedUntilMs,
      tried: tried.has(cell.key),
    }
  })
  return { pool: live.pool.name, nowMs, tierPenaltyMs: live.pool.tierPenaltyMs, candidates }
}

/** Chooses a target of a pool; `undefined` where every one is gone for good. */
export const routeWithin = (system: System, live: LivePool, tried: ReadonlySet<string>): Route | undefined => {
  const evidence = gatherEvidence(system, live, tried)
  const decision = decide(evidence, system.random())
  const chosen = live.cells.find(({ cell }) => cell.key === decision?.chosen)
  if (decision === undefined || chosen === undefined) return undefined
  return {
    cell: chosen.cell,
    pool: live.pool.name,
    decision: {
      _tag: "RouteDecision",
      pool: live.pool.name,
      chosen: decision.chosen,
      reason: decision.reason,
      evidence: JSON.stringify(evidence),
      atMs: evidence.nowMs,
    },
  }
}

const unknown = (actor: string, known: Iterable<string>) =>
  new TerminalUnknownActor({
    actor,
    message: `There is no ${actor} in this system; it has ${[...known].join(", ") || "none"}. Add it where the system is opened.`,
  })

/** Has ended already when it is returned. @see Route */
export const route = (
  system: System,
  ref: Ref<AnyTask>,
): Effect.Effect<Route, TerminalUnknownActor | TerminalActorFailed> => {
  if (ref.kind === "pool") {
    const pool = system.pools.get(ref.type)
    if (pool === undefined) return Effect.fail(unknown(`pool ${ref.type}`, system.pools.keys()))
    const chosen = routeWithin(system, pool, new Set())
    if (chosen !== undefined) return Effect.succeed(chosen)
    const reasons = pool.cells.map(({ cell }) => `${cell.key}: ${cell.reason}`).join("; ")
    const message = `Every target of the pool ${ref.type} has failed (${reasons}).`
    return Effect.fail(new TerminalActorFailed({ actor: `pool ${ref.type}`, message }))
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
