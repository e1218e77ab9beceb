/**
 * Durable asks that come when they come: an open loop of Poisson arrivals at half of what 64 callers in a closed loop get
 * done, each timed from the moment at which it was due, so that a side which stalls is charged for all that it kept waiting.
 * `npm run bench -- arrivals`.
 */
import { Effect } from "effect"
import { ACTORS, BODY_LENGTH, delayDuring, inFolder, type Result, resultOf } from "./askFor.ts"
import { ask, type BenchSystem, runSystem, withSystem } from "./benchSystem.ts"
import { plainLoop, poisson } from "./plainLoop.ts"

const SECONDS = 3
const CLOSED_SECONDS = 1.5

let rate: Promise<number> | undefined

/** Half of the rate of 64 callers: measured once, by ours, and the same for both sides. */
const halfRate = (): Promise<number> => {
  rate ??= inFolder((file) => runSystem(file, 64, CLOSED_SECONDS)).then(({ asksPerSecond }) => asksPerSecond / 2)
  return rate
}

const arrive = async (system: BenchSystem, perSecond: number, seconds: number): Promise<Result> => {
  const durationsMs: Array<number> = []
  const startMs = performance.now()
  const next = poisson(perSecond, startMs, Math.random)
  const delayMs = await delayDuring(async () => {
    for (let atMs = next(); atMs < startMs + seconds * 1_000; ) {
      for (; atMs <= performance.now(); atMs = next()) {
        const dueMs = atMs
        const asked = ask(system)(`${Math.floor(Math.random() * ACTORS)}`)
        Effect.runFork(asked).addObserver(() => durationsMs.push(performance.now() - dueMs))
      }
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  })
  const elapsedMs = performance.now() - startMs
  // The last ones.
  while ((await Effect.runPromise(system.unfinished)) > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  return resultOf(durationsMs, elapsedMs, delayMs)
}

const metrics = ({ asksPerSecond, delayMs, p50Ms, p99Ms }: Result) => ({
  "asks/s": asksPerSecond,
  "p50 ms": p50Ms,
  "p99 ms": p99Ms,
  "loop delay p99 ms": delayMs,
})

export default {
  conditions: [
    "schema, indexes and durability: as in the benchmark mailbox, on both sides",
    `actors: ${ACTORS}, chosen at random; body, reply and state ${BODY_LENGTH} characters of JSON, on both sides`,
    "arrivals: Poisson, at half of the rate that ours reaches with 64 callers in a closed loop, measured first",
    `${SECONDS} s a run after ${SECONDS / 4} s of warming up, in one process, a new file a run`,
  ],
  cases: [
    {
      name: "open loop",
      peer: "the same SQL in a plain loop",
      runOurs: async () => {
        const perSecond = await halfRate()
        return inFolder((file) =>
          withSystem(file, async (system) => {
            await arrive(system, perSecond, SECONDS / 4)
            return metrics(await arrive(system, perSecond, SECONDS))
          }),
        )
      },
      runPeer: async () => {
        const arrivalsPerSecond = await halfRate()
        return inFolder(async (file) => {
          const options = { file, callers: 0, arrivalsPerSecond, actors: ACTORS, bodyLength: BODY_LENGTH }
          await plainLoop({ ...options, seconds: SECONDS / 4 })
          return metrics(await plainLoop({ ...options, seconds: SECONDS }))
        })
      },
    },
  ],
}
