/**
 * The boundary to chance: numbers that are the same ones for the same seed, on every machine.
 */
import { mulberry32 } from "../../life/mulberry32.ts"

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

/** @param seed neighbouring ones begin far from each other */
export const seededRandom = (seed: number): SeededRandom => {
  const next = mulberry32(Math.imul(seed, 0x9e3779b1) ^ (seed >>> 15))
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next,
    below,
    chance: (share) => next() < share,
    pick: (values) => values[below(values.length)] ?? values[0],
  }
}
