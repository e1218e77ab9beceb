/**
 * The boundary between a model folder and a decoder that takes requests: everything that can be wrong is found here, and
 * what a request leaves open is filled in here. Runs in the model's process.
 */
import { Effect, Result } from "effect"
import type {
  ChildMessage,
  Encode,
  EngineSettings,
  Generate,
  Loaded,
  RequestFailure,
  Run,
} from "../../engine/protocol.ts"
import { type TerminalModelFailure, TerminalPromptTooLong } from "../../ModelTarget.ts"
import type { ContextBudget } from "../cache/ContextBudget.ts"
import { makeContexts } from "../cache/makeContexts.ts"
import { contextLengthOf, endTokenIds, type ModelFolder, modelFailure, readModelFolder } from "../folder/modelFolder.ts"
import { type FormatCompiler, makeFormatCompiler } from "../grammar/FormatCompiler.ts"
import { FormatMatcher } from "../grammar/FormatMatcher.ts"
import { checkSampling, planSampling } from "../sampling/planSampling.ts"
import { type GenerationStart, type PrefillRules, replay } from "../scheduling/Generation.ts"
import { Scheduler } from "../scheduling/Scheduler.ts"
import type { Pause } from "../scheduling/StepDelay.ts"
import { Speculation, type SpeculationOptions } from "../speculation/Speculation.ts"
import { makeAnswerText } from "../text/AnswerText.ts"
import { fitPrompt } from "../text/fitPrompt.ts"
import { type ModelTokenizer, makeModelTokenizer } from "../text/ModelTokenizer.ts"
import type { DecoderStep } from "./DecoderStep.ts"
import { openDraft } from "./openDraft.ts"
import { isSeq2Seq, type Seq2SeqLimits, seq2SeqLimits, withTextEnd } from "./openSeq2Seq.ts"
import { openStep } from "./openStep.ts"

/** What the process needs of the world. */
export interface WorkerContext {
  readonly tell: (message: ChildMessage) => void
  readonly now: () => number
  /** Milliseconds since any moment, never going back. */
  readonly clockMs: () => number
  readonly pause: Pause
}

/** A model that takes requests. A decoder has `generate`, an encoder `encode`, one of tensors `run`. */
export interface LoadedEngine {
  readonly loaded: Loaded
  readonly generate?: (request: Generate) => void
  readonly encode?: (request: Encode) => void
  readonly run?: (request: Run) => void
  readonly cancel: (id: number) => void
  readonly setStepDelayMs: (delayMs: number) => void
  readonly counters: () => {
    readonly steps: number
    readonly running: number
    readonly waiting: number
    readonly cachedConversations: number
    readonly cachedBytes: number
    readonly draftedTokens?: number
    readonly acceptedTokens?: number
    readonly spilledConversations?: number
    readonly spilledBytes?: number
    readonly spillFailures?: number
  }
}

interface Model {
  readonly folder: ModelFolder
  readonly tokenizer: ModelTokenizer
  readonly vocabSize: number
  /** As the model's folder says. */
  readonly contextLength: number | undefined
  /** Of an encoder-decoder. */
  readonly limits: Seq2SeqLimits | undefined
  readonly budget: ContextBudget
  readonly endTokenIds: ReadonlySet<number>
  readonly formats: FormatCompiler
}

/** What is wrong with a request whatever the model's state; a request is checked before it waits for a slot. */
const checkRequest = (request: Generate, model: Model): string | undefined => {
  if (request.prompt.length === 0) return "the prompt has no messages."
  const wrong = checkSampling(request.sampling, model.vocabSize)
  if (wrong !== undefined) return wrong
  if (request.tools !== undefined && request.sampling.format !== undefined) {
    return "tools and a format exclude each other: the format of an answer that may call a tool is the tool's."
  }
  const { maxTokens = 0 } = request.sampling
  if (model.limits !== undefined && maxTokens > model.limits.writeMax) {
    return `maxTokens is ${maxTokens}, and it writes at most ${model.limits.writeMax}; ask for fewer.`
  }
  const strange = request.resumeTokenIds.find((tokenId) => tokenId < 0 || tokenId >= model.vocabSize)
  return strange === undefined
    ? undefined
    : `resumeTokenIds holds ${strange}, which is none of its ${model.vocabSize} token ids; they are another model's.`
}

/** Tokens that a prompt and its answer may have together, and whether memory is what bounds them; and a prompt alone. */
const roomOf = ({ budget, contextLength, limits }: Model) => {
  const inMemory = budget.tokensMax(1)
  const ofModel = limits === undefined ? (contextLength ?? Number.MAX_SAFE_INTEGER) : limits.readMax + limits.writeMax
  const readMax = limits?.readMax ?? Number.POSITIVE_INFINITY
  return { isShort: inMemory < ofModel, contextLength: Math.min(inMemory, ofModel), readMax }
}

/** Turns a request into an answer to be made; a failure where it cannot be. */
const startGeneration = (
  request: Generate,
  model: Model,
  arrivedMs: number,
): Result.Result<GenerationStart, RequestFailure> => {
  const { name } = model.folder
  const fail = modelFailure(name)
  const wrong = checkRequest(request, model)
  if (wrong !== undefined) return Result.fail(fail("request", wrong))
  const { isShort, contextLength, readMax } = roomOf(model)
  const plan = planSampling(request.sampling, model.folder.generationConfig, {
    contextLength,
    endTokenIds: model.endTokenIds,
  })
  const room = Math.min(readMax, Math.max(0, contextLength - plan.maxTokens))
  const { tools } = request
  const prompt = fitPrompt(request.prompt, room, request.overflow, (messages) =>
    model.tokenizer.encodeChat(messages, tools),
  )
  if (Result.isFailure(prompt)) {
    const problem = prompt.failure
    if (problem._tag === "Refused") return Result.fail(fail("request", `${problem.message}.`))
    const uncut = problem.atLeastTokens < problem.promptTokens ? ` (${problem.atLeastTokens} once cut)` : ""
    const message =
      `Model "${name}": the prompt has ${problem.promptTokens} tokens${uncut} and maxTokens is ${plan.maxTokens}; ` +
      (room === readMax
        ? `its encoder reads at most ${readMax}.`
        : isShort
          ? `together they exceed the ${contextLength} tokens that contextBytesMax (${model.budget.bytesMax}) has room for.`
          : `together they exceed its context of ${contextLength}.`)
    const { promptTokens } = problem
    return Result.fail(new TerminalPromptTooLong({ model: name, promptTokens, contextLength, message }))
  }
  if (prompt.success.tokenIds.length === 0) return Result.fail(fail("request", "the prompt is empty."))
  const asked = tools ?? request.sampling.format
  const format = asked === undefined ? Result.succeed(undefined) : model.formats.compile(asked, plan.maxTokens)
  if (Result.isFailure(format)) return Result.fail(fail("request", format.failure))
  const text = makeAnswerText({
    decode: model.tokenizer.decode,
    isSpecial: model.tokenizer.isSpecial,
    endTokenIds: plan.ignoreEnd ? new Set() : model.endTokenIds,
    stopTokenIds: plan.stopTokenIds,
    stop: plan.stop,
    maxTokens: plan.maxTokens,
  })
  const { cacheKey, deadlineAtMs, id, resumeTokenIds } = request
  const matcher = format.success === undefined ? {} : { format: new FormatMatcher(format.success) }
  const started = {
    id,
    prompt: model.limits === undefined ? prompt.success : { ...prompt.success, isApart: true },
    plan,
    text,
    ...matcher,
    resumeTokenIds,
    cacheKey,
    deadlineAtMs,
    arrivedMs,
  }
  return Result.succeed(started)
}

const makeSpeculation = (
  settings: EngineSettings,
  step: DecoderStep | undefined,
  of: Pick<SpeculationOptions, "vocabSize" | "rules" | "clockMs">,
): Speculation | undefined =>
  step === undefined || settings.draft === undefined ? undefined : new Speculation({ ...of, ...settings.draft, step })

/** Takes a request: refuses it, hands it on, or finishes it where its resumed tokens were all of it. */
const makeGenerate = (model: Model, scheduler: Scheduler, world: WorkerContext) => (request: Generate) => {
  const arrivedMs = world.clockMs()
  const start = startGeneration(request, model, arrivedMs)
  if (Result.isFailure(start)) return world.tell({ _tag: "Failed", id: request.id, failure: start.failure })
  const over = replay(start.success, request.resumeTokenIds)
  if (over === undefined) return scheduler.submit(start.success)
  if (over === "misfit") {
    const failure = modelFailure(model.folder.name)(
      "request",
      "resumeTokenIds do not fit the format that is asked for.",
    )
    return world.tell({ _tag: "Failed", id: request.id, failure })
  }
  const promptTokens = start.success.prompt.tokenIds.length + request.resumeTokenIds.length
  const { cut } = start.success.prompt
  const usage = { promptTokens, completionTokens: 0, cachedTokens: 0 }
  const timing = { queueMs: 0, totalMs: world.clockMs() - arrivedMs, batchRows: 0 }
  world.tell({ _tag: "Finished", id: request.id, reason: over, usage, timing, ...(cut === undefined ? {} : { cut }) })
}

/**
 * Loads a decoder.
 *
 * @returns what to tell the host about it, and its scheduler; fails as `readModelFolder`, `makeModelTokenizer`,
 * `openSession` and `readDecoderGraph` do
 */
export const loadDecoder = Effect.fnUntraced(function* (
  settings: EngineSettings,
  world: WorkerContext,
): Effect.fn.Return<LoadedEngine, TerminalModelFailure> {
  const folder = yield* readModelFolder(settings.name, settings.folder, settings.dtype)
  const { graph, path, step, weightsHash = folder.weightsHash } = yield* openStep(settings, folder)
  const read = yield* Effect.fromResult(makeModelTokenizer(folder, graph.vocabSize ?? folder.config.vocab_size))
  const tokenizer = isSeq2Seq(folder) ? withTextEnd(read) : read
  const rules: PrefillRules = { chunkTokens: settings.prefillChunkTokens, stepSensitive: folder.stepSensitive }
  const draft = yield* openDraft(settings, folder)
  const contexts = makeContexts({ settings, folder, graph, step, draft })
  const { budget, cache, spill } = yield* Effect.fromResult(contexts)
  const model: Model = {
    budget,
    folder,
    tokenizer,
    vocabSize: tokenizer.vocabSize,
    contextLength: contextLengthOf(folder),
    limits: seq2SeqLimits(folder),
    endTokenIds: endTokenIds(folder),
    formats: makeFormatCompiler({ bytesOf: tokenizer.tokenBytes, endTokenIds: endTokenIds(folder) }),
  }
  const { vocabSize } = model
  const speculation = makeSpeculation(settings, draft, { vocabSize, rules, clockMs: world.clockMs })
  const scheduler = new Scheduler({
    ...world,
    model: folder.name,
    step,
    cache,
    budget,
    speculation,
    slots: settings.slots,
    vocabSize,
    rules,
  })
  const loaded: Loaded = {
    _tag: "Loaded",
    dtype: folder.dtype,
    weightsHash,
    tokenizerHash: folder.tokenizerHash,
    labels: [],
    path,
    ...(model.contextLength === undefined ? {} : { contextLength: model.contextLength }),
  }
  const counters = () => {
    const { conversations, bytes } = cache.size()
    return {
      ...scheduler.counters(),
      ...speculation?.counters(),
      ...spill?.counters(),
      cachedConversations: conversations,
      cachedBytes: bytes,
    }
  }
  return {
    loaded,
    generate: makeGenerate(model, scheduler, world),
    cancel: (id) => scheduler.cancel(id),
    setStepDelayMs: (delayMs) => scheduler.delay.setDelayMs(delayMs),
    counters,
  }
})
