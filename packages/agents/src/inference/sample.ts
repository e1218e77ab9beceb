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

interface Candidate {
  readonly id: number
  readonly logit: number
  /** Not normalised: e to the power of the distance from the greatest logit, so the greatest weighs 1. */
  readonly weight: number
}

/** Most probable first, by the logit, for weights of different logits can round to the same; equals by id. */
const byLogit = (a: Candidate, b: Candidate) => b.logit - a.logit || a.id - b.id

const weigh = (logits: Float32Array, temperature: number): ReadonlyArray<Candidate> => {
  const best = argmax(logits)
  const most = best < 0 ? 0 : logits[best]!
  const candidates: Array<Candidate> = []
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    const weight = Math.exp((logit - most) / temperature)
    if (!(weight > 0)) continue
    candidates.push({ id, logit, weight })
  }
  return candidates
}

const keepTopK = (candidates: ReadonlyArray<Candidate>, topK: number): ReadonlyArray<Candidate> =>
  topK === 0 || topK >= candidates.length ? candidates : [...candidates].sort(byLogit).slice(0, topK)

/** The smallest set of the heaviest candidates that holds `topP` of all weight; at least one. */
const keepTopP = (candidates: ReadonlyArray<Candidate>, topP: number): ReadonlyArray<Candidate> => {
  if (topP >= 1) return candidates
  const total = sum(candidates)
  // What is lighter than this cannot be in the set even if all such candidates were taken together: no need to sort it.
  const floor = ((1 - topP) * total) / candidates.length
  const heavy = candidates.filter((candidate) => candidate.weight >= floor).sort(byLogit)
  let held = 0
  for (let index = 0; index < heavy.length; index++) {
    held += heavy[index]!.weight
    if (held >= topP * total) return heavy.slice(0, index + 1)
  }
  return heavy
}

const sum = (candidates: ReadonlyArray<Candidate>): number => {
  let total = 0
  for (const candidate of candidates) total += candidate.weight
  return total
}

const draw = (candidates: ReadonlyArray<Candidate>, uniform: number): number => {
  const target = uniform * sum(candidates)
  let held = 0
  for (const candidate of candidates) {
    held += candidate.weight
    if (held > target) return candidate.id
  }
  // Rounding can leave `held` a hair under `target` at the very end.
  return candidates.at(-1)?.id ?? -1
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
  const candidates = weigh(logits, plan.temperature)
  return draw(keepTopP(keepTopK(candidates, plan.topK), plan.topP), uniformAt(plan.seed, position))
}
