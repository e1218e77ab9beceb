/** The boundary of what makes tokens that are already there less likely. In place; they ask for no state of their own. */

/**
 * Divides positive and multiplies negative logits of tokens of the prompt and the answer, each once (CTRL, arXiv 1909.05858).
 *
 * @param counts scratch by id, all 0 before and after
 */
export const penaliseRepetition = (
  logits: Float32Array,
  tokenIds: ReadonlyArray<number>,
  penalty: number,
  counts: Int32Array,
): void => {
  if (penalty === 1) return
  for (const id of tokenIds) {
    const logit = logits[id]
    if (logit === undefined || counts[id] !== 0) continue
    counts[id] = 1
    logits[id] = logit > 0 ? logit / penalty : logit * penalty
  }
  for (const id of tokenIds) counts[id] = 0
}

/**
 * Takes `presence` off each token of the answer so far, and `frequency` for each time that it is there, as OpenAI's
 * interface does. The prompt does not count.
 *
 * @param from where in `tokenIds` the answer begins
 * @param counts scratch by id, all 0 before and after
 */
export const penalisePresence = (
  logits: Float32Array,
  tokenIds: ReadonlyArray<number>,
  from: number,
  penalties: { readonly presence: number; readonly frequency: number },
  counts: Int32Array,
): void => {
  const { frequency, presence } = penalties
  if (presence === 0 && frequency === 0) return
  for (let at = from; at < tokenIds.length; at++) counts[tokenIds[at]!]!++
  for (let at = from; at < tokenIds.length; at++) {
    const id = tokenIds[at]!
    const count = counts[id]!
    if (count > 0 && id < logits.length) logits[id] = logits[id]! - presence - frequency * count
    counts[id] = 0
  }
}
