/**
 * `npm run simulate -- [--seeds N] [--from S] [--messages M]`: simulates the runtime under N seeds from S on (defaults 1,000
 * from 1, with 30 messages from outside each). The last line counts what was run, with a digest over all of it: the same
 * command on the same sources says the same. At the first seed that fails, prints the shortest history found for it, and
 * exits with 1; 2 for a command that was called wrongly.
 */
import { createHash } from "node:crypto"
import { parseArgs } from "node:util"
import { describeFailure, showProgress, simulate } from "../src/testing/index.ts"

const USAGE = "usage: npm run simulate -- [--seeds N] [--from S] [--messages M]"

const readArguments = () => {
  const args = process.argv.slice(2).filter((argument) => argument !== "--")
  const options = { seeds: { type: "string" }, from: { type: "string" }, messages: { type: "string" } } as const
  const { values } = parseArgs({ args, options })
  const numberOf = (name: keyof typeof options, fallback: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name])
    if (Number.isSafeInteger(value) && value > 0) return value
    throw new Error(`--${name} must be a whole number, 1 or more; it is "${values[name]}".`)
  }
  return { seeds: numberOf("seeds", 1_000), from: numberOf("from", 1), messages: numberOf("messages", 30) }
}

const count = (value: number): string => value.toLocaleString("en")

const main = (): 0 | 1 | 2 => {
  let parsed: ReturnType<typeof readArguments>
  try {
    parsed = readArguments()
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`)
    return 2
  }
  const { from, messages, seeds } = parsed
  const bar = showProgress("seeds", seeds)
  const digest = createHash("sha256")
  const startedAtMs = performance.now()
  let [sent, commits, processes] = [0, 0, 0]
  for (let seed = from; seed < from + seeds; seed++) {
    const simulated = simulate(seed, { messages })
    if (simulated.violations.length > 0) {
      bar.clear()
      console.log(describeFailure(simulated))
      console.log(`${count(seed - from)} seeds from ${from} on were clean; seed ${seed} failed`)
      return 1
    }
    sent += simulated.messages
    commits += simulated.commits
    processes += simulated.processes
    digest.update(simulated.digest)
    bar.advance(seed - from + 1)
  }
  bar.clear()
  const seconds = (performance.now() - startedAtMs) / 1_000
  const speed = `${seconds.toFixed(1)} s (${count(Math.round(sent / seconds))} messages/s)`
  const what = `${count(sent)} messages, ${count(commits)} commits, ${count(processes)} processes`
  console.log(`${count(seeds)} seeds from ${from} on, all clean: ${what} in ${speed}`)
  console.log(`digest ${digest.digest("hex").slice(0, 16)}`)
  return 0
}

process.exitCode = main()
