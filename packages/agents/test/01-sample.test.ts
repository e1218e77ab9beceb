import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  argmax,
  penaliseRepetition,
  type SamplingPlan,
  sampleToken,
  uniformAt,
} from "../src/inference/sampling/sample.ts"

const plan = (part: Partial<SamplingPlan>): SamplingPlan => ({
  temperature: 1,
  topK: 0,
  topP: 1,
  repetitionPenalty: 1,
  seed: 0,
  ...part,
})
const logitsOf = (values: ReadonlyArray<number>) => Float32Array.from(values)
const anyLogits = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 60 })
const anyPlan = fc.record({
  temperature: fc.double({ min: 0.05, max: 5, noNaN: true }),
  topK: fc.nat({ max: 70 }),
  topP: fc.double({ min: 0, max: 1, noNaN: true }),
  repetitionPenalty: fc.constantFrom(1, 1.3),
  seed: fc.integer(),
})

describe("sampleToken", () => {
  it("says that there is no number among the logits", () => {
    expect(sampleToken(logitsOf([Number.NaN, Number.NaN]), plan({ temperature: 0 }), [], 0)).toBe(-1)
    expect(sampleToken(logitsOf([Number.NaN]), plan({}), [], 0)).toBe(-1)
    expect(sampleToken(logitsOf([]), plan({}), [], 0)).toBe(-1)
  })

  it("takes the first of equal logits when greedy", () => {
    expect(sampleToken(logitsOf([1, 3, 3, 2]), plan({ temperature: 0 }), [], 0)).toBe(1)
  })

  it("is a function of its arguments", () => {
    fc.assert(
      fc.property(anyLogits, anyPlan, fc.nat({ max: 5000 }), (values, options, position) => {
        const once = sampleToken(logitsOf(values), plan(options), [0], position)
        expect(sampleToken(logitsOf(values), plan(options), [0], position)).toBe(once)
        expect(once).toBeGreaterThanOrEqual(0)
        expect(once).toBeLessThan(values.length)
      }),
    )
  })

  it("is greedy with top-k 1, and with top-p 0", () => {
    fc.assert(
      fc.property(anyLogits, fc.integer(), fc.nat({ max: 99 }), (values, seed, position) => {
        const best = argmax(logitsOf(values))
        expect(sampleToken(logitsOf(values), plan({ topK: 1, seed }), [], position)).toBe(best)
        expect(sampleToken(logitsOf(values), plan({ topP: 0, seed }), [], position)).toBe(best)
      }),
    )
  })

  it("never leaves the top k, nor the smallest set that reaches top-p", () => {
    fc.assert(
      fc.property(anyLogits, anyPlan, fc.nat({ max: 99 }), (values, options, position) => {
        const chosen = sampleToken(logitsOf(values), plan({ ...options, repetitionPenalty: 1 }), [], position)
        const floats = [...logitsOf(values)]
        const order = floats.map((logit, id) => ({ id, logit })).sort((a, b) => b.logit - a.logit || a.id - b.id)
        const rank = order.findIndex(({ id }) => id === chosen)
        if (options.topK > 0) expect(rank).toBeLessThan(options.topK)
        const kept = options.topK > 0 ? order.slice(0, options.topK) : order
        const weights = kept.map(({ logit }) => Math.exp((logit - order[0]!.logit) / options.temperature))
        const total = weights.reduce((a, b) => a + b, 0)
        const before = weights.slice(0, rank).reduce((a, b) => a + b, 0)
        // What came before the chosen one had not reached top-p yet.
        if (rank > 0) expect(before).toBeLessThan(options.topP * total * (1 + 1e-9) + 1e-12)
      }),
    )
  })

  it("draws each token as often as its probability says", () => {
    const values = [0, Math.log(2), Math.log(5), Math.log(2)]
    const counts = [0, 0, 0, 0]
    const draws = 20_000
    for (let position = 0; position < draws; position++) {
      counts[sampleToken(logitsOf(values), plan({ seed: 3 }), [], position)]!++
    }
    for (const [id, share] of [0.1, 0.2, 0.5, 0.2].entries()) {
      // Five standard deviations; seed and positions are fixed, so this cannot flake.
      expect(Math.abs(counts[id]! / draws - share)).toBeLessThan(5 * Math.sqrt((share * (1 - share)) / draws))
    }
  })

  it("penalises each token once, dividing what is positive and multiplying what is negative", () => {
    const logits = logitsOf([2, -2, 4])
    penaliseRepetition(logits, new Set([0, 1]), 2)
    expect([...logits]).toEqual([1, -4, 4])
  })
})

describe("uniformAt", () => {
  it("is spread evenly over [0, 1), over positions as over seeds", () => {
    for (const draw of [(n: number) => uniformAt(1, n), (n: number) => uniformAt(n, 1)]) {
      const buckets = new Array<number>(20).fill(0)
      for (let n = 0; n < 20_000; n++) {
        const value = draw(n)
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThan(1)
        buckets[Math.floor(value * 20)]!++
      }
      // Chi-squared with 19 degrees of freedom: 43.8 is its 0.999 quantile.
      expect(buckets.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)).toBeLessThan(43.8)
    }
  })

  it("takes negative and large seeds", () => {
    const values = [-1, 0, 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER].map((seed) => uniformAt(seed, 0))
    expect(new Set(values).size).toBe(values.length)
  })
})
