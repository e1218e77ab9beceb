/**
 * A backend that is told to end: opens the log on argv[2], gives each of the ids in argv[4..] messages, and says what
 * happens on one line each. argv[3] is its drainMsMax. A handler of `gated` runs until SIGUSR2 comes, one of `stuck` for ever.
 */
import { Actor, Pontoon } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteStore } from "../../src/index.ts"

const [, , file = "", drainMsMax = "", ...ids] = process.argv

const told = new Promise<void>((resolve) => {
  process.once("SIGUSR2", () => resolve())
})
// Somebody else's listener, which is not there any more when the process should end.
process.once("SIGTERM", () => console.log("told to end"))

const Worker = Actor.make("worker", {
  protocol: [Rpc.make("Work", { payload: { n: Schema.Int }, success: Schema.Int })],
  state: Schema.Array(Schema.Int),
  initialState: [],
  handlers: {
    Work: ({ n }, actor) =>
      Effect.gen(function* () {
        console.log(`runs ${actor.self.id} ${n}`)
        if (actor.self.id === "gated") yield* Effect.promise(() => told)
        if (actor.self.id === "stuck") yield* Effect.uninterruptible(Effect.never)
        actor.setState([...actor.state, n])
        return n
      }),
  },
})

const pontoon = await Pontoon.open({
  store: SqliteStore.layer(file),
  actors: [Worker],
  drainMsMax: Number(drainMsMax),
  closeOnSignals: true,
})
for (const id of ids) {
  for (const n of [1, 2, 3]) await pontoon.tell(Worker.ref(id), "Work", { n }, { idempotencyKey: `${n}` })
}
console.log("open")
// As a server would.
setInterval(() => {}, 60_000)
