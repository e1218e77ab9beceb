/**
 * The boundary of one answer while it is made: what still has to be fed, what was sampled, and what of it is to be told.
 * It knows nothing of other answers; `Scheduler` decides whose turn it is.
 */

import type { GenerationTiming, TokenLogprobs } from "../../ModelTarget.ts"
import type { KvSlot, StepRow } from "../decoding/DecoderStep.ts"
import type { FormatMatcher } from "../grammar/FormatMatcher.ts"
import { logprobsOf } from "../sampling/logprobsOf.ts"
import type { GenerationPlan } from "../sampling/planSampling.ts"
import { scratchFor } from "../sampling/Scratch.ts"
import { sampleToken } from "../sampling/sample.ts"
import type { AnswerText, EndReason } from "../text/AnswerText.ts"
import type { FittedPrompt } from "../text/fitPrompt.ts"

export interface GenerationStart {
  readonly id: number
  readonly prompt: FittedPrompt
  readonly plan: GenerationPlan
  readonly text: AnswerText
  /** What it has to look like, as far as it is written; undefined where that is free. */
  readonly format?: FormatMatcher | undefined
  readonly resumeTokenIds: ReadonlyArray<number>
  readonly cacheKey: string | undefined
  readonly deadlineAtMs: number | undefined
  /** When it arrived, by `SchedulerOptions.clockMs`. */
  readonly arrivedMs: number
}

export interface PrefillRules {
  /** Tokens of the prompt that one step takes at most, so that a cancel waits no longer than such a step. */
  readonly chunkTokens: number
  /** Resumed tokens are fed one by one, as they were when they were sampled (see `ModelFolder.stepSensitive`). */
  readonly stepSensitive: boolean
}

export interface Generation extends GenerationStart {
  readonly slot: KvSlot
  readonly cachedTokens: number
  /** Prompt, resumed and sampled tokens. */
  readonly tokenIds: Array<number>
  /** Why it is over, where it is. */
  reason: EndReason | undefined
  /** What a draft model says will come next, to be checked by the next step. */
  guessed: ReadonlyArray<number>
  /** Sampled, but not told yet. */
  untold: { tokenIds: Array<number>; text: string; logprobs: Array<TokenLogprobs> }
  completionTokens: number
  readonly admittedMs: number
  firstTokenMs: number | undefined
  lastTokenMs: number
  /** Steps that it took part in, and the rows of all of them. */
  steps: number
  stepRows: number
}

/**
 * The resumed tokens, seen again: readers have their text. Says why there is nothing left to do, where that is so; `misfit`
 * where they do not fit the format.
 */
export const replay = (
  { format, text }: Pick<GenerationStart, "format" | "text">,
  resumeTokenIds: ReadonlyArray<number>,
): EndReason | "misfit" | undefined => {
  for (const tokenId of resumeTokenIds) {
    if (format?.take(tokenId) === false) return "misfit"
    const { reason } = text.push(tokenId)
    if (reason !== undefined) return reason
  }
  return undefined
}

export const makeGeneration = (start: GenerationStart, slot: KvSlot, nowMs: number): Generation => ({
  ...start,
  slot,
  cachedTokens: slot.length,
  tokenIds: [...start.prompt.tokenIds, ...start.resumeTokenIds],
  reason: undefined,
  guessed: [],
  untold: { tokenIds: [], text: "", logprobs: [] },
  completionTokens: 0,
  admittedMs: nowMs,
  firstTokenMs: undefined,
  lastTokenMs: nowMs,
  steps: 0,
  stepRows: 0,
})

/** Notes a step that it took part in; `tokens` is how many it had sampled before. */
export const noteStep = (generation: Generation, rows: number, tokensBefore: number, nowMs: number): void => {
  generation.steps++
  generation.stepRows += rows
  if (generation.completionTokens === tokensBefore) return
  generation.firstTokenMs ??= nowMs
  generation.lastTokenMs = nowMs
}

/** Where its time went; see `GenerationTiming`. */
export const timingOf = (generation: Generation, nowMs: number): GenerationTiming => {
  const { admittedMs, arrivedMs, completionTokens, firstTokenMs, lastTokenMs, steps, stepRows } = generation
  const totals = { queueMs: admittedMs - arrivedMs, totalMs: nowMs - arrivedMs }
  const batchRows = steps === 0 ? 0 : stepRows / steps
  if (firstTokenMs === undefined) return { ...totals, batchRows }
  const perTokenMs = (lastTokenMs - firstTokenMs) / (completionTokens - 1)
  return {
    ...totals,
    batchRows,
    firstTokenMs: firstTokenMs - arrivedMs,
    ...(completionTokens > 1 ? { perTokenMs } : {}),
  }
}

/** Tokens that its context may grow to; `maxTokens` counts the resumed ones. */
export const tokensMaxOf = ({ plan, prompt }: GenerationStart): number => prompt.tokenIds.length + plan.maxTokens

/** Tokens that are fed in chunks. */
export const chunkedTokens = ({ prompt, resumeTokenIds }: GenerationStart, rules: PrefillRules): number =>
  prompt.tokenIds.length + (rules.stepSensitive ? 0 : resumeTokenIds.length)

/** Whether the next step feeds more than one token. */
export const isReading = (generation: Generation, rules: PrefillRules): boolean =>
  chunkedTokens(generation, rules) - generation.slot.length > 1

/** What the next step has to feed: the rest of the prompt in chunks from position 0 on, then one token at a time. */
export const nextRow = (generation: Generation, rules: PrefillRules): StepRow => {
  const fed = generation.slot.length
  const known = chunkedTokens(generation, rules)
  if (fed >= known) {
    const tokenIds = [...generation.tokenIds.slice(fed, fed + 1), ...generation.guessed]
    return { slot: generation.slot, tokenIds, logitsFrom: tokenIds.length }
  }
  const chunkEnd = (Math.floor(fed / rules.chunkTokens) + 1) * rules.chunkTokens
  return { slot: generation.slot, tokenIds: generation.tokenIds.slice(fed, Math.min(chunkEnd, known)) }
}

/** Tokens of the prompt that were fed in whole chunks. */
export const alignedTokens = (generation: Generation, rules: PrefillRules): number =>
  Math.floor(Math.min(generation.slot.length, generation.prompt.tokenIds.length) / rules.chunkTokens) *
  rules.chunkTokens

/** Why there is no next token. */
export interface TokenProblem {
  readonly reason: "damaged" | "request"
  readonly message: string
}

const DAMAGED: TokenProblem = {
  reason: "damaged",
  message: "it gave no numbers for the next token; its weights are damaged",
}
const EXCLUDED: TokenProblem = {
  reason: "request",
  message: "every token is excluded by bannedTokenIds, noRepeatNgram or minTokens together; exclude fewer",
}
const UNCOMPLETABLE: TokenProblem = {
  reason: "request",
  message:
    "nothing completes the answer to its format, which is too ambiguous; write it so that each text fits in one way",
}

/** Draws the token that comes after `tokenIds`, which begin as the answer does; -1 where there is none. */
export const drawToken = (
  { plan, prompt }: Generation,
  tokenIds: ReadonlyArray<number>,
  logits: Float32Array,
  allowed?: Uint32Array,
): number => {
  const answerFrom = prompt.tokenIds.length
  return prompt.isApart === true
    ? sampleToken(logits, plan, { tokenIds: tokenIds.slice(answerFrom), answerFrom: 0, allowed })
    : sampleToken(logits, plan, { tokenIds, answerFrom, allowed })
}

/** Takes the logits of one position. @returns the token, or why there is none */
const takePosition = (generation: Generation, given: Float32Array): number | TokenProblem => {
  const { format, plan, prompt, tokenIds, untold } = generation
  const scratch = scratchFor(given.length)
  if (plan.logprobs !== undefined) scratch.raw.set(given)
  const drawn = drawToken(generation, tokenIds, given, format?.allowed())
  if (drawn < 0 && !given.includes(Number.NEGATIVE_INFINITY)) return DAMAGED
  const tokensLeft = plan.maxTokens - (tokenIds.length - prompt.tokenIds.length)
  const tokenId = format === undefined ? drawn : format.choose(drawn, tokensLeft)
  if (tokenId < 0) return format === undefined ? EXCLUDED : UNCOMPLETABLE
  format?.take(tokenId)
  if (plan.logprobs !== undefined) untold.logprobs.push(logprobsOf(scratch.raw, tokenId, plan.logprobs, scratch.ids))
  const { text, reason } = generation.text.push(tokenId)
  tokenIds.push(tokenId)
  untold.tokenIds.push(tokenId)
  untold.text += text
  generation.completionTokens++
  generation.reason = reason
  return tokenId
}

/**
 * Takes the logits that a step gave. Samples only when all known tokens have been fed: one token, and one more for each that
 * was guessed right.
 *
 * @param logits of the last token, or one behind the other of the last and all that were guessed after it
 * @param vocabSize ids beyond it are rows that pad the model's vocabulary, never tokens
 * @returns why there is no next token, where that is so
 */
export const takeLogits = (
  generation: Generation,
  logits: Float32Array,
  vocabSize: number,
): TokenProblem | undefined => {
  if (generation.slot.length < generation.tokenIds.length) return undefined
  const { guessed } = generation
  const width = logits.length / (guessed.length + 1)
  for (let at = 0; at <= guessed.length; at++) {
    const taken = takePosition(generation, logits.subarray(at * width, at * width + Math.min(width, vocabSize)))
    if (typeof taken !== "number") return taken
    if (generation.reason !== undefined || taken !== guessed[at]) break
  }
  return undefined
}
