/** Several models in one process: each as if it were alone, and all gone with it. */
import { Effect, Exit, Fiber, Scope } from "effect"
import { describe, expect, it } from "vitest"
import { Engine, type EngineHost, type GenerateRequest } from "../../src/index.ts"
import { answer, fixture, openDecoder, user } from "../support/engines.ts"
import { isAlive } from "../support/isAlive.ts"

const run = Effect.runPromise
const folder = fixture("tiny-decoder")
const long = (maxTokens: number): GenerateRequest => ({
  prompt: [user("the ring")],
  sampling: { maxTokens, temperature: 0.7, topK: 5, seed: 1 },
})
const openIn = (host: EngineHost, name: string, more: { readonly folder?: string } = {}) =>
  Engine.decoder({ folder, dtype: "fp32", host, name, ...more })

describe("a process of several models", () => {
  it("answers for each as if it were alone, steps taking turns", async () => {
    const alone = await openDecoder({ folder, dtype: "fp32" })
    const expected = await run(answer(alone.handle.target, long(40)))
    await alone.close()
    const program = Effect.gen(function* () {
      const host = yield* Engine.host()
      const a = yield* openIn(host, "a")
      const b = yield* openIn(host, "b")
      const reader = yield* Engine.encoder({ folder: fixture("tiny-encoder"), host })
      expect([b.pid, reader.pid]).toEqual([a.pid, a.pid])
      const asked = [a, b, a, b].map(({ target }) => answer(target, long(40)))
      const answers = yield* Effect.all(asked, { concurrency: "unbounded" })
      const vectors = yield* reader.target.embed(["the ring"])
      const counters = yield* Effect.all([a.counters, b.counters, reader.counters])
      return { answers, vectors, steps: counters.map(({ steps }) => steps) }
    })
    const { answers, steps, vectors } = await run(Effect.scoped(program))
    expect(answers.map(({ tokenIds }) => tokenIds)).toEqual(answers.map(() => expected.tokenIds))
    expect(vectors).toHaveLength(1)
    // Each counts its own.
    expect(Math.min(...steps)).toBeGreaterThan(0)
    expect(steps[0]).toBeGreaterThan(steps[2] ?? 0)
  })

  it("loses all of them at once, and is started anew by the first that is opened again", async () => {
    const program = Effect.gen(function* () {
      const host = yield* Engine.host()
      const a = yield* openIn(host, "a")
      const b = yield* openIn(host, "b")
      yield* b.setStepDelayMs(5)
      const half = yield* Effect.forkChild(Effect.flip(answer(b.target, long(200))), { startImmediately: true })
      yield* b.counters
      process.kill(a.pid, "SIGKILL")
      const failures = [yield* Effect.flip(a.target.died), yield* Fiber.join(half)]
      const again = yield* Effect.all([openIn(host, "a"), openIn(host, "b")], { concurrency: "unbounded" })
      const answers = yield* Effect.all(again.map(({ target }) => answer(target, long(8))))
      return { old: a.pid, failures, pids: again.map(({ pid }) => pid), answers }
    })
    const { answers, failures, old, pids } = await run(Effect.scoped(program))
    expect(failures).toMatchObject([
      { model: "a", reason: "killed", message: `Model "a": its process (${old}) was killed by SIGKILL.` },
      { model: "b", reason: "killed" },
    ])
    expect(pids[0]).toBe(pids[1])
    expect(pids[0]).not.toBe(old)
    expect(answers).toHaveLength(2)
  })

  it("lets one go and keeps the others, ends with the last, and comes back for the next", async () => {
    const program = Effect.gen(function* () {
      const host = yield* Engine.host()
      const [one, other] = [Scope.makeUnsafe(), Scope.makeUnsafe()]
      const a = yield* Scope.provide(openIn(host, "a"), one)
      const b = yield* Scope.provide(openIn(host, "b"), other)
      yield* a.setStepDelayMs(5)
      const half = yield* Effect.forkChild(Effect.flip(answer(a.target, long(200))), { startImmediately: true })
      yield* a.counters
      yield* Scope.close(one, Exit.void)
      expect(yield* Fiber.join(half)).toMatchObject({ _tag: "RetryableModelCrash", reason: "stopped" })
      expect((yield* answer(b.target, long(8))).tokenIds.length).toBe(8)
      expect(isAlive(b.pid)).toBe(true)
      yield* Scope.close(other, Exit.void)
      expect(isAlive(b.pid)).toBe(false)
      const c = yield* openIn(host, "c")
      expect(c.pid).not.toBe(b.pid)
      expect((yield* answer(c.target, long(8))).tokenIds.length).toBe(8)
      return c.pid
    })
    expect(isAlive(await run(Effect.scoped(program)))).toBe(false)
  })

  it("keeps its models when one of them cannot be loaded", async () => {
    const program = Effect.gen(function* () {
      const host = yield* Engine.host()
      const a = yield* openIn(host, "a")
      const failure = yield* Effect.flip(openIn(host, "b", { folder: "/nowhere" }))
      expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "missing", model: "b" })
      return (yield* answer(a.target, long(8))).tokenIds.length
    })
    expect(await run(Effect.scoped(program))).toBe(8)
  })
})
