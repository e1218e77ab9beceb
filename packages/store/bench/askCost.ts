/**
 * Processor time per durable ask (user and system), ours and the plain loop's, on a folder without a disk behind it: far
 * steadier than wall time on a busy machine. The main thread's, which bounds the throughput, and after the slash that of
 * all threads, the collector's and the compiler's among them. What the steps in packages/runtime/ARCHITECTURE.md were
 * decided by: the least of many short rounds, taken in turn.
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
const [callers = 64, asks = 20_000, rounds = 8] = process.argv.slice(2, 5).map(Number)
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

interface Cost {
  readonly mainUs: number
  readonly allUs: number
}

/** Starts to count; the result ends it, and shares it among `asks`. */
const count = (): (() => Cost) => {
  const main = process.threadCpuUsage()
  const all = process.cpuUsage()
  return () => {
    const mainUsage = process.threadCpuUsage(main)
    const allUsage = process.cpuUsage(all)
    return {
      mainUs: (mainUsage.user + mainUsage.system) / asks,
      allUs: (allUsage.user + allUsage.system) / asks,
    }
  }
}

const ours = (file: string): Promise<Cost> => {
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
    const cost = count()
    yield* run(asks)
    return cost()
  })
  const layer = ActorSystem.layer({ actors: [Bench] }).pipe(Layer.provide(SqliteStore.layer(file)))
  return Effect.runPromise(Effect.provide(measured, layer))
}

const plain = async (file: string): Promise<Cost> => {
  await plainLoop({ file, callers, actors: ACTORS, asks: asks / 4 })
  const cost = count()
  await plainLoop({ file, callers, actors: ACTORS, asks })
  return cost()
}

const folder = mkdtempSync("/dev/shm/pontoon-ask-cost-")
try {
  const costs: { readonly ours: Array<Cost>; readonly plain: Array<Cost> } = { ours: [], plain: [] }
  for (let round = 0; round < rounds; round++) {
    if (side !== "plain") costs.ours.push(await ours(join(folder, `ours-${round}.db`)))
    if (side !== "ours") costs.plain.push(await plain(join(folder, `plain-${round}.db`)))
  }
  const least = (of: ReadonlyArray<Cost>): string => {
    const main = Math.min(...of.map(({ mainUs }) => mainUs))
    const all = Math.min(...of.map(({ allUs }) => allUs))
    return `${main.toFixed(1)} / ${all.toFixed(1)}`
  }
  console.log(
    `${callers} callers, us of processor time per ask: ours ${least(costs.ours)}; plain loop ${least(costs.plain)}`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
