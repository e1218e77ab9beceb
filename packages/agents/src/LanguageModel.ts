/**
 * The boundary to effect/ai: a `ModelTarget` offered as its `LanguageModel`, an `EncoderTarget` as its `EmbeddingModel`.
 *
 * `generateObject` and toolkits work on any target that keeps to a format (the engine does): the answer is constrained to the
 * schema. What they cannot do is said at the call and not ignored: prompts with files or reasoning, and tools of other
 * providers, fail with an `AiError` that is not retryable.
 */
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { AiError, EmbeddingModel, type IdGenerator, LanguageModel, type Response } from "effect/ai"
import { type EncodeFailure, EncoderTarget } from "./EncoderTarget.ts"
import { type GenerateFailure, ModelTarget, type Sampling } from "./ModelTarget.ts"
import { partsOfAnswer } from "./partsOfAnswer.ts"
import { refuse, requestOfPrompt } from "./requestOfPrompt.ts"

/**
 * The sampling of calls through `LanguageModel`, which has no parameters for it; default: greedy, the model folder's
 * recommendations before that. Provide it around a call or around the layer.
 */
export const CurrentSampling: Context.Reference<Sampling> = Context.Reference("@pontoon/agents/CurrentSampling", {
  defaultValue: (): Sampling => ({}),
})

/** Who may retry stays the same on the other side. */
const toAiError =
  (method: string) =>
  (failure: GenerateFailure | EncodeFailure): AiError.AiError => {
    const made = (reason: AiError.AiErrorReason) => AiError.make({ module: "Pontoon", method, reason })
    switch (failure._tag) {
      case "RetryableModelCrash":
        return made(new AiError.InternalProviderError({ description: failure.message }))
      case "RetryableModelBusy":
        return made(
          new AiError.RateLimitError(
            failure.retryAfterMs === undefined ? {} : { retryAfter: Duration.millis(failure.retryAfterMs) },
          ),
        )
      case "TerminalPromptTooLong":
        return refuse(method, "prompt", failure.message)
      case "TerminalModelFailure":
        return failure.reason === "request"
          ? refuse(method, "prompt", failure.message)
          : made(new AiError.UnknownError({ description: failure.message }))
    }
  }

const streamParts = (
  target: ModelTarget["Service"],
  method: string,
  options: LanguageModel.ProviderOptions,
): Stream.Stream<Response.StreamPartEncoded, AiError.AiError, IdGenerator.IdGenerator> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { capabilities } = target.describe
      const { format, prompt, tools } = yield* Effect.fromResult(requestOfPrompt(method, options, capabilities))
      const asked = yield* CurrentSampling
      const sampling = format === undefined ? asked : { ...asked, format }
      const events = target.generate({ prompt, sampling, ...(tools === undefined ? {} : { tools }) })
      return partsOfAnswer(Stream.mapError(events, toAiError(method)), tools !== undefined, method)
    }),
  )

/** A target as effect/ai's `LanguageModel`: text, objects of a schema, and calls of tools, over text prompts. */
export const languageModel = (target: ModelTarget["Service"]): Effect.Effect<LanguageModel.LanguageModel> =>
  LanguageModel.make({
    generateText: (options) =>
      Effect.map(Stream.runCollect(streamParts(target, "generateText", options)), (parts) => {
        const text = parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("")
        const others = parts.flatMap((part) => (part.type === "finish" || part.type === "tool-call" ? [part] : []))
        const called = others.some(({ type }) => type === "tool-call")
        return called ? others : [{ type: "text", text }, ...others]
      }),
    streamText: (options) => streamParts(target, "streamText", options),
    supportsSystemMessagesInHistory: Effect.succeed(true),
  })

/** `languageModel` as a layer over `ModelTarget`. */
export const languageModelLayer: Layer.Layer<LanguageModel.LanguageModel, never, ModelTarget> = Layer.effect(
  LanguageModel.LanguageModel,
  Effect.flatMap(ModelTarget, languageModel),
)

/** A target as effect/ai's `EmbeddingModel`. It does not say how many tokens were read. */
export const embeddingModel = (target: EncoderTarget["Service"]): Effect.Effect<EmbeddingModel.EmbeddingModel> =>
  EmbeddingModel.make({
    embedMany: ({ inputs }) =>
      target.embed(inputs).pipe(
        Effect.map((vectors) => ({
          results: vectors.map((vector) => [...vector]),
          usage: { inputTokens: undefined },
        })),
        Effect.mapError(toAiError("embedMany")),
      ),
  })

/** `embeddingModel` as a layer over `EncoderTarget`. */
export const embeddingModelLayer: Layer.Layer<EmbeddingModel.EmbeddingModel, never, EncoderTarget> = Layer.effect(
  EmbeddingModel.EmbeddingModel,
  Effect.flatMap(EncoderTarget, embeddingModel),
)
