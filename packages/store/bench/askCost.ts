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
import { Effect } from "effect"
import { ACTORS } from "./askFor.ts"
import { ask, withSystem } from "./benchSystem.ts"
import { plainLoop } from "./plainLoop.ts"

const [callers = 64, asks = 20_000, rounds = 8] = process.argv.slice(2, 5).map(Number)
const side = process.argv[5] ?? "both"
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

const ours = (file: string): Promise<Cost> =>
  withSystem(file, async (system) => {
    const askOnce = ask(system)
    const run = (asked: number): Promise<void> => {
      let left = asked
      const caller = Effect.gen(function* () {
        while (left-- > 0) yield* askOnce(`${Math.floor(Math.random() * ACTORS)}`)
      })
      const all = Array.from({ length: callers }, () => caller)
      return Effect.runPromise(Effect.all(all, { concurrency: "unbounded", discard: true }))
    }
    await run(asks / 4)
    const cost = count()
    await run(asks)
    return cost()
  })

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
