/** What cannot be asked of an engine's process is one sentence, and nothing is started. */
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { Engine } from "../../src/index.ts"
import { fixture } from "../support/engines.ts"

const run = Effect.runPromise
const folder = fixture("tiny-decoder")

/** What no type checker has seen. */
const fromJavaScript: "thread" = JSON.parse('"vm"')

describe("an engine refuses", () => {
  it.each([
    ["an unknown isolation", { isolation: fromJavaScript }, 'isolation is "process" or "thread", not "vm"'],
    ["an environment for a thread", { isolation: "thread", env: { A: "1" } }, "a thread has the environment of this"],
    [
      "a heap that Node cannot start with",
      { heapBytesMax: 1e6 },
      "heapBytesMax is at least 16777216 (16 MiB), not 1000000",
    ],
    ["a silence of no time", { silenceMsMax: 0 }, "silenceMsMax is a number of milliseconds above 0, not 0"],
    ["a silence that is no number", { silenceMsMin: Number.NaN }, "silenceMsMin is a number of milliseconds above 0"],
    ["an end that never comes", { stopMsMax: Number.POSITIVE_INFINITY }, "stopMsMax is a number of milliseconds"],
    ["a load of negative time", { loadMsMax: -1 }, "loadMsMax is a number of milliseconds above 0, not -1"],
    ["no threads", { intraOpNumThreads: 0 }, "intraOpNumThreads"],
  ] as const)("%s", async (_, options, says) => {
    const failure = await run(Effect.flip(Effect.scoped(Engine.decoder({ folder, ...options }))))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(failure.message).toContain('Model "tiny-decoder": an option is not valid: ')
    expect(failure.message).toContain(says)
  })

  it("terms of its own in a process that is shared, and a shared one terms that are none", async () => {
    const program = Effect.gen(function* () {
      const host = yield* Engine.host()
      return yield* Effect.flip(Engine.decoder({ folder, host, env: {} }))
    })
    const failure = await run(Effect.scoped(program))
    expect(failure.message).toContain("env is a matter of its host's process; say it in Engine.host, or leave host out")
    const wrong = await run(Effect.flip(Effect.scoped(Engine.host({ silenceMsMax: -5 }))))
    expect(wrong.message).toContain("silenceMsMax is a number of milliseconds above 0, not -5")
  })
})
