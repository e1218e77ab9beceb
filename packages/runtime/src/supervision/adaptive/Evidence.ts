/**
 * The boundary of what a decision sees: plain data, written beside each decision in `routes`, so that it can be made again
 * from the log. Everything that is believed of a target is in it; nothing else is looked at.
 */
import type { LifecycleState } from "../../actor/lifecycle.ts"
import type { HealthState } from "./targetHealth.ts"

/** What is known of one target at the moment of the choice. */
export interface Candidate {
  /** Its address in written form. */
  readonly target: string
  readonly lifecycle: LifecycleState
  readonly health: HealthState
  /** Lower is preferred among targets of a pool that are equal otherwise: 0 for a replica, 1 for a fallback, … */
  readonly tier: number
  /** Messages that it runs at once; fewer than it has while it warms up. */
  readonly slots: number
  /** Messages given to it and not ended. */
  readonly outstanding: number
  /** Median time of service that is believed of it, in milliseconds: what runs there now is part of it. */
  readonly serviceMs: number
  /** Standard deviation of the logarithm of a time of service. */
  readonly spread: number
  /** Believed probability that a message succeeds. */
  readonly success: number
  /** Age of the oldest message that runs there, in milliseconds. */
  readonly oldestRunningMs: number
  /** Until the first of its slots is free, where all are taken, in milliseconds: by the ages of what runs there. */
  readonly nextFreeMs?: number
  /** Whether this message failed there before, or was taken from it. */
  readonly tried: boolean
  /** Peak average of the wait before a claim, the first token, and each further token, where there were any. */
  readonly queueMs?: number
  readonly firstTokenMs?: number
  readonly perTokenMs?: number
  /** What a message costs there, in any unit that is the same for all targets; from the pool's configuration. */
  readonly costPerMessage?: number
  /** Average score of its replies, -1 to 1, from feedback. */
  readonly quality?: number
}

/** What is known of the message. */
export interface MessageFacts {
  /**
   * `new`: nothing is promised yet, it may be refused. `promised`: it has no target yet, or no more, through nothing that
   * it did. `failed`: an attempt has. `waiting`, `running`: it is somewhere.
   */
  readonly phase: "new" | "promised" | "failed" | "waiting" | "running"
  /** Until its deadline, in milliseconds; null without one. */
  readonly leftMs: number | null
  readonly priority: number
  /** Whether running it twice shows outside: it is never hedged, and no probe. */
  readonly outsideEffects: boolean
  /** How often it has been tried. */
  readonly attempts: number
  /** Where it waits or runs. */
  readonly on?: string
  /** How long it has run there, in milliseconds. */
  readonly ageMs?: number
  /** Whether a second attempt of it runs already. */
  readonly hedged?: boolean
  /** What is kept together: a conversation, a session. */
  readonly key?: string
}

/** What the pool allows and wants. */
export interface PoolFacts {
  readonly name: string
  readonly policy: string
  readonly tierPenaltyMs: number
  /** Retries, moves and hedges that are left of their budgets. */
  readonly retriesLeft: number
  readonly hedgesLeft: number
  /** Of its chance to be in time without a wait, what a message has to have with one to be admitted. */
  readonly admitShare: number
  /** Decisions made so far; what takes turns goes by it. */
  readonly turn: number
}

export interface Evidence {
  readonly nowMs: number
  readonly pool: PoolFacts
  readonly message: MessageFacts
  readonly candidates: ReadonlyArray<Candidate>
}

/** What is to be done with the message. */
export type Decision =
  /** Give it to `chosen`: it is new, or an attempt of it failed. */
  | {
      readonly _tag: "Route"
      readonly chosen: string
      readonly rule: string
      readonly predicted: Prediction
      /** When to look at it again, in milliseconds. */
      readonly reviewAfterMs: number
    }
  /** Tell the sender at once, and when to come back. */
  | { readonly _tag: "Refuse"; readonly rule: string; readonly retryAfterMs: number; readonly predicted: Prediction }
  /** It is to be tried again, but not now. */
  | { readonly _tag: "Later"; readonly rule: string; readonly waitMs: number }
  | { readonly _tag: "Stay"; readonly rule: string; readonly reviewAfterMs: number }
  /** Take it from where it is, and give it to `chosen`. */
  | Moving<"Move">
  /** Leave it where it is, and give it to `chosen` as well. */
  | Moving<"Hedge">

interface Moving<Tag extends string> {
  readonly _tag: Tag
  readonly chosen: string
  readonly rule: string
  readonly predicted: Prediction
  readonly reviewAfterMs: number
}

/** What is expected of a message at a target. */
export interface Prediction {
  /** Mean time until it ends, in milliseconds: the wait, and the service. */
  readonly totalMs: number
  readonly waitMs: number
  /** Messages that have to end there before it can begin. */
  readonly ahead: number
  /** Probability that it succeeds before its deadline; without one, that it succeeds. */
  readonly inTime: number
  /** The same if it had not to wait. */
  readonly inTimeIdle: number
}
