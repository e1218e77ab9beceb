/**
 * The boundary between how a handler ended and what becomes of its message. Pure but for encoding a declared error.
 */
import { Cause, Effect, Exit, Option, Predicate } from "effect"
import type { TaskCodec } from "../actor/Task.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { Interruption, PlannedEnd } from "./LiveMessage.ts"
import { Ending, type Processed, UnreadableState } from "./process.ts"

export type Verdict =
  | { readonly _tag: "Done"; readonly processed: Processed }
  /** The task's own error, or a terminal one; the asker gets it. */
  | { readonly _tag: "Failed"; readonly record: FailureRecord }
  /** Another attempt may do better. `defect`: the handler threw, so that its actor is restarted. */
  | { readonly _tag: "Retry"; readonly record: FailureRecord; readonly defect: boolean }
  /** The actor itself cannot go on. */
  | { readonly _tag: "ActorFailed"; readonly record: FailureRecord }
  /** Its handler put it aside; nothing failed. */
  | { readonly _tag: "Stashed" }
  | { readonly _tag: "Expired"; readonly record: FailureRecord }
  | { readonly _tag: "Cancelled"; readonly record: FailureRecord }
  /** Its handler sleeps; the message waits until that is over. */
  | { readonly _tag: "Asleep" }
  /** It comes to an end that was decided earlier; its steps are compensated first. */
  | { readonly _tag: "Ending"; readonly end: PlannedEnd }
  /** Left as it is, for recovery. */
  | { readonly _tag: "Abandoned" }

/** The ends of messages that did not run, or not any more. */
export const EXPIRED: FailureRecord = {
  tag: "TerminalExpired",
  message: "The deadline passed before the message was run.",
  retry: "terminal",
}
export const CANCELLED: FailureRecord = {
  tag: "TerminalCancelled",
  message: "The message was cancelled before it was run.",
  retry: "terminal",
}

/** Causes are kept for reading; longer ones say nothing new. */
const CAUSE_LENGTH_MAX = 4_000

const messageOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string" ? error.message : String(error)

const causeText = (cause: Cause.Cause<unknown>): string => Cause.pretty(cause).slice(0, CAUSE_LENGTH_MAX)

const interrupted = (interruption: Interruption | undefined, messageId: string): Verdict => {
  switch (interruption) {
    case "closing":
      return { _tag: "Abandoned" }
    case "stashed":
      return { _tag: "Stashed" }
    case "asleep":
      return { _tag: "Asleep" }
    case "expired": {
      const message = `The deadline of message ${messageId} passed while it ran.`
      return { _tag: "Expired", record: { tag: "TerminalExpired", message, retry: "terminal" } }
    }
    case "restarted": {
      const message = `The actor of message ${messageId} was restarted while it ran.`
      return { _tag: "Retry", record: { tag: "RetryableRestarted", message, retry: "retryable" }, defect: false }
    }
    default: {
      const message = `Message ${messageId} was cancelled while it ran.`
      return { _tag: "Cancelled", record: { tag: "TerminalCancelled", message, retry: "terminal" } }
    }
  }
}

/**
 * Whether a handler failed because what it asked for has expired. A child has its parent's deadline: its end may come a turn
 * before the parent's own alarm rings.
 */
export const failedAsExpired = (exit: Exit.Exit<Processed, unknown>): boolean =>
  Exit.isFailure(exit) &&
  Option.exists(
    Cause.findErrorOption(exit.cause),
    (error) => Predicate.hasProperty(error, "_tag") && error._tag === "TerminalExpired",
  )

const failedWith = Effect.fnUntraced(function* (
  error: unknown,
  cause: Cause.Cause<unknown>,
  codec: TaskCodec | undefined,
) {
  if (error instanceof UnreadableState) {
    const record: FailureRecord = { tag: "TerminalActorFailed", message: error.reason, retry: "terminal" }
    return { _tag: "ActorFailed", record } satisfies Verdict
  }
  if (error instanceof Ending) return { _tag: "Ending", end: error.end } satisfies Verdict
  const tag = Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Failure"
  const declared = codec === undefined ? undefined : yield* Effect.option(codec.encodeError(error))
  const value = declared?._tag === "Some" ? { value: declared.value } : {}
  const record = { tag, message: messageOf(error), cause: causeText(cause), ...value }
  if (tag.startsWith("Retryable")) {
    return { _tag: "Retry", record: { ...record, retry: "retryable" }, defect: false } satisfies Verdict
  }
  if ("value" in value || tag.startsWith("Terminal")) {
    return { _tag: "Failed", record: { ...record, retry: "terminal" } } satisfies Verdict
  }
  // Neither declared nor one that says who retries: the handler's types do not allow it, so it is a defect.
  return { _tag: "Retry", record: { ...record, retry: "retryable" }, defect: true } satisfies Verdict
})

/** What becomes of a message whose handler ended with `exit`. */
export const verdict = (
  exit: Exit.Exit<Processed, unknown>,
  messageId: string,
  interruption: Interruption | undefined,
  codec: TaskCodec | undefined,
): Effect.Effect<Verdict> => {
  if (Exit.isSuccess(exit) && interruption !== "stashed") {
    return Effect.succeed({ _tag: "Done", processed: exit.value })
  }
  // An interruption from outside is the reason, whatever the handler made of it.
  if (interruption !== undefined) return Effect.succeed(interrupted(interruption, messageId))
  if (Exit.isSuccess(exit)) return Effect.succeed({ _tag: "Done", processed: exit.value })
  const { cause } = exit
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some" ? failedWith(error.value, cause, codec) : Effect.succeed(unjudged(cause))
}

/** What no error says: the handler threw, or interrupted itself. */
export const unjudged = (cause: Cause.Cause<unknown>): Verdict => {
  const tag = Cause.hasDies(cause) ? "Defect" : "Interrupted"
  const record: FailureRecord = {
    tag,
    message: messageOf(Cause.squash(cause)),
    retry: "retryable",
    cause: causeText(cause),
  }
  return { _tag: "Retry", record, defect: tag === "Defect" }
}
