import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Engine, type GenerateRequest, type GenerationEvent } from "../src/index.ts"
import { answer, fixture, openDecoder, user } from "./support/engines.ts"

const folder = fixture("tiny-decoder")
/** An answer of exactly `maxTokens` tokens: at this temperature the model hits its end token late, and the seed is fixed. */
const long = (maxTokens: number, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  prompt: [user("the ring")],
  sampling: { maxTokens, temperature: 0.7, topK: 5, seed: 1 },
  ...more,
})
const run = Effect.runPromise
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("an engine with one slot and a queue of two", () => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  beforeAll(async () => {
    engine = await openDecoder({ folder, dtype: "fp32", slots: 1, queueMax: 2 })
  })
  afterAll(() => engine.close())
  const target = () => engine.handle.target

  it.each([
    { name: "a temperature out of range", sampling: { temperature: 11 }, says: "temperature" },
    { name: "an empty stop string", sampling: { stop: [""] }, says: "a stop string is empty" },
    { name: "half a character to stop at", sampling: { stop: ["\ud83d"] }, says: "not well-formed Unicode" },
  ])("refuses $name", async ({ sampling, says }) => {
    const failure = await run(Effect.flip(answer(target(), { prompt: [user("hi")], sampling })))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(failure.message).toContain(says)
  })

  it("refuses an empty prompt, and token ids that are not its own", async () => {
    const empty = await run(Effect.flip(answer(target(), { prompt: [], sampling: {} })))
    expect(empty.message).toBe('Model "tiny-decoder": the prompt has no messages.')
    const strange = await run(
      Effect.flip(answer(target(), { prompt: [user("a")], sampling: {}, resumeTokenIds: [1, 9999] })),
    )
    expect(strange).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(strange.message).toContain("9999, which is none of its 269 token ids")
  })

  it("refuses a prompt that does not fit, and cuts it where it may", async () => {
    const prompt = [user("a".repeat(100)), user("b".repeat(100)), user("c".repeat(60))]
    const sampling = { maxTokens: 32 }
    const failure = await run(Effect.flip(answer(target(), { prompt, sampling })))
    expect(failure).toMatchObject({ _tag: "TerminalPromptTooLong", contextLength: 256 })
    expect(failure.message).toContain("together they exceed its context of 256")
    const cut = await run(answer(target(), { prompt, sampling, overflow: "drop-oldest" }))
    expect(cut.finished.cut).toMatchObject({ rule: "drop-oldest", droppedTurns: 1 })
    expect(cut.finished.usage.promptTokens + cut.finished.cut!.droppedTokens).toBeGreaterThan(256 - 32)
  })

  it("stops a request whose deadline has passed, and says how far it came", async () => {
    const failure = await run(Effect.flip(answer(target(), long(100, { deadlineAtMs: 1 }))))
    expect(failure).toMatchObject({ _tag: "RetryableModelBusy" })
    expect(failure.message).toContain("deadline passed while it waited for a slot")
  })

  it("takes no step after a reader has gone", async () => {
    const { counters, setStepDelayMs } = engine.handle
    await run(setStepDelayMs(5))
    const first = await run(Stream.runCollect(Stream.take(target().generate(long(200)), 1)))
    expect(first[0]?._tag).toBe("Tokens")
    const left = await run(counters)
    await run(setStepDelayMs(0))
    // The next answer is complete, so many steps have been possible since: none of them was the first one's.
    const next = await run(answer(target(), long(10)))
    const after = await run(counters)
    expect(left.runningRequests + left.waitingRequests).toBe(0)
    expect(after.steps - left.steps).toBeLessThanOrEqual(1 + next.tokenIds.length)
  })

  it("runs one and lets two wait; the fourth is told so with numbers", async () => {
    const program = Effect.gen(function* () {
      yield* engine.handle.setStepDelayMs(5)
      const running = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(answer(target(), long(8)), { startImmediately: true }),
      )
      // The requests are open as soon as their fibers have run, which this answer of the process shows.
      yield* engine.handle.counters
      const failure = yield* Effect.flip(answer(target(), long(8)))
      yield* engine.handle.setStepDelayMs(0)
      const answers = yield* Effect.forEach(running, (fiber) => Fiber.join(fiber))
      return { failure, answers }
    })
    const { answers, failure } = await run(program)
    expect(failure).toMatchObject({
      _tag: "RetryableModelBusy",
      message: 'Model "tiny-decoder": 1 requests run and 2 wait, and queueMax is 2; try again later, or raise it.',
    })
    expect(answers.map(({ text }) => text)).toEqual([answers[0]!.text, answers[0]!.text, answers[0]!.text])
  })
})

describe("an engine with two slots", () => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  beforeAll(async () => {
    engine = await openDecoder({ folder, dtype: "fp32", slots: 2, cachedConversationsMax: 2, prefillChunkTokens: 16 })
  })
  afterAll(() => engine.close())
  const target = () => engine.handle.target

  it("makes two answers in turns, each as if it were alone", async () => {
    const order: Array<string> = []
    const watched = (name: string, request: GenerateRequest) =>
      Stream.runCollect(
        Stream.tap(target().generate(request), (event) =>
          Effect.sync(() => {
            if (event._tag === "Tokens") order.push(...event.tokenIds.map(() => name))
          }),
        ),
      )
    const tokensOf = (events: ReadonlyArray<GenerationEvent>) =>
      events.flatMap((event) => (event._tag === "Tokens" ? event.tokenIds : []))
    const a = long(30)
    const b = long(30, { sampling: { maxTokens: 30, temperature: 1, seed: 9 } })
    const alone = [await run(answer(target(), a)), await run(answer(target(), b))]
    // Both are there before the first step is taken.
    const program = Effect.gen(function* () {
      yield* engine.handle.setStepDelayMs(1e9)
      const watching = yield* Effect.forEach([watched("a", a), watched("b", b)], (effect) =>
        Effect.forkChild(effect, { startImmediately: true }),
      )
      // Requests and this question travel in order, so its answer counts both.
      expect((yield* engine.handle.counters).waitingRequests).toBe(2)
      yield* engine.handle.setStepDelayMs(1)
      return yield* Effect.forEach(watching, (fiber) => Fiber.join(fiber))
    })
    const both = await run(program)
    await run(engine.handle.setStepDelayMs(0))
    expect(both.map(tokensOf)).toEqual(alone.map(({ tokenIds }) => tokenIds))
    // While both run, neither gets far ahead of the other. (Turns are counted exactly in the scheduler's own test; here two
    // readers hear of them, and one may hear of several at once.)
    const end = Math.min(order.lastIndexOf("a"), order.lastIndexOf("b"))
    expect(end).toBeGreaterThan(20)
    let ahead = 0
    for (const name of order.slice(0, end)) {
      ahead += name === "a" ? 1 : -1
      expect(Math.abs(ahead)).toBeLessThan(10)
    }
  })

  it("does not read again what it has read of a conversation, and says the same", async () => {
    const opening = user("where in the inner ring is the thing that the ant then ate?")
    const first = await run(
      answer(target(), { prompt: [opening], sampling: { maxTokens: 12, temperature: 1, seed: 5 }, cacheKey: "c1" }),
    )
    const prompt = [opening, { role: "assistant" as const, content: first.text }, user("and then?")]
    const sampling = { maxTokens: 12, temperature: 1, seed: 6 }
    const warm = await run(answer(target(), { prompt, sampling, cacheKey: "c1" }))
    const forgetful = await openDecoder({ folder, dtype: "fp32", cachedConversationsMax: 0, prefillChunkTokens: 16 })
    await run(answer(forgetful.handle.target, { prompt, sampling }))
    const cold = await run(answer(forgetful.handle.target, { prompt, sampling }))
    await forgetful.close()
    expect(cold.finished.usage.cachedTokens).toBe(0)
    expect(warm.finished.usage.cachedTokens).toBeGreaterThan(40)
    expect(warm.tokenIds).toEqual(cold.tokenIds)
  })

  it("keeps no more conversations than it may", async () => {
    const ask = (key: string) =>
      run(answer(target(), { prompt: [user(`${key} the inner ring`)], sampling: { maxTokens: 4 }, cacheKey: key }))
    for (const key of ["2c", "3c", "4c", "5c"]) await ask(key)
    expect(await run(engine.handle.counters)).toMatchObject({ cachedConversations: 2 })
    const again = await ask("5c")
    expect(again.finished.usage.cachedTokens).toBe(again.finished.usage.promptTokens - 1)
    // What every prompt of this template begins with may still be there.
    const forgotten = await ask("2c")
    expect(forgotten.finished.usage.cachedTokens).toBeLessThan(4)
  })

  it("describes itself", () => {
    expect(target().describe).toMatchObject({
      name: "tiny-decoder",
      provider: "cpu",
      tried: [],
      contextLength: 256,
      slots: 2,
      capabilities: { seed: true, stop: true, resume: true, tokenIds: true },
    })
    expect(target().describe.weightsHash).toMatch(/^[0-9a-f]{64}$/)
  })
})

describe("a model's process", () => {
  it("may be killed in the middle of an answer: the answer fails, the host lives", async () => {
    const engine = await openDecoder({ folder, dtype: "fp32", name: "victim" })
    const { pid, setStepDelayMs, target } = engine.handle
    await run(setStepDelayMs(5))
    const died = Effect.runFork(Effect.flip(target.died))
    const failure = await run(
      Effect.flip(Stream.runForEach(target.generate(long(200)), () => Effect.sync(() => process.kill(pid, "SIGKILL")))),
    )
    expect(failure).toMatchObject({
      _tag: "RetryableModelCrash",
      model: "victim",
      message: `Model "victim": its process (${pid}) was killed by SIGKILL.`,
    })
    expect(await run(Fiber.join(died))).toBe(failure)
    // It is not started again by itself.
    expect(await run(Effect.flip(answer(target, long(4))))).toBe(failure)
    expect(await run(Effect.flip(engine.handle.counters))).toBe(failure)
    await engine.close()
  })

  it("is gone when its scope has closed, also with an answer half made", async () => {
    const scope = Scope.makeUnsafe()
    const handle = await run(Engine.decoder({ folder, dtype: "fp32" }).pipe(Scope.provide(scope)))
    await run(handle.setStepDelayMs(5))
    const half = Effect.runFork(Effect.flip(answer(handle.target, long(200))))
    await run(handle.counters)
    await run(Scope.close(scope, Exit.void))
    expect(isAlive(handle.pid)).toBe(false)
    expect((await run(Fiber.join(half))).message).toContain("was stopped")
  })

  it("is killed when it owes an answer and says nothing", async () => {
    const program = Effect.gen(function* () {
      const handle = yield* Engine.decoder({ folder, dtype: "fp32", silenceMsMax: 8000 })
      // As good as a step that never ends.
      yield* handle.setStepDelayMs(1e9)
      const stuck = yield* Effect.forkChild(Effect.flip(answer(handle.target, long(8))), { startImmediately: true })
      // Whatever the process said when it began has been heard by the time it answers this.
      yield* handle.counters
      yield* TestClock.adjust(7999)
      expect(isAlive(handle.pid)).toBe(true)
      yield* TestClock.adjust(2001)
      const failure = yield* Fiber.join(stuck)
      expect(failure._tag).toBe("RetryableModelCrash")
      expect(failure.message).toContain("killed because it had not answered for 8000 ms (silenceMsMax)")
    })
    // Loading takes real time, during which this clock stands still: no reason to warn.
    await run(program.pipe(Effect.scoped, Effect.provide(TestClock.layer({ warningDelay: "1 hour" }))))
  })
})

describe("providers", () => {
  it("are tried in order, and say why one was not taken", async () => {
    const engine = await openDecoder({ folder, dtype: "fp32", providers: ["no-such-device", "cpu"] })
    expect(engine.handle.target.describe.provider).toBe("cpu")
    expect(engine.handle.target.describe.tried).toHaveLength(1)
    expect(engine.handle.target.describe.tried[0]).toMatchObject({ provider: "no-such-device" })
    expect(engine.handle.target.describe.tried[0]?.reason).toContain("no available backend found")
    await engine.close()
  })
})
