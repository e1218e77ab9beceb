/**
 * The boundary to effect/ai: a `ModelTarget` offered as its `LanguageModel`, an `EncoderTarget` as its `EmbeddingModel`.
 *
 * What they cannot do is said at the call and not ignored: tools, structured output (there is no constrained decoding),
 * and prompts with files, reasoning or tool results fail with an `AiError` that is not retryable.
 */
import { Context, Duration, Effect, Layer, Result, Stream } from "effect"
import { AiError, EmbeddingModel, LanguageModel, type Prompt, type Response } from "effect/ai"
import { type EncodeFailure, EncoderTarget } from "./EncoderTarget.ts"
import {
  type ChatMessage,
  type GenerateFailure,
  type GenerationFinished,
  ModelTarget,
  type Sampling,
} from "./ModelTarget.ts"

/**
 * The sampling of calls through `LanguageModel`, which has no parameters for it; default: greedy, the model folder's
 * recommendations before that. Provide it around a call or around the layer.
 */
export const CurrentSampling: Context.Reference<Sampling> = Context.Reference("@pontoon/agents/CurrentSampling", {
  defaultValue: (): Sampling => ({}),
})

const refuse = (method: string, parameter: string, description: string): AiError.AiError =>
  AiError.make({
    module: "Pontoon",
    method,
    reason: new AiError.InvalidRequestError({ parameter, description }),
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

/** The text of one message; what is not text in place of it where there is such a part. */
const textOf = (message: Prompt.Message): Result.Result<ChatMessage, string> => {
  if (message.role === "system") return Result.succeed({ role: "system", content: message.content })
  if (message.role === "tool") return Result.fail("tool results")
  const texts: Array<string> = []
  for (const part of message.content) {
    if (part.type !== "text") return Result.fail(`a part of type ${part.type}`)
    texts.push(part.text)
  }
  return Result.succeed({ role: message.role, content: texts.join("") })
}

const toMessages = (method: string, options: LanguageModel.ProviderOptions) => {
  if (options.tools.length > 0) {
    return Result.fail(refuse(method, "toolkit", "this model calls no tools; leave the toolkit out"))
  }
  if (options.responseFormat.type === "json") {
    return Result.fail(
      refuse(method, "schema", "this model has no structured output; use generateText and parse what it says"),
    )
  }
  const messages: Array<ChatMessage> = []
  for (const message of options.prompt.content) {
    const text = textOf(message)
    if (Result.isFailure(text)) {
      return Result.fail(refuse(method, "prompt", `this model reads text, not ${text.failure}; leave it out`))
    }
    messages.push(text.success)
  }
  return Result.succeed(messages)
}

const finishPart = ({ reason, usage }: GenerationFinished): Response.FinishPartEncoded => ({
  type: "finish",
  reason: reason === "length" ? "length" : "stop",
  usage: {
    inputTokens: {
      total: usage.promptTokens,
      uncached: usage.promptTokens - usage.cachedTokens,
      cacheRead: usage.cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: { total: usage.completionTokens, text: usage.completionTokens, reasoning: undefined },
  },
  response: undefined,
})

/** Every text of a stream belongs to one block. */
const TEXT_ID = "0"

const streamParts = (
  target: ModelTarget["Service"],
  method: string,
  options: LanguageModel.ProviderOptions,
): Stream.Stream<Response.StreamPartEncoded, AiError.AiError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const prompt = yield* Effect.fromResult(toMessages(method, options))
      const sampling = yield* CurrentSampling
      const parts = Stream.mapAccum(
        target.generate({ prompt, sampling }),
        () => false,
        (begun, event): readonly [boolean, ReadonlyArray<Response.StreamPartEncoded>] => {
          if (event._tag === "Finished") {
            const end: ReadonlyArray<Response.StreamPartEncoded> = begun ? [{ type: "text-end", id: TEXT_ID }] : []
            return [begun, [...end, finishPart(event)]]
          }
          if (event.text === "") return [begun, []]
          const start: ReadonlyArray<Response.StreamPartEncoded> = begun ? [] : [{ type: "text-start", id: TEXT_ID }]
          return [true, [...start, { type: "text-delta", id: TEXT_ID, delta: event.text }]]
        },
      )
      return Stream.mapError(parts, toAiError(method))
    }),
  )

/** A target as effect/ai's `LanguageModel`: `generateText` and `streamText` over text prompts. */
export const languageModel = (target: ModelTarget["Service"]): Effect.Effect<LanguageModel.LanguageModel> =>
  LanguageModel.make({
    generateText: (options) =>
      Effect.map(Stream.runCollect(streamParts(target, "generateText", options)), (parts) => {
        const text = parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("")
        const finish = parts.flatMap((part) => (part.type === "finish" ? [part] : []))
        return [{ type: "text", text }, ...finish]
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
