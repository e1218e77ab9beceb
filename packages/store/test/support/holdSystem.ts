/** A process that opens a system over the log on argv[2], says so, and holds it until it is killed. */
import { ActorSystem } from "@pontoon/runtime"
import { Effect, Layer } from "effect"
import { SqliteStore } from "../../src/index.ts"

// A fiber that waits keeps no process alive; this does.
setInterval(() => {}, 60_000)
await Effect.runPromise(
  Effect.scoped(
    Effect.andThen(
      Layer.build(ActorSystem.layer({ actors: [] }).pipe(Layer.provide(SqliteStore.layer(process.argv[2]!)))),
      Effect.andThen(
        Effect.sync(() => console.log("open")),
        Effect.never,
      ),
    ),
  ),
)
