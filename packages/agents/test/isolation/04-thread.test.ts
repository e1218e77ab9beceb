/** An engine in a thread: the same answers, and what it gives up. */
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Engine, type GenerateRequest } from "../../src/index.ts"
import { answer, fixture, openDecoder, user } from "../support/engines.ts"

const run = Effect.runPromise
const folder = fixture("tiny-decoder")
const long: GenerateRequest = {
  prompt: [user("the ring")],
  sampling: { maxTokens: 60, temperature: 0.7, topK: 5, seed: 1 },
}
const openThread = () => openDecoder({ folder, dtype: "fp32", isolation: "thread", name: "thread" })

describe("an engine in a thread", () => {
  let engine: Awaited<ReturnType<typeof openThread>>
  beforeAll(async () => {
    engine = await openThread()
  })
  afterAll(() => engine.close())

  it("answers as one in a process does", async () => {
    const { handle, close } = await openDecoder({ folder, dtype: "fp32" })
    const inProcess = await run(answer(handle.target, long))
    expect((await run(answer(engine.handle.target, long))).tokenIds).toEqual(inProcess.tokenIds)
    expect(engine.handle.pid).toBe(process.pid)
    expect(handle.pid).not.toBe(process.pid)
    await close()
  })

  it("takes no step after a reader has gone", async () => {
    const { counters, setStepDelayMs, target } = engine.handle
    await run(setStepDelayMs(5))
    await run(Stream.runCollect(Stream.take(target.generate(long), 1)))
    const left = await run(counters)
    expect(left.runningRequests + left.waitingRequests).toBe(0)
    await run(setStepDelayMs(0))
  })

  it("fails what it is asked when it runs out of heap, and this process lives", async () => {
    const small = await openDecoder({ folder, dtype: "fp32", isolation: "thread", heapBytesMax: 48 * 1024 * 1024 })
    await run(small.handle.setStepDelayMs(5))
    const asked = Effect.runFork(Effect.flip(answer(small.handle.target, long)))
    await run(small.handle.counters)
    await run(small.handle.sufferFault("exhaustHeap"))
    const failure = await run(Fiber.join(asked))
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "memory" })
    expect(failure.message).toContain(`of ${process.pid}) ran out of memory; it said: `)
    await small.close()
  })

  it("is gone when its scope has closed, with an answer half made", async () => {
    const scope = Scope.makeUnsafe()
    const handle = await run(Engine.decoder({ folder, dtype: "fp32", isolation: "thread" }).pipe(Scope.provide(scope)))
    await run(handle.setStepDelayMs(5))
    const half = Effect.runFork(Effect.flip(answer(handle.target, long)))
    await run(handle.counters)
    await run(Scope.close(scope, Exit.void))
    expect(await run(Fiber.join(half))).toMatchObject({ _tag: "RetryableModelCrash", reason: "stopped" })
  })

  it("is abandoned, and not ended, when it hangs", async () => {
    const program = Effect.gen(function* () {
      const handle = yield* Engine.decoder({ folder, dtype: "fp32", isolation: "thread", silenceMsMax: 4_000 })
      yield* handle.sufferFault("hang")
      const stuck = yield* Effect.forkChild(Effect.flip(answer(handle.target, long)), { startImmediately: true })
      yield* TestClock.adjust(6_000)
      return yield* Fiber.join(stuck)
    })
    const failure = await run(program.pipe(Effect.scoped, Effect.provide(TestClock.layer({ warningDelay: "1 hour" }))))
    expect(failure).toMatchObject({ _tag: "RetryableModelCrash", reason: "hang", code: null, signal: null })
    expect(failure.message).toMatch(/its thread \(\d+ of \d+\) was abandoned because it had not answered for 4000 ms/)
  })
})
