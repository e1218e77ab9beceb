/** The boundary to how a simulated target really is; only the simulation and the informed router see it. */

export interface Truth {
  /** Whether it runs messages at all; an absent one has not joined yet. */
  readonly present: boolean
  /** Its service takes this many times as long. */
  readonly slowdown: number
  /** It takes messages and never answers. */
  readonly hangs: boolean
  /** The share of attempts that fail, after `failsAfterMs`. */
  readonly failShare: number
  readonly failsAfterMs: number
  /** The share of attempts that take `oddSlowdown` times as long, the slowdown beside. */
  readonly oddShare: number
  readonly oddSlowdown: number
}

export const HEALTHY: Truth = {
  present: true,
  slowdown: 1,
  hangs: false,
  failShare: 0,
  failsAfterMs: 0,
  oddShare: 0,
  oddSlowdown: 1,
}

/** How much slower an average attempt is that ends. */
export const meanSlowdown = ({ oddShare, oddSlowdown, slowdown }: Truth): number =>
  slowdown * (1 + oddShare * (oddSlowdown - 1))
