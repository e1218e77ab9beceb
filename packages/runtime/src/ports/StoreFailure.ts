/**
 * The boundary between a store's troubles and the runtime: every way in which a store can refuse, said as who may try
 * again. `Retryable*`: the same commit may succeed later, nothing of it was applied. `Terminal*`: it never will.
 */
import { Schema } from "effect"

/** The store is busy, full or failing to write; nothing of the commit was applied, and the same commit may succeed later. */
export class RetryableStoreFailure extends Schema.TaggedError<RetryableStoreFailure>()("RetryableStoreFailure", {
  reason: Schema.Literals(["busy", "full", "io"]),
  message: Schema.String,
  cause: Schema.Defect(),
}) {}

/** A write of an attempt that is no longer the message's current one; nothing of its commit was applied. */
export class TerminalStaleAttempt extends Schema.TaggedError<TerminalStaleAttempt>()("TerminalStaleAttempt", {
  messageId: Schema.String,
  attempt: Schema.Number,
  message: Schema.String,
}) {}

/** The store cannot be opened, or can no longer be used. */
export class TerminalStoreFailure extends Schema.TaggedError<TerminalStoreFailure>()("TerminalStoreFailure", {
  reason: Schema.Literals(["locked", "corrupt", "newer", "read-only", "missing", "full", "closed", "other"]),
  message: Schema.String,
  cause: Schema.Defect(),
}) {}

export type CommitFailure = RetryableStoreFailure | TerminalStaleAttempt | TerminalStoreFailure
export type ReadFailure = RetryableStoreFailure | TerminalStoreFailure
