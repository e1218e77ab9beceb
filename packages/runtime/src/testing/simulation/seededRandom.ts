/**
 * The boundary to chance: numbers that are the same ones for the same seed, on every machine.
 */

/** A stream of numbers in [0, 1), with what a test draws most. */
export interface SeededRandom {
  /** In [0, 1). */
  readonly next: () => number
  /** A whole number in [0, below). */
  readonly below: (below: number) => number
  /** True in `share` of all draws. */
  readonly chance: (share: number) => boolean
  readonly pick: <A>(values: readonly [A, ...Array<A>]) => A
}

/** mulberry32 (Tommy Ettinger, public domain): enough for a test, and 32 bits of state. */
export const seededRandom = (seed: number): SeededRandom => {
  // Neighbouring seeds begin far from each other.
  let state = Math.imul(seed, 0x9e3779b1) ^ (seed >>> 15)
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next,
    below,
    chance: (share) => next() < share,
    pick: (values) => values[below(values.length)] ?? values[0],
  }
}
