/**
 * The boundary between what targets did and what is remembered of them: a few numbers a target, updated by each message.
 *
 * A time of service (from claim to end, without the wait) counts by its logarithm, in an average over the last ten or so:
 * one that takes ten times as long shows at once, and one of a hundred does not shift what is believed of the others. Pure:
 * every function returns new signals.
 */
import { normalHazard } from "./lognormal.ts"
import { FRESH_HEALTH, type TargetHealth } from "./targetHealth.ts"

export interface Signals {
  /** Messages given to the target and not ended: running there, or waiting. */
  readonly outstanding: number
  /** Mean logarithm of its times of service in milliseconds; undefined until the first. */
  readonly logMean: number | undefined
  /** Variance of that logarithm. */
  readonly logVariance: number
  /** How many services the mean stands on, at most `SAMPLES_MAX`. */
  readonly samples: number
  /** Average wait from the assignment to the claim, in milliseconds; it rises at once and falls slowly. */
  readonly queueMs: number
  /** The same of the time from the claim to the first token, and of the time between tokens; undefined without streams. */
  readonly firstTokenMs: number | undefined
  readonly perTokenMs: number | undefined
  /** Answers, and failures that another target might not have had, decayed. */
  readonly good: number
  readonly bad: number
  /** Messages refused for what they asked: they say nothing about the target. */
  readonly terminal: number
  readonly consecutiveFailures: number
  readonly health: TargetHealth
  /** When the messages that run there were claimed, by message id. */
  readonly runningSinceMs: ReadonlyMap<string, number>
  /** When it last answered or failed. */
  readonly updatedAtMs: number
}

/** More answers make a truer mean and a slower one; of 5, 10, 20 and 40, 10 reacted fastest without mistaking noise. */
const SAMPLES_MAX = 10
/** Half of what is known of successes is forgotten in about this time. */
const DECAY_MS = 8_000
/** A target's spread before it is measured: that of most services. */
const SPREAD_UNKNOWN = 0.5
/** The spread is measured over more answers than the mean: it belongs to the kind of work, and changes rarely. */
const SPREAD_SHARE = 0.03
/** A peak shows at once and is forgotten in about this time (peak-EWMA, as in Finagle). */
const PEAK_MS = 8_000

export const freshSignals = (nowMs: number): Signals => ({
  outstanding: 0,
  logMean: undefined,
  logVariance: SPREAD_UNKNOWN ** 2,
  samples: 0,
  queueMs: 0,
  firstTokenMs: undefined,
  perTokenMs: undefined,
  good: 0,
  bad: 0,
  terminal: 0,
  consecutiveFailures: 0,
  health: FRESH_HEALTH,
  runningSinceMs: new Map(),
  updatedAtMs: nowMs,
})

const decay = (elapsedMs: number, constantMs: number): number => Math.exp(-Math.max(0, elapsedMs) / constantMs)

const peak = (old: number | undefined, nextMs: number, elapsedMs: number): number => {
  if (old === undefined || nextMs >= old) return nextMs
  // At least a tenth, so that a peak is forgotten also where answers come fast.
  const share = Math.max(0.1, 1 - decay(elapsedMs, PEAK_MS))
  return old + share * (nextMs - old)
}

/** A message was given to the target. */
export const assigned = (signals: Signals): Signals => ({ ...signals, outstanding: signals.outstanding + 1 })

/** A message was taken from it before it ran there. */
export const withdrawn = (signals: Signals): Signals => ({
  ...signals,
  outstanding: Math.max(0, signals.outstanding - 1),
})

/** The target began to run a message. */
export const began = (signals: Signals, messageId: string, nowMs: number, waitedMs = 0): Signals => ({
  ...signals,
  queueMs: peak(signals.queueMs, waitedMs, nowMs - signals.updatedAtMs),
  runningSinceMs: new Map(signals.runningSinceMs).set(messageId, nowMs),
})

const ended = (signals: Signals, messageId: string): Signals => {
  const runningSinceMs = new Map(signals.runningSinceMs)
  runningSinceMs.delete(messageId)
  return { ...signals, runningSinceMs, outstanding: Math.max(0, signals.outstanding - 1) }
}

/** One more time of service, as its logarithm. */
const learned = (signals: Signals, log: number): Pick<Signals, "logMean" | "logVariance" | "samples"> => {
  const { logMean, logVariance } = signals
  const samples = Math.min(SAMPLES_MAX, signals.samples + 1)
  if (logMean === undefined) return { logMean: log, logVariance, samples }
  const off = log - logMean
  return {
    logMean: logMean + off / samples,
    // No single answer counts for more than three deviations: that is another median, not another spread.
    logVariance: logVariance + SPREAD_SHARE * (Math.min(off ** 2, 9 * logVariance) - logVariance),
    samples,
  }
}

const counted = (signals: Signals, good: number, bad: number, nowMs: number): Pick<Signals, "good" | "bad"> => {
  const kept = decay(nowMs - signals.updatedAtMs, DECAY_MS)
  return { good: signals.good * kept + good, bad: signals.bad * kept + bad }
}

/** The target answered. `tookMs` is the time of service. */
export const succeeded = (signals: Signals, messageId: string, tookMs: number, nowMs: number): Signals => ({
  ...ended(signals, messageId),
  ...learned(signals, Math.log(Math.max(0.1, tookMs))),
  ...counted(signals, 1, 0, nowMs),
  consecutiveFailures: 0,
  updatedAtMs: nowMs,
})

/** The target failed in a way that another might not. A fast failure is never a low latency: the service time stays. */
export const failed = (signals: Signals, messageId: string, nowMs: number): Signals => ({
  ...ended(signals, messageId),
  ...counted(signals, 0, 1, nowMs),
  consecutiveFailures: signals.consecutiveFailures + 1,
  updatedAtMs: nowMs,
})

/** The message ended without saying anything about the target: cancelled by its sender, refused for what it asked. */
export const released = (signals: Signals, messageId: string, terminal = false): Signals => ({
  ...ended(signals, messageId),
  terminal: signals.terminal + (terminal ? 1 : 0),
})

/**
 * The message was taken from the target while it ran, because it took too long: by its deadline, by a move, by a hedge that
 * won. Its service would have been longer than `ageMs`; it counts as what such a one is on average.
 */
export const cutShort = (signals: Signals, messageId: string, ageMs: number): Signals => {
  const { logMean, logVariance } = signals
  if (logMean === undefined || ageMs <= 0) return ended(signals, messageId)
  const spread = Math.sqrt(logVariance)
  const z = (Math.log(ageMs) - logMean) / spread
  // One that was cut off early says nothing.
  if (z < 0) return ended(signals, messageId)
  return { ...ended(signals, messageId), ...learned(signals, logMean + spread * normalHazard(z)) }
}

/** The first token of a reply came, `afterMs` after its claim. */
export const firstToken = (signals: Signals, afterMs: number, nowMs: number): Signals => ({
  ...signals,
  firstTokenMs: peak(signals.firstTokenMs, afterMs, nowMs - signals.updatedAtMs),
})

/** `count` more tokens came within `inMs`. */
export const moreTokens = (signals: Signals, count: number, inMs: number, nowMs: number): Signals => ({
  ...signals,
  perTokenMs: peak(signals.perTokenMs, inMs / Math.max(1, count), nowMs - signals.updatedAtMs),
})

/** How long ago the target last said something about itself; 0 while it runs a message. */
export const quietMs = (signals: Signals, nowMs: number): number =>
  signals.runningSinceMs.size > 0 ? 0 : Math.max(0, nowMs - signals.updatedAtMs)

/** The age of the oldest message that runs there; slowness shows in it before anything completes. */
export const oldestRunningMs = (signals: Signals, nowMs: number): number => {
  let oldest = 0
  for (const sinceMs of signals.runningSinceMs.values()) oldest = Math.max(oldest, nowMs - sinceMs)
  return oldest
}
