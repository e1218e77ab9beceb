/**
 * Processor time per durable ask (user and system), ours and the plain loop's, on a folder without a disk behind it: far
 * steadier than wall time on a busy machine. What the steps in packages/runtime/ARCHITECTURE.md were decided by.
 *
 *     node packages/store/bench/askCost.ts [CALLERS] [ASKS] [ROUNDS] [ours|plain|both]
 *     node --cpu-prof packages/store/bench/askCost.ts 64 100000 1 ours
 */
import { mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Actor, ActorSystem } from "@pontoon/runtime"
import { Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteStore } from "../src/index.ts"
import { plainLoop } from "./plainLoop.ts"

const ACTORS = 1_024
const [callers = 64, asks = 60_000, rounds = 3] = process.argv.slice(2, 5).map(Number)
const side = process.argv[5] ?? "both"
const text = "x".repeat(256 - '{"text":""}'.length)

const Bench = Actor.make("bench", {
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

const cpuUs = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since)
  return user + system
}

const ours = (file: string): Promise<number> => {
  const measured = Effect.gen(function* () {
    const system = yield* ActorSystem
    const run = (count: number) => {
      let left = count
      const caller = Effect.gen(function* () {
        while (left-- > 0) yield* system.ask(Bench.ref(`${Math.floor(Math.random() * ACTORS)}`), "ask", { text })
      })
      return Effect.all(
        Array.from({ length: callers }, () => caller),
        { concurrency: "unbounded", discard: true },
      )
    }
    yield* run(asks / 4)
    const before = process.cpuUsage()
    yield* run(asks)
    return cpuUs(before) / asks
  })
  const layer = ActorSystem.layer({ actors: [Bench] }).pipe(Layer.provide(SqliteStore.layer(file)))
  return Effect.runPromise(Effect.provide(measured, layer))
}

const plain = async (file: string): Promise<number> => {
  await plainLoop({ file, callers, actors: ACTORS, asks: asks / 4 })
  const before = process.cpuUsage()
  await plainLoop({ file, callers, actors: ACTORS, asks })
  return cpuUs(before) / asks
}

const folder = mkdtempSync("/dev/shm/pontoon-ask-cost-")
try {
  const us: Record<string, Array<string>> = { ours: [], plain: [] }
  for (let round = 0; round < rounds; round++) {
    if (side !== "plain") us.ours!.push((await ours(join(folder, `ours-${round}.db`))).toFixed(1))
    if (side !== "ours") us.plain!.push((await plain(join(folder, `plain-${round}.db`))).toFixed(1))
  }
  console.log(`${callers} callers, us of processor time per ask: ours ${us.ours}; plain loop ${us.plain}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
