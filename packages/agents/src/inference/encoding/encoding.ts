/**
 * The boundary between an encoder's numbers and what they mean: cut texts, probabilities, vectors of length 1. Pure.
 */
import type { Classification } from "../../EncoderTarget.ts"

/** Cuts from the end of the text and keeps special tokens around it, as [CLS] and [SEP], in place. */
export const truncate = (
  tokenIds: ReadonlyArray<number>,
  textTokens: ReadonlyArray<number>,
  lengthMax: number,
): { readonly tokenIds: ReadonlyArray<number>; readonly cutTokens: number } => {
  const over = tokenIds.length - lengthMax
  if (over <= 0) return { tokenIds, cutTokens: 0 }
  const begin = textTokens.length === 0 ? 0 : tokenIds.findIndex((_, at) => startsAt(tokenIds, textTokens, at))
  const end = Math.max(0, begin) + textTokens.length
  const kept = [...tokenIds.slice(0, Math.max(0, end - over)), ...tokenIds.slice(end)]
  return { tokenIds: kept, cutTokens: tokenIds.length - kept.length }
}

const startsAt = (all: ReadonlyArray<number>, part: ReadonlyArray<number>, at: number): boolean =>
  part.every((tokenId, index) => all[at + index] === tokenId)

/** Probabilities of the labels, most probable first. */
export const classify = (logits: Float32Array, labels: ReadonlyArray<string>, cutTokens: number): Classification => {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const weights = Array.from(logits, (logit) => Math.exp(logit - most))
  const total = weights.reduce((a, b) => a + b, 0)
  const scores = labels
    .map((label, index) => ({ label, score: weights[index]! / total }))
    .sort((a, b) => b.score - a.score)
  return { label: scores[0]!.label, confidence: scores[0]!.score, scores, cutTokens }
}

/** Scaled to length 1; a zero vector stays what it is. */
export const normalise = (vector: ReadonlyArray<number>): ReadonlyArray<number> => {
  const length = Math.hypot(...vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}

/** The mean over a row's own tokens, padding left out. `states` is [tokens, width]. */
export const meanOf = (states: Float32Array, tokens: number, width: number): ReadonlyArray<number> => {
  const sums = new Array<number>(width).fill(0)
  for (let token = 0; token < tokens; token++) {
    for (let index = 0; index < width; index++) sums[index]! += states[token * width + index]!
  }
  return sums.map((value) => value / tokens)
}
