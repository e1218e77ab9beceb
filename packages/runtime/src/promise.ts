/**
 * The boundary to applications that do not use Effect: the same system, with promises, async iterables and AbortSignal.
 *
 * ```ts
 * const pontoon = await Pontoon.open({ store: SqliteStore.layer("pontoon.db"), actors: [Counter] })
 * await pontoon.ask(Counter.ref("a"), "Add", { by: 1 })
 * await pontoon.close()
 * ```
 *
 * Every promise rejects with the tagged error itself: `error._tag` says what happened, `Retryable*` and `Terminal*` who
 * may try again.
 */
import { Cause, Effect, Exit, Layer, ManagedRuntime, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import { ActorSystem, type ActorSystemOptions } from "./ActorSystem.ts"
import type { AnyActor, Services } from "./actor/Actor.ts"
import type { SendOptions } from "./actor/ActorContext.ts"
import type { Ref } from "./actor/Ref.ts"
import type { AnyTask, Chunk, Whole } from "./actor/Task.ts"
import type { Score } from "./life/feedback.ts"
import { RetryableClosing } from "./message/DeliveryFailure.ts"
import type { Reply } from "./message/Reply.ts"
import type { MessageStore } from "./ports/MessageStore.ts"

export interface PontoonOptions<A extends AnyActor, E, E2> extends ActorSystemOptions<A> {
  /** Where messages are kept, e.g. `SqliteStore.layer("pontoon.db")`. */
  readonly store: Layer.Layer<MessageStore, E>
  /** What the actors' handlers need, where they need anything. */
  readonly services?: Layer.Layer<Services<A>, E2>
}

export interface CallOptions extends SendOptions {
  /** Aborting takes the message back, unless it has an idempotency key; then it only stops the wait. */
  readonly signal?: AbortSignal
}

type Payload<T, Tag extends string> = Rpc.PayloadConstructor<Rpc.ExtractTag<T & Rpc.Any, Tag>>

export interface Pontoon {
  readonly ask: <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
    ref: Ref<T>,
    task: Tag,
    payload: Payload<T, Tag>,
    options?: CallOptions,
  ) => Promise<Whole<Rpc.ExtractTag<T, Tag>>>
  readonly tell: <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
    ref: Ref<T>,
    task: Tag,
    payload: Payload<T, Tag>,
    options?: CallOptions,
  ) => Promise<string>
  /** The chunks of a streamed reply; leaving the loop early takes the message back. */
  readonly stream: <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
    ref: Ref<T>,
    task: Tag,
    payload: Payload<T, Tag>,
    options?: CallOptions,
  ) => AsyncIterable<Chunk<Rpc.ExtractTag<T, Tag>>>
  /** The end of an accepted message, whoever sent it. */
  readonly outcome: (messageId: string) => Promise<Reply>
  readonly cancel: (messageId: string) => Promise<boolean>
  readonly feedback: (messageId: string, score: Score) => Promise<void>
  /** Drains, then closes actors and store. What could not end is finished after the next `open`. */
  readonly close: () => Promise<void>
}

const runOptions = (options: CallOptions | undefined) =>
  options?.signal === undefined ? undefined : { signal: options.signal }

/** The error itself, not a wrapper of it; an abort rejects with the signal's own reason. */
const settle = async <A, E>(exit: Promise<Exit.Exit<A, E>>, signal: AbortSignal | undefined): Promise<A> => {
  const result = await exit
  if (Exit.isSuccess(result)) return result.value
  if (signal?.aborted === true && Cause.hasInterruptsOnly(result.cause)) throw signal.reason
  throw Cause.squash(result.cause)
}

/** A stream that ends with the signal's reason when it is aborted. */
const abortable = <A, E, R>(
  chunks: Stream.Stream<A, E, R>,
  signal: AbortSignal | undefined,
): Stream.Stream<A, unknown, R> =>
  signal === undefined
    ? chunks
    : Stream.interruptWhen(
        chunks,
        Effect.callback<never, unknown>((resume) => {
          const abort = () => resume(Effect.fail(signal.reason))
          if (signal.aborted) return abort()
          signal.addEventListener("abort", abort, { once: true })
          return Effect.sync(() => signal.removeEventListener("abort", abort))
        }),
      )

const closed = () =>
  new RetryableClosing({ message: "The system is closed and takes no messages; open it again, and send it then." })

/** Opens a system; rejects with the store's tagged error where it cannot. */
const open = async <A extends AnyActor, E, E2 = never>(options: PontoonOptions<A, E, E2>): Promise<Pontoon> => {
  const services: Layer.Layer<Services<A>, E2> | Layer.Layer<never> = options.services ?? Layer.empty
  const needs = Layer.merge(options.store, services) as Layer.Layer<MessageStore | Services<A>, E | E2>
  const runtime = ManagedRuntime.make(ActorSystem.layer(options).pipe(Layer.provide(needs)))
  let closing: Promise<void> | undefined
  const run = <B, E3>(effect: (system: ActorSystem["Service"]) => Effect.Effect<B, E3>, call?: CallOptions) =>
    closing !== undefined
      ? Promise.reject(closed())
      : call?.signal?.aborted === true
        ? Promise.reject(call.signal.reason)
        : settle(runtime.runPromiseExit(Effect.flatMap(ActorSystem, effect), runOptions(call)), call?.signal)
  try {
    await runtime.context()
  } catch (error) {
    await runtime.dispose()
    throw error
  }
  return {
    ask: (ref, task, payload, call) => run((system) => system.ask(ref, task, payload, call), call),
    tell: (ref, task, payload, call) => run((system) => system.tell(ref, task, payload, call), call),
    stream: (ref, task, payload, call) => ({
      async *[Symbol.asyncIterator]() {
        if (closing !== undefined) throw closed()
        if (call?.signal?.aborted === true) throw call.signal.reason
        const services = await runtime.context()
        const chunks = Stream.unwrap(Effect.map(ActorSystem, (system) => system.stream(ref, task, payload, call)))
        yield* Stream.toAsyncIterableWith(abortable(chunks, call?.signal), services)
      },
    }),
    outcome: (messageId) => run((system) => system.outcome(messageId)),
    cancel: (messageId) => run((system) => system.cancel(messageId)),
    feedback: (messageId, score) => run((system) => system.feedback(messageId, score)),
    close: () => {
      closing ??= runtime.dispose()
      return closing
    },
  }
}

export const Pontoon = { open }
