import { Effect, Stream } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { generateMany, SAMPLES_MAX, type SampleEvent, sampleSeed } from "../../src/index.ts"
import { answer, fixture, openDecoder, user } from "../support/engines.ts"

const run = Effect.runPromise
const request = {
  prompt: [user("tell me all about the inner ring and about the ant that then ate it, please")],
  sampling: { maxTokens: 16, temperature: 1, seed: 7 },
}

describe("generateMany", () => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  beforeAll(async () => {
    engine = await openDecoder({ folder: fixture("tiny-decoder"), dtype: "fp32", slots: 3, queueMax: 0 })
  })
  afterAll(() => engine.close())

  const tokensOf = (events: ReadonlyArray<SampleEvent>, sample: number) =>
    events.flatMap(({ event, sample: of }) => (of === sample && event._tag === "Tokens" ? event.tokenIds : []))

  it("gives every sample what it would be alone, and reads the prompt once, with more samples than slots", async () => {
    const { target } = engine.handle
    const before = await run(engine.handle.counters)
    // A tiny model is done before a busy host has sent the next request: nobody would be there to share a step with.
    await run(engine.handle.setStepDelayMs(20))
    const events = [...(await run(Stream.runCollect(generateMany(target, request, 7))))]
    await run(engine.handle.setStepDelayMs(0))
    const finished = events.flatMap(({ event, sample }) => (event._tag === "Finished" ? [{ sample, event }] : []))
    expect(finished.map(({ sample }) => sample).sort()).toEqual([0, 1, 2, 3, 4, 5, 6])
    const { promptTokens } = finished[0]!.event.usage
    for (const { event, sample } of finished) {
      expect(event.usage.cachedTokens).toBe(sample === 0 ? 0 : promptTokens - 1)
    }
    const { steps } = await run(engine.handle.counters)
    expect(steps - before.steps).toBeLessThan(7 * 16)
    const alone = await openDecoder({ folder: fixture("tiny-decoder"), dtype: "fp32", cachedConversationsMax: 0 })
    for (let sample = 0; sample < 7; sample++) {
      const seed = sampleSeed(request.sampling.seed, sample)
      const { tokenIds } = await run(
        answer(alone.handle.target, { ...request, sampling: { ...request.sampling, seed } }),
      )
      expect(tokensOf(events, sample)).toEqual(tokenIds)
    }
    await alone.close()
    expect(new Set(Array.from({ length: 7 }, (_, sample) => tokensOf(events, sample).join())).size).toBe(7)
  })

  it("leaves nothing running when its reader goes", async () => {
    await run(Stream.runDrain(Stream.take(generateMany(engine.handle.target, request, 5), 4)))
    // The next answer comes after all cancels.
    await run(answer(engine.handle.target, request))
    expect(await run(engine.handle.counters)).toMatchObject({ runningRequests: 0, waitingRequests: 0 })
  })

  it.each([0, 1.5, SAMPLES_MAX + 1])("refuses %s samples", async (samples) => {
    const failure = await run(Effect.flip(Stream.runDrain(generateMany(engine.handle.target, request, samples))))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(failure.message).toBe(
      `Model "tiny-decoder": the request is not valid: samples is ${samples}; ask for 1 to ${SAMPLES_MAX}.`,
    )
  })
})

it("sampleSeed keeps the request's own, and neighbouring seeds apart", () => {
  const seeds = [0, 1, 2, 3].flatMap((seed) => Array.from({ length: 64 }, (_, sample) => sampleSeed(seed, sample)))
  expect(seeds.every(Number.isSafeInteger)).toBe(true)
  expect(new Set(seeds).size).toBe(seeds.length)
  expect(sampleSeed(5, 0)).toBe(5)
})
