import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { answer, fixture, openDecoder, user } from "./support/engines.ts"

/** An answer that is taken up after its k-th token must go on as if nothing had happened, for every k. */
describe.each(["fp32", "int8", "fp16"] as const)("resuming an answer on %s", (dtype) => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  beforeAll(async () => {
    engine = await openDecoder({ folder: fixture("tiny-decoder"), dtype })
  })
  afterAll(() => engine.close())

  // Longer than one prefill chunk, so that resumed tokens fall into a chunk of their own.
  const prompt = [user("the thing that anger the thin ant in a then inner ring. ".repeat(3))]

  it.each([
    { name: "greedy", sampling: { temperature: 0 } },
    { name: "seeded", sampling: { temperature: 1.2, seed: 11 } },
    {
      name: "seeded, top-k, top-p, repetition penalty",
      sampling: { temperature: 1.5, topK: 40, topP: 0.9, repetitionPenalty: 1.3, seed: -5 },
    },
    { name: "with stop strings", sampling: { temperature: 1.5, seed: 2, stop: ["a", "qz", "the"] } },
  ])("$name", async ({ sampling }) => {
    const { target } = engine.handle
    const request = { prompt, sampling: { maxTokens: 40, ...sampling } }
    // With a pause after each step, every token is told by itself, so that what readers have is known for every cut.
    await Effect.runPromise(engine.handle.setStepDelayMs(1))
    const whole = await Effect.runPromise(answer(target, request))
    await Effect.runPromise(engine.handle.setStepDelayMs(0))
    expect(whole.tokenIds.length).toBeGreaterThan(2)
    expect(whole.textAfter.size).toBe(whole.tokenIds.length + 1)
    for (let cut = 0; cut <= whole.tokenIds.length; cut++) {
      const resumed = await Effect.runPromise(
        answer(target, { ...request, resumeTokenIds: whole.tokenIds.slice(0, cut) }),
      )
      expect([...whole.tokenIds.slice(0, cut), ...resumed.tokenIds]).toEqual(whole.tokenIds)
      expect(resumed.finished.reason).toBe(whole.finished.reason)
      expect(resumed.finished.usage.completionTokens).toBe(whole.tokenIds.length - cut)
      expect(whole.textAfter.get(cut) + resumed.text).toBe(whole.text)
    }
  })
})
