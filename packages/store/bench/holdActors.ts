/**
 * One process of idleActors.bench.ts: uses so many actors once, and says what an idle one holds of the heap.
 * `node --expose-gc holdActors.ts runtime|map FILE ACTORS`; prints what it measured as JSON.
 */
import { Actor, ActorSystem } from "@pontoon/runtime"
import { Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteStore } from "../src/SqliteStore.ts"

const [side = "", file = "", count = ""] = process.argv.slice(2)
const total = Number(count)
const ids = Array.from({ length: total }, (_, n) => `${n}`)

/** Bytes of the heap that something still refers to. */
const heldBytes = async (): Promise<number> => {
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    // What is freed in a turn may free more in the next.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return process.memoryUsage().heapUsed
}

const Idle = Actor.make("idle", {
  protocol: [Rpc.make("touch", { success: Schema.Int })],
  state: Schema.Int,
  initialState: 0,
  handlers: { touch: (_, actor) => Effect.succeed(actor.state) },
})

const runRuntime = Effect.gen(function* () {
  const system = yield* ActorSystem
  const touch = (id: string) => system.ask(Idle.ref(id), "touch", undefined)
  // What is made once is not an actor's.
  yield* touch("first")
  const before = yield* Effect.promise(heldBytes)
  yield* Effect.forEach(ids, touch, { concurrency: 256, discard: true })
  const held = (yield* Effect.promise(heldBytes)) - before
  const resident = yield* Effect.forEach(ids, (id) => system.lifecycle({ type: "idle", id }))
  return { held, resident: resident.filter((state) => state !== undefined).length }
}).pipe(
  Effect.provide(
    ActorSystem.layer({ actors: [Idle], residentMax: 2 * total, idleMsMax: 86_400_000 }).pipe(
      Layer.provide(SqliteStore.layer(file)),
    ),
  ),
)

/** What any table of actors holds: a name and a number each. */
const runMap = async () => {
  const before = await heldBytes()
  const map = new Map(ids.map((id) => [`idle/${id}`, { type: "idle", id, state: 0 }]))
  return { held: (await heldBytes()) - before, resident: map.size }
}

const { held, resident } = side === "runtime" ? await Effect.runPromise(runRuntime) : await runMap()
console.log(JSON.stringify({ "bytes an idle actor": held / total, resident }))
