/**
 * The boundary to randomness: a number that depends on a seed and a position, and on nothing else. Pure.
 */

/** SplitMix64's increment and mixing constants (Steele, Lea, Flood 2014), as 64-bit integers. */
const GAMMA = 0x9e3779b97f4a7c15n
const MIX_1 = 0xbf58476d1ce4e5b9n
const MIX_2 = 0x94d049bb133111ebn
const MASK = 0xffffffffffffffffn

const mix = (value: bigint): bigint => {
  const first = ((value ^ (value >> 30n)) * MIX_1) & MASK
  const second = ((first ^ (first >> 27n)) * MIX_2) & MASK
  return second ^ (second >> 31n)
}

/**
 * A number in [0, 1) that depends on the seed and on which token of the answer is drawn, and on nothing else. A generator
 * with a state would have to be wound forward, or stored, before an answer could be taken up after its 40th token.
 */
export const uniformAt = (seed: number, position: number): number => {
  const start = mix((BigInt.asUintN(64, BigInt(seed)) + GAMMA) & MASK)
  const drawn = mix((start + GAMMA * BigInt(position + 1)) & MASK)
  // 53 bits are what a double holds exactly.
  return Number(drawn >> 11n) / 2 ** 53
}
