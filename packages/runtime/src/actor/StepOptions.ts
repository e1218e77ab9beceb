/**
 * The boundary between a handler and how its steps are carried out: the terms of a step, a sleep and of branches.
 */
import type { Effect } from "effect"
import type { TerminalReplayMismatch } from "../message/DeliveryFailure.ts"
import type {
  RetryableStepTimeout,
  TerminalInvalidStep,
  TerminalJournalFull,
  TerminalStepTimeout,
} from "../message/StepFailure.ts"
import type { CommitFailure, ReadFailure } from "../ports/StoreFailure.ts"
import type { Backoff } from "../supervision/restartPolicy.ts"

/**
 * Tries of one step within one run of its handler. They are not counted in the log: a handler that runs again after a crash
 * begins anew, so that a step may run `attemptsMax` times in each of its message's attempts.
 */
export interface StepRetry<E = unknown> {
  /** How often the effect is run, 1 to 1,000. Default 3. Raising it holds the actor's place for longer. */
  readonly attemptsMax?: number
  /** Waits between tries. Default 50 ms, doubling up to 5 s, half of it random. */
  readonly backoff?: Partial<Backoff>
  /** Which failures are tried again. Default: `Retryable*`. A defect never is. */
  readonly when?: (error: E | RetryableStepTimeout) => boolean
}

export interface StepOptions<A, E, R> {
  /** Default: one try. */
  readonly retry?: StepRetry<E>
  /** Milliseconds for one try, above 0; then `RetryableStepTimeout`. Default none. */
  readonly timeoutMs?: number
  /** Milliseconds for all tries and the waits between, above 0; then `TerminalStepTimeout`. Default none. */
  readonly totalTimeoutMs?: number
  /**
   * Takes the step's effect back where the message ends in any other way than `done`. It runs at least once and is recorded,
   * in reverse order of the steps; `key` is the same in every try. Not in a race, and not in a step.
   */
  readonly compensate?: (value: A, key: string) => Effect.Effect<unknown, unknown, R>
}

export interface SleepOptions {
  /**
   * Whether the handler keeps its place in the actor while it sleeps. Default: up to a second, and in branches, where it
   * must. Else the message waits in the mailbox, others pass it, and its handler runs again from its beginning.
   */
  readonly hold?: boolean
}

export interface AllOptions {
  /** Branches at once, 1 to 1,000. Default 16. Raising it starts more outside work at the same time. */
  readonly concurrency?: number
}

/** Why a journaled act failed, beside what its own effect fails with. */
export type StepFailure =
  | TerminalReplayMismatch
  | TerminalInvalidStep
  | TerminalJournalFull
  | RetryableStepTimeout
  | TerminalStepTimeout
  | CommitFailure
  | ReadFailure

export type AnyEffect = Effect.Effect<unknown, unknown, unknown>
