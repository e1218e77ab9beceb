/** The boundary of locally typical sampling (Meister et al. 2023, arXiv 2202.00666). Pure. */
import { weightOf } from "./keepTopP.ts"
import { selectFirst } from "./selectFirst.ts"

/**
 * Keeps the smallest set of the tokens whose surprise is nearest to the expected one (the entropy) that holds `typicalP` of
 * all weight; at least one. Reorders `ids`.
 *
 * @param keys scratch, by id
 * @returns how many are kept, standing first
 */
export const keepTypicalP = (
  ids: Int32Array,
  count: number,
  weights: Float64Array,
  keys: Float64Array,
  typicalP: number,
): number => {
  if (typicalP >= 1) return count
  const total = weightOf(ids, count, weights)
  let entropy = 0
  for (let at = 0; at < count; at++) {
    const share = weights[ids[at]!]! / total
    if (share > 0) entropy -= share * Math.log(share)
  }
  for (let at = 0; at < count; at++) {
    const id = ids[at]!
    keys[id] = -Math.abs(-Math.log(weights[id]! / total) - entropy)
  }
  return selectFirst(ids, count, keys, typicalP * total, weights)
}
