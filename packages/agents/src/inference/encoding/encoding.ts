/**
 * The boundary between an encoder's numbers and what they mean: cut texts, probabilities, pooled vectors. Pure.
 */

/** Tokens as they are fed: [CLS], [SEP] and the like among them. */
export interface EncodedText {
  readonly tokenIds: ReadonlyArray<number>
  /** 1 for tokens of a second text; undefined where all are 0. */
  readonly typeIds: ReadonlyArray<number> | undefined
}

/**
 * Cuts from the end of a text and keeps special tokens around it, as [CLS] and [SEP], in place.
 *
 * @param textTokens the text alone; its last occurrence is cut, so that of two texts the second is
 */
export const truncate = (
  { tokenIds, typeIds }: EncodedText,
  textTokens: ReadonlyArray<number>,
  lengthMax: number,
): EncodedText & { readonly cutTokens: number } => {
  const over = tokenIds.length - lengthMax
  if (over <= 0) return { tokenIds, typeIds, cutTokens: 0 }
  let begin = tokenIds.length - textTokens.length
  while (begin > 0 && !startsAt(tokenIds, textTokens, begin)) begin--
  const end = Math.max(0, begin) + textTokens.length
  const from = Math.max(0, end - over)
  const isKept = (_: number, at: number) => at < from || at >= end
  const kept = tokenIds.filter(isKept)
  return { tokenIds: kept, typeIds: typeIds?.filter(isKept), cutTokens: tokenIds.length - kept.length }
}

const startsAt = (all: ReadonlyArray<number>, part: ReadonlyArray<number>, at: number): boolean =>
  part.every((tokenId, index) => all[at + index] === tokenId)

/** Probabilities of labels that exclude each other. */
export const softmax = (logits: Float32Array): Float32Array => {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const weights = logits.map((logit) => Math.exp(logit - most))
  const total = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / total)
}

/** The probability of each label by itself. */
export const sigmoid = (logits: Float32Array): Float32Array => logits.map((logit) => 1 / (1 + Math.exp(-logit)))

/** Scaled to length 1; a zero vector stays what it is. */
export const normalise = (vector: Float32Array): Float32Array => {
  const length = Math.hypot(...vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}

export type Pooling = "mean" | "cls" | "last"

/** A row's vector of its tokens' ones; `states` is [tokens and padding, width], padding at the end. */
export const pool = (states: Float32Array, tokens: number, width: number, pooling: Pooling): Float32Array => {
  if (pooling !== "mean") {
    const at = pooling === "cls" ? 0 : tokens - 1
    return states.slice(at * width, (at + 1) * width)
  }
  // In 64 bits: a mean over 512 tokens of 32 bits differs in the sixth digit with the order of its sums.
  const sums = new Float64Array(width)
  for (let token = 0; token < tokens; token++) {
    for (let index = 0; index < width; index++) sums[index]! += states[token * width + index]!
  }
  return Float32Array.from(sums, (sum) => sum / tokens)
}
