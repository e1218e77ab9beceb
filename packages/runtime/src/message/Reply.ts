/**
 * The boundary between an outcome and its record: what a message came to, as data.
 */
import type { FinalStatus } from "./Envelope.ts"

/** A failure in the log. `retry` says who may try again: nobody (`terminal`), or the runtime and then the caller. */
export interface FailureRecord {
  readonly tag: string
  readonly message: string
  readonly retry: "retryable" | "terminal"
  /** The error as the task's error schema encodes it, where it is a declared one. */
  readonly value?: unknown
  readonly cause?: string
  /** Steps that were compensated before this end was written, in that order. */
  readonly undone?: ReadonlyArray<string>
  /** Steps that have a compensation and stay as they are. */
  readonly notUndone?: ReadonlyArray<{ readonly step: string; readonly why: string }>
}

/** The encoded answer to one message. */
export interface Reply {
  readonly messageId: string
  readonly status: FinalStatus
  /** Encoded success; present where `status` is `done`. */
  readonly reply: string | null
  /** Present where `status` is anything else. */
  readonly error: FailureRecord | null
}
