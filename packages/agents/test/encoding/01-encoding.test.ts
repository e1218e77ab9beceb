/** What an encoder's numbers mean, and which texts share a step. */
import { describe, expect, it } from "vitest"
import { chooseRows } from "../../src/inference/encoding/EncoderBatcher.ts"
import { normalise, pool, sigmoid, softmax, truncate } from "../../src/inference/encoding/encoding.ts"
import { joinedSpans, singleSpans } from "../../src/inference/encoding/tagSpans.ts"

const plain = (...tokenIds: ReadonlyArray<number>) => ({ tokenIds, typeIds: undefined })

describe("a text that is too long", () => {
  it("is cut at its end, and keeps what stands around it", () => {
    expect(truncate(plain(1, 5, 6, 7, 8, 2), [5, 6, 7, 8], 4)).toEqual({ ...plain(1, 5, 6, 2), cutTokens: 2 })
    expect(truncate(plain(5, 6, 7), [5, 6, 7], 2)).toEqual({ ...plain(5, 6), cutTokens: 1 })
    expect(truncate(plain(1, 2), [], 4)).toEqual({ ...plain(1, 2), cutTokens: 0 })
  })
  it("is cut in its second part where there are two, also where both are alike", () => {
    const pair = { tokenIds: [1, 7, 7, 2, 7, 7, 2], typeIds: [0, 0, 0, 0, 1, 1, 1] }
    const cut = { tokenIds: [1, 7, 7, 2, 7, 2], typeIds: [0, 0, 0, 0, 1, 1], cutTokens: 1 }
    expect(truncate(pair, [7, 7], 6)).toEqual(cut)
  })
})

describe("numbers", () => {
  it("become probabilities, however large they are", () => {
    expect(softmax(Float32Array.of(1000, 1000))).toEqual(Float32Array.of(0.5, 0.5))
    expect(softmax(Float32Array.of(-1e9, 0))).toEqual(Float32Array.of(0, 1))
    expect(sigmoid(Float32Array.of(0, -1e9, 1e9))).toEqual(Float32Array.of(0.5, 0, 1))
  })
  it("become one vector: the mean, the first, or the last of the tokens, padding left out", () => {
    const states = Float32Array.of(1, 2, 3, 6, 9, 9)
    expect(pool(states, 2, 2, "mean")).toEqual(Float32Array.of(2, 4))
    expect(pool(states, 2, 2, "cls")).toEqual(Float32Array.of(1, 2))
    expect(pool(states, 2, 2, "last")).toEqual(Float32Array.of(3, 6))
  })
  it("are scaled to length 1, a zero vector excepted", () => {
    expect(normalise(Float32Array.of(3, 4))).toEqual(Float32Array.of(0.6, 0.8))
    expect(normalise(Float32Array.of(0, 0))).toEqual(Float32Array.of(0, 0))
  })
})

describe("labels of tokens", () => {
  const text = "ann of new york met bo"
  const token = (label: string, start: number, end: number, score = 1) => ({ label, score, start, end })
  const tokens = [
    ...[token("B-PER", 0, 3), token("O", 4, 6), token("B-LOC", 7, 10, 0.5), token("I-LOC", 11, 15)],
    ...[token("O", 16, 19), token("I-PER", 20, 22)],
  ]
  it("are joined by their tags: B- begins, O ends, I- alone is taken", () => {
    expect(joinedSpans(tokens, text)).toEqual([
      { label: "PER", score: 1, start: 0, end: 3, text: "ann" },
      { label: "LOC", score: 0.75, start: 7, end: 15, text: "new york" },
      { label: "PER", score: 1, start: 20, end: 22, text: "bo" },
    ])
  })
  it("are not joined over an O, nor with a new B-, nor after an S- or E-", () => {
    const labels = (...all: ReadonlyArray<string>) =>
      joinedSpans(
        all.map((label, at) => token(label, at, at + 1)),
        text,
      ).map(({ end, start }) => [start, end])
    expect(labels("I-X", "O", "I-X")).toEqual([
      [0, 1],
      [2, 3],
    ])
    expect(labels("B-X", "B-X")).toEqual([
      [0, 1],
      [1, 2],
    ])
    expect(labels("S-X", "I-X")).toEqual([
      [0, 1],
      [1, 2],
    ])
    expect(labels("B-X", "E-X", "I-X")).toEqual([
      [0, 2],
      [2, 3],
    ])
    expect(labels("X", "X", "Y")).toEqual([
      [0, 2],
      [2, 3],
    ])
  })
  it("stand each for itself where that is asked", () => {
    expect(singleSpans(tokens, text).map(({ label, text }) => [label, text])).toEqual([
      ["B-PER", "ann"],
      ["B-LOC", "new"],
      ["I-LOC", "york"],
      ["I-PER", "bo"],
    ])
  })
})

describe("a step's texts", () => {
  const rows = (...lengths: ReadonlyArray<number>) => lengths.map((length) => ({ ...plain(...Array(length).keys()) }))
  const lengths = (chosen: ReadonlyArray<{ readonly tokenIds: ReadonlyArray<number> }>) =>
    chosen.map(({ tokenIds }) => tokenIds.length)
  it("are the oldest and those nearest to its length, with little padding", () => {
    expect(lengths(chooseRows(rows(10, 100, 11, 9, 50, 10), 4))).toEqual([10, 10, 11, 9])
    expect(lengths(chooseRows(rows(100, 10, 11), 8))).toEqual([100])
    expect(lengths(chooseRows(rows(10, 10, 10), 2))).toEqual([10, 10])
    expect(chooseRows([], 8)).toEqual([])
  })
  it("are never more than 15 % padding, whatever the lengths", () => {
    let seed = 1
    const next = () => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed % 200
    }
    for (let round = 0; round < 200; round++) {
      const all = rows(...Array.from({ length: 40 }, () => 1 + next()))
      const chosen = lengths(chooseRows(all, 16))
      expect(chosen[0]).toBe(all[0]?.tokenIds.length)
      const cells = Math.max(...chosen) * chosen.length
      expect(chosen.reduce((a, b) => a + b, 0) / cells).toBeGreaterThanOrEqual(0.85)
    }
  })
})
