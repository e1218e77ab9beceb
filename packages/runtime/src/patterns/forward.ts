/**
 * The boundary between who is asked and who answers: a handler hands its request on, and the answer goes to whoever asked.
 *
 * `forward` gives the message itself away: the handler is done at once, and holds no place until the answer is there. To
 * change what is asked, or to do something with the answer, `ask` instead; `forwardStream` is that for a stream.
 */
import { Effect, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import type { ActorContext, ChildStreamOptions, SameTask } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask, Chunk, DeclaredError, Whole } from "../actor/Task.ts"
import type { AskFailure, SendFailure, TerminalForwardLoop } from "../message/DeliveryFailure.ts"
import type { CommitFailure, ReadFailure } from "../ports/StoreFailure.ts"

/**
 * Has `ref` answer this message in the handler's place; `actor.forward` as a function.
 *
 * ```ts
 * handlers: { Pay: ({ account }, actor) => forward(actor, Accounts.ref(account)) }
 * ```
 */
export const forward = <T extends AnyTask, State, Resource, U extends AnyTask>(
  actor: ActorContext<T, State, Resource>,
  ref: Ref<U> & SameTask<T, U>,
): Effect.Effect<Whole<T>, SendFailure | TerminalForwardLoop> => actor.forward(ref)

/**
 * Streams what `ref` streams of a request of the handler's own: every chunk goes on as it comes, and `whole` makes the
 * reply of them all. The handler holds its place meanwhile.
 *
 * A forwarder that runs again reads the chunks anew and says them again; what readers already have is dropped.
 */
export const forwardStream = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  actor: {
    readonly stream: ActorContext<AnyTask, unknown, unknown>["stream"]
    readonly emit: (chunk: Chunk<Rpc.ExtractTag<T, Tag>>) => Effect.Effect<void, CommitFailure | ReadFailure>
  },
  ref: Ref<T>,
  task: Tag,
  payload: Rpc.PayloadConstructor<Rpc.ExtractTag<T, Tag>>,
  whole: (chunks: ReadonlyArray<Chunk<Rpc.ExtractTag<T, Tag>>>) => Whole<Rpc.ExtractTag<T, Tag>>,
  options?: ChildStreamOptions,
): Effect.Effect<
  Whole<Rpc.ExtractTag<T, Tag>>,
  DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure | CommitFailure | ReadFailure
> =>
  actor.stream(ref, task, payload, options).pipe(
    Stream.tap((chunk) => actor.emit(chunk)),
    Stream.runCollect,
    Effect.map(whole),
  )
