/**
 * The boundary from effect/ai: any of its `LanguageModel` layers as a `ModelTarget`.
 *
 * A `LanguageModel` carries a prompt and nothing else, so temperature, top-k, top-p, repetition penalty, seed and
 * maxTokens of a request are left to how its layer was configured, and it gives no token ids and cannot go on from them;
 * `describe.capabilities` says so. Stop strings and deadlines are kept on this side; an answer that a stop string ends has
no usage, because the provider is not heard to the end.
 */
import { Clock, Duration, Effect, Layer, Stream } from "effect"
import { type AiError, LanguageModel, type Response } from "effect/ai"
import { makeStopMatcher, type StopMatcher } from "./inference/text/stop.ts"
import {
  type GenerateFailure,
  type GenerateRequest,
  type GenerationEvent,
  ModelTarget,
  RetryableModelBusy,
  TerminalModelFailure,
  type Usage,
} from "./ModelTarget.ts"

export interface LanguageModelTargetOptions {
  /** What it is called in messages and descriptions. */
  readonly name: string
  /** Requests that it is given at once. Default 8; raising it sends more at a time to whatever stands behind. */
  readonly slots?: number
  /** Tokens of its context, where known; it is described, not checked. */
  readonly contextLength?: number
}

type Part = Response.StreamPart<{}>
type Step = ReadonlyArray<GenerationEvent>

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 }

const fromAiError =
  (model: string) =>
  (error: AiError.AiError): GenerateFailure => {
    const message = `Model "${model}": ${error.message}`
    if (!error.isRetryable) return new TerminalModelFailure({ model, reason: "request", message, cause: error })
    const retryAfter = error.retryAfter
    return new RetryableModelBusy({
      model,
      message,
      ...(retryAfter === undefined ? {} : { retryAfterMs: Duration.toMillis(retryAfter) }),
    })
  }

const usageOf = ({ inputTokens, outputTokens }: Response.Usage): Usage => ({
  promptTokens: inputTokens.total ?? 0,
  completionTokens: outputTokens.total ?? 0,
  cachedTokens: inputTokens.cacheRead ?? 0,
})

const tokens = (text: string): Step => (text === "" ? [] : [{ _tag: "Tokens", tokenIds: [], text }])

/** What a reader gets of one part, and whether it is the last. */
const takePart = (part: Part, matcher: StopMatcher): { readonly events: Step; readonly over: boolean } => {
  if (part.type === "text-delta") {
    const { stopped, text } = matcher.push(part.delta)
    if (!stopped) return { events: tokens(text), over: false }
    return { events: [...tokens(text), { _tag: "Finished", reason: "stop", usage: NO_USAGE }], over: true }
  }
  if (part.type !== "finish") return { events: [], over: false }
  const reason = part.reason === "length" ? "length" : "end"
  const finished: GenerationEvent = { _tag: "Finished", reason, usage: usageOf(part.usage) }
  return { events: [...tokens(matcher.end()), finished], over: true }
}

/** Parts that are no answer: the provider broke off, or refused to say it. */
const checkPart = (model: string, part: Part): Effect.Effect<Part, GenerateFailure> => {
  const failed = part.type === "error" || (part.type === "finish" && part.reason === "error")
  if (failed) {
    const message = `Model "${model}": the provider reported an error in the middle of its answer.`
    return Effect.fail(new RetryableModelBusy({ model, message }))
  }
  if (part.type === "finish" && part.reason === "content-filter") {
    const message = `Model "${model}": the provider's content filter withheld the answer.`
    return Effect.fail(new TerminalModelFailure({ model, reason: "request", message, cause: part.reason }))
  }
  return Effect.succeed(part)
}

/** Fails when a deadline comes; waits for ever where there is none. */
const deadline = (model: string, deadlineAtMs: number | undefined): Effect.Effect<never, RetryableModelBusy> => {
  if (deadlineAtMs === undefined) return Effect.never
  const message = `Model "${model}": the request's deadline passed before its answer was complete.`
  return Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    Effect.andThen(
      Effect.sleep(Math.max(0, deadlineAtMs - nowMs)),
      Effect.fail(new RetryableModelBusy({ model, message })),
    ),
  )
}

/** What a reader relies on, and a `LanguageModel` behind the port cannot give: refused, where a taste in sampling is not. */
const cannotKeep = ({ sampling, tools }: GenerateRequest): string | undefined => {
  if (sampling.format !== undefined)
    return "it keeps to no format; ask a model of the engine, or leave sampling.format out"
  if (sampling.logprobs !== undefined)
    return "it tells no log-probabilities; ask a model of the engine, or leave sampling.logprobs out"
  return tools === undefined ? undefined : "it is given no tools; give its toolkit to the LanguageModel itself"
}

const generateWith =
  (service: LanguageModel.LanguageModel, model: string) =>
  (request: GenerateRequest): Stream.Stream<GenerationEvent, GenerateFailure> => {
    if ((request.resumeTokenIds ?? []).length > 0) {
      const message = `Model "${model}": it cannot go on from token ids; ask it without resumeTokenIds.`
      return Stream.fail(new TerminalModelFailure({ model, reason: "request", message, cause: null }))
    }
    const unkept = cannotKeep(request)
    if (unkept !== undefined) {
      const message = `Model "${model}": ${unkept}.`
      return Stream.fail(new TerminalModelFailure({ model, reason: "request", message, cause: null }))
    }
    return Stream.suspend(() => {
      const matcher = makeStopMatcher(request.sampling.stop ?? [])
      let complete = false
      const checkComplete = Stream.suspend(() => {
        const message = `Model "${model}": the provider ended its answer without saying that it is complete.`
        return complete ? Stream.empty : Stream.fail(new RetryableModelBusy({ model, message }))
      })
      return service.streamText({ prompt: request.prompt }).pipe(
        Stream.mapError(fromAiError(model)),
        Stream.mapEffect((part) => checkPart(model, part)),
        Stream.map((part) => takePart(part, matcher)),
        Stream.takeUntil(({ over }) => {
          complete = over
          return over
        }),
        Stream.flatMap(({ events }) => Stream.fromIterable(events)),
        Stream.concat(checkComplete),
        Stream.interruptWhen(deadline(model, request.deadlineAtMs)),
      )
    })
  }

/** Makes a target of the `LanguageModel` at hand. */
export const languageModelTarget = (
  options: LanguageModelTargetOptions,
): Effect.Effect<ModelTarget["Service"], never, LanguageModel.LanguageModel> =>
  Effect.map(LanguageModel.LanguageModel, (service) =>
    ModelTarget.of({
      describe: {
        name: options.name,
        provider: "remote",
        tried: [],
        slots: options.slots ?? 8,
        capabilities: { seed: false, stop: true, resume: false, tokenIds: false },
        ...(options.contextLength === undefined ? {} : { contextLength: options.contextLength }),
      },
      generate: generateWith(service, options.name),
      // There is no process of ours that could die.
      died: Effect.never,
    }),
  )

/** `languageModelTarget` as a layer. */
export const languageModelTargetLayer = (
  options: LanguageModelTargetOptions,
): Layer.Layer<ModelTarget, never, LanguageModel.LanguageModel> =>
  Layer.effect(ModelTarget, languageModelTarget(options))
