/**
 * Effect Cluster 4.1 as a peer: a persisted entity, its messages and replies in SQLite by its own storage
 * (`SqlMessageStorage`), one runner. Its entity keeps no state on disk, so it writes less than ours.
 */
import { NodeCrypto } from "@effect/platform-node"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { ClusterSchema, Entity, SingleRunner } from "effect/cluster"
import { Rpc } from "effect/rpc"
import { askFor, type Result, text } from "../askFor.ts"
import { nodeSqliteLayer } from "./nodeSqliteClient.ts"

const Bench = Entity.make("Bench", [
  Rpc.make("ask", {
    payload: { text: Schema.String },
    success: Schema.Struct({ text: Schema.String }),
  }).annotate(ClusterSchema.Persisted, true),
])

const handlers = Bench.toLayer(Bench.of({ ask: ({ payload }) => Effect.succeed(payload) }))

export const runCluster = async (file: string, callers: number, seconds: number): Promise<Result> => {
  const scope = Scope.makeUnsafe()
  const runner = SingleRunner.layer({ runnerStorage: "sql" }).pipe(
    Layer.provideMerge(nodeSqliteLayer(file)),
    Layer.provideMerge(NodeCrypto.layer),
  )
  const built = await Effect.runPromise(Layer.buildWithScope(Layer.provideMerge(handlers, runner), scope))
  try {
    const clientOf = await Effect.runPromise(Effect.provideContext(Bench.client, built))
    const ask = (actor: string) => clientOf(actor).ask({ text })
    // Until the runner has its shards, an ask waits for them.
    await Effect.runPromise(ask("0"))
    await askFor(callers, seconds / 4, ask)
    return await askFor(callers, seconds, ask)
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
