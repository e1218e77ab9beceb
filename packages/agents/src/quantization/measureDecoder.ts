/**
 * The boundary to what a smaller decoder lost: both read the same tokens, and after each it is asked what they expect next.
 */
import type { DecoderStep, KvSlot } from "../inference/decoding/DecoderStep.ts"

export interface DecoderLoss {
  /** Tokens that were predicted. */
  readonly tokens: number
  /** `exp` of the mean negative log probability of what comes next; lower is better. */
  readonly perplexityBefore: number
  readonly perplexityAfter: number
  /** Share of places where both think the same token most probable. */
  readonly agreement: number
  /** Mean Kullback-Leibler divergence of the smaller model's distribution from the other's, nats; 0 is none. */
  readonly divergence: number
}

/** Logits of that many places are held at once: 64 of 150,000 tokens are 38 MB a model. */
const CHUNK_TOKENS = 64

/** Turns logits into log probabilities, in place. */
const normalise = (logits: Float32Array): void => {
  let greatest = Number.NEGATIVE_INFINITY
  for (const value of logits) if (value > greatest) greatest = value
  let sum = 0
  for (const value of logits) sum += Math.exp(value - greatest)
  const shift = greatest + Math.log(sum)
  for (let index = 0; index < logits.length; index++) logits[index]! -= shift
}

const greatestOf = (values: Float32Array): number => {
  let at = 0
  for (let index = 1; index < values.length; index++) if (values[index]! > values[at]!) at = index
  return at
}

/** What is summed up over places. */
class Tally {
  tokens = 0
  lossBefore = 0
  lossAfter = 0
  agreed = 0
  divergence = 0

  add(before: Float32Array, after: Float32Array, next: number): void {
    normalise(before)
    normalise(after)
    this.tokens++
    this.lossBefore -= before[next] ?? 0
    this.lossAfter -= after[next] ?? 0
    if (greatestOf(before) === greatestOf(after)) this.agreed++
    for (let index = 0; index < before.length; index++) {
      this.divergence += Math.exp(before[index]!) * (before[index]! - after[index]!)
    }
  }

  result(): DecoderLoss {
    const { agreed, divergence, lossAfter, lossBefore, tokens } = this
    return {
      tokens,
      perplexityBefore: Math.exp(lossBefore / tokens),
      perplexityAfter: Math.exp(lossAfter / tokens),
      agreement: agreed / tokens,
      divergence: divergence / tokens,
    }
  }
}

const feed = async (step: DecoderStep, slot: KvSlot, tokenIds: ReadonlyArray<number>): Promise<Float32Array> => {
  const [logits] = await step.run([{ slot, tokenIds, logitsFrom: tokenIds.length }])
  if (logits === undefined) throw new Error("a step gave no logits")
  return logits
}

/**
 * Has two decoders of one tokenizer read the same texts.
 *
 * @param windows token ids, each window read on its own; the first token of each is not predicted
 */
export const measureDecoder = async (
  before: DecoderStep,
  after: DecoderStep,
  windows: ReadonlyArray<ReadonlyArray<number>>,
): Promise<DecoderLoss> => {
  const tally = new Tally()
  for (const window of windows) {
    const [first, second] = [before.open(), after.open()]
    for (let at = 0; at < window.length - 1; at += CHUNK_TOKENS) {
      const tokenIds = window.slice(at, Math.min(at + CHUNK_TOKENS, window.length - 1))
      const one = await feed(before, first, tokenIds)
      const other = await feed(after, second, tokenIds)
      const width = one.length / tokenIds.length
      for (let place = 0; place < tokenIds.length; place++) {
        const range = [place * width, (place + 1) * width] as const
        tally.add(one.subarray(...range), other.subarray(...range), window[at + place + 1] ?? 0)
      }
    }
    before.release(first)
    after.release(second)
  }
  return tally.result()
}

/** The most probable continuation of some tokens, so that there is something sensible to read. */
export const continueGreedily = async (
  step: DecoderStep,
  prompt: ReadonlyArray<number>,
  tokensMax: number,
  endTokenIds: ReadonlySet<number>,
): Promise<ReadonlyArray<number>> => {
  const slot = step.open()
  const tokenIds = [...prompt]
  let [logits] = await step.run([{ slot, tokenIds: prompt }])
  while (logits !== undefined && tokenIds.length < prompt.length + tokensMax) {
    const next = greatestOf(logits)
    tokenIds.push(next)
    if (endTokenIds.has(next)) break
    logits = (await step.run([{ slot, tokenIds: [next] }]))[0]
  }
  step.release(slot)
  return tokenIds
}
