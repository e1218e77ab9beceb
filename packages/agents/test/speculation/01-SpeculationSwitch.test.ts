import { describe, expect, it } from "vitest"
import { SpeculationSwitch } from "../../src/inference/speculation/SpeculationSwitch.ts"

/** Runs rounds whose cost is known. @returns the share of them that speculated */
const run = (
  decides: SpeculationSwitch,
  rounds: number,
  costs: { plainMs: number; draftMs: number; tokens: number },
) => {
  let speculated = 0
  for (let round = 0; round < rounds; round++) {
    const { speculates } = decides
    if (speculates) speculated++
    decides.note(speculates, speculates ? costs.tokens : 1, speculates ? costs.draftMs : costs.plainMs)
  }
  return speculated / rounds
}

describe("SpeculationSwitch", () => {
  it("looks at both ways, and takes the faster", () => {
    expect(run(new SpeculationSwitch(), 2000, { plainMs: 1, draftMs: 2, tokens: 3 })).toBeGreaterThan(0.9)
    expect(run(new SpeculationSwitch(), 2000, { plainMs: 1, draftMs: 2, tokens: 1.5 })).toBeLessThan(0.1)
  })

  it("costs little where a draft never pays", () => {
    const decides = new SpeculationSwitch()
    run(decides, 1000, { plainMs: 1, draftMs: 2, tokens: 1 })
    expect(run(decides, 5000, { plainMs: 1, draftMs: 2, tokens: 1 })).toBeLessThan(0.04)
  })

  it("is not held to how slow the first rounds of all were, and follows a change within its longest span", () => {
    const decides = new SpeculationSwitch()
    run(decides, 8, { plainMs: 100, draftMs: 2, tokens: 1 })
    run(decides, 56, { plainMs: 1, draftMs: 2, tokens: 1 })
    expect(run(decides, 500, { plainMs: 1, draftMs: 2, tokens: 1 })).toBeLessThan(0.15)
    run(decides, 5000, { plainMs: 1, draftMs: 2, tokens: 1 })
    run(decides, 264 + 8, { plainMs: 1, draftMs: 2, tokens: 4 })
    expect(run(decides, 200, { plainMs: 1, draftMs: 2, tokens: 4 })).toBeGreaterThan(0.8)
  })

  it("takes a clock that stands still for no reason to speculate", () => {
    expect(run(new SpeculationSwitch(), 1000, { plainMs: 0, draftMs: 0, tokens: 4 })).toBeLessThan(0.3)
  })
})
