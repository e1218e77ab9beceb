import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { KvArena } from "../src/inference/cache/KvArena.ts"

/** One buffer of each kind that there is. */
const SHAPES = [
  { heads: 2, headDim: 3, type: "float32" as const },
  { heads: 1, headDim: 2, type: "float16" as const },
]
const ROWS_MAX = 3

/** New tokens of a batch of one: each number says which token, head and place it is, so that none passes for another. */
const freshOf = (tokenIds: ReadonlyArray<number>) =>
  SHAPES.map(({ headDim, heads, type }) => {
    const values = Array.from({ length: heads }, (_, head) =>
      tokenIds.map((tokenId) => Array.from({ length: headDim }, (_, at) => tokenId * 10 + head * 5 + at)),
    ).flat(2)
    return type === "float32" ? Float32Array.from(values) : Uint16Array.from(values)
  })

/** What the arena holds for a row, read as the model reads it: by row, head and capacity. */
const contentOf = (arena: KvArena, row: number): ReadonlyArray<ReadonlyArray<number>> =>
  SHAPES.map(({ headDim, heads }, buffer) => {
    const view = arena.view(buffer, row, row + 1)
    return Array.from({ length: heads }, (_, head) => {
      const start = head * arena.capacity * headDim
      return [...view.subarray(start, start + arena.lengthOf(row) * headDim)]
    }).flat()
  })

describe("KvArena", () => {
  it("refuses a row more than there may be", () => {
    const arena = new KvArena(SHAPES, ROWS_MAX)
    for (let row = 0; row < ROWS_MAX; row++) expect(arena.addRow()).toBe(row)
    expect(() => arena.addRow()).toThrow("all 3 rows are in use")
  })

  it("grows with the longest row in steps, and forgets its size when it is empty", () => {
    const arena = new KvArena(SHAPES, ROWS_MAX)
    const row = arena.addRow()
    const fill = (tokens: number) => arena.append(row, freshOf(Array.from({ length: tokens }, () => 1)), 0, tokens)
    fill(64)
    expect(arena.capacity).toBe(64)
    fill(1)
    expect(arena.capacity).toBe(128)
    fill(400)
    expect(arena.capacity).toBe(512)
    arena.removeRow(row)
    expect(arena.capacity).toBe(64)
  })

  it("holds what was put into each row, whatever comes and goes beside it", () => {
    const action = fc.record({
      kind: fc.constantFrom("add", "append", "append", "remove", "cut", "save", "load", "fork"),
      which: fc.nat({ max: ROWS_MAX - 1 }),
      tokens: fc.integer({ min: 1, max: 70 }),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const arena = new KvArena(SHAPES, ROWS_MAX)
        /** The tokens of each row, by row; and those that are saved. */
        const rows: Array<Array<number>> = []
        const saved: Array<{ readonly kept: ReturnType<KvArena["save"]>; readonly tokenIds: Array<number> }> = []
        const remove = (row: number) => {
          const moved = arena.removeRow(row)
          expect(moved).toBe(row < rows.length - 1 ? rows.length - 1 : undefined)
          const last = rows.pop()!
          if (moved !== undefined) rows[row] = last
        }
        let next = 1
        for (const { kind, tokens, which } of actions) {
          const row = which % Math.max(1, rows.length)
          const held = rows[row]
          if (kind === "add" && rows.length < ROWS_MAX) {
            arena.addRow()
            rows.push([])
          } else if (kind === "append" && held !== undefined) {
            const tokenIds = Array.from({ length: tokens }, () => next++)
            arena.append(row, freshOf(tokenIds), 0, tokens)
            held.push(...tokenIds)
          } else if (kind === "cut" && held !== undefined) {
            arena.cutRow(row, tokens)
            held.splice(tokens)
          } else if (kind === "save" && held !== undefined) {
            const from = Math.min(tokens, held.length)
            saved.push({ kept: arena.save(row, from), tokenIds: held.slice(from) })
          } else if (kind === "load" && saved.length > 0 && held !== undefined) {
            const { kept, tokenIds } = saved.shift()!
            const length = Math.min(tokens, tokenIds.length)
            arena.load(row, kept, length)
            held.push(...tokenIds.slice(0, length))
          } else if (kind === "fork" && held !== undefined && rows.length < ROWS_MAX) {
            const length = Math.min(tokens, held.length)
            expect(arena.forkRow(row, length)).toBe(rows.length)
            rows.push(held.slice(0, length))
          } else if (kind === "remove" && held !== undefined) remove(row)
          expect(arena.rows).toBe(rows.length)
          for (const [index, tokenIds] of rows.entries()) {
            expect(arena.lengthOf(index)).toBe(tokenIds.length)
            expect(contentOf(arena, index)).toEqual(freshOf(tokenIds).map((buffer) => [...buffer]))
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  it("says how much memory rows of some lengths take, and never more than twice one buffer of it while it grows", () => {
    // Six 32-bit floats and two 16-bit ones.
    const perToken = 6 * 4 + 2 * 2
    const arena = new KvArena(SHAPES, ROWS_MAX)
    expect(arena.bytesPerToken).toBe(perToken)
    expect(arena.bytesFor([])).toBe(0)
    expect(arena.bytesFor([1, 64])).toBe(2 * 64 * perToken)
    // 24 bytes of a token's 28 are in the wider buffer.
    expect(arena.bytesFor([65, 1])).toBe(2 * 128 * perToken + 2 * 64 * 24)
    for (let row = 0; row < ROWS_MAX; row++) arena.addRow()
    arena.append(0, freshOf(Array.from({ length: 65 }, () => 1)), 0, 65)
    arena.removeRow(2)
    arena.removeRow(1)
    // Their pages have been touched, and are until the buffers are made anew.
    expect(arena.bytesFor([65])).toBe(3 * 128 * perToken)
    arena.append(0, freshOf(Array.from({ length: 64 }, () => 1)), 0, 64)
    expect(arena.bytesFor([129])).toBe(192 * perToken)
  })

  it("takes each row of a batch for itself", () => {
    const arena = new KvArena([{ heads: 1, headDim: 2, type: "float32" }], 2)
    arena.addRow()
    arena.addRow()
    // [batch 2, heads 1, tokens 1, headDim 2]
    const fresh = [Float32Array.from([1, 2, 3, 4])]
    arena.append(1, fresh, 0, 1)
    arena.append(0, fresh, 1, 1)
    expect([...arena.view(0, 0, 1).subarray(0, 2)]).toEqual([3, 4])
    expect([...arena.view(0, 1, 2).subarray(0, 2)]).toEqual([1, 2])
  })
})
