/**
 * The boundary to chance that can be had again: one small generator for handlers, simulations and shuffles. 32 bits of
 * state are enough for those, and for nothing that has to be secret.
 */

/** Numbers in [0, 1), the same ones for the same 32 bits of `seed`, on every machine (Tommy Ettinger, public domain). */
export const mulberry32 = (seed: number): (() => number) => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
