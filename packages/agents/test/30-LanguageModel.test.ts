import { Duration, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, EmbeddingModel, LanguageModel, type Response } from "effect/ai"
import { TestClock } from "effect/testing"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  CurrentSampling,
  EncoderTarget,
  embeddingModelLayer,
  type GenerateRequest,
  languageModelLayer,
  languageModelTarget,
  languageModelTargetLayer,
  ModelTarget,
} from "../src/index.ts"
import { answer, fixture, openDecoder, openEncoder, user } from "./support/engines.ts"

const run = Effect.runPromise

describe("the engine as effect/ai's LanguageModel", () => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  let layer: Layer.Layer<LanguageModel.LanguageModel>
  beforeAll(async () => {
    engine = await openDecoder({ folder: fixture("tiny-decoder"), dtype: "fp32" })
    layer = Layer.provide(languageModelLayer, Layer.succeed(ModelTarget, engine.handle.target))
  })
  afterAll(() => engine.close())
  const failureOf = <A>(effect: Effect.Effect<A, AiError.AiError, LanguageModel.LanguageModel>) =>
    run(Effect.flip(Effect.provide(effect, layer)))

  it("refuses files, tools that are not there, and schemas that cannot be kept, each with a sentence", async () => {
    const file = { type: "file" as const, mediaType: "image/png", data: new Uint8Array(1) }
    const withFile = LanguageModel.generateText({ prompt: [{ role: "user", content: [file] }] })
    const failure = await failureOf(withFile)
    expect(String(failure)).toContain("this model reads text, not a part of type file")
    expect(failure.isRetryable).toBe(false)
    const schema = Schema.Struct({ size: Schema.Array(Schema.Int).check(Schema.isUnique()) })
    const unkept = await failureOf(LanguageModel.generateObject({ prompt: "hi", schema }))
    expect(String(unkept)).toContain("JSON schema at #/properties/size: `uniqueItems` cannot be kept")
    expect(unkept.isRetryable).toBe(false)
  })

  it("says who may retry: a prompt that is too long never fits", async () => {
    const failure = await failureOf(LanguageModel.generateText({ prompt: "a".repeat(300) }))
    expect(failure.isRetryable).toBe(false)
    expect(String(failure)).toContain("exceed its context of 256")
  })

  it("writes and streams the same text as the target, with the sampling of its context", async () => {
    const sampling = { temperature: 1, seed: 3, maxTokens: 20 }
    const prompt = [user("the ring")]
    const expected = await run(answer(engine.handle.target, { prompt, sampling }))
    const calls = Effect.gen(function* () {
      const whole = yield* LanguageModel.generateText({ prompt })
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt }))
      return { whole, parts }
    })
    const { parts, whole } = await run(
      calls.pipe(Effect.provideService(CurrentSampling, sampling), Effect.provide(layer)),
    )
    expect(whole.text).toBe(expected.text)
    expect(whole.finishReason).toBe(expected.finished.reason === "length" ? "length" : "stop")
    expect(whole.usage.inputTokens.total).toBe(expected.finished.usage.promptTokens)
    expect(whole.usage.outputTokens.total).toBe(expected.tokenIds.length)
    expect(parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("")).toBe(expected.text)
    expect(parts[0]?.type).toBe("text-start")
    expect(parts.at(-1)?.type).toBe("finish")
  })
})

it("the engine as effect/ai's EmbeddingModel gives the target's vectors", async () => {
  const engine = await openEncoder({ folder: fixture("tiny-encoder") })
  const layer = Layer.provide(embeddingModelLayer, Layer.succeed(EncoderTarget, engine.handle.target))
  const texts = ["where is my order", "a large coffee"]
  const expected = await run(engine.handle.target.embed(texts))
  const embed = Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => model.embedMany(texts))
  const response = await run(Effect.provide(embed, layer))
  expect(response.embeddings.map(({ vector }) => vector)).toEqual(expected)
  await engine.close()
})

/** A LanguageModel made by hand: what it streams for any prompt. */
const handmade = (parts: Stream.Stream<Response.StreamPartEncoded, AiError.AiError>) =>
  Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({ generateText: () => Effect.succeed([]), streamText: () => parts }),
  )
const finish = (reason: Response.FinishReason): Response.FinishPartEncoded => ({
  type: "finish",
  reason,
  usage: {
    inputTokens: { total: 5, uncached: 3, cacheRead: 2, cacheWrite: undefined },
    outputTokens: { total: 7, text: 7, reasoning: undefined },
  },
  response: undefined,
})
const says = (deltas: ReadonlyArray<string>, reason: Response.FinishReason = "stop") =>
  Stream.fromIterable<Response.StreamPartEncoded>([
    { type: "text-start", id: "1" },
    ...deltas.map((delta) => ({ type: "text-delta" as const, id: "1", delta })),
    { type: "text-end", id: "1" },
    finish(reason),
  ])
const ask = (
  parts: Stream.Stream<Response.StreamPartEncoded, AiError.AiError>,
  request: Partial<GenerateRequest> = {},
) =>
  Effect.flatMap(languageModelTarget({ name: "far" }), (target) =>
    answer(target, { prompt: [user("hi")], sampling: {}, ...request }),
  ).pipe(Effect.provide(handmade(parts)))

describe("any effect/ai LanguageModel as a target", () => {
  it("declares what it cannot do, and refuses to go on from token ids", async () => {
    const layer = Layer.provide(languageModelTargetLayer({ name: "far", slots: 3 }), handmade(says(["x"])))
    const description = await run(
      Effect.provide(
        Effect.map(ModelTarget, (target) => target.describe),
        layer,
      ),
    )
    expect(description).toMatchObject({
      name: "far",
      provider: "remote",
      slots: 3,
      capabilities: { seed: false, stop: true, resume: false, tokenIds: false },
    })
    const failure = await run(Effect.flip(ask(says(["x"]), { resumeTokenIds: [1] })))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
  })

  it("gives its text, its reason and its usage", async () => {
    const found = await run(ask(says(["Sure, ", "a latte."], "length")))
    expect(found.text).toBe("Sure, a latte.")
    expect(found.tokenIds).toEqual([])
    expect(found.finished).toMatchObject({
      reason: "length",
      usage: { promptTokens: 5, completionTokens: 7, cachedTokens: 2 },
    })
  })

  it("ends before a stop string, and hears no further", async () => {
    let heard = 0
    const parts = Stream.tap(says(["one T", "WO three", "four"]), () => Effect.sync(() => heard++))
    const found = await run(ask(Stream.rechunk(parts, 1), { sampling: { stop: ["TWO"] } }))
    expect(found.text).toBe("one ")
    expect(found.finished.reason).toBe("stop")
    expect(heard).toBeLessThan(5)
  })

  it.each([
    {
      name: "a rate limit",
      parts: Stream.fail(
        AiError.make({
          module: "m",
          method: "s",
          reason: new AiError.RateLimitError({ retryAfter: Duration.seconds(2) }),
        }),
      ),
      expected: { _tag: "RetryableModelBusy", model: "far", retryAfterMs: 2000 },
    },
    {
      name: "a refused request",
      parts: Stream.fail(
        AiError.make({ module: "m", method: "s", reason: new AiError.InvalidRequestError({ description: "no" }) }),
      ),
      expected: { _tag: "TerminalModelFailure", reason: "request" },
    },
    {
      name: "an answer that breaks off",
      parts: Stream.take(says(["Sure", ","]), 2),
      expected: { _tag: "RetryableModelBusy" },
    },
    { name: "an error at the end", parts: says(["Sure"], "error"), expected: { _tag: "RetryableModelBusy" } },
    { name: "a content filter", parts: says([], "content-filter"), expected: { _tag: "TerminalModelFailure" } },
  ])("says who may retry: $name", async ({ expected, parts }) => {
    expect(await run(Effect.flip(ask(parts)))).toMatchObject(expected)
  })

  it("stops at the deadline", async () => {
    const program = Effect.gen(function* () {
      const silent = Stream.concat(Stream.take(says(["Sure"]), 2), Stream.never)
      const asked = yield* Effect.forkChild(Effect.flip(ask(silent, { deadlineAtMs: 5000 })), {
        startImmediately: true,
      })
      yield* TestClock.adjust(5000)
      return yield* Fiber.join(asked)
    })
    const failure = await run(program.pipe(Effect.provide(TestClock.layer())))
    expect(failure).toMatchObject({ _tag: "RetryableModelBusy" })
    expect(failure.message).toContain("deadline passed before its answer was complete")
  })
})
