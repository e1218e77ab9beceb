/**
 * The boundary between the runtime and whoever sends: every way in which a message is refused, or ends without the
 * success that was asked for. `Retryable*`: send it again later, nothing was accepted. `Terminal*`: sending the same
 * again gives the same.
 */
import { Schema } from "effect"
import type { CommitFailure, ReadFailure } from "../ports/StoreFailure.ts"
import type { TerminalInvalidStep } from "./StepFailure.ts"

/** No actor or pool of this name is registered with the system. */
export class TerminalUnknownActor extends Schema.TaggedError<TerminalUnknownActor>()("TerminalUnknownActor", {
  actor: Schema.String,
  message: Schema.String,
}) {}

/** The actor's protocol has no such task. */
export class TerminalUnknownTask extends Schema.TaggedError<TerminalUnknownTask>()("TerminalUnknownTask", {
  actor: Schema.String,
  task: Schema.String,
  message: Schema.String,
}) {}

/** The message does not fit its schema, its address, or the terms it was sent on. */
export class TerminalInvalidMessage extends Schema.TaggedError<TerminalInvalidMessage>()("TerminalInvalidMessage", {
  actor: Schema.String,
  task: Schema.String,
  message: Schema.String,
}) {}

/** The encoded message is larger than the system takes (`messageBytesMax`). */
export class TerminalMessageTooLarge extends Schema.TaggedError<TerminalMessageTooLarge>()("TerminalMessageTooLarge", {
  actor: Schema.String,
  task: Schema.String,
  sizeBytes: Schema.Number,
  limitBytes: Schema.Number,
  message: Schema.String,
}) {}

/** The actor has as many messages waiting as its mailbox holds. */
export class RetryableMailboxFull extends Schema.TaggedError<RetryableMailboxFull>()("RetryableMailboxFull", {
  actor: Schema.String,
  depth: Schema.Number,
  retryAfterMs: Schema.Number,
  message: Schema.String,
}) {}

/** As many messages wait in memory, over all actors, as the system takes (`waitingMax`). */
export class RetryableSystemFull extends Schema.TaggedError<RetryableSystemFull>()("RetryableSystemFull", {
  waiting: Schema.Number,
  limit: Schema.Number,
  retryAfterMs: Schema.Number,
  message: Schema.String,
}) {}

/**
 * A pool is too busy to answer the message before its deadline. Nothing was accepted: send it again after `retryAfterMs`, or
 * with a later deadline.
 */
export class RetryablePoolBusy extends Schema.TaggedError<RetryablePoolBusy>()("RetryablePoolBusy", {
  pool: Schema.String,
  retryAfterMs: Schema.Number,
  message: Schema.String,
}) {}

/**
 * The system is closing. Without a `messageId` nothing was accepted; with one, the message is in the log and is finished
 * after the next start, where its idempotency key, or its id, finds the answer.
 */
export class RetryableClosing extends Schema.TaggedError<RetryableClosing>()("RetryableClosing", {
  messageId: Schema.optionalKey(Schema.String),
  message: Schema.String,
}) {}

/** Another message was sent under this idempotency key. */
export class TerminalIdempotencyConflict extends Schema.TaggedError<TerminalIdempotencyConflict>()(
  "TerminalIdempotencyConflict",
  { messageId: Schema.String, idempotencyKey: Schema.String, message: Schema.String },
) {}

/** A handler asks an actor that waits for that very handler. */
export class TerminalReentrantAsk extends Schema.TaggedError<TerminalReentrantAsk>()("TerminalReentrantAsk", {
  messageId: Schema.String,
  actor: Schema.String,
  message: Schema.String,
}) {}

/** A message has been handed on too often: its actors hand it round in a circle. */
export class TerminalForwardLoop extends Schema.TaggedError<TerminalForwardLoop>()("TerminalForwardLoop", {
  messageId: Schema.String,
  message: Schema.String,
}) {}

/** A handler that runs again does something else than the first time: its code must have changed, or is not deterministic. */
export class TerminalReplayMismatch extends Schema.TaggedError<TerminalReplayMismatch>()("TerminalReplayMismatch", {
  messageId: Schema.String,
  ordinal: Schema.Number,
  message: Schema.String,
}) {}

/** Every attempt failed; the message is a dead letter. */
export class TerminalDeadLetter extends Schema.TaggedError<TerminalDeadLetter>()("TerminalDeadLetter", {
  messageId: Schema.String,
  lastTag: Schema.String,
  message: Schema.String,
}) {}

/** The handler failed with a terminal error that its task does not declare. */
export class TerminalMessageFailed extends Schema.TaggedError<TerminalMessageFailed>()("TerminalMessageFailed", {
  messageId: Schema.String,
  tag: Schema.String,
  message: Schema.String,
}) {}

/** The deadline passed before the message was answered. */
export class TerminalExpired extends Schema.TaggedError<TerminalExpired>()("TerminalExpired", {
  messageId: Schema.String,
  message: Schema.String,
}) {}

/** The message was taken back. */
export class TerminalCancelled extends Schema.TaggedError<TerminalCancelled>()("TerminalCancelled", {
  messageId: Schema.String,
  message: Schema.String,
}) {}

/** The message had to go for a newer one: its actor's mailbox was full, and drops the oldest. */
export class TerminalDropped extends Schema.TaggedError<TerminalDropped>()("TerminalDropped", {
  messageId: Schema.String,
  message: Schema.String,
}) {}

/** The actor is `failed` or `stopped` and takes no messages. */
export class TerminalActorFailed extends Schema.TaggedError<TerminalActorFailed>()("TerminalActorFailed", {
  actor: Schema.String,
  message: Schema.String,
}) {}

/** The actor cannot be watched or linked. */
export class TerminalWatchRefused extends Schema.TaggedError<TerminalWatchRefused>()("TerminalWatchRefused", {
  watcher: Schema.String,
  watched: Schema.String,
  message: Schema.String,
}) {}

/** Why a message was not accepted. */
export type SendFailure =
  | TerminalUnknownActor
  | TerminalUnknownTask
  | TerminalInvalidMessage
  | TerminalMessageTooLarge
  | RetryableMailboxFull
  | RetryableSystemFull
  | RetryablePoolBusy
  | RetryableClosing
  | TerminalIdempotencyConflict
  | TerminalReentrantAsk
  | TerminalReplayMismatch
  | TerminalInvalidStep
  | TerminalActorFailed
  | CommitFailure
  | ReadFailure

/** Why an accepted message has no success to show, beside the errors that its task declares. */
export type OutcomeFailure =
  | TerminalDeadLetter
  | TerminalMessageFailed
  | TerminalExpired
  | TerminalCancelled
  | TerminalDropped
  | TerminalInvalidMessage
  | RetryableClosing

export type AskFailure = SendFailure | OutcomeFailure
