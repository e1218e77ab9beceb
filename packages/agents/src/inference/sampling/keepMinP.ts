/** The boundary of min-p: only tokens at least this fraction as probable as the best (Nguyen et al. 2024, arXiv 2407.01082). Pure. */

/** @returns how many of `ids` are kept, standing first; the most probable one always is. `weights` has it weigh 1. */
export const keepMinP = (ids: Int32Array, count: number, weights: Float64Array, minP: number): number => {
  if (minP === 0) return count
  let kept = 0
  for (let at = 0; at < count; at++) {
    const id = ids[at]!
    if (weights[id]! < minP) continue
    ids[at] = ids[kept]!
    ids[kept++] = id
  }
  return kept
}
