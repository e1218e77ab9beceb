/**
 * The boundary between a failure and the next try: how long to wait, and when to stop. Pure.
 */

/** Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). */
export interface Backoff {
  /** Upper bound of the first wait, in milliseconds. Raising it slows every retry. */
  readonly baseMs: number
  /** What each further bound is multiplied by. */
  readonly factor: number
  /** No wait is longer, in milliseconds. */
  readonly maxMs: number
  /** Which part of the wait is random, 0 to 1. Raising it spreads retries of many messages further apart. */
  readonly jitter: number
}

/** What an actor died of. */
export interface Crash {
  /** A handler threw; its start failed; or it said so itself (`self.crash`). */
  readonly from: "handler" | "start" | "self"
  /** The `_tag` of the failure, or `Defect` for what was thrown without one. */
  readonly tag: string
  readonly message: string
}

/**
 * What a crash means. `restart` (default): from its last state, within its limits. `resume`: only the attempt is lost; the
 * actor keeps its state and its resource, and nothing is counted, for handlers that throw while nothing is broken; what is
 * no handler's failure cannot be resumed, and is restarted. `stop`: it is `stopped`. `escalate`: its supervisor has failed.
 */
export type Directive = "restart" | "resume" | "stop" | "escalate"

/** How an actor that crashes is treated. */
export interface Supervision {
  /** Chooses from the failure; called once a crash, must be pure, and counts as `restart` where it throws. Default: always `restart`. */
  readonly onCrash: (crash: Crash) => Directive
  /** Waits between restarts. Default 100 ms, doubling up to 10 s, half of it random. */
  readonly backoff: Backoff
  /** How many restarts are taken within `withinMs` before the actor is given up. Default 5; 0 never restarts. */
  readonly restartsMax: number
  /** The window of `restartsMax`, in milliseconds. Default 60,000. */
  readonly withinMs: number
  /**
   * What giving up means. `fail` (default): the actor is `failed` and its messages become dead letters. `stop`: the
   * same, but the actor is `stopped`, for actors that are expected to end. `escalate`: its supervisor has failed, and is
   * restarted by its own; without a declared one (`makeSupervisor`) that means all actors of its type, by the system.
   */
  readonly onExceeded: "fail" | "stop" | "escalate"
}

/** How a message whose handler failed is treated. */
export interface RetryPolicy {
  /** How often a message is run before it is a dead letter. Default 5, at least 1. */
  readonly attemptsMax: number
  /** Waits between attempts on the same actor. Default 50 ms, doubling up to 5 s, half of it random. */
  readonly backoff: Backoff
}

export const SUPERVISION_DEFAULT: Supervision = {
  onCrash: () => "restart",
  backoff: { baseMs: 100, factor: 2, maxMs: 10_000, jitter: 0.5 },
  restartsMax: 5,
  withinMs: 60_000,
  onExceeded: "fail",
}

export const RETRY_DEFAULT: RetryPolicy = {
  attemptsMax: 5,
  backoff: { baseMs: 50, factor: 2, maxMs: 5_000, jitter: 0.5 },
}

/**
 * The wait before try number `tries + 1`, in milliseconds.
 *
 * @param tries how many have failed, from 1 on
 * @param random a number in [0, 1)
 */
export const backoffMs = (backoff: Backoff, tries: number, random: number): number => {
  const bound = Math.min(backoff.maxMs, backoff.baseMs * backoff.factor ** Math.max(0, tries - 1))
  return Math.round(bound * (1 - backoff.jitter * random))
}

/** The restarts that still count at `nowMs`. */
export const restartsWithin = (restartsAtMs: ReadonlyArray<number>, nowMs: number, withinMs: number) =>
  restartsAtMs.filter((atMs) => nowMs - atMs < withinMs)
