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

/** Without an answer for so long, in milliseconds, the log is in trouble. */
const STILL_MS = 100
const FRESH_MAX = 200

const serve = Effect.gen(function* () {
  const ledgers = yield* openLedgers(file)
  const told = new Told()
  let answered = 0
  const add = Effect.fnUntraced(function* (key: string, id: string) {
    yield* told.add(ledgers, key, { id, pad: 1_000 })
    answered++
    say(`answered ${key} ${told.answers.get(key)}`)
    told.answers.delete(key)
  })
  const caller = Effect.fnUntraced(function* (name: number) {
    for (let n = 0; ; n++) yield* add(`${name}-${n}`, `${name % 4}`)
  })
  // All callers may wait for commits that are kept until they can be written; who comes then is refused.
  const fresh = Effect.gen(function* () {
    for (let n = 0; n < FRESH_MAX; ) {
      const before = answered
      yield* Effect.sleep(STILL_MS)
      if (answered === before) yield* Effect.forkScoped(add(`fresh-${n}`, `f${n++}`))
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
  yield* Effect.all([news, fresh, ...Array.from({ length: 8 }, (_, name) => caller(name))], {
    concurrency: "unbounded",
  })
})

const fiber = Effect.runFork(
  Effect.scoped(Effect.tapCause(serve, (cause) => Effect.sync(() => say(`failed ${Cause.pretty(cause)}`)))),
)
process.on("SIGTERM", () => void Effect.runPromise(Fiber.interrupt(fiber)))
