/** The boundary of what may not be said next, whatever the model's opinion. In place: excluded logits become -Infinity. */

export const excludeTokens = (logits: Float32Array, tokenIds: Iterable<number>): void => {
  for (const id of tokenIds) if (id < logits.length) logits[id] = Number.NEGATIVE_INFINITY
}

/** Adds to single logits; -100 and 100 all but forbid and all but force a token. */
export const applyBias = (logits: Float32Array, bias: ReadonlyArray<readonly [number, number]>): void => {
  for (const [id, added] of bias) if (id < logits.length) logits[id] = logits[id]! + added
}

/**
 * Excludes every token that would end a sequence of `size` tokens that is already there, in the prompt or in the answer.
 *
 * It looks for the last tokens from the start on at every step. An index of all sequences, as transformers builds at every
 * step, would have to be kept, forked and rebuilt with the answer.
 */
export const excludeRepeats = (logits: Float32Array, tokenIds: ReadonlyArray<number>, size: number): void => {
  if (size === 0) return
  const length = tokenIds.length
  const tail = length - (size - 1)
  for (let end = size - 1; end < length; end++) {
    let same = size - 1
    while (same > 0 && tokenIds[end - size + same] === tokenIds[tail + same - 1]) same--
    if (same === 0) excludeTokens(logits, [tokenIds[end]!])
  }
}

/** Keeps only the tokens whose bit is set. */
export const keepAllowed = (logits: Float32Array, allowed: Uint32Array): void => {
  for (let word = 0; word < allowed.length; word++) {
    const bits = allowed[word]!
    if (bits === 0xffffffff) continue
    const end = Math.min(32, logits.length - 32 * word)
    for (let bit = 0; bit < end; bit++) {
      if ((bits & (1 << bit)) === 0) logits[32 * word + bit] = Number.NEGATIVE_INFINITY
    }
  }
}
