/**
 * The boundary between a recorded end and the one who asked: waits for a message's end and turns it back into a typed
 * success or failure.
 */
import { Effect } from "effect"
import type { TaskCodec } from "../actor/Task.ts"
import {
  RetryableClosing,
  TerminalCancelled,
  TerminalDeadLetter,
  TerminalDropped,
  TerminalExpired,
  TerminalInvalidMessage,
  TerminalMessageFailed,
} from "../message/DeliveryFailure.ts"
import { isFinal, type MessageRow } from "../message/Envelope.ts"
import type { FailureRecord, Reply } from "../message/Reply.ts"
import type { ReadFailure } from "../ports/StoreFailure.ts"
import type { Ending } from "./Ending.ts"
import type { System } from "./System.ts"

/** The reply that a row of the log holds, once it is final. */
export const replyOf = (row: MessageRow): Reply | undefined =>
  isFinal(row.status)
    ? {
        messageId: row.id,
        status: row.status,
        reply: row.reply,
        // The runtime wrote it, as a FailureRecord.
        error: row.error === null ? null : (JSON.parse(row.error) as FailureRecord),
      }
    : undefined

const unread = (what: string, messageId: string, detail: string) =>
  new TerminalInvalidMessage({
    actor: "",
    task: "",
    message: `The ${what} of message ${messageId} does not fit its schema: ${detail}`,
  })

/** Decodes a reply into what the asker declared. */
export const decodeReply = (codec: TaskCodec, reply: Reply): Effect.Effect<unknown, unknown> =>
  reply.status === "done"
    ? Effect.mapErrorEager(codec.decodeReply(reply.reply ?? "null"), (issue) =>
        unread("reply", reply.messageId, issue.message),
      )
    : decodeFailure(codec, reply)

const decodeFailure = Effect.fnUntraced(function* (codec: TaskCodec, reply: Reply) {
  const { messageId, error } = reply
  const message = error?.message ?? `Message ${messageId} is ${reply.status}.`
  switch (reply.status) {
    case "expired":
      return yield* new TerminalExpired({ messageId, message })
    case "cancelled":
      if (error?.tag === "TerminalDropped") return yield* new TerminalDropped({ messageId, message })
      return yield* new TerminalCancelled({ messageId, message })
    case "dead": {
      const lastTag = error?.tag ?? "unknown"
      const text = `Message ${messageId} is a dead letter: ${message}`
      return yield* new TerminalDeadLetter({ messageId, lastTag, message: text })
    }
    default: {
      if (error?.value === undefined) {
        return yield* new TerminalMessageFailed({ messageId, tag: error?.tag ?? "unknown", message })
      }
      const declared = yield* codec
        .decodeError(error.value)
        .pipe(Effect.mapError((issue) => unread("error", messageId, issue.message)))
      return yield* Effect.fail(declared)
    }
  }
})

/** Waits for the end of a message that has not ended. */
const waitFor = (system: System, messageId: string): Effect.Effect<Ending> =>
  Effect.callback((resume) => {
    const stop = system.askers.wait(messageId, (end) => resume(Effect.succeed(end)))
    if (system.closed) resume(Effect.succeed({ _tag: "Unknown", failure: closing(messageId) }))
    return Effect.sync(stop)
  })

/** What the log says, where the message has ended; waits for ever where it has not. */
const recorded = (system: System, messageId: string): Effect.Effect<Ending, ReadFailure> =>
  Effect.flatMap(system.store.message(messageId), (row) => {
    const reply = row === undefined ? undefined : replyOf(row)
    return reply === undefined ? Effect.never : Effect.succeed<Ending>({ _tag: "Replied", reply })
  })

/** Waits for the end of a message, in this process. */
export const ending = (system: System, messageId: string): Effect.Effect<Ending, ReadFailure> =>
  Effect.suspend(() =>
    system.live.has(messageId)
      ? waitFor(system, messageId)
      : // It has ended, or is on disk alone; and it may end while the log is read.
        Effect.raceFirst(waitFor(system, messageId), recorded(system, messageId)),
  )

export const closing = (messageId: string) =>
  new RetryableClosing({
    messageId,
    message: `The system closed before message ${messageId} was answered; it is in the log and is finished after the next start.`,
  })

/** An end, as a typed success or failure. */
const asAnswer = (codec: TaskCodec, end: Ending): Effect.Effect<unknown, unknown> =>
  end._tag === "Replied" ? decodeReply(codec, end.reply) : Effect.fail(end.failure)

/**
 * Resumes whoever waits for a message with its end, as a typed success or failure; in the step in which it ends, where it
 * has not ended yet. The result stops waiting.
 */
export const whenAnswered = (
  system: System,
  codec: TaskCodec,
  messageId: string,
  resume: (answer: Effect.Effect<unknown, unknown>) => void,
): (() => void) => {
  if (system.live.has(messageId) && !system.closed) {
    return system.askers.wait(messageId, (end) => resume(asAnswer(codec, end)))
  }
  resume(Effect.flatMap(ending(system, messageId), (end) => asAnswer(codec, end)))
  return () => {}
}
