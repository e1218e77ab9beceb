/**
 * The boundary between a name and a system that can reach it: a ref that speaks for itself, so that code which talks to
 * one actor need not carry the system beside its name.
 */
import type { Effect, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import type { AskFailure, OutcomeFailure, SendFailure } from "../message/DeliveryFailure.ts"
import type { ReadFailure } from "../ports/StoreFailure.ts"
import type {
  Ask,
  AskStream,
  NumberedChunk,
  ReadOptions,
  ReadStream,
  SendOptions,
  StreamOptions,
  Tell,
} from "./ActorContext.ts"
import type { Ref } from "./Ref.ts"
import type { AnyTask, Chunk, DeclaredError, Whole } from "./Task.ts"

type Payload<T, Tag extends string> = Rpc.PayloadConstructor<Rpc.ExtractTag<T & Rpc.Any, Tag>>

/** An actor or a pool, bound to a system. */
export interface BoundRef<T extends AnyTask> {
  readonly ref: Ref<T>
  /** Sends and waits for the reply. */
  readonly ask: <const Tag extends Rpc.Tag<T>>(
    task: Tag,
    payload: Payload<T, Tag>,
    options?: SendOptions,
  ) => Effect.Effect<Whole<Rpc.ExtractTag<T, Tag>>, DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure>
  /** Sends and reads the reply as it is written. */
  readonly stream: <const Tag extends Rpc.Tag<T>>(
    task: Tag,
    payload: Payload<T, Tag>,
    options?: StreamOptions,
  ) => Stream.Stream<Chunk<Rpc.ExtractTag<T, Tag>>, DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure>
  /** Reads the streamed reply of a message that this actor or pool was sent, from a number on. */
  readonly read: <const Tag extends Rpc.Tag<T>>(
    task: Tag,
    messageId: string,
    options?: ReadOptions,
  ) => Stream.Stream<
    NumberedChunk<Chunk<Rpc.ExtractTag<T, Tag>>>,
    DeclaredError<Rpc.ExtractTag<T, Tag>> | OutcomeFailure | ReadFailure
  >
  /** Sends, and gives the message's id once it is on disk. */
  readonly tell: <const Tag extends Rpc.Tag<T>>(
    task: Tag,
    payload: Payload<T, Tag>,
    options?: SendOptions,
  ) => Effect.Effect<string, SendFailure>
}

/** The ways of sending that a ref is bound to. */
export interface Sending {
  readonly ask: Ask<SendOptions>
  readonly stream: AskStream<StreamOptions>
  readonly read: ReadStream
  readonly tell: Tell<SendOptions, SendFailure>
}

export const bindRef =
  ({ ask, read, stream, tell }: Sending) =>
  <T extends AnyTask>(ref: Ref<T>): BoundRef<T> => ({
    ref,
    ask: (task, payload, options) => ask(ref, task, payload, options),
    stream: (task, payload, options) => stream(ref, task, payload, options),
    read: (task, messageId, options) => read(ref, task, messageId, options),
    tell: (task, payload, options) => tell(ref, task, payload, options),
  })
