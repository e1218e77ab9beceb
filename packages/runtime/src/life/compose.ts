/**
 * Step 1 of a message's life. The boundary between a call and a message: task and data become a validated, encoded
 * envelope that still lacks its target. Nothing is written yet.
 */
import { Effect } from "effect"
import type { StreamOptions } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask, TaskCodec } from "../actor/Task.ts"
import {
  RetryableClosing,
  TerminalInvalidMessage,
  TerminalMessageTooLarge,
  TerminalUnknownTask,
} from "../message/DeliveryFailure.ts"
import type { Envelope } from "../message/Envelope.ts"
import { childMessageId } from "../message/MessageId.ts"
import type { LiveMessage } from "./LiveMessage.ts"
import type { System } from "./System.ts"
import { mistakeInPace } from "./streams/Reader.ts"
import type { Wait } from "./waiting/WaitGraph.ts"

/** What a sender says. */
export interface Request {
  readonly ref: Ref<AnyTask>
  readonly task: string
  readonly payload: unknown
  readonly options: StreamOptions
  /** The handler's message and the number of its act, where a handler sends. */
  readonly parent?: {
    readonly message: LiveMessage
    readonly ordinal: number
    readonly again?: number
    /** The open ask, where the handler waits for the answer. */
    readonly wait?: Wait
  }
  /** Called with the id that the message will have, before it is written; and again where it repeats another. */
  readonly attach?: (messageId: string) => void
}

/** A message that knows all but where it goes. */
export interface Draft {
  readonly ref: Ref<AnyTask>
  readonly codec: TaskCodec
  readonly envelope: Omit<Envelope, "actorType" | "actorId" | "pool">
}

const nameOf = (ref: Ref<AnyTask>): string => (ref.kind === "pool" ? `pool ${ref.type}` : `${ref.type}/${ref.id}`)

const invalid = (request: Request, what: string) =>
  new TerminalInvalidMessage({
    actor: nameOf(request.ref),
    task: request.task,
    // A schema says what and where on two lines; a refusal is one sentence.
    message: `The message ${request.task} to ${nameOf(request.ref)} is not valid: ${what.replaceAll(/\s*\n\s*/g, " ")}`,
  })

/** A key is an identifier: it is in an index, and in error messages. */
const KEY_LENGTH_MAX = 512

/** More levels than anybody tells apart; a mailbox looks at the first message of each that waits in it. */
const PRIORITY_MAX = 100

/** The last time that a Date can be. */
const TIME_MAX_MS = 8.64e15

const checkTerms = (request: Request): string | undefined => {
  const { aheadMax, aheadMsMax, delayMs, deliverAtMs, idempotencyKey, priority, timeoutMs } = request.options
  if (timeoutMs !== undefined && !(timeoutMs > 0 && Number.isFinite(timeoutMs))) {
    return `timeoutMs must be above 0 and finite, and is ${timeoutMs}; leave it out for no deadline.`
  }
  if (delayMs !== undefined && !(delayMs >= 0 && Number.isFinite(delayMs))) {
    return `delayMs must be 0 or more and finite, and is ${delayMs}.`
  }
  if (deliverAtMs !== undefined) {
    if (delayMs !== undefined) return "it has both delayMs and deliverAtMs; give one of them."
    if (!(deliverAtMs >= 0 && deliverAtMs <= TIME_MAX_MS)) {
      return `deliverAtMs must be a time in milliseconds since the epoch, and is ${deliverAtMs}.`
    }
  }
  if (priority !== undefined && !(Number.isSafeInteger(priority) && Math.abs(priority) <= PRIORITY_MAX)) {
    return `priority must be a whole number from -${PRIORITY_MAX} to ${PRIORITY_MAX}, and is ${priority}.`
  }
  if (idempotencyKey === "") return "idempotencyKey must not be empty."
  if (idempotencyKey !== undefined && idempotencyKey.length > KEY_LENGTH_MAX) {
    return `idempotencyKey has ${idempotencyKey.length} characters, and the limit is ${KEY_LENGTH_MAX}.`
  }
  return aheadMax === undefined && aheadMsMax === undefined ? undefined : mistakeInPace(request.options)
}

const earlier = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b)

const envelopeOf = (system: System, request: Request, codec: TaskCodec, payload: unknown, body: string) => {
  const { options, parent } = request
  const nowMs = system.now()
  const id = parent === undefined ? system.ids.next() : childMessageId(parent.message.id, parent.ordinal, parent.again)
  const deadlineAtMs = earlier(
    options.timeoutMs === undefined ? null : nowMs + Math.ceil(options.timeoutMs),
    // A child has no use after its parent's end. What is asked to compensate an expired message must not expire with it.
    parent?.message.undoing === true ? null : (parent?.message.envelope.deadlineAtMs ?? null),
  )
  const deliverAtMs = Math.max(nowMs, Math.ceil(options.deliverAtMs ?? nowMs + (options.delayMs ?? 0)))
  return {
    id,
    task: request.task,
    codec: codec.codec,
    priority: options.priority ?? parent?.message.envelope.priority ?? 0,
    createdAtMs: nowMs,
    // One that is due after its deadline never runs; it is looked at in time to say so.
    deliverAtMs: Math.max(nowMs, Math.min(deliverAtMs, deadlineAtMs ?? deliverAtMs)),
    deadlineAtMs,
    sender: parent === undefined ? null : parent.message.cell.key,
    correlationId: parent?.message.envelope.correlationId ?? id,
    causationId: parent?.message.id ?? null,
    idempotencyKey: options.idempotencyKey ?? codec.primaryKey(payload) ?? null,
    traceId: options.traceId ?? parent?.message.envelope.traceId ?? id,
    body,
  }
}

type Refusal = RetryableClosing | TerminalUnknownTask | TerminalInvalidMessage | TerminalMessageTooLarge

const tooLarge = ({ ref, task }: Request, sizeBytes: number, limitBytes: number) =>
  new TerminalMessageTooLarge({
    actor: nameOf(ref),
    task,
    sizeBytes,
    limitBytes,
    message: `The message ${task} to ${nameOf(ref)} has ${sizeBytes} bytes, and the limit is ${limitBytes}; send less, or raise messageBytesMax.`,
  })

const unknownTask = ({ ref, task }: Request) => {
  const known = [...ref.tasks.keys()].join(", ")
  const message = `${nameOf(ref)} has no task ${task}; it has ${known}.`
  return new TerminalUnknownTask({ actor: nameOf(ref), task, message })
}

/**
 * Has ended already when it is returned, but where a schema does not decide at once.
 *
 * @see Draft
 */
export const compose = (system: System, request: Request): Effect.Effect<Draft, Refusal> => {
  if (system.closing && request.parent === undefined) {
    const message = "The system is closing and takes no new messages; send it again later."
    return Effect.fail(new RetryableClosing({ message }))
  }
  const { ref, task } = request
  const codec = ref.tasks.get(task)
  if (codec === undefined) return Effect.fail(unknownTask(request))
  const terms = checkTerms(request)
  if (terms !== undefined) return Effect.fail(invalid(request, terms))
  const encoded = Effect.flatMapEager(codec.makePayload(request.payload), (payload) =>
    Effect.mapEager(codec.encodePayload(payload), (body) => ({ payload, body })),
  )
  const checked = Effect.mapErrorEager(encoded, (error) => invalid(request, error.message))
  return Effect.flatMapEager(checked, ({ payload, body }): Effect.Effect<Draft, Refusal> => {
    const limitBytes = system.settings.messageBytesMax
    // A UTF-16 unit is at most three bytes, so most bodies need no count.
    const sizeBytes = body.length * 3 <= limitBytes ? body.length : Buffer.byteLength(body)
    if (sizeBytes > limitBytes) return Effect.fail(tooLarge(request, sizeBytes, limitBytes))
    return Effect.succeed({ ref, codec, envelope: envelopeOf(system, request, codec, payload, body) })
  })
}
