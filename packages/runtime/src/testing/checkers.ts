/**
 * The boundary between a log and its judges: what must be true of every log, whatever happened to the processes that wrote
 * it. Checkers read rows and nothing else; each gives what is wrong, one sentence a violation.
 */
import { Effect } from "effect"
import { SETTINGS_DEFAULT } from "../life/System.ts"
import { formatAddress } from "../message/Address.ts"
import { firstAddresseeOf, handedOnFrom, isFinal, type MessageRow } from "../message/Envelope.ts"
import type { AttemptRow, LogReader } from "../ports/LogReader.ts"
import type { ActorRow, ChunkRow, StepRow } from "../ports/MessageStore.ts"
import { READ_LIMIT_MAX } from "../ports/readLimit.ts"

/** Everything that the checkers look at. */
export interface LogContents {
  /** By seq. */
  readonly messages: ReadonlyArray<MessageRow>
  readonly actors: ReadonlyArray<ActorRow>
  /** By message id. */
  readonly steps: ReadonlyMap<string, ReadonlyArray<StepRow>>
  readonly chunks: ReadonlyMap<string, ReadonlyArray<ChunkRow>>
  readonly attempts: ReadonlyMap<string, ReadonlyArray<AttemptRow>>
}

export type Violations = ReadonlyArray<string>

const readMessages = Effect.fnUntraced(function* (reader: LogReader["Service"]) {
  const messages: Array<MessageRow> = []
  for (;;) {
    const page = yield* reader.messages({ afterSeq: messages.at(-1)?.seq ?? 0, limit: READ_LIMIT_MAX })
    messages.push(...page)
    if (page.length < READ_LIMIT_MAX) return messages
  }
})

const readChunks = Effect.fnUntraced(function* (reader: LogReader["Service"], id: string) {
  const chunks: Array<ChunkRow> = []
  for (;;) {
    const page = yield* reader.chunks(id, (chunks.at(-1)?.ordinal ?? -1) + 1, READ_LIMIT_MAX)
    chunks.push(...page)
    if (page.length < READ_LIMIT_MAX) return chunks
  }
})

/** Reads the whole log; for logs of tests, which fit in memory. Of actors, at most 10,000. */
export const readContents = Effect.fnUntraced(function* (reader: LogReader["Service"]) {
  const messages = yield* readMessages(reader)
  const steps = new Map<string, ReadonlyArray<StepRow>>()
  const chunks = new Map<string, ReadonlyArray<ChunkRow>>()
  const attempts = new Map<string, ReadonlyArray<AttemptRow>>()
  for (const { id } of messages) {
    steps.set(id, yield* reader.steps(id))
    chunks.set(id, yield* readChunks(reader, id))
    attempts.set(id, yield* reader.attempts(id))
  }
  const contents: LogContents = { messages, actors: yield* reader.actors(READ_LIMIT_MAX), steps, chunks, attempts }
  return contents
})

const addressOf = (message: MessageRow): string => formatAddress({ type: message.actorType, id: message.actorId })

/** Each message has one end at most, and says all that an end says; `drained`: each has one. */
export const checkOutcomes = ({ messages }: LogContents, drained: boolean): Violations => {
  const ids = new Set<string>()
  return messages.flatMap((message) => {
    const { attempt, error, finishedAtMs, id, reply, status } = message
    const wrong = (what: string) => `message ${id} (${status}, attempt ${attempt}) ${what}`
    if (ids.has(id)) return [wrong("is in the log twice")]
    ids.add(id)
    if (!isFinal(status)) return drained ? [wrong("has not ended")] : []
    if (finishedAtMs === null) return [wrong("ended at no time")]
    if (status === "done" && (reply === null || error !== null || attempt < 1))
      return [wrong("is done without a reply")]
    if (status !== "done" && error === null) return [wrong("ended badly without an error")]
    return []
  })
}

/** Whatever was accepted is in the log. */
export const checkAccepted = ({ messages }: LogContents, accepted: Iterable<string>): Violations => {
  const known = new Set(messages.map(({ id }) => id))
  return [...accepted].filter((id) => !known.has(id)).map((id) => `message ${id} was accepted and is lost`)
}

/** A reply that somebody has seen is in the log, as it was seen. */
export const checkReplies = ({ messages }: LogContents, seen: ReadonlyMap<string, string>): Violations => {
  const replies = new Map(messages.map(({ id, reply }) => [id, reply]))
  return [...seen].flatMap(([id, reply]) =>
    replies.get(id) === reply ? [] : [`message ${id} was answered ${reply}, and the log says ${replies.get(id)}`],
  )
}

/** No idempotency key was accepted twice within the window in which it answers. */
export const checkKeys = ({ messages }: LogContents, keyWindowMs = SETTINGS_DEFAULT.keyWindowMs): Violations => {
  const known = new Map<string, MessageRow>()
  return messages.flatMap((message) => {
    if (message.idempotencyKey === null) return []
    const key = JSON.stringify([firstAddresseeOf(message), message.task, message.idempotencyKey])
    const earlier = known.get(key)
    known.set(key, message)
    if (earlier === undefined || message.createdAtMs - earlier.createdAtMs > keyWindowMs) return []
    return [`messages ${earlier.id} and ${message.id} have the same key ${key}`]
  })
}

/** Every durable act of a handler has a number of its own: no step twice, none under the number of a child. */
export const checkSteps = ({ messages, steps }: LogContents): Violations => {
  const ids = new Set(messages.map(({ id }) => id))
  return [...steps].flatMap(([id, rows]) =>
    rows.flatMap(({ name, ordinal }, index) => {
      const wrong = `step ${name} of message ${id}`
      if (rows.findIndex((row) => row.ordinal === ordinal) !== index) return [`${wrong} is recorded twice`]
      return ids.has(`${id}.${ordinal}`) ? [`${wrong} has the number ${ordinal} of a child`] : []
    }),
  )
}

/** A streamed reply has no hole, and no chunk of an earlier attempt after one of a later. */
export const checkChunks = ({ chunks }: LogContents): Violations =>
  [...chunks].flatMap(([id, rows]) =>
    rows.flatMap((row, index) => {
      if (row.ordinal !== index) return [`chunk ${row.ordinal} of message ${id} stands where ${index} should`]
      return row.attempt < (rows[index - 1]?.attempt ?? 0)
        ? [`chunk ${index} of message ${id} is of an older attempt`]
        : []
    }),
  )

/** Whether nothing but the death of a process kept the message from running in its turn. */
export const inTurn = (contents: LogContents, message: MessageRow, priority = 0): boolean =>
  message.priority === priority &&
  handedOnFrom(message).length === 0 &&
  message.attemptsBefore === 0 &&
  (contents.attempts.get(message.id) ?? []).every(
    ({ attempt, error }) =>
      JSON.parse(error).tag === "RetryableProcessDied" || (message.status === "failed" && attempt === message.attempt),
  )

export interface OrderOptions {
  /** Whether actors of the type run one message at a time. */
  readonly isSerial: (actorType: string) => boolean
  /**
   * Whether systems were closed on the way: while one closes, what a running handler asks for is run past whatever else
   * waits. Default false.
   */
  readonly closed?: boolean
  /**
   * The messages that are in no order, such as those sent with a delay. Where it is not known, those are left out whose
   * `deliverAtMs` is after their acceptance, which a retry makes of any message.
   */
  readonly unordered?: ReadonlySet<string>
}

/** Serial actors run one message at a time, in the order of acceptance. */
export const checkOrder = (
  contents: LogContents,
  { closed = false, isSerial, unordered }: OrderOptions,
): Violations => {
  const last = new Map<string, MessageRow>()
  const isUnordered = ({ createdAtMs, deliverAtMs, id }: MessageRow): boolean =>
    unordered === undefined ? deliverAtMs > createdAtMs : unordered.has(id)
  return contents.messages.flatMap((message) => {
    if (!isSerial(message.actorType) || message.startedAtMs === null || !inTurn(contents, message)) return []
    if (isUnordered(message)) return []
    const actor = addressOf(message)
    const earlier = last.get(actor)
    last.set(actor, message)
    if (earlier?.startedAtMs == null) return []
    if (closed && message.causationId !== null) return []
    if (message.startedAtMs < earlier.startedAtMs)
      return [`${actor} ran ${message.id} before the earlier ${earlier.id}`]
    const overlap = earlier.finishedAtMs === null || earlier.finishedAtMs > message.startedAtMs
    return overlap ? [`${actor} ran ${message.id} beside ${earlier.id}`] : []
  })
}

/** The state of each actor of a type is what its answered messages add up to. */
export const checkSums = (
  { actors, messages }: LogContents,
  actorType: string,
  amountOf: (message: MessageRow) => number,
): Violations => {
  const sums = new Map<string, number>()
  for (const message of messages) {
    if (message.actorType !== actorType || message.status !== "done") continue
    sums.set(addressOf(message), (sums.get(addressOf(message)) ?? 0) + amountOf(message))
  }
  const states = new Map(actors.map(({ address, state }) => [formatAddress(address), state]))
  return [...sums].flatMap(([actor, sum]) => {
    const state = Number(states.get(actor) ?? 0)
    return state === sum ? [] : [`${actor} holds ${state}, and its answered messages add up to ${sum}`]
  })
}

/** Every check that needs nothing but the log. */
export const checkLog = (
  contents: LogContents,
  options: OrderOptions & { readonly drained: boolean; readonly keyWindowMs?: number },
): Violations => [
  ...checkOutcomes(contents, options.drained),
  ...checkKeys(contents, options.keyWindowMs),
  ...checkSteps(contents),
  ...checkChunks(contents),
  ...checkOrder(contents, options),
]
