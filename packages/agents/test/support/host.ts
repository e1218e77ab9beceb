/**
 * A host to be killed: opens the folder it is given, says the model's pid on one line of stdout, and on SIGINT finishes
 * one more answer, says how many tokens it has, and ends.
 */
import { Deferred, Effect } from "effect"
import { Engine } from "../../src/index.ts"
import { answer, user } from "./engines.ts"

const program = Effect.gen(function* () {
  const { pid, target } = yield* Engine.decoder({ folder: process.argv[2] ?? "", dtype: "fp32" })
  const interrupted = Deferred.makeUnsafe<void>()
  process.once("SIGINT", () => Deferred.doneUnsafe(interrupted, Effect.void))
  // A listener for signals keeps no process alive.
  const awake = setInterval(() => {}, 60_000)
  process.stdout.write(`${pid}\n`)
  yield* Deferred.await(interrupted)
  clearInterval(awake)
  const { tokenIds } = yield* answer(target, { prompt: [user("a")], sampling: { maxTokens: 5 } })
  process.stdout.write(`${tokenIds.length}\n`)
})
await Effect.runPromise(Effect.scoped(program))
