/**
 * What an actor costs that is in memory and does nothing: 100,000 of them, each of which has answered once, beside their
 * states in a plain Map. `npm run bench -- idle`.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Effect } from "effect"
import { BODY_LENGTH, inFolder, text } from "./askFor.ts"
import { ask, withSystem } from "./benchSystem.ts"

const IDLE = 100_000
const AT_ONCE = 512

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

/** After what nobody refers to is gone; twice, because finalizers let go of more. */
const usedBytes = (): number => {
  collect()
  collect()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

const runSystem = (): Promise<number> =>
  inFolder((file) =>
    withSystem(file, async (system) => {
      const askOnce = ask(system)
      const wake = (from: number, to: number) =>
        Effect.runPromise(
          Effect.forEach(
            Array.from({ length: to - from }, (_, nth) => from + nth),
            (nth) => askOnce(`${nth}`),
            { concurrency: AT_ONCE, discard: true },
          ),
        )
      // What is made once, and compiled, is nobody's.
      await wake(IDLE, IDLE + 2_000)
      const before = usedBytes()
      await wake(0, IDLE)
      return (usedBytes() - before) / IDLE
    }),
  )

const runMap = async (): Promise<number> => {
  const before = usedBytes()
  const states = new Map<string, { readonly text: string }>()
  for (let nth = 0; nth < IDLE; nth++) states.set(`${nth}`, JSON.parse(JSON.stringify({ text })))
  const bytes = (usedBytes() - before) / IDLE
  // Alive until here.
  return states.size === IDLE ? bytes : Number.NaN
}

export default {
  conditions: [
    `ours: ${IDLE.toLocaleString("en-US")} actors that have answered once and are idle, all in memory (residentMax 200,000)`,
    `state: ${BODY_LENGTH} characters of JSON, decoded, on both sides`,
    "heap and external memory after a full collection, less what there was before",
  ],
  cases: [
    {
      name: `${IDLE.toLocaleString("en-US")} idle actors`,
      peer: "their states in a Map",
      runOurs: async () => ({ "bytes each": await runSystem() }),
      runPeer: async () => ({ "bytes each": await runMap() }),
    },
  ],
}
