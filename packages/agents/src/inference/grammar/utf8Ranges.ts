/**
 * The boundary between characters and bytes: a range of code points as sequences of byte ranges (the way of Russ Cox's RE2 and
 * of the crate utf8-ranges). Surrogates have no bytes. Pure.
 */
import type { CodeRange } from "./Expression.ts"

export type ByteRange = readonly [number, number]

/** Code points up to these have 1, 2, 3 and 4 bytes. */
const LAST_OF_LENGTH = [0x7f, 0x7ff, 0xffff, 0x10ffff]
const SURROGATE_FIRST = 0xd800
const SURROGATE_LAST = 0xdfff

const bytesOf = (codePoint: number): ReadonlyArray<number> => [
  ...new TextEncoder().encode(String.fromCodePoint(codePoint)),
]

/** Splits where the number of bytes changes, at surrogates, and so that all but the first differing byte run from 80 to BF. */
const split = (low: number, high: number): ReadonlyArray<CodeRange> => {
  if (low > high) return []
  if (low <= SURROGATE_LAST && high >= SURROGATE_FIRST) {
    return [...split(low, SURROGATE_FIRST - 1), ...split(SURROGATE_LAST + 1, high)]
  }
  for (const last of LAST_OF_LENGTH) {
    if (low <= last && last < high) return [...split(low, last), ...split(last + 1, high)]
  }
  if (high <= 0x7f) return [[low, high]]
  for (let bits = 6; bits <= 18; bits += 6) {
    const mask = (1 << bits) - 1
    if ((low & ~mask) === (high & ~mask)) continue
    if ((low & mask) !== 0) return [...split(low, low | mask), ...split((low | mask) + 1, high)]
    if ((high & mask) !== mask) return [...split(low, (high & ~mask) - 1), ...split(high & ~mask, high)]
  }
  return [[low, high]]
}

/** Every text of one character in the range is one of these sequences, and the other way round. */
export const utf8Ranges = ([low, high]: CodeRange): ReadonlyArray<ReadonlyArray<ByteRange>> =>
  split(low, high).map(([first, last]) => {
    const from = bytesOf(first)
    const to = bytesOf(last)
    return from.map((byte, at): ByteRange => [byte, to[at]!])
  })
