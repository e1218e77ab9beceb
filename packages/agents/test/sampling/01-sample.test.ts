import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { checkSampling, planSampling } from "../../src/inference/sampling/planSampling.ts"
import { argmax, type SamplingPlan, sampleToken } from "../../src/inference/sampling/sample.ts"
import { uniformAt } from "../../src/inference/sampling/uniformAt.ts"
import { naiveShares } from "../support/naiveSampling.ts"

const plan = (part: Partial<SamplingPlan>): SamplingPlan => ({
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  noRepeatNgram: 0,
  logitBias: [],
  bannedTokenIds: [],
  minTokens: 0,
  endTokenIds: [],
  seed: 0,
  ...part,
})
const sample = (values: Iterable<number>, part: Partial<SamplingPlan>, position = 0, prompt: Array<number> = []) => {
  const answer = Array.from({ length: position }, (_, at) => at % 3)
  return sampleToken(Float32Array.from(values), plan(part), {
    tokenIds: [...prompt, ...answer],
    answerFrom: prompt.length,
  })
}
const anyLogits = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 60 })
const someId = fc.nat({ max: 20 })
const anyPlan = fc.record({
  temperature: fc.double({ min: 0.05, max: 5, noNaN: true }),
  topK: fc.nat({ max: 70 }),
  topP: fc.double({ min: 0, max: 1, noNaN: true }),
  minP: fc.constantFrom(0, 0, 0.01, 0.3, 1),
  typicalP: fc.constantFrom(1, 1, 0.2, 0.9),
  repetitionPenalty: fc.constantFrom(1, 1.3),
  presencePenalty: fc.constantFrom(0, -1, 0.5),
  frequencyPenalty: fc.constantFrom(0, 2),
  noRepeatNgram: fc.nat({ max: 3 }),
  logitBias: fc.array(fc.tuple(someId, fc.integer({ min: -100, max: 100 })), { maxLength: 3 }),
  bannedTokenIds: fc.array(someId, { maxLength: 3 }),
  minTokens: fc.nat({ max: 6 }),
  endTokenIds: fc.array(someId, { maxLength: 2 }),
  seed: fc.integer(),
})
const anyBefore = fc
  .record({ tokenIds: fc.array(someId, { maxLength: 12 }), answerFrom: fc.nat({ max: 6 }) })
  .map(({ answerFrom, tokenIds }) => ({ tokenIds, answerFrom: Math.min(answerFrom, tokenIds.length) }))

describe("a request's sampling is refused", () => {
  it.each([
    [{ stop: [""] }, "a stop string is empty"],
    [{ stop: ["\uD800"] }, "not well-formed"],
    [{ bannedTokenIds: [3, 100] }, "bannedTokenIds holds 100, and its token ids end at 99"],
    [{ logitBias: [[100, 1] as const] }, "logitBias holds 100"],
    [{ stopTokenIds: [1000] }, "stopTokenIds holds 1000"],
    [{ minTokens: 5, maxTokens: 4 }, "minTokens is 5 and maxTokens 4"],
    [{ format: { json: {} }, ignoreEnd: true }, "a format and ignoreEnd exclude each other"],
    [{ format: { json: {} }, minTokens: 1 }, "a format and minTokens exclude each other"],
  ])("%j", (sampling, says) => {
    expect(checkSampling(sampling, 100)).toContain(says)
  })

  it("not where it can be done, and maxTokens makes room for minTokens", () => {
    expect(checkSampling({ minTokens: 4, maxTokens: 4, logitBias: [[99, -100]] }, 100)).toBeUndefined()
    const model = { contextLength: 100, endTokenIds: [] }
    expect(planSampling({ minTokens: 90 }, {}, model).maxTokens).toBe(90)
    expect(planSampling({}, {}, model).maxTokens).toBe(50)
  })
})

describe("sampleToken", () => {
  it("says that there is no number among the logits, or that all are excluded", () => {
    expect(sample([Number.NaN, Number.NaN], { temperature: 0 })).toBe(-1)
    expect(sample([Number.NaN], {})).toBe(-1)
    expect(sample([], {})).toBe(-1)
    expect(sample([1, 2], { bannedTokenIds: [0, 1] })).toBe(-1)
  })

  it("takes the first of equal logits when greedy", () => {
    expect(sample([1, 3, 3, 2], { temperature: 0 })).toBe(1)
  })

  it("draws nothing but what a naive reference keeps, and all of it in its shares", () => {
    fc.assert(
      fc.property(anyLogits, anyPlan, anyBefore, (values, options, before) => {
        const shares = naiveShares([...Float32Array.from(values)], plan(options), before)
        const logits = Float32Array.from(values)
        const chosen = sampleToken(logits, plan(options), before)
        expect(sampleToken(Float32Array.from(values), plan(options), before)).toBe(chosen)
        if (shares.size === 0) expect(chosen).toBe(-1)
        else expect([...shares.keys()]).toContain(chosen)
      }),
      // Fixed: where two sums differ by their last bit, either choice is right.
      { numRuns: 400, seed: 7 },
    )
  })

  it("is greedy with top-k 1, with top-p 0 and with min-p 1 over different logits", () => {
    fc.assert(
      fc.property(anyLogits, fc.integer(), fc.nat({ max: 99 }), (values, seed, position) => {
        const best = argmax(Float32Array.from(values))
        expect(sample(values, { topK: 1, seed }, position)).toBe(best)
        expect(sample(values, { topP: 0, seed }, position)).toBe(best)
        const several = Float32Array.from(values).filter((value) => value === Math.max(...Float32Array.from(values)))
        if (several.length === 1 && values.length > 1)
          expect(sample(values, { topK: 1, minP: 1, seed }, position)).toBe(best)
      }),
    )
  })

  it.each([
    ["temperature", { temperature: 1.7 }],
    ["top-k", { topK: 5 }],
    ["top-k past the heap", { topK: 300 }],
    ["top-p", { topP: 0.8 }],
    ["min-p", { minP: 0.1 }],
    ["typical-p", { typicalP: 0.6 }],
    ["all of them", { temperature: 0.8, topK: 300, topP: 0.95, minP: 0.01, typicalP: 0.9 }],
  ])("draws each token as often as its probability says: %s", (_, part) => {
    // 500 tokens, a few of them likely, as a model's are.
    const values = Array.from({ length: 500 }, (_, id) => 9 * uniformAt(11, id) ** 6 - 3)
    const before = { tokenIds: [], answerFrom: 0 }
    const shares = naiveShares([...Float32Array.from(values)], plan(part), before)
    const counts = new Map<number, number>()
    const draws = 20_000
    for (let seed = 0; seed < draws; seed++) {
      const id = sample(values, { ...part, seed })
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    for (const id of counts.keys()) expect(shares.has(id)).toBe(true)
    // Rare tokens are taken together, so that the approximation by chi-square holds.
    let statistic = 0
    let degrees = -1
    const rare = { expected: 0, found: 0 }
    for (const [id, share] of shares) {
      const expected = share * draws
      const found = counts.get(id) ?? 0
      if (expected < 20) {
        rare.expected += expected
        rare.found += found
      } else {
        statistic += (found - expected) ** 2 / expected
        degrees++
      }
    }
    if (rare.expected >= 5) {
      statistic += (rare.found - rare.expected) ** 2 / rare.expected
      degrees++
    }
    expect(degrees).toBeGreaterThan(2)
    // Wilson and Hilferty's approximation of the 0.9999 quantile; the seeds are fixed, so this cannot flake.
    const quantile = degrees * (1 - 2 / (9 * degrees) + 3.72 * Math.sqrt(2 / (9 * degrees))) ** 3
    expect(statistic).toBeLessThan(quantile)
  })

  it("lets an end token come neither before minTokens nor never again after", () => {
    const part = { temperature: 0, minTokens: 3, endTokenIds: [1] }
    expect([0, 1, 2, 3].map((position) => sample([1, 9, 2], part, position))).toEqual([2, 2, 2, 1])
  })

  it("excludes what would end a sequence that is already there", () => {
    const before = { tokenIds: [5, 6, 7, 5, 6], answerFrom: 2 }
    const logits = () => Float32Array.from([0, 0, 0, 0, 0, 0, 1, 9])
    expect(sampleToken(logits(), plan({ temperature: 0, noRepeatNgram: 3 }), before)).toBe(6)
    expect(sampleToken(logits(), plan({ temperature: 0, noRepeatNgram: 4 }), before)).toBe(7)
    expect(sampleToken(logits(), plan({ temperature: 0, noRepeatNgram: 1 }), before)).toBe(0)
  })

  it("draws only what the format allows", () => {
    const allowed = Uint32Array.from([0, 0b100])
    const logits = Float32Array.from({ length: 40 }, (_, id) => id)
    expect(sampleToken(logits, plan({}), { tokenIds: [], answerFrom: 0, allowed })).toBe(34)
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
