/**
 * The boundary between what is remembered of a target and what is believed of it now: how long it takes, how surely it
 * answers, and whether it has crossed a threshold. Pure.
 */
import { inTime, normalHazard } from "./lognormal.ts"
import { oldestRunningMs, quietMs, type Signals } from "./signals.ts"
import type { HealthEvent } from "./targetHealth.ts"

/** What targets of a kind are like: what is believed of one that has not been measured, or not for a while. */
export interface Population {
  readonly serviceMs: number
  readonly spread: number
}

export interface Belief {
  /** Median time of service, with what those that run now tell, in milliseconds. */
  readonly serviceMs: number
  /** Standard deviation of its logarithm. */
  readonly spread: number
  /** Probability that a message succeeds, 0 to 1. */
  readonly success: number
}

/** Believed of a target that has never answered, where no other target has either. */
const SERVICE_UNKNOWN_MS = 100
/** In about this time a quiet target is taken to be like its like again. */
const DRIFT_MS = 20_000
const SPREAD_MIN = 0.1
const SPREAD_MAX = 1.2
/** A target is believed to answer as if it had done so this often more than it has. */
const SUCCESS_PRIOR = 3
/** How far ahead the rate of ends is looked at, as a share of the time between two. */
const AHEAD_SHARE = 0.7
/** How fast, in usual times of service: of 1, 2 and 4, 2 was the best. */
const SILENCE = 2
/** Rounds of the estimate; the third changes it by less than 3 %. */
const ROUNDS = 3

const median = (values: Array<number>): number | undefined => {
  if (values.length === 0) return undefined
  values.sort((a, b) => a - b)
  const middle = values.length >> 1
  return values.length % 2 === 1 ? values[middle]! : (values[middle - 1]! + values[middle]!) / 2
}

/** The middle of what others of its tier need: one of them that is slow does not shift it. */
export const populationOf = (others: ReadonlyArray<Signals>): Population | undefined => {
  const known = others.filter(({ health, logMean }) => logMean !== undefined && health.state !== "ejected")
  const logMean = median(known.flatMap((each) => (each.logMean === undefined ? [] : [each.logMean])))
  if (logMean === undefined) return undefined
  const variance = known.reduce((sum, each) => sum + each.logVariance, 0) / known.length
  return { serviceMs: Math.exp(logMean), spread: Math.sqrt(variance) }
}

/**
 * The mean logarithm of a target's times of service. Its own measure is drawn to the population's by as much as chance could
 * explain (James and Stein), and by the time it is quiet; then what runs there counts as what a service of more than its age
 * is on average, so that a target that stops answering is known to be slow before anything completes.
 */
const believedLog = (signals: Signals, population: Population | undefined, spread: number, nowMs: number): number => {
  const usual = population === undefined ? undefined : Math.log(population.serviceMs)
  const { logMean = usual ?? Math.log(SERVICE_UNKNOWN_MS), samples } = signals
  const weight = samples * Math.exp(-quietMs(signals, nowMs) / DRIFT_MS)
  let own = logMean
  if (usual !== undefined) {
    const off = logMean - usual
    const chance = spread ** 2 / Math.max(0.5, weight)
    own = usual + off * Math.max(0, 1 - chance / Math.max(1e-9, off ** 2))
  }
  let log = own
  // Where nothing has ended for longer than it should have, what ended before counts for less and less.
  const usualMs = Math.exp(own)
  const silentMs = Math.min(nowMs - signals.updatedAtMs, oldestRunningMs(signals, nowMs))
  const firm = Math.max(1, weight * Math.exp(-Math.max(0, silentMs - usualMs) / (SILENCE * usualMs)))
  for (let round = 0; round < ROUNDS; round++) {
    let sum = firm * own
    let count = firm
    for (const sinceMs of signals.runningSinceMs.values()) {
      const z = (Math.log(Math.max(0.1, nowMs - sinceMs)) - log) / spread
      if (z < 0) continue
      sum += log + spread * normalHazard(z)
      count++
    }
    if (count === firm) break
    log = sum / count
  }
  return Math.max(own, log)
}

/**
 * How long until the first of those that run ends, in milliseconds: each ends sooner or later by its age. Looked at a little
 * ahead of now, because the rate at which they end rises while one waits.
 */
export const nextFreeMs = (signals: Signals, { serviceMs, spread }: Belief, nowMs: number): number => {
  const count = signals.runningSinceMs.size
  if (count === 0) return 0
  const aheadMs = (AHEAD_SHARE * serviceMs) / count
  let rate = 0
  for (const sinceMs of signals.runningSinceMs.values()) {
    const ageMs = nowMs - sinceMs + aheadMs
    rate += normalHazard(Math.log(ageMs / serviceMs) / spread) / (spread * ageMs)
  }
  return 1 / Math.max(1e-9, rate)
}

const round = (value: number, digits: number): number => Math.round(value * digits) / digits

export const believe = (signals: Signals, population: Population | undefined, nowMs: number): Belief => {
  const own = Math.sqrt(signals.logVariance)
  const mixed = population === undefined ? own : (own + population.spread) / 2
  const spread = Math.min(SPREAD_MAX, Math.max(SPREAD_MIN, mixed))
  const { bad, consecutiveFailures, good } = signals
  const forgotten = Math.exp(-Math.max(0, nowMs - signals.updatedAtMs) / DRIFT_MS)
  const rate = (good * forgotten + SUCCESS_PRIOR) / ((good + bad) * forgotten + SUCCESS_PRIOR)
  // A row of failures says more than their number: no average shows as fast that a target has just died.
  const success = Math.min(rate, 1 - (1 - 0.7 ** consecutiveFailures) * forgotten)
  // Rounded, so that the log is short, and decides as memory did.
  return {
    serviceMs: round(Math.exp(believedLog(signals, population, spread, nowMs)), 10),
    spread: round(spread, 1_000),
    success: round(success, 1_000),
  }
}

/** Times the usual at which what runs at a target is looked at again. */
const SUSPECT_SLOWDOWN = 2
const CLEAR_SLOWDOWN = 1.5
/** Times the usual at which it is left alone, where messages have no deadline to tell. */
const USELESS_SLOWDOWN = 5
/** It is left alone where fewer than this many of its messages would be in time. */
const USELESS_IN_TIME = 0.3
const FAILURES_TO_SUSPECT = 2
/** A row of failures is no chance when it would be one in a thousand. */
const ROW_BY_CHANCE = 0.001
const FAILURES_TO_EJECT = 3
/** Answers until a target that was ejected has all its slots. */
export const WARM_ANSWERS = 2

/** Whether so many failures in a row are more than this target's usual errors. */
const failsNow = ({ bad, consecutiveFailures, good }: Signals): boolean => {
  if (consecutiveFailures < FAILURES_TO_EJECT) return false
  const before = Math.max(0, bad - consecutiveFailures)
  const usual = Math.min(0.9, Math.max(0.1, (before + 0.1) / (before + good + 1)))
  return usual ** consecutiveFailures <= ROW_BY_CHANCE
}

/**
 * The threshold that a target has crossed, if any.
 *
 * @param usual what its like need; undefined where it has none, and is its own measure
 * @param budgetMs what messages have until their deadline, usually; undefined where they have none
 */
export const crossed = (
  signals: Signals,
  belief: Belief,
  usual: Population | undefined,
  budgetMs: number | undefined,
  nowMs: number,
): HealthEvent | undefined => {
  const { consecutiveFailures, health } = signals
  const slowdown = usual === undefined ? 1 : belief.serviceMs / usual.serviceMs
  const chance = budgetMs === undefined ? 1 : inTime(budgetMs, belief.serviceMs, belief.spread)
  const slow = slowdown >= (budgetMs === undefined ? USELESS_SLOWDOWN : SUSPECT_SLOWDOWN)
  const useless = failsNow(signals) || (slow && (budgetMs === undefined || chance < USELESS_IN_TIME))
  const probeFailed = health.state === "probing" && (consecutiveFailures > 0 || (slow && useless))
  if (health.state === "ejected") {
    return nowMs >= health.ejectedUntilMs && oldestRunningMs(signals, nowMs) === 0 ? { type: "PROBE_DUE" } : undefined
  }
  if (useless || probeFailed) return { type: "USELESS", atMs: nowMs }
  if (health.state === "warming") return health.warm >= WARM_ANSWERS ? { type: "WARMED" } : undefined
  const troubled = slowdown >= SUSPECT_SLOWDOWN || consecutiveFailures >= FAILURES_TO_SUSPECT
  if (health.state === "healthy") return troubled ? { type: "TROUBLED" } : undefined
  if (health.state === "suspect") {
    if (consecutiveFailures === 0 && slowdown < CLEAR_SLOWDOWN) return { type: "CLEARED" }
    // Nobody would send it anything that could clear it.
    if (signals.outstanding === 0) return { type: "PROBE_DUE" }
  }
  return undefined
}
