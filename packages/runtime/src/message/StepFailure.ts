/**
 * The boundary between a handler and its own journal: every way in which a step, a sleep or a branch is refused or does
 * not come to its end. `Retryable*`: the handler runs again; `Terminal*`: its message fails.
 */
import { Schema } from "effect"

/** A step, a sleep or a branch cannot be done as it is written: a mistake of the handler. */
export class TerminalInvalidStep extends Schema.TaggedError<TerminalInvalidStep>()("TerminalInvalidStep", {
  messageId: Schema.String,
  step: Schema.String,
  message: Schema.String,
}) {}

/** One try of a step took longer than its `timeoutMs`. */
export class RetryableStepTimeout extends Schema.TaggedError<RetryableStepTimeout>()("RetryableStepTimeout", {
  messageId: Schema.String,
  step: Schema.String,
  limitMs: Schema.Number,
  message: Schema.String,
}) {}

/** All tries of a step together, with the waits between them, took longer than its `totalTimeoutMs`. */
export class TerminalStepTimeout extends Schema.TaggedError<TerminalStepTimeout>()("TerminalStepTimeout", {
  messageId: Schema.String,
  step: Schema.String,
  limitMs: Schema.Number,
  message: Schema.String,
}) {}

/** A message's journal has as many steps, or bytes, as it may (`journalStepsMax`, `journalBytesMax`). */
export class TerminalJournalFull extends Schema.TaggedError<TerminalJournalFull>()("TerminalJournalFull", {
  actor: Schema.String,
  messageId: Schema.String,
  unit: Schema.Literals(["steps", "bytes"]),
  size: Schema.Number,
  limit: Schema.Number,
  message: Schema.String,
}) {}

/** The state that a handler set is larger than the system takes (`stateBytesMax`). */
export class TerminalStateTooLarge extends Schema.TaggedError<TerminalStateTooLarge>()("TerminalStateTooLarge", {
  actor: Schema.String,
  messageId: Schema.String,
  sizeBytes: Schema.Number,
  limitBytes: Schema.Number,
  message: Schema.String,
}) {}
