/** Floats to few bits: what is lost, how it is packed, edges. */
import { describe, expect, it } from "vitest"
import {
  BLOCK,
  type BlockMatrix,
  type Matrix,
  quantizeBlocks,
  quantizeColumns,
} from "../../src/quantization/quantizeMatrix.ts"

/** Numbers that look drawn and are the same each time (a linear congruence). */
const noise = (length: number, seed = 1): Float32Array => {
  let state = seed
  return Float32Array.from({ length }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state / 2 ** 30 - 1
  })
}

const matrix = (k: number, n: number): Matrix => ({ values: noise(k * n), k, n, isTransposed: false })

/** [k, n] of what MatMulNBits computes with, by its documentation. */
const widen = ({ packed, scales }: BlockMatrix, k: number, n: number, bits: 4 | 8): Float32Array => {
  const blocks = Math.ceil(k / BLOCK)
  const values = new Float32Array(k * n)
  for (let row = 0; row < k; row++) {
    for (let column = 0; column < n; column++) {
      const place = column * blocks + Math.floor(row / BLOCK)
      const inside = row % BLOCK
      const byte = packed[place * ((BLOCK * bits) / 8) + (bits === 8 ? inside : inside >> 1)]!
      const whole = bits === 8 ? byte - 128 : ((inside % 2 === 0 ? byte : byte >> 4) & 15) - 8
      values[row * n + column] = whole * scales[place]!
    }
  }
  return values
}

const largestDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0)

const squares = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, index) => sum + (value - b[index]!) ** 2, 0)

describe("blocks", () => {
  it.each([
    [4, 1 / 7],
    [8, 0.5 / 127],
  ] as const)("1. with %i bits no weight of -1 to 1 moves further than a step", (bits, bound) => {
    const one = matrix(96, 5)
    const widened = widen(quantizeBlocks(one, bits), 96, 5, bits)
    expect(largestDifference(one.values, widened)).toBeLessThan(bound * 1.0001)
  })
  it("2. a search for the scale loses less than the plain scale does", () => {
    const one = matrix(BLOCK * 64, 1)
    const found = widen(quantizeBlocks(one, 4), one.k, 1, 4)
    const plain = one.values.map((_, index) => {
      const block = one.values.subarray(Math.floor(index / BLOCK) * BLOCK, (Math.floor(index / BLOCK) + 1) * BLOCK)
      const extreme = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
      const scale = extreme / -8
      return Math.max(-8, Math.min(7, Math.round(one.values[index]! / scale))) * scale
    })
    expect(squares(one.values, found)).toBeLessThan(0.95 * squares(one.values, plain))
  })
  it("3. a block that is not full ends in zeros, whose place is the middle", () => {
    const { packed, scales } = quantizeBlocks(matrix(33, 2), 4)
    expect([packed.length, scales.length]).toEqual([2 * 2 * 16, 4])
    expect([...packed.subarray(17, 32)]).toEqual(Array.from({ length: 15 }, () => 0x88))
    expect(packed[16]! >> 4).toBe(8)
  })
  it("4. a block of zeros stays zeros", () => {
    const zeros = { values: new Float32Array(64), k: 32, n: 2, isTransposed: false }
    expect(widen(quantizeBlocks(zeros, 4), 32, 2, 4)).toEqual(new Float32Array(64))
    expect(widen(quantizeBlocks(zeros, 8), 32, 2, 8)).toEqual(new Float32Array(64))
  })
  it("5. a transposed matrix gives the same", () => {
    const one = matrix(40, 3)
    const turned = Float32Array.from({ length: 120 }, (_, at) => one.values[(at % 40) * 3 + Math.floor(at / 40)]!)
    expect(quantizeBlocks({ ...one, values: turned, isTransposed: true }, 4)).toEqual(quantizeBlocks(one, 4))
    expect(quantizeColumns({ ...one, values: turned, isTransposed: true }, 63)).toEqual(quantizeColumns(one, 63))
  })
})

describe("columns", () => {
  it("6. each has its own scale and uses it up", () => {
    const { scales, whole } = quantizeColumns(
      { values: Float32Array.of(1, 100, -0.5, 0), k: 2, n: 2, isTransposed: false },
      63,
    )
    expect([...whole]).toEqual([63, 63, -31, 0])
    expect(scales[0]).toBeCloseTo(1 / 63, 7)
    expect(scales[1]).toBeCloseTo(100 / 63, 5)
  })
  it("7. a column of zeros has a scale that can be divided by", () => {
    expect([...quantizeColumns({ values: new Float32Array(4), k: 2, n: 2, isTransposed: false }, 63).scales]).toEqual([
      1, 1,
    ])
  })
})
