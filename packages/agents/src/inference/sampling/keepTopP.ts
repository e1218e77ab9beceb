/** The boundary of top-p, nucleus sampling (Holtzman et al. 2020, arXiv 1904.09751). Pure. */
import { selectFirst } from "./selectFirst.ts"

/** The sum of the weights of the first `count` ids. */
export const weightOf = (ids: Int32Array, count: number, weights: Float64Array): number => {
  let total = 0
  for (let at = 0; at < count; at++) total += weights[ids[at]!]!
  return total
}

/**
 * Keeps the smallest set of the most probable tokens that holds `topP` of all weight; at least one. Reorders `ids`.
 *
 * @returns how many are kept, standing first
 */
export const keepTopP = (
  ids: Int32Array,
  count: number,
  logits: Float32Array,
  weights: Float64Array,
  topP: number,
): number => {
  if (topP >= 1) return count
  const total = weightOf(ids, count, weights)
  // What is lighter than this cannot be in the set even if all such ids were taken together: no need to order it.
  const floor = ((1 - topP) * total) / count
  let heavy = 0
  for (let at = 0; at < count; at++) {
    const id = ids[at]!
    if (weights[id]! < floor) continue
    ids[at] = ids[heavy]!
    ids[heavy++] = id
  }
  return selectFirst(ids, heavy, logits, topP * total, weights)
}
