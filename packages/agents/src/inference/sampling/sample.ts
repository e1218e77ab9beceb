/**
 * The boundary between a model's opinion and a token: logits go in, one token id comes out. Pure.
 *
 * The order of the parts is that of Hugging Face's generate: repetition penalty, temperature, top-k, top-p.
 */

/** `Sampling` with every default filled in. */
export interface SamplingPlan {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly repetitionPenalty: number
  readonly seed: number
}

/** SplitMix64's increment and mixing constants (Steele, Lea, Flood 2014), as 64-bit integers. */
const GAMMA = 0x9e3779b97f4a7c15n
const MIX_1 = 0xbf58476d1ce4e5b9n
const MIX_2 = 0x94d049bb133111ebn
const MASK = 0xffffffffffffffffn

const mix = (value: bigint): bigint => {
  const first = ((value ^ (value >> 30n)) * MIX_1) & MASK
  const second = ((first ^ (first >> 27n)) * MIX_2) & MASK
  return second ^ (second >> 31n)
}

/**
 * A number in [0, 1) that depends on the seed and on which token of the answer is drawn, and on nothing else. A generator
 * with a state would have to be wound forward, or stored, before an answer could be taken up after its 40th token.
 */
export const uniformAt = (seed: number, position: number): number => {
  const start = mix((BigInt.asUintN(64, BigInt(seed)) + GAMMA) & MASK)
  const drawn = mix((start + GAMMA * BigInt(position + 1)) & MASK)
  // 53 bits are what a double holds exactly.
  return Number(drawn >> 11n) / 2 ** 53
}

/** The index of the greatest value, the first of equals; -1 where there is no number at all. */
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

/** Divides positive and multiplies negative logits of tokens already there (CTRL, arXiv 1909.05858), in place. */
export const penaliseRepetition = (logits: Float32Array, used: Iterable<number>, penalty: number): void => {
  if (penalty === 1) return
  for (const id of used) {
    const logit = logits[id]
    if (logit !== undefined) logits[id] = logit > 0 ? logit / penalty : logit * penalty
  }
}

/**
 * Each token's probability, not normalised: e to the power of its distance from the greatest logit, so that the greatest
 * weighs 1. Arrays of numbers and no objects: at 2,048 tokens and 8 answers a step, objects cost as much as a third of it.
 */
const weigh = (logits: Float32Array, temperature: number): Float64Array => {
  const best = argmax(logits)
  const most = best < 0 ? Number.NaN : logits[best]!
  const weights = new Float64Array(logits.length)
  for (let id = 0; id < logits.length; id++) weights[id] = Math.exp((logits[id]! - most) / temperature)
  return weights
}

/** The ids, most probable first: by the logit, for weights of different logits can round to the same; equals by id. */
const byLogit = (ids: ReadonlyArray<number>, logits: Float32Array): ReadonlyArray<number> =>
  [...ids].sort((a, b) => logits[b]! - logits[a]! || a - b)

const possibleIds = (weights: Float64Array): ReadonlyArray<number> => {
  const ids: Array<number> = []
  for (let id = 0; id < weights.length; id++) if (weights[id]! > 0) ids.push(id)
  return ids
}

const keepTopK = (ids: ReadonlyArray<number>, logits: Float32Array, topK: number): ReadonlyArray<number> => {
  if (topK === 0 || topK >= ids.length) return ids
  // Sorting plain numbers is much faster than sorting ids by them; of the ids, only the best are sorted.
  const least = Float32Array.from(ids, (id) => logits[id]!).sort()[ids.length - topK]!
  return byLogit(
    ids.filter((id) => logits[id]! >= least),
    logits,
  ).slice(0, topK)
}

const sum = (ids: ReadonlyArray<number>, weights: Float64Array): number => {
  let total = 0
  for (const id of ids) total += weights[id]!
  return total
}

/** The smallest set of the most probable ids that holds `topP` of all weight; at least one. */
const keepTopP = (
  ids: ReadonlyArray<number>,
  logits: Float32Array,
  weights: Float64Array,
  topP: number,
): ReadonlyArray<number> => {
  if (topP >= 1) return ids
  const total = sum(ids, weights)
  // What is lighter than this cannot be in the set even if all such ids were taken together: no need to sort it.
  const floor = ((1 - topP) * total) / ids.length
  const heavy = byLogit(
    ids.filter((id) => weights[id]! >= floor),
    logits,
  )
  let held = 0
  for (const [index, id] of heavy.entries()) {
    held += weights[id]!
    if (held >= topP * total) return heavy.slice(0, index + 1)
  }
  return heavy
}

const draw = (ids: ReadonlyArray<number>, weights: Float64Array, uniform: number): number => {
  const target = uniform * sum(ids, weights)
  let held = 0
  for (const id of ids) {
    held += weights[id]!
    if (held > target) return id
  }
  // Rounding can leave `held` a hair under `target` at the very end.
  return ids.at(-1) ?? -1
}

/**
 * Chooses the next token.
 *
 * @param logits of the last position; changed in place where there is a repetition penalty
 * @param used token ids of the prompt and of the answer so far
 * @param position which token of the answer this is, from 0; with `plan.seed` it fixes the random number
 * @returns the token id, or -1 where the logits hold no number (a broken model)
 */
export const sampleToken = (
  logits: Float32Array,
  plan: SamplingPlan,
  used: Iterable<number>,
  position: number,
): number => {
  penaliseRepetition(logits, used, plan.repetitionPenalty)
  if (plan.temperature === 0) return argmax(logits)
  const weights = weigh(logits, plan.temperature)
  const ids = keepTopP(keepTopK(possibleIds(weights), logits, plan.topK), logits, weights, plan.topP)
  return draw(ids, weights, uniformAt(plan.seed, position))
}
