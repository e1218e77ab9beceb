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
import { Cause, Context, Effect, Exit, Layer, Logger, Scope, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import { ActorSystem, type ActorSystemOptions } from "./ActorSystem.ts"
import type { AnyActor, Services } from "./actor/Actor.ts"
import type { NumberedChunk, ReadOptions, SendOptions, StreamOptions } from "./actor/ActorContext.ts"
import type { Ref } from "./actor/Ref.ts"
import type { AnyTask, Chunk, Whole } from "./actor/Task.ts"
import { checkSignalOptions, closeOnSignals, type SignalOptions } from "./closeOnSignals.ts"
import type { Score } from "./life/feedback.ts"
import { SETTINGS_DEFAULT } from "./life/System.ts"
import type { Address } from "./message/Address.ts"
import { RetryableClosing } from "./message/DeliveryFailure.ts"
import type { Reply } from "./message/Reply.ts"
import type { MessageSelection } from "./ports/MessageSelection.ts"
import type { MessageStore } from "./ports/MessageStore.ts"
import type { CancelReport, RedriveReport } from "./ports/OperatorPort.ts"

export interface PontoonOptions<A extends AnyActor, E, E2> extends ActorSystemOptions<A> {
  /** Where messages are kept, e.g. `SqliteStore.layer("pontoon.db")`. */
  readonly store: Layer.Layer<MessageStore, E>
  /** What the actors' handlers need, where they need anything. */
  readonly services?: Layer.Layer<Services<A>, E2>
  /**
   * Closes on SIGTERM and SIGINT, and then lets the process end as it would have. Default false. What is waited for, and how
   * long, can be said: see `SignalOptions`.
   */
  readonly closeOnSignals?: boolean | SignalOptions
}

export interface Abortable {
  /** Aborting takes the message back, unless it has an idempotency key; then, and in `read`, it only stops the wait. */
  readonly signal?: AbortSignal
}

export interface CallOptions extends SendOptions, Abortable {}

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
    options?: StreamOptions & Abortable,
  ) => AsyncIterable<Chunk<Rpc.ExtractTag<T, Tag>>>
  /**
   * The chunks of an accepted message from `from` on, each with its number, while it is written and after its end; the
   * loop ends, or throws, as the message ends. Leaving it early leaves the message alone.
   */
  readonly read: <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
    ref: Ref<T>,
    task: Tag,
    messageId: string,
    options?: ReadOptions & Abortable,
  ) => AsyncIterable<NumberedChunk<Chunk<Rpc.ExtractTag<T, Tag>>>>
  /** The end of an accepted message, whoever sent it. */
  readonly outcome: (messageId: string) => Promise<Reply>
  readonly cancel: (messageId: string) => Promise<boolean>
  /** Has a dead letter run again; with `body` (encoded), on that in place of its own. */
  readonly redrive: (messageId: string, body?: string) => Promise<void>
  /** Redrives what the selection means of the dead letters, at most its `limit`. */
  readonly redriveMany: (selection: MessageSelection) => Promise<RedriveReport>
  /** Takes back what the selection means of the unfinished messages, at most its `limit`. */
  readonly cancelMany: (selection: MessageSelection) => Promise<CancelReport>
  readonly feedback: (messageId: string, score: Score) => Promise<void>
  readonly stop: (address: Address, reason: string) => Promise<boolean>
  /** Puts an actor on hold, until it is resumed, also over restarts of the process. */
  readonly suspend: (address: Address, reason: string) => Promise<boolean>
  readonly resume: (address: Address, reason: string) => Promise<boolean>
  /** Brings an actor back that is gone; restarts one that is alive. */
  readonly restart: (address: Address, reason: string) => Promise<boolean>
  /** Drains, then closes actors and store. What could not end is finished after the next `open`. */
  readonly close: () => Promise<void>
}

const runOptions = (options: Abortable | undefined) =>
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

/** Standard output is the application's own. */
const warnings = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

const closed = () =>
  new RetryableClosing({ message: "The system is closed and takes no messages; open it again, and send it then." })

/** What closing may take beside draining, in milliseconds: handlers that cannot be interrupted, resources, the store. */
const CLOSE_BEYOND_DRAIN_MS = 10_000

/** What signals do; undefined where they do nothing. */
const signalsOf = ({
  closeOnSignals: asked = false,
  drainMsMax = SETTINGS_DEFAULT.drainMsMax,
}: Pick<PontoonOptions<AnyActor, never, never>, "closeOnSignals" | "drainMsMax">): SignalOptions | undefined => {
  if (asked === false) return undefined
  const signals = { closeMsMax: drainMsMax + CLOSE_BEYOND_DRAIN_MS, ...(asked === true ? {} : asked) }
  checkSignalOptions(signals)
  return signals
}

/** Opens a system; rejects with the store's tagged error where it cannot. */
const open = async <A extends AnyActor, E, E2 = never>(options: PontoonOptions<A, E, E2>): Promise<Pontoon> => {
  const signals = signalsOf(options)
  const services: Layer.Layer<Services<A>, E2> | Layer.Layer<never> = options.services ?? Layer.empty
  const needs = Layer.merge(options.store, services) as Layer.Layer<MessageStore | Services<A>, E | E2>
  // Not a ManagedRuntime: disposing one interrupts what it runs before it closes the layer, and an interrupted ask takes
  // its message back. Here the asks of others are answered while the system drains.
  const scope = Scope.makeUnsafe()
  const layer = ActorSystem.layer(options).pipe(Layer.provide(needs), Layer.provide(warnings))
  const opened = await Effect.runPromiseExit(Layer.buildWithScope(layer, scope))
  if (Exit.isFailure(opened)) {
    await Effect.runPromise(Scope.close(scope, opened))
    throw Cause.squash(opened.cause)
  }
  const system = Context.get(opened.value, ActorSystem)
  let closing: Promise<void> | undefined
  const run = <B, E3>(effect: Effect.Effect<B, E3>, call?: Abortable): Promise<B> => {
    if (closing !== undefined) return Promise.reject(closed())
    if (call?.signal?.aborted === true) return Promise.reject(call.signal.reason)
    return settle(Effect.runPromiseExit(effect, runOptions(call)), call?.signal)
  }
  const close = () => {
    closing ??= Effect.runPromise(Scope.close(scope, Exit.void))
    return closing
  }
  const ignoreSignals = signals === undefined ? () => {} : closeOnSignals({ ...signals, close })
  const iterate = <B, E3>(chunks: () => Stream.Stream<B, E3>, call?: Abortable): AsyncIterable<B> => ({
    async *[Symbol.asyncIterator]() {
      if (closing !== undefined) throw closed()
      if (call?.signal?.aborted === true) throw call.signal.reason
      yield* Stream.toAsyncIterableWith(abortable(chunks(), call?.signal), Context.empty())
    },
  })
  return {
    ask: (ref, task, payload, call) => run(system.ask(ref, task, payload, call), call),
    tell: (ref, task, payload, call) => run(system.tell(ref, task, payload, call), call),
    stream: (ref, task, payload, call) => iterate(() => system.stream(ref, task, payload, call), call),
    read: (ref, task, messageId, call) => iterate(() => system.read(ref, task, messageId, call), call),
    outcome: (messageId) => run(system.outcome(messageId)),
    cancel: (messageId) => run(system.cancel(messageId)),
    redrive: (messageId, body) => run(system.redrive(messageId, body)),
    redriveMany: (selection) => run(system.redriveMany(selection)),
    cancelMany: (selection) => run(system.cancelMany(selection)),
    feedback: (messageId, score) => run(system.feedback(messageId, score)),
    stop: (address, reason) => run(system.stop(address, reason)),
    suspend: (address, reason) => run(system.suspend(address, reason)),
    resume: (address, reason) => run(system.resume(address, reason)),
    restart: (address, reason) => run(system.restart(address, reason)),
    close: () => close().finally(ignoreSignals),
  }
}

export const Pontoon = { open }
