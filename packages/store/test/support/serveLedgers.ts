/**
 * A process with ledgers on FILE whose callers never pause, and try again when they are told to. A line for each: `answered KEY
 * REPLY`, `refused REASON SENTENCE`, `said LEVEL SENTENCE`. SIGTERM drains it.
 */
import { Cause, Effect, Fiber } from "effect"
import { openLedgers, Told } from "./ledger.ts"
import { say } from "./say.ts"

const file = process.argv[2]!
// A write past the limit of a file's size; without a listener it ends the process.
process.on("SIGXFSZ", () => {})

const serve = Effect.gen(function* () {
  const ledgers = yield* openLedgers(file)
  const told = new Told()
  const caller = Effect.fnUntraced(function* (name: number) {
    for (let n = 0; ; n++) {
      const key = `${name}-${n}`
      yield* told.add(ledgers, key, { id: `${name % 4}`, pad: 1_000 })
      say(`answered ${key} ${told.answers.get(key)}`)
      told.answers.delete(key)
    }
  })
  const news = Effect.gen(function* () {
    const known = new Set<string>()
    let heard = 0
    for (;;) {
      for (const [reason, sentences] of told.refusals) {
        for (const each of sentences) if (!known.has(each)) say(`refused ${reason} ${each}`)
        for (const each of sentences) known.add(each)
      }
      for (const line of ledgers.said.slice(heard)) say(`said ${line}`)
      heard = ledgers.said.length
      yield* Effect.sleep(5)
    }
  })
  yield* Effect.all([news, ...Array.from({ length: 8 }, (_, name) => caller(name))], { concurrency: "unbounded" })
})

const fiber = Effect.runFork(
  Effect.scoped(Effect.tapCause(serve, (cause) => Effect.sync(() => say(`failed ${Cause.pretty(cause)}`)))),
)
process.on("SIGTERM", () => void Effect.runPromise(Fiber.interrupt(fiber)))
