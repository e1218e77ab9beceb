/**
 * The boundary that a handler sees from inside: makes the context of one attempt.
 *
 * Every durable act of a handler (step, ask, stream, send) has a number, in the order in which the handler asks for it.
 * The number is what finds the recorded result again when the handler is run a second time; so a handler must ask for the
 * same acts in the same order, whatever its clock and its dice say. `nowMs` and `random` are there for that.
 */
import { Effect, Schema, Stream } from "effect"
import type { ActorContext, ChildOptions, DispatchNote, ErasedContext } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import { type AskFailure, type SendFailure, TerminalReplayMismatch } from "../message/DeliveryFailure.ts"
import type { StepRow } from "../ports/MessageStore.ts"
import type { Request } from "./compose.ts"
import type { ChunkWriter } from "./emit.ts"
import type { LiveMessage } from "./LiveMessage.ts"
import type { Prepared } from "./prepare.ts"
import type { Attempt } from "./process.ts"
import { commitPatiently } from "./reply.ts"
import type { System } from "./System.ts"

/** mulberry32 (Tommy Ettinger, public domain), seeded from the message's id by FNV-1a: the same in every attempt. */
const seededRandom = (seed: string): (() => number) => {
  let hash = 0x811c9dc5
  for (let index = 0; index < seed.length; index++) hash = Math.imul(hash ^ seed.charCodeAt(index), 0x01000193)
  let state = hash >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** The recorded steps of earlier attempts; a first attempt has none to look up. */
const recordedSteps = Effect.fnUntraced(function* (system: System, message: LiveMessage) {
  if (message.attempt === 1) return new Map<number, StepRow>()
  const rows = yield* system.store.steps(message.id)
  return new Map(rows.map((row) => [row.ordinal, row]))
})

/** @see ActorContext.step */
const makeStep = (
  system: System,
  message: LiveMessage,
  nextOrdinal: () => number,
): ActorContext<AnyTask, unknown, unknown>["step"] => {
  let recorded: Map<number, StepRow> | undefined
  return Effect.fnUntraced(function* (name, schema, effect) {
    const ordinal = nextOrdinal()
    const text = Schema.fromJsonString(Schema.toCodecJson(schema))
    recorded ??= yield* recordedSteps(system, message)
    const row = recorded.get(ordinal)
    if (row !== undefined) {
      const mismatch = (what: string) =>
        new TerminalReplayMismatch({ messageId: message.id, ordinal, message: `Message ${message.id} ${what}` })
      if (row.name !== name) {
        const what = `now asks for step ${name} at place ${ordinal}, where it recorded ${row.name}`
        return yield* mismatch(`${what}; a handler must ask for the same steps in the same order when it is run again.`)
      }
      return yield* Schema.decodeUnknownEffect(text)(row.result).pipe(
        Effect.mapError((error) => mismatch(`recorded a result of step ${name} that no longer fits: ${error.message}`)),
      )
    }
    const value = yield* typeof effect === "function" ? effect(`${message.id}.${ordinal}`) : effect
    const result = yield* Effect.orDie(Schema.encodeUnknownEffect(text)(value))
    system.crashPoint("step.before")
    yield* commitPatiently(system, [
      {
        _tag: "RecordStep",
        messageId: message.id,
        attempt: message.attempt,
        ordinal,
        name,
        result,
        atMs: system.now(),
      },
    ])
    system.crashPoint("step.after")
    return value
  })
}

/** What a handler does to other actors; `life` does it. */
export interface Dispatch {
  /** `A` and `E` are what the request's task says: its codec decodes them. */
  readonly ask: <A, E>(request: Request, note?: DispatchNote) => Effect.Effect<A, E | AskFailure>
  readonly stream: <A, E>(request: Request, note?: DispatchNote) => Stream.Stream<A, E | AskFailure>
  /** Composes and routes a message that leaves with the seal, and holds its place in a mailbox. */
  readonly prepareSend: (request: Request, note?: DispatchNote) => Effect.Effect<Prepared, SendFailure>
}

/** Makes the context of one attempt; `outgoing` gathers what the seal has to send. */
export const makeContext = (
  system: System,
  dispatch: Dispatch,
  message: LiveMessage,
  writer: ChunkWriter | undefined,
  outgoing: Array<Prepared>,
): Attempt => {
  const { cell, envelope } = message
  let state = cell.state
  let changed = false
  let ordinal = 0
  const nextOrdinal = () => ordinal++
  const child = (ref: Ref<AnyTask>, task: string, payload: unknown, options: ChildOptions = {}): Request => ({
    ref,
    task,
    payload,
    options,
    parent: { message, ordinal: nextOrdinal() },
  })
  const noStream = Effect.die(new Error(`${envelope.task} does not stream; define it with Task.stream to emit chunks.`))
  const context: ErasedContext = {
    self: cell.address,
    message: {
      id: message.id,
      task: envelope.task,
      attempt: message.attempt,
      sender: envelope.sender,
      correlationId: envelope.correlationId,
      deadlineAtMs: envelope.deadlineAtMs,
    },
    get state() {
      return state
    },
    setState: (next) => {
      state = next
      changed = true
    },
    resource: cell.resource,
    nowMs: message.claimedAtMs,
    random: seededRandom(message.id),
    step: makeStep(system, message, nextOrdinal),
    // Suspended: an act has its number from when it is done, and a second time it is another act.
    ask: (ref, task, payload, options) =>
      Effect.suspend(() => dispatch.ask(child(ref, task, payload, options), options?.dispatch)),
    stream: (ref, task, payload, options) =>
      Stream.suspend(() => dispatch.stream(child(ref, task, payload, options), options?.dispatch)),
    send: (ref, task, payload, options) =>
      Effect.suspend(() => {
        const request = child(ref, task, payload, options)
        return dispatch.prepareSend(request, options?.dispatch).pipe(
          Effect.map((prepared) => {
            outgoing.push(prepared)
            return prepared.draft.envelope.id
          }),
        )
      }),
    emit: (chunk) => writer?.emit(chunk) ?? noStream,
    resume: writer?.resume ?? noStream,
  }
  return { context, stateChanged: () => changed }
}
