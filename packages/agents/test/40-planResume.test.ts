/** What the next target keeps of a broken answer. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { GenerateChunk } from "../src/actors/Generate.ts"
import { planResume } from "../src/actors/planResume.ts"
import type { TargetDescription } from "../src/index.ts"

const describeTarget = (
  name: string,
  weights: string | undefined,
  tokenizer: string | undefined,
): TargetDescription => ({
  name,
  provider: "cpu",
  tried: [],
  slots: 1,
  capabilities: { seed: true, stop: true, resume: weights !== undefined, tokenIds: weights !== undefined },
  ...(weights === undefined ? {} : { weightsHash: weights }),
  ...(tokenizer === undefined ? {} : { tokenizerHash: tokenizer }),
})
const a = describeTarget("big/a", "w1", "t1")
const b = describeTarget("big/b", "w1", "t1")
const mini = describeTarget("mini/a", "w2", "t1")
const foreign = describeTarget("foreign/a", "w3", "t2")
const remote = describeTarget("remote/a", undefined, undefined)

/** The chunk with which a target begins, as ModelActor writes it. */
const begin = (target: TargetDescription, chunks: ReadonlyArray<GenerateChunk>): GenerateChunk => {
  const { resumed } = planResume(chunks, target)
  return {
    _tag: "Began",
    model: target.name,
    ...(target.weightsHash === undefined ? {} : { weightsHash: target.weightsHash }),
    ...(target.tokenizerHash === undefined ? {} : { tokenizerHash: target.tokenizerHash }),
    ...(resumed === undefined ? {} : { resumed }),
  }
}
const tokens = (...tokenIds: ReadonlyArray<number>): GenerateChunk => ({
  _tag: "Tokens",
  tokenIds,
  text: tokenIds.map((id) => `<${id}>`).join(""),
})
const usage = { promptTokens: 1, completionTokens: 1, cachedTokens: 0 }
const finished: GenerateChunk = { _tag: "Finished", reason: "end", usage }

describe("a broken answer", () => {
  it("1. that nobody had begun is begun", () => {
    expect(planResume([], a)).toEqual({
      tokenIds: [],
      text: "",
      logprobs: [],
      resumed: undefined,
      earlier: [],
      finished: undefined,
    })
  })
  it("2. goes on exactly where the weights are the same", () => {
    const chunks = [begin(a, []), tokens(1, 2), tokens(3)]
    expect(planResume(chunks, b)).toMatchObject({
      tokenIds: [1, 2, 3],
      text: "<1><2><3>",
      resumed: { from: "big/a", to: "big/b", atToken: 3, mode: "exact" },
    })
  })
  it("3. goes on after the tokens where only the tokenizer is the same", () => {
    expect(planResume([begin(a, []), tokens(1)], mini)).toMatchObject({
      tokenIds: [1],
      resumed: { from: "big/a", to: "mini/a", atToken: 1, mode: "prefix" },
    })
  })
  it.each([
    ["another tokenizer", foreign],
    ["no tokens", remote],
  ])("4. starts over at a target that has %s", (_, target) => {
    expect(planResume([begin(a, []), tokens(1, 2)], target)).toMatchObject({
      tokenIds: [],
      text: "",
      resumed: { from: "big/a", to: target.name, atToken: 2, mode: "restart" },
    })
  })
  it("5. of a target that says nothing of its weights starts over, also at itself", () => {
    expect(planResume([begin(remote, []), { _tag: "Tokens", tokenIds: [], text: "Sure" }], remote).resumed?.mode).toBe(
      "restart",
    )
    expect(planResume([begin(remote, []), { _tag: "Tokens", tokenIds: [], text: "Sure" }], a).resumed?.mode).toBe(
      "restart",
    )
  })
  it("6. that a smaller model went on with is not exact any more, also at the first one", () => {
    const chunks = [begin(a, []), tokens(1)]
    chunks.push(begin(mini, chunks), tokens(2))
    const plan = planResume(chunks, a)
    expect(plan).toMatchObject({ tokenIds: [1, 2], resumed: { from: "mini/a", mode: "prefix" } })
    expect(plan.earlier).toMatchObject([{ from: "big/a", to: "mini/a", mode: "prefix" }])
  })
  it("7. that had ended is over, whoever is asked", () => {
    const chunks = [begin(a, []), tokens(1), finished]
    expect(planResume(chunks, remote).finished).toEqual({
      text: "<1>",
      tokenIds: [1],
      model: "big/a",
      reason: "end",
      usage,
      resumed: [],
    })
  })
})

describe("any number of breaks", () => {
  const attempt = fc.record({
    target: fc.constantFrom(a, b, mini, foreign, remote),
    tokenIds: fc.array(fc.array(fc.nat(99), { minLength: 1, maxLength: 3 }), { maxLength: 4 }),
  })
  /** What a reader makes of the chunks: a restart takes back what was said before it. */
  const read = (chunks: ReadonlyArray<GenerateChunk>) => {
    let [text, ids]: [string, ReadonlyArray<number>] = ["", []]
    for (const chunk of chunks) {
      if (chunk._tag === "Began" && chunk.resumed?.mode === "restart") [text, ids] = ["", []]
      if (chunk._tag === "Tokens") [text, ids] = [text + chunk.text, [...ids, ...chunk.tokenIds]]
    }
    return { text, ids }
  }
  it("8. keep what readers have, or take it back and say so; and name every takeover in order", () => {
    fc.assert(
      fc.property(fc.array(attempt, { minLength: 1, maxLength: 6 }), fc.boolean(), (attempts, ends) => {
        const chunks: Array<GenerateChunk> = []
        for (const [index, { target, tokenIds }] of attempts.entries()) {
          const before = read(chunks)
          const plan = planResume(chunks, target)
          expect(plan.resumed === undefined).toBe(index === 0)
          const keeps = plan.resumed === undefined || plan.resumed.mode !== "restart"
          expect({ text: plan.text, ids: plan.tokenIds }).toEqual(keeps ? before : { text: "", ids: [] })
          if (plan.resumed !== undefined) {
            const from = attempts[index - 1]!.target
            expect(plan.resumed).toMatchObject({ from: from.name, to: target.name, atToken: before.ids.length })
            // Exact is promised only where nothing but the same weights stands behind it.
            if (plan.resumed.mode === "exact") expect(from.weightsHash).toBe(target.weightsHash)
          }
          chunks.push(begin(target, chunks), ...tokenIds.map((ids) => tokens(...ids)))
        }
        if (ends) chunks.push(finished)
        const plan = planResume(chunks, a)
        expect(plan.finished !== undefined).toBe(ends)
        expect(plan.earlier.map(({ to }) => to)).toEqual(attempts.slice(1).map(({ target }) => target.name))
        if (plan.finished !== undefined) {
          const { ids, text } = read(chunks)
          expect(plan.finished).toMatchObject({ text, tokenIds: ids, model: attempts.at(-1)!.target.name })
        }
      }),
      { numRuns: 300 },
    )
  })
})
