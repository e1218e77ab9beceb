/**
 * The boundary to how others route: each as its gateway or balancer does, with what it does not do left out. They retry a
 * failure on another target, twice, and neither refuse nor move nor stop anything: what was begun for a caller who has gone
 * goes on, as measured of gateways.
 */

import type { AttemptEnd, Placement, PoolView, Router } from "./Router.ts"
import type { SimMessage } from "./SimMessage.ts"

const ATTEMPTS_MAX = 3

/** Targets that are there; those that have not failed the message, where there are any. */
const candidatesFor = ({ targets }: PoolView, { failedOn }: SimMessage): ReadonlyArray<number> => {
  const present = targets.flatMap(({ truth }, index) => (truth.present ? [index] : []))
  const untried = present.filter((index) => !failedOn.has(index))
  return untried.length > 0 ? untried : present
}

const least = (simulation: PoolView, candidates: ReadonlyArray<number>, cost: (target: number) => number): number => {
  let best: ReadonlyArray<number> = []
  let lowest = Number.POSITIVE_INFINITY
  for (const target of candidates) {
    const own = cost(target)
    if (own < lowest) {
      best = [target]
      lowest = own
    } else if (own === lowest) best = [...best, target]
  }
  return best[Math.floor(simulation.random() * best.length)] ?? candidates[0]!
}

type Choose = (simulation: PoolView, candidates: ReadonlyArray<number>) => number

const peer = (name: string, choose: Choose, more: Partial<Router> = {}): Router => ({
  name,
  cancelsAtDeadline: false,
  attemptsMax: ATTEMPTS_MAX,
  place: (simulation, message): Placement => ({
    _tag: "To",
    target: choose(simulation, candidatesFor(simulation, message)),
  }),
  ...more,
})

export const makeRandom = (): Router =>
  peer("random", (simulation, candidates) => candidates[Math.floor(simulation.random() * candidates.length)]!)

export const makeRoundRobin = (): Router => {
  let turn = 0
  return peer("round robin", (_, candidates) => candidates[turn++ % candidates.length]!)
}

export const makeLeastOutstanding = (): Router =>
  peer("least outstanding", (simulation, candidates) =>
    least(simulation, candidates, (target) => simulation.targets[target]!.outstanding),
  )

/** Finagle's: a measure that rises at once and falls slowly, times the requests outstanding; the better of two at random. */
export const makePeakEwma = (): Router => {
  const DECAY_MS = 10_000
  const cost = new Map<number, { ms: number; atMs: number }>()
  const observe = (target: number, tookMs: number, nowMs: number) => {
    const old = cost.get(target) ?? { ms: 0, atMs: nowMs }
    const keep = Math.exp(-(nowMs - old.atMs) / DECAY_MS)
    const ms = tookMs > old.ms ? tookMs : old.ms * keep + tookMs * (1 - keep)
    cost.set(target, { ms, atMs: nowMs })
  }
  const choose: Choose = (simulation, candidates) => {
    const first = Math.floor(simulation.random() * candidates.length)
    const second = (first + 1 + Math.floor(simulation.random() * (candidates.length - 1))) % candidates.length
    const load = (target: number) => (cost.get(target)?.ms ?? 1) * (simulation.targets[target]!.outstanding + 1)
    return least(simulation, [candidates[first]!, candidates[second]!], load)
  }
  return peer("P2C peak-EWMA", choose, {
    ended: (simulation, message, target, end) => {
      // Time in the queue counts, as it does where a balancer does not see it.
      if (end === "answered") observe(target, simulation.nowMs - message.arrivedAtMs, simulation.nowMs)
    },
  })
}

/** LiteLLM's `latency-based-routing`: lowest mean of the last answers, and five seconds' pause past half of at least five failing in a minute. */
export const makeLiteLlm = (): Router => {
  const COOLDOWN_MS = 5_000
  const MINUTE_MS = 60_000
  const LATENCIES = 10
  const BUFFER = 0
  const latencies = new Map<number, Array<number>>()
  const ends = new Map<number, Array<{ readonly atMs: number; readonly failed: boolean }>>()
  const coolUntilMs = new Map<number, number>()
  const note = (target: number, end: AttemptEnd, nowMs: number) => {
    const recent = (ends.get(target) ?? []).filter(({ atMs }) => nowMs - atMs < MINUTE_MS)
    recent.push({ atMs: nowMs, failed: end === "failed" })
    ends.set(target, recent)
    const failures = recent.filter(({ failed }) => failed).length
    if (recent.length >= 5 && failures > recent.length / 2) {
      coolUntilMs.set(target, nowMs + COOLDOWN_MS)
      ends.set(target, [])
    }
  }
  const choose: Choose = (simulation, candidates) => {
    const warm = candidates.filter((target) => (coolUntilMs.get(target) ?? 0) <= simulation.nowMs)
    const from = warm.length > 0 ? warm : candidates
    return least(simulation, from, (target) => {
      const known = latencies.get(target) ?? []
      return known.length === 0 ? BUFFER : known.reduce((sum, each) => sum + each, 0) / known.length
    })
  }
  return peer("LiteLLM: lowest latency + cooldown", choose, {
    ended: (simulation, message, target, end) => {
      note(target, end, simulation.nowMs)
      if (end !== "answered") return
      const known = latencies.get(target) ?? []
      latencies.set(target, [...known, simulation.nowMs - message.arrivedAtMs].slice(-LATENCIES))
    },
  })
}
