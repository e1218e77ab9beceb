/**
 * The boundary between who is asked and who answers: a handler hands its request on, and the answer goes to whoever asked.
 *
 * The forwarder's message ends with the other's answer, so the asker keeps waiting for the same message, with its
 * deadline and its place in the causal tree. Until then the forwarder has one message running: an actor that forwards
 * should have a `concurrency` above 1, and no state of its own.
 */
import { Effect, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import type { ActorContext, ChildOptions } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask, Chunk, DeclaredError, Whole } from "../actor/Task.ts"
import type { AskFailure } from "../message/DeliveryFailure.ts"
import type { CommitFailure, ReadFailure } from "../ports/StoreFailure.ts"

/**
 * Answers with what `ref` answers to the same task, its declared errors included.
 *
 * ```ts
 * handlers: { Pay: (payload, actor) => forward(actor, Accounts.ref(payload.account), "Pay", payload) }
 * ```
 */
export const forward = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  actor: Pick<ActorContext<AnyTask, unknown, unknown>, "ask">,
  ref: Ref<T>,
  task: Tag,
  payload: Rpc.PayloadConstructor<Rpc.ExtractTag<T, Tag>>,
  options?: ChildOptions,
): Effect.Effect<Whole<Rpc.ExtractTag<T, Tag>>, DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure> =>
  actor.ask(ref, task, payload, options)

/**
 * The same for a task that streams: every chunk goes on as it comes, and `whole` makes the reply of them all.
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
  options?: ChildOptions,
): Effect.Effect<
  Whole<Rpc.ExtractTag<T, Tag>>,
  DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure | CommitFailure | ReadFailure
> =>
  actor.stream(ref, task, payload, options).pipe(
    Stream.tap((chunk) => actor.emit(chunk)),
    Stream.runCollect,
    Effect.map(whole),
  )
