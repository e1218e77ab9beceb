/**
 * The boundary between a handler and the runtime: everything a handler may do that outlives it.
 *
 * What a handler does through its context is durable at one of two times. *As it happens*: steps, asks and chunks; a
 * handler that runs again after a crash gets them back in place of doing them twice. *At the seal*, in the one commit
 * that ends the message: state and sends. A handler that fails leaves no trace but its steps, asks and chunks.
 */
import type { Duration, Effect, Schema, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import type { Pace } from "../life/streams/Reader.ts"
import type { Address } from "../message/Address.ts"
import type {
  AskFailure,
  OutcomeFailure,
  SendFailure,
  TerminalForwardLoop,
  TerminalInvalidMessage,
  TerminalReplayMismatch,
  TerminalWatchRefused,
} from "../message/DeliveryFailure.ts"
import type { TerminalInvalidStep } from "../message/StepFailure.ts"
import type { CommitFailure, ReadFailure } from "../ports/StoreFailure.ts"
import type { Ref } from "./Ref.ts"
import type { AllOptions, AnyEffect, SleepOptions, StepFailure, StepOptions } from "./StepOptions.ts"
import type { AnyTask, Chunk, DeclaredError, Whole } from "./Task.ts"

/** The terms on which a message is sent. */
export interface SendOptions {
  /**
   * Sent again under the same key to the same actor and task, the message is not run again but answered with the first's
   * reply, within the system's `keyWindowMs` (7 days). Default: the task's `primaryKey`, or none.
   */
  readonly idempotencyKey?: string
  /** Milliseconds from now until the message expires. Default none. */
  readonly timeoutMs?: number
  /** Milliseconds from now before which the message is not run. Default 0. */
  readonly delayMs?: number
  /**
   * The time before which it is not run, in milliseconds since the epoch, in place of `delayMs`; one that has passed means
   * now. Messages that are due more than a minute later are on disk alone.
   */
  readonly deliverAtMs?: number
  /** Higher runs earlier, until the others have waited for longer (`mailbox.ageingMs`). Default 0, from -100 to 100. */
  readonly priority?: number
  /** W3C trace id to log the message under. Default: the parent's, or a new one. */
  readonly traceId?: string
  /**
   * Called with the message's id when it is on disk, before the reply is waited for: the id is what a client comes back
   * with. Of a message that repeats an idempotency key it is the first one's. A handler's `send` gives the id itself, and
   * leaves with the seal: it does not call this.
   */
  readonly onAccepted?: (messageId: string) => void
}

/** The terms on which a streamed reply is read. */
export interface StreamOptions extends SendOptions, Pace {}

/** One chunk of a streamed reply, with its number in it, from 0 on. */
export interface NumberedChunk<A> {
  readonly number: number
  readonly chunk: A
}

export interface ReadOptions extends Pace {
  /** The number of the first chunk to read. Default 0; the number after the last that the reader has had. */
  readonly from?: number
}

/** Why a handler sends to this actor and not to another: a line in `routes`, for content-based dispatch. */
export interface DispatchNote {
  readonly reason: string
  /** What the decision saw. */
  readonly evidence: Schema.Json
}

export interface ChildOptions extends SendOptions {
  readonly dispatch?: DispatchNote
}

export interface ChildStreamOptions extends ChildOptions, Pace {}

/** Sends and waits for the reply. */
export type Ask<Options> = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  ref: Ref<T>,
  task: Tag,
  payload: Rpc.PayloadConstructor<Rpc.ExtractTag<T, Tag>>,
  options?: Options,
) => Effect.Effect<Whole<Rpc.ExtractTag<T, Tag>>, DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure>

/** Sends and reads the reply as it is written. */
export type AskStream<Options> = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  ref: Ref<T>,
  task: Tag,
  payload: Rpc.PayloadConstructor<Rpc.ExtractTag<T, Tag>>,
  options?: Options,
) => Stream.Stream<Chunk<Rpc.ExtractTag<T, Tag>>, DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure>

/** Reads the streamed reply of an accepted message, whoever sent it; `ref` is whom it was sent to. */
export type ReadStream = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  ref: Ref<T>,
  task: Tag,
  messageId: string,
  options?: ReadOptions,
) => Stream.Stream<
  NumberedChunk<Chunk<Rpc.ExtractTag<T, Tag>>>,
  DeclaredError<Rpc.ExtractTag<T, Tag>> | OutcomeFailure | ReadFailure
>

/** Sends and goes on; gives the message's id. */
export type Tell<Options, E> = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  ref: Ref<T>,
  task: Tag,
  payload: Rpc.PayloadConstructor<Rpc.ExtractTag<T, Tag>>,
  options?: Options,
) => Effect.Effect<string, E>

/** What a handler may know of the message it runs. */
export interface CurrentMessage {
  readonly id: string
  readonly task: string
  /** From 1 on. */
  readonly attempt: number
  readonly sender: string | null
  readonly correlationId: string
  /** When it was accepted, in milliseconds since the epoch; the same in every attempt. */
  readonly acceptedAtMs: number
  readonly deadlineAtMs: number | null
}

/** What a ref must be whose tasks `U` are to hold the task `T` itself: anything where they do, impossible where not. */
export type SameTask<T, U> = [T] extends [U] ? unknown : never

export interface ActorContext<T extends AnyTask, State, Resource> {
  readonly self: Address
  readonly message: CurrentMessage
  /** The state, as last set by this handler. */
  readonly state: State
  /** Takes effect for the next message when, and only if, this one is sealed. */
  readonly setState: (next: State) => void
  /** What `start` gave. */
  readonly resource: Resource
  /** When this attempt was claimed, in milliseconds since the epoch. */
  readonly nowMs: number
  /** Numbers in [0, 1), the same ones in every attempt of this message. */
  readonly random: () => number
  /**
   * Runs `effect` and records its result; a handler that runs again gets the recorded one. The effect runs at least
   * once, and is recorded at most once, so hand `key` to whatever it changes outside. A failure is not recorded.
   */
  readonly step: <A, E, R>(
    name: string,
    schema: Schema.Codec<A, unknown>,
    effect: Effect.Effect<A, E, R> | ((key: string) => Effect.Effect<A, E, R>),
    options?: StepOptions<A, E, R>,
  ) => Effect.Effect<A, E | StepFailure, R>
  /**
   * Sleeps until `duration` after it was first asked for, over restarts. For longer than a second the message goes back to
   * the mailbox meanwhile: others of the actor run, and the handler runs again from its beginning, with what it recorded.
   */
  readonly sleep: (duration: Duration.Input, options?: SleepOptions) => Effect.Effect<void, StepFailure>
  /**
   * Runs `effects` side by side and gives all of their results, or the first failure. What they do through the context has
   * numbers of its own in each, so that a handler which runs again gets the right ones.
   */
  readonly all: <const Effects extends ReadonlyArray<AnyEffect>>(
    effects: Effects,
    options?: AllOptions,
  ) => Effect.Effect<
    { -readonly [K in keyof Effects]: Effect.Success<Effects[K]> },
    Effect.Error<Effects[number]> | StepFailure,
    Effect.Services<Effects[number]>
  >
  /**
   * Runs `effects` side by side and gives the first success; the others are interrupted, and their asks taken back. Which
   * one won is recorded. Fails where all do.
   */
  readonly race: <const Effects extends ReadonlyArray<AnyEffect>>(
    effects: Effects,
  ) => Effect.Effect<
    Effect.Success<Effects[number]>,
    Effect.Error<Effects[number]> | StepFailure,
    Effect.Services<Effects[number]>
  >
  /**
   * The same effects, each with numbers of its own: for a pattern that runs them in an order of its own, or only some of
   * them. It decides in a step which ones it runs again.
   */
  readonly branches: <A, E, R>(
    effects: ReadonlyArray<Effect.Effect<A, E, R>>,
  ) => Effect.Effect<ReadonlyArray<Effect.Effect<A, E, R>>, TerminalInvalidStep | TerminalReplayMismatch>
  /** A step of its own: the child message is durable before the wait, and answers at once when the handler runs again. */
  readonly ask: Ask<ChildOptions>
  readonly stream: AskStream<ChildStreamOptions>
  /** The message leaves with the seal. */
  readonly send: Tell<ChildOptions, SendFailure>
  /**
   * Takes back a message that this handler asked (`onAccepted` tells its id) or sent, at once and not with the seal: what
   * waits or runs ends as `cancelled`, what was to leave with the seal does not. False where it has ended, or never was. A
   * handler that runs again takes it back again. Fails for a message that is not this handler's own.
   */
  readonly cancel: (childId: string) => Effect.Effect<boolean, TerminalInvalidMessage>
  /**
   * Hands this message on: when the handler is done, `ref` answers it in its place. It keeps its id, its asker, its deadline
   * and its body; `ref` must have the same task. State and sends are sealed, what the handler gives is dropped, and its
   * place is free. A handler that has emitted chunks cannot hand on, and no message is handed on more than 16 times.
   */
  readonly forward: <U extends AnyTask>(
    ref: Ref<U> & SameTask<T, U>,
  ) => Effect.Effect<Whole<T>, SendFailure | TerminalForwardLoop>
  /**
   * With the seal: this actor gets the message `Terminated` (to be added to its protocol) when `ref` fails for good or
   * stops; at once where it has already. The message is written in the commit of the end, once. At most 1,000 watchers of
   * an actor, and watches of one.
   */
  readonly watch: (ref: Ref<AnyTask>) => Effect.Effect<void, TerminalWatchRefused | ReadFailure>
  /** With the seal: no more news of `ref`, and no link to it. What has been written already still comes. */
  readonly unwatch: (ref: Ref<AnyTask>) => Effect.Effect<void, ReadFailure>
  /** With the seal: this actor and `ref` are restarted, and end, with each other. */
  readonly link: (ref: Ref<AnyTask>) => Effect.Effect<void, TerminalWatchRefused | ReadFailure>
  /**
   * Ends this attempt and puts its message aside, until `unstashAll`: neither a failure nor an attempt of its budget. What
   * was set and sent is dropped, as when a handler fails; steps, asks and chunks stay. The message counts against
   * `mailbox.capacity`, and its deadline and a cancel still end it. After a restart it is simply delivered again.
   */
  readonly stash: Effect.Effect<never>
  /** With the seal of this message, puts every message that the actor has put aside back to its old place in the queue. */
  readonly unstashAll: Effect.Effect<void>
  /**
   * Adds a chunk to the streamed reply. A handler that runs again from its beginning says the same again, and what readers
   * already have is dropped; one that calls `resume` first goes on after it.
   */
  readonly emit: (chunk: Chunk<T>) => Effect.Effect<void, CommitFailure | ReadFailure>
  /** The chunks of earlier attempts that readers may have; from then on `emit` continues after them. */
  readonly resume: Effect.Effect<ReadonlyArray<Chunk<T>>, ReadFailure | TerminalReplayMismatch>
}

/** A context whose types the runtime has forgotten; `Actor.make` hands it to the handler that knows them. */
export type ErasedContext = ActorContext<AnyTask, unknown, unknown>

/** What an actor's `start` may say of itself. */
export interface ActorSelf {
  readonly address: Address
  /** Reports that it died: it is restarted after its backoff, and what it was running is retried. */
  readonly crash: (reason: string) => Effect.Effect<void>
  /** Says in the lifecycle what was started, such as the device that a model runs on. */
  readonly describe: (what: string) => Effect.Effect<void>
  /** Reports that it works, but worse; while it starts, it becomes `degraded` as soon as it is `ready`. */
  readonly degraded: (reason: string) => Effect.Effect<void>
  readonly recovered: (reason: string) => Effect.Effect<void>
}
