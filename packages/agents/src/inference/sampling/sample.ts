/**
 * The boundary between a model's opinion and a token: logits go in, one token id comes out. A function of its arguments.
 *
 * The order of the parts is that of Hugging Face's generate (with OpenAI's penalties after the repetition penalty): logit
 * bias, repetition penalty, presence and frequency penalties, no-repeat n-gram, banned tokens, minTokens, the format;
 * then temperature, top-k, top-p, min-p, typical-p. A part that is not asked for costs nothing.
 */
import { applyBias, excludeRepeats, excludeTokens, keepAllowed } from "./excludeTokens.ts"
import { keepMinP } from "./keepMinP.ts"
import { keepTopK } from "./keepTopK.ts"
import { keepTopP, weightOf } from "./keepTopP.ts"
import { keepTypicalP } from "./keepTypicalP.ts"
import { penalisePresence, penaliseRepetition } from "./penalties.ts"
import { type Scratch, scratchFor } from "./Scratch.ts"
import { uniformAt } from "./uniformAt.ts"

/** `Sampling` with every default filled in. */
export interface SamplingPlan {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly minP: number
  readonly typicalP: number
  readonly repetitionPenalty: number
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  readonly noRepeatNgram: number
  readonly logitBias: ReadonlyArray<readonly [number, number]>
  readonly bannedTokenIds: ReadonlyArray<number>
  readonly minTokens: number
  /** What may not come before `minTokens`. */
  readonly endTokenIds: ReadonlyArray<number>
  readonly seed: number
}

/** What came before the token. */
export interface Before {
  /** The prompt and the answer so far. */
  readonly tokenIds: ReadonlyArray<number>
  /** Where in it the answer begins. */
  readonly answerFrom: number
  /** A bit for each token that the answer's format allows next; undefined where there is none. */
  readonly allowed?: Uint32Array | undefined
}

/** The index of the greatest value, the first of equals; -1 where there is no number at all, or all are excluded. */
export const argmax = (values: Float32Array): number => {
  let best = -1
  let most = Number.NEGATIVE_INFINITY
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!
    if (value > most) {
      most = value
      best = index
    }
  }
  return best
}

const process = (logits: Float32Array, plan: SamplingPlan, before: Before, scratch: Scratch): void => {
  const { allowed, answerFrom, tokenIds } = before
  applyBias(logits, plan.logitBias)
  penaliseRepetition(logits, tokenIds, plan.repetitionPenalty, scratch.counts)
  const penalties = { presence: plan.presencePenalty, frequency: plan.frequencyPenalty }
  penalisePresence(logits, tokenIds, answerFrom, penalties, scratch.counts)
  excludeRepeats(logits, tokenIds, plan.noRepeatNgram)
  excludeTokens(logits, plan.bannedTokenIds)
  if (tokenIds.length - answerFrom < plan.minTokens) excludeTokens(logits, plan.endTokenIds)
  if (allowed !== undefined) keepAllowed(logits, allowed)
}

/** The ids that are not excluded, ascending. With min-p alone, what is too far from the best is left out right here. */
const possibleIds = (logits: Float32Array, least: number, ids: Int32Array): number => {
  let count = 0
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    if (logit > Number.NEGATIVE_INFINITY && logit >= least) ids[count++] = id
  }
  return count
}

const draw = (ids: Int32Array, count: number, weights: Float64Array, uniform: number): number => {
  const target = uniform * weightOf(ids, count, weights)
  let held = 0
  for (let at = 0; at < count; at++) {
    held += weights[ids[at]!]!
    if (held > target) return ids[at]!
  }
  // Rounding can leave `held` a hair under `target` at the very end.
  return ids[count - 1] ?? -1
}

/** By how much a token's logit may lie under the best before min-p drops it; a hair more, for min-p itself decides. */
const minPReach = (plan: SamplingPlan): number =>
  plan.minP > 0 && plan.topP >= 1 ? -plan.temperature * Math.log(plan.minP) + 1e-3 : Number.POSITIVE_INFINITY

/**
 * Chooses the next token.
 *
 * @param logits of the last position; changed in place where a part before the temperature is asked for
 * @returns the token id, or -1 where the logits hold no number, or every token is excluded
 */
export const sampleToken = (logits: Float32Array, plan: SamplingPlan, before: Before): number => {
  const scratch = scratchFor(logits.length)
  process(logits, plan, before, scratch)
  const best = argmax(logits)
  if (plan.temperature === 0 || best < 0) return best
  const { ids, keys, weights } = scratch
  const most = logits[best]!
  let count = possibleIds(logits, most - minPReach(plan), ids)
  count = keepTopK(ids, count, logits, plan.topK)
  // e to the power of its distance from the greatest logit, so that the greatest weighs 1.
  for (let at = 0; at < count; at++) {
    const id = ids[at]!
    weights[id] = Math.exp((logits[id]! - most) / plan.temperature)
  }
  count = keepTopP(ids, count, logits, weights, plan.topP)
  count = keepMinP(ids, count, weights, plan.minP)
  count = keepTypicalP(ids, count, weights, keys, plan.typicalP)
  return draw(ids, count, weights, uniformAt(plan.seed, before.tokenIds.length - before.answerFrom))
}
