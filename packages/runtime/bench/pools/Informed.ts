/**
 * The boundary to what could be known: a router that sees how every target really is, and when each of its slots will be
 * free to the millisecond. It does not see what a message will need, nor what is to come. It admits by the rule that ours
 * goes by, and moves at once what a change has stranded.
 */

import { admits } from "../../src/supervision/adaptive/admit.ts"
import { inTime } from "../../src/supervision/adaptive/lognormal.ts"
import type { Placement, PoolView, Review, Router } from "./Router.ts"
import { SERVICE_MS, SIGMA, SLOTS } from "./Scenario.ts"
import type { Attempt, SimMessage } from "./SimMessage.ts"
import { meanSlowdown, type Truth } from "./Truth.ts"

const workOf = (
  { draw, failing, leftMs, odd, startedAtMs }: Attempt,
  truth: Truth,
  nowMs: number,
  pacedAtMs: number,
): number => {
  const pace = failing ? 1 : truth.slowdown * (odd ? truth.oddSlowdown : 1)
  if (startedAtMs !== undefined) return leftMs * pace - (nowMs - pacedAtMs)
  return draw.fails < truth.failShare
    ? truth.failsAfterMs
    : draw.serviceMs * truth.slowdown * (draw.odd < truth.oddShare ? truth.oddSlowdown : 1)
}

/** When a slot is free for what comes now, in milliseconds from now: exactly. */
const waitFor = (simulation: PoolView, index: number, except?: Attempt): number => {
  const { queue, running, truth } = simulation.targets[index]!
  const free = Array.from({ length: SLOTS }, () => 0)
  let at = 0
  for (const each of running) if (each !== except) free[at++] = workOf(each, truth, simulation.nowMs, each.pacedAtMs)
  for (const each of queue) {
    if (each === except) continue
    let next = 0
    for (let slot = 1; slot < SLOTS; slot++) if (free[slot]! < free[next]!) next = slot
    free[next]! += workOf(each, truth, simulation.nowMs, 0)
  }
  return Math.max(0, Math.min(...free))
}

interface Outlook {
  readonly target: number
  readonly chance: number
  readonly idleChance: number
  readonly waitMs: number
  readonly costMs: number
  readonly ahead: number
  readonly leftMs: number
}

const FAIL_COST_MS = 250

const outlook = (simulation: PoolView, message: SimMessage, target: number, except?: Attempt): Outlook => {
  const { outstanding, truth } = simulation.targets[target]!
  const leftMs = message.deadlineAtMs - simulation.nowMs
  const ahead = Math.max(0, outstanding + 1 - SLOTS)
  if (truth.hangs) {
    return { target, chance: 0, idleChance: 0, waitMs: 0, costMs: Number.POSITIVE_INFINITY, ahead, leftMs }
  }
  const waitMs = waitFor(simulation, target, except)
  const p = 1 - truth.failShare
  const within = (ms: number) => {
    const usual = inTime(ms, SERVICE_MS * truth.slowdown, SIGMA)
    const odd = truth.oddShare === 0 ? 0 : inTime(ms, SERVICE_MS * truth.slowdown * truth.oddSlowdown, SIGMA)
    return (1 - truth.oddShare) * usual + truth.oddShare * odd
  }
  const meanMs = SERVICE_MS * Math.exp(SIGMA ** 2 / 2) * meanSlowdown(truth)
  const costMs = p === 0 ? Number.POSITIVE_INFINITY : (waitMs + meanMs + (1 - p) * FAIL_COST_MS) / p
  return { target, chance: p * within(leftMs - waitMs), idleChance: p * within(leftMs), waitMs, costMs, ahead, leftMs }
}

/** A target with room that would hardly have it in time is none; as ours. */
const SPARE_SHARE = 0.5
/** What missing the deadline costs, as many times as what is left until it; as ours. */
const MISS_COST = 4

/** By the rule itself; what is fed to it is the truth. */
const admitted = ({ ahead, chance, idleChance, leftMs, waitMs }: Outlook): boolean =>
  admits(
    { phase: "new", leftMs, priority: 0, outsideEffects: false, attempts: 0 },
    { totalMs: waitMs, waitMs, ahead, inTime: chance, inTimeIdle: idleChance },
  )

const best = (
  simulation: PoolView,
  message: SimMessage,
  except?: Attempt,
  allows: (outlook: Outlook) => boolean = () => true,
): Outlook | undefined => {
  const leftMs = Math.max(1, message.deadlineAtMs - simulation.nowMs)
  const value = ({ chance, costMs }: Outlook) => costMs + (1 - chance) * MISS_COST * leftMs
  let found: Outlook | undefined
  for (const [target, { truth }] of simulation.targets.entries()) {
    if (!truth.present) continue
    const each = outlook(simulation, message, target, except)
    if (!allows(each)) continue
    if (found === undefined || value(each) < value(found)) found = each
  }
  return found
}

export const makeInformed = (): Router => ({
  name: "informed",
  cancelsAtDeadline: true,
  attemptsMax: 5,
  place: (simulation, message): Placement => {
    const found = best(simulation, message)
    if (found === undefined) return { _tag: "Refuse", retryAfterMs: 1_000 }
    if (message.attempts.length > 0 || admitted(found)) return { _tag: "To", target: found.target }
    const roomy = (each: Outlook) => admitted(each) && each.chance >= SPARE_SHARE * found.idleChance
    const spare = best(simulation, message, undefined, roomy)
    return spare === undefined ? { _tag: "Refuse", retryAfterMs: found.waitMs } : { _tag: "To", target: spare.target }
  },
  // Only after a change: what waits or runs where it is better off elsewhere moves there.
  review: (simulation, message, target): Review => {
    const attempt = message.open.find((each) => each.target === target)
    if (attempt === undefined) return { _tag: "Stay" }
    const { truth } = simulation.targets[target]!
    const leftMs = message.deadlineAtMs - simulation.nowMs
    const startsMs = attempt.startedAtMs === undefined ? waitFor(simulation, target, attempt) : 0
    const endsMs = truth.hangs
      ? Number.POSITIVE_INFINITY
      : startsMs + workOf(attempt, truth, simulation.nowMs, attempt.pacedAtMs)
    const stays = attempt.failing || endsMs > leftMs ? 0 : 1
    const found = best(simulation, message, attempt)
    return found === undefined || found.target === target || found.chance <= stays
      ? { _tag: "Stay" }
      : { _tag: "Move", target: found.target }
  },
  changed: (simulation, target) => simulation.reviewAll(target),
})
