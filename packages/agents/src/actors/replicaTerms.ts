/**
 * The boundary between an actor that is a replica of a model and the engine that it holds: the terms that all such actors
 * share, whatever their model takes and gives.
 */
import type { ActorSelf, RetryPolicy, Supervision } from "@pontoon/runtime"
import { Effect } from "effect"
import { type HeldTarget, holdModel } from "./ModelActor.ts"

export interface ReplicaTerms<Handle> {
  /** What it is called in messages and descriptions. Default: the actor's type and id. */
  readonly name?: string
  /** Messages run at once. */
  readonly slots?: number
  readonly supervision?: Partial<Supervision>
  readonly retry?: Partial<RetryPolicy>
  /** Called each time that the model's process is up. */
  readonly onStarted?: (id: string, handle: Handle) => Effect.Effect<void>
}

/**
 * Of an actor type, each id of which is a replica with a process of its own.
 *
 * @param open makes a replica: what is left of the options is the engine's
 */
export const replicaTerms = <
  Target extends HeldTarget["target"],
  Handle extends { readonly target: Target },
  Options extends ReplicaTerms<Handle>,
  E,
  R,
>(
  type: string,
  options: Options,
  concurrency: number,
  open: (
    engine: Omit<Options, "onStarted" | "retry" | "slots" | "supervision"> & { readonly name: string },
  ) => Effect.Effect<Handle & { readonly target: Target }, E, R>,
) => {
  const { onStarted, retry, slots: _, supervision, ...engine } = options
  return {
    concurrency,
    ...(supervision === undefined ? {} : { supervision }),
    ...(retry === undefined ? {} : { retry }),
    start: (self: ActorSelf) =>
      holdModel(
        self,
        Effect.gen(function* () {
          const { id } = self.address
          const handle = yield* open({ ...engine, name: options.name ?? `${type}/${id}` })
          if (onStarted !== undefined) yield* onStarted(id, handle)
          return { target: handle.target }
        }),
      ),
  }
}
