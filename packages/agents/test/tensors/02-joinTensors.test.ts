/** Requests as one batch along the first axis, and each one's part of its outputs. */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import type { NamedTensors, TensorSpec } from "../../src/index.ts"
import { batchKey, cutTensors, joinTensors, rowsOf, whyNoBatches } from "../../src/inference/tensors/joinTensors.ts"

const row = (first: number, rows = 1): NamedTensors => ({
  x: { type: "float32", dims: [rows, 2], data: Float32Array.from({ length: 2 * rows }, (_, at) => first + at) },
  n: { type: "string", dims: [rows], data: Array.from({ length: rows }, (_, at) => `row ${first + at}`) },
  rate: { type: "int64", dims: [], data: BigInt64Array.of(8n) },
})
const spec = (name: string, dims: TensorSpec["dims"]): TensorSpec => ({ name, type: "float32", dims })

describe("a batch of requests", () => {
  it("is refused of a graph that fixes the first axis of an input or output", () => {
    expect(whyNoBatches([spec("h", [2, "batch", 64])], [])).toBe('the first axis of its input "h" has the fixed size 2')
    expect(whyNoBatches([spec("x", ["", 3])], [spec("loss", [])])).toContain('output "loss" is not that of a batch')
    expect(whyNoBatches([spec("x", ["", 3]), spec("rate", [])], [spec("y", ["n"])])).toBeUndefined()
  })
  it("takes what is alike in all but the first axis, scalars equal", () => {
    expect(batchKey(row(0), undefined)).toBe(batchKey(row(5, 3), undefined))
    expect(batchKey(row(0), undefined)).not.toBe(batchKey(row(0), ["y"]))
    const other = { ...row(0), rate: { type: "int64", dims: [], data: BigInt64Array.of(16n) } } as const
    expect(batchKey(other, undefined)).not.toBe(batchKey(row(0), undefined))
    expect(rowsOf(row(0, 3))).toBe(3)
    expect(rowsOf({ ...row(0, 3), x: row(0, 2).x! })).toBeUndefined()
    expect(rowsOf(row(0, 0))).toBeUndefined()
  })
  it("is joined and cut at the same places", () => {
    const requests = [row(0), row(10, 3), row(20, 2)]
    const { rate, ...joined } = joinTensors(requests)
    expect(joined.x?.dims).toEqual([6, 2])
    expect(rate).toEqual(row(0).rate)
    const cut = Result.getOrThrow(cutTensors(joined, [1, 3, 2]))
    expect(cut).toEqual(requests.map(({ x, n }) => ({ x, n })))
  })
  it("is refused where an output has other rows", () => {
    const { x } = row(0, 5)
    expect(Result.getOrElse(Result.flip(cutTensors({ x: x! }, [1, 3])), () => "")).toBe(
      'output "x" has 5 rows for a batch of 4; set batchMax to 1',
    )
  })
})
