/**
 * The boundary between the simulation and the real thing: what the supervisor does around `decide`, without actors and
 * without a log. Nothing of the choice is here.
 */

import { decide } from "../../src/supervision/adaptive/decide.ts"
import type { Evidence, MessageFacts } from "../../src/supervision/adaptive/Evidence.ts"
import { type HealthChange, PoolMemory } from "../../src/supervision/adaptive/PoolMemory.ts"
import type { Placement, PoolView, Review, Router } from "./Router.ts"
import { type Scenario, SLOTS } from "./Scenario.ts"
import type { SimMessage } from "./SimMessage.ts"

const nameOf = (target: number): string => `replica/${target}`
const indexOf = (name: string): number => Number(name.slice("replica/".length))

const ATTEMPTS_MAX = 5

export interface AdaptiveOptions {
  readonly policy?: string
  /** Told of every change of a target's standing. */
  readonly changed?: (change: HealthChange) => void
}

export const makeAdaptive = (scenario: Scenario, options: AdaptiveOptions = {}): Router => {
  const moved: Array<number> = []
  const memory = new PoolMemory(
    { name: "pool", policy: options.policy ?? "score", tierPenaltyMs: 1_000, retryShare: 0.2, hedgeShare: 0.02 },
    Array.from({ length: scenario.targets }, (_, index) => ({ target: nameOf(index), tier: 0, slots: SLOTS })),
    0,
    (change) => {
      options.changed?.(change)
      if (change.to === "suspect" || change.to === "ejected") moved.push(indexOf(change.target))
    },
  )
  const see = (simulation: PoolView, message: SimMessage, facts: Partial<MessageFacts>): Evidence =>
    memory.evidence(
      {
        phase: "new",
        leftMs: message.deadlineAtMs - simulation.nowMs,
        priority: 0,
        outsideEffects: false,
        attempts: message.attempts.length,
        ...facts,
      },
      (target) => (simulation.targets[indexOf(target)]!.truth.present ? "ready" : "starting"),
      new Set([...message.failedOn].map(nameOf)),
      simulation.nowMs,
    )
  /** What a target runs that has just come into doubt is looked at, at once. */
  const lookAtMoved = (simulation: PoolView) => {
    for (let target = moved.shift(); target !== undefined; target = moved.shift()) simulation.reviewAll(target)
  }
  return {
    name: "ours",
    cancelsAtDeadline: true,
    attemptsMax: ATTEMPTS_MAX,
    place: (simulation, message): Placement => {
      const first = message.attempts.length === 0
      if (first) memory.arrived(message.deadlineAtMs - simulation.nowMs)
      let evidence = see(simulation, message, { phase: first ? "new" : "failed" })
      if (moved.length > 0) {
        lookAtMoved(simulation)
        evidence = see(simulation, message, { phase: first ? "new" : "failed" })
      }
      const decision = decide(evidence, simulation.random())
      if (decision?._tag === "Route") {
        if (first) memory.admitted(`${message.id}`, decision.predicted)
        else memory.retried()
        return { _tag: "To", target: indexOf(decision.chosen), reviewAfterMs: decision.reviewAfterMs }
      }
      if (decision?._tag === "Later") return decision
      return { _tag: "Refuse", retryAfterMs: decision?._tag === "Refuse" ? decision.retryAfterMs : 1_000 }
    },
    review: (simulation, message, target, startedAtMs): Review => {
      const facts =
        startedAtMs === undefined
          ? { phase: "waiting" as const }
          : { phase: "running" as const, ageMs: simulation.nowMs - startedAtMs }
      const open = message.open.map((each) => each.target)
      const hedged = message.hedged || message.attempts.length >= ATTEMPTS_MAX
      const evidence = see(simulation, message, { ...facts, on: nameOf(target), hedged })
      const elsewhere = open.filter((each) => each !== target).map(nameOf)
      const candidates = evidence.candidates.map((each) =>
        elsewhere.includes(each.target) ? { ...each, tried: true } : each,
      )
      const decision = decide({ ...evidence, candidates }, simulation.random())
      if (decision?._tag === "Move" && message.attempts.length < ATTEMPTS_MAX) {
        memory.retried()
        message.failedOn.add(target)
        return { _tag: "Move", target: indexOf(decision.chosen), reviewAfterMs: decision.reviewAfterMs }
      }
      if (decision?._tag === "Hedge") {
        memory.hedged()
        return { _tag: "Hedge", target: indexOf(decision.chosen), reviewAfterMs: decision.reviewAfterMs }
      }
      return decision?._tag === "Stay" ? decision : { _tag: "Stay" }
    },
    settled: (_, message, wasInTime) => memory.settled(`${message.id}`, wasInTime),
    assigned: (_, __, target) => memory.assigned(nameOf(target)),
    began: (simulation, message, target) => memory.began(nameOf(target), `${message.id}`, simulation.nowMs),
    ended: (simulation, message, target, end, startedAtMs) => {
      const name = nameOf(target)
      const id = `${message.id}`
      const { nowMs } = simulation
      if (startedAtMs === undefined) memory.withdrawn(name)
      else if (end === "answered") memory.succeeded(name, id, nowMs - startedAtMs, nowMs)
      else if (end === "failed") memory.failed(name, id, nowMs)
      else memory.cutShort(name, id, nowMs - startedAtMs, nowMs)
    },
  }
}
