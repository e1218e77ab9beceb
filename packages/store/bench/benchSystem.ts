/** The boundary between a benchmark and ours: a system of one kind of actor, whose handler updates its state and replies. */
import { Actor, ActorSystem } from "@pontoon/runtime"
import { Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteStore, type StoreOptions } from "../src/index.ts"
import { askFor, type Result, text } from "./askFor.ts"

export const Bench = Actor.make("bench", {
  protocol: [Rpc.make("ask", { payload: { text: Schema.String }, success: Schema.Struct({ text: Schema.String }) })],
  state: Schema.Struct({ text: Schema.String }),
  initialState: { text },
  handlers: {
    ask: (payload, actor) =>
      Effect.sync(() => {
        actor.setState(payload)
        return payload
      }),
  },
})

export type BenchSystem = ActorSystem["Service"]

export const ask = (system: BenchSystem) => (actor: string) => system.ask(Bench.ref(actor), "ask", { text })

/** Opens a system on `file` for `use`, and closes it. */
export const withSystem = async <A>(
  file: string,
  use: (system: BenchSystem) => Promise<A>,
  options: StoreOptions = {},
): Promise<A> => {
  const scope = Scope.makeUnsafe()
  const layer = ActorSystem.layer({ actors: [Bench] }).pipe(Layer.provide(SqliteStore.layer(file, options)))
  const built = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  try {
    return await use(Context.get(built, ActorSystem))
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** A closed loop of `callers`, after a warm-up that is not counted. */
export const runSystem = (file: string, callers: number, seconds: number): Promise<Result> =>
  withSystem(file, async (system) => {
    await askFor(callers, seconds / 4, ask(system))
    return askFor(callers, seconds, ask(system))
  })
