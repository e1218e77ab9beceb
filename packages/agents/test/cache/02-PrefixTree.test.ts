import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type KvSegment, segmentBytes } from "../../src/inference/cache/KvSegment.ts"
import { type Path, PrefixTree, type TreeLimits } from "../../src/inference/cache/PrefixTree.ts"

const SHAPES = [
  { heads: 2, headDim: 1, type: "float32" },
  { heads: 1, headDim: 3, type: "float32" },
] as const
const BYTES_PER_TOKEN = 5 * 4

/** Keys and values that depend on all tokens before them, as a model's do: none can pass for another. */
const segmentOf = (tokenIds: ReadonlyArray<number>, from: number, to: number): KvSegment => {
  const valueAt = (at: number) =>
    tokenIds.slice(0, at + 1).reduce((sum, tokenId) => (sum * 31 + tokenId + 1) % 65521, 7)
  const values = Array.from({ length: to - from }, (_, at) => valueAt(from + at))
  const buffers = SHAPES.map(({ headDim, heads }) => {
    const ofHead = (head: number) => values.flatMap((value) => Array<number>(headDim).fill(value + head))
    return Float32Array.from(Array.from({ length: heads }, (_, head) => ofHead(head)).flat())
  })
  return { length: to - from, shapes: SHAPES, buffers }
}

const hold = (tree: PrefixTree, tokenIds: ReadonlyArray<number>) =>
  tree.insert(tokenIds, BYTES_PER_TOKEN, (from, to) => segmentOf(tokenIds, from, to))

const makeTree = (limits: Partial<TreeLimits> = {}, onForget?: (path: Path) => void) =>
  new PrefixTree({ leavesMax: 100, bytesMax: 1e9, blockTokens: 1, ...limits }, onForget)

/** The values of one head of one buffer, in order. */
const valuesOf = (segments: ReadonlyArray<KvSegment>) =>
  segments.flatMap(({ buffers, length }) => [...buffers[0]!.subarray(0, length)])

describe("PrefixTree", () => {
  it("shares what sequences begin with, and holds it once", () => {
    const tree = makeTree()
    hold(tree, [1, 2, 3, 4])
    hold(tree, [1, 2, 9])
    expect(tree.leaves).toBe(2)
    expect(tree.bytes).toBe(5 * BYTES_PER_TOKEN)
    expect(tree.longest([1, 2, 7], 3).length).toBe(2)
    expect(tree.longest([1, 2, 3, 4, 5], 3).length).toBe(3)
    expect(tree.longest([2, 3], 2).length).toBe(0)
    // It goes on where another ended: still one conversation.
    hold(tree, [1, 2, 9, 9])
    expect(tree.leaves).toBe(2)
    hold(tree, [1, 2])
    expect(tree.leaves).toBe(2)
  })

  it("shares only whole blocks, where the numbers of a block depend on all of it", () => {
    const tree = makeTree({ blockTokens: 4 })
    hold(tree, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(tree.bytes).toBe(8 * BYTES_PER_TOKEN)
    expect(tree.longest([1, 2, 3, 4, 5, 6, 7, 8, 9], 7).length).toBe(4)
    hold(tree, [1, 2, 3, 4, 5, 6, 0, 0])
    expect(tree.bytes).toBe(12 * BYTES_PER_TOKEN)
    expect(tree.longest([1, 2, 3, 4, 5, 6, 0, 0], 8).length).toBe(8)
  })

  it("forgets the least recently used first, ends before beginnings, and tells of it", () => {
    const told: Array<ReadonlyArray<number>> = []
    const tree = makeTree({ leavesMax: 2 }, ({ tokenIds }) => told.push(tokenIds))
    hold(tree, [1, 1, 1])
    hold(tree, [1, 2, 2])
    tree.longest([1, 1, 1], 3)
    hold(tree, [3, 3])
    expect(told).toEqual([[1, 2, 2]])
    tree.expire([3, 3])
    hold(tree, [4])
    // Nobody will ask for what its conversation has left behind.
    expect(told.slice(1)).toEqual([])
    expect(tree.longest([3, 3], 2).length).toBe(0)
    tree.longest([4], 1)
    tree.limitBytes(2 * BYTES_PER_TOKEN)
    expect(told.slice(1)).toEqual([[1, 1, 1]])
    expect(tree.bytes).toBe(2 * BYTES_PER_TOKEN)
  })

  it("never holds more than it may, and not at all what would not fit, nor gives up itself for it", () => {
    const tree = makeTree({ bytesMax: 4 * BYTES_PER_TOKEN })
    hold(tree, [1, 2, 3, 4])
    hold(tree, [1, 2, 3, 4, 5])
    expect(tree.longest([1, 2, 3, 4, 5], 5).length).toBe(4)
    hold(tree, [9, 9, 9, 9, 9])
    expect(tree.longest([1, 2, 3, 4, 5], 5).length).toBe(4)
    const none = makeTree({ leavesMax: 0 })
    hold(none, [1])
    expect(none.bytes).toBe(0)
  })

  it("gives the longest beginning that it holds, of the right numbers, within its bounds, whatever came before", () => {
    const sequence = fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 12 })
    const action = fc.record({ kind: fc.constantFrom("hold", "hold", "ask", "shrink"), sequence })
    const anyCase = fc.record({
      actions: fc.array(action, { maxLength: 30 }),
      blockTokens: fc.constantFrom(1, 1, 3),
      bounded: fc.boolean(),
    })
    fc.assert(
      fc.property(anyCase, ({ actions, blockTokens, bounded }) => {
        const bytesMax = bounded ? 20 * BYTES_PER_TOKEN : 1e9
        let forgotten = 0
        const tree = makeTree({ blockTokens, bytesMax, leavesMax: bounded ? 4 : 1e9 }, () => forgotten++)
        const held: Array<ReadonlyArray<number>> = []
        const whole = (tokens: number) => Math.floor(tokens / blockTokens) * blockTokens
        for (const { kind, sequence: tokenIds } of actions) {
          if (kind === "hold") {
            hold(tree, tokenIds)
            held.push(tokenIds)
          } else if (kind === "shrink" && bounded) {
            tree.limitBytes(10 * BYTES_PER_TOKEN)
            tree.limitBytes(bytesMax)
          }
          const { length, segments } = tree.longest(tokenIds, tokenIds.length)
          expect(valuesOf(segments)).toEqual(valuesOf([segmentOf(tokenIds, 0, length)]))
          expect(segments.reduce((bytes, segment) => bytes + segmentBytes(segment), 0)).toBe(length * BYTES_PER_TOKEN)
          const shared = held.map((other) => {
            const differs = tokenIds.findIndex((tokenId, at) => other[at] !== tokenId)
            return whole(Math.min(whole(other.length), differs < 0 ? tokenIds.length : differs))
          })
          const most = Math.max(0, ...shared)
          if (forgotten === 0 && !bounded) expect(length).toBe(most)
          else expect(length).toBeLessThanOrEqual(most)
          expect(tree.bytes).toBeLessThanOrEqual(bytesMax)
          expect(tree.leaves).toBeLessThanOrEqual(bounded ? 4 : 1e9)
        }
      }),
      { numRuns: 500 },
    )
  })
})
