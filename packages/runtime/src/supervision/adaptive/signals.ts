/**
 * The boundary between what targets did and what is believed of them: a few numbers a target, updated by each message.
 *
 * Times of service (from claim to end, without the wait) are kept as an exponentially weighted average that decays with
 * time, not with count, so that a quiet target drifts back to what is believed of its pool. Pure: every function returns
 * new signals.
 */

export interface Signals {
  /** Messages given to the target and not ended: running there, or waiting. */
  readonly outstanding: number
  /** Average service time in milliseconds; undefined until the first success. */
  readonly serviceMs: number | undefined
  /** Believed probability that a message succeeds, 0 to 1. */
  readonly success: number
  readonly consecutiveFailures: number
  /** No new message before this time, but for one probe; 0 where the target is not ejected. */
  readonly ejectedUntilMs: number
  /** How often in a row it was ejected. */
  readonly ejections: number
  /** When the messages that run there were claimed, by message id. */
  readonly runningSinceMs: ReadonlyMap<string, number>
  readonly updatedAtMs: number
}

/** Half of an old value is forgotten in about this time; 8 s was within 3 % of an informed policy in simulation. */
const DECAY_MS = 8_000
/** An idle target's failures are forgiven in about this time, so that it is tried again. */
const FORGIVE_MS = 20_000
/** Three in a row are hardly chance for a target that mostly works, and cost three messages where it does not. */
const FAILURES_TO_EJECT = 3
const EJECT_BASE_MS = 1_000
/** Long ejections lose to flapping targets; in simulation nothing was won past this. */
const EJECT_MAX_MS = 8_000

export const freshSignals = (nowMs: number): Signals => ({
  outstanding: 0,
  serviceMs: undefined,
  success: 1,
  consecutiveFailures: 0,
  ejectedUntilMs: 0,
  ejections: 0,
  runningSinceMs: new Map(),
  updatedAtMs: nowMs,
})

const weight = (elapsedMs: number, constantMs: number): number => 1 - Math.exp(-Math.max(0, elapsedMs) / constantMs)

/** A message was given to the target. */
export const assigned = (signals: Signals): Signals => ({ ...signals, outstanding: signals.outstanding + 1 })

/** A message was taken from it before it ran there. */
export const withdrawn = (signals: Signals): Signals => ({
  ...signals,
  outstanding: Math.max(0, signals.outstanding - 1),
})

/** The target began to run a message. */
export const began = (signals: Signals, messageId: string, nowMs: number): Signals => ({
  ...signals,
  runningSinceMs: new Map(signals.runningSinceMs).set(messageId, nowMs),
})

const ended = (signals: Signals, messageId: string): Signals => {
  const runningSinceMs = new Map(signals.runningSinceMs)
  runningSinceMs.delete(messageId)
  return { ...signals, runningSinceMs, outstanding: Math.max(0, signals.outstanding - 1) }
}

/** The target answered. `tookMs` is the time of service. */
export const succeeded = (signals: Signals, messageId: string, tookMs: number, nowMs: number): Signals => {
  // At least a fifth, so that a single new measurement shows even when many come at once.
  const share = Math.max(0.2, weight(nowMs - signals.updatedAtMs, DECAY_MS))
  const serviceMs = signals.serviceMs === undefined ? tookMs : signals.serviceMs + share * (tookMs - signals.serviceMs)
  return {
    ...ended(signals, messageId),
    serviceMs,
    success: signals.success + 0.25 * (1 - signals.success),
    consecutiveFailures: 0,
    ejectedUntilMs: 0,
    ejections: 0,
    updatedAtMs: nowMs,
  }
}

/** The target failed in a way that another might not. A fast failure is never a low latency: the service time stays. */
export const failed = (signals: Signals, messageId: string, nowMs: number): Signals => {
  const consecutiveFailures = signals.consecutiveFailures + 1
  const ejects = consecutiveFailures >= FAILURES_TO_EJECT
  return {
    ...ended(signals, messageId),
    success: signals.success * 0.75,
    consecutiveFailures,
    ejections: ejects ? signals.ejections + 1 : signals.ejections,
    ejectedUntilMs: ejects
      ? nowMs + Math.min(EJECT_MAX_MS, EJECT_BASE_MS * 2 ** signals.ejections)
      : signals.ejectedUntilMs,
    updatedAtMs: nowMs,
  }
}

/** The message ended without saying anything about the target: cancelled, expired, refused for what it asked. */
export const released = (signals: Signals, messageId: string): Signals => ended(signals, messageId)

/** What is believed now: a quiet target's failures are forgiven with time. */
export const believedSuccess = (signals: Signals, nowMs: number): number =>
  signals.success + weight(nowMs - signals.updatedAtMs, FORGIVE_MS) * (1 - signals.success)

/** How long ago the target last said something about itself; 0 while it runs a message. */
export const quietMs = (signals: Signals, nowMs: number): number =>
  signals.runningSinceMs.size > 0 ? 0 : Math.max(0, nowMs - signals.updatedAtMs)

/** The age of the oldest message that runs there; slowness shows in it before anything completes. */
export const oldestRunningMs = (signals: Signals, nowMs: number): number => {
  let oldest = 0
  for (const sinceMs of signals.runningSinceMs.values()) oldest = Math.max(oldest, nowMs - sinceMs)
  return oldest
}
