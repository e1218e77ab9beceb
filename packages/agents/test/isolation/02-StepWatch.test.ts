import { describe, expect, it } from "vitest"
import { StepWatch } from "../../src/engine/StepWatch.ts"

const heard = (silences: ReadonlyArray<number>, limits = { boundMsMin: 5_000, boundMsMax: 30_000 }) => {
  const watch = new StepWatch(limits)
  for (const silenceMs of silences) watch.note(silenceMs)
  return watch
}
const many = (silenceMs: number, count = 50) => Array.from({ length: count }, () => silenceMs)

describe("StepWatch", () => {
  it("allows all there is while it does not know the steps", () => {
    expect(heard([]).boundMs).toBe(30_000)
    expect(heard(many(1, 49)).boundMs).toBe(30_000)
    expect(heard(many(1, 50)).boundMs).toBe(5_000)
  })
  it("allows ten times the longest step, within its limits", () => {
    expect(heard(many(10)).boundMs).toBe(5_000)
    expect(heard([...many(10), 900]).boundMs).toBe(9_000)
    expect(heard([...many(10), 8_000]).boundMs).toBe(30_000)
  })
  it("never allows less than the greatest bound where that is the smaller one", () => {
    expect(heard(many(1), { boundMsMin: 5_000, boundMsMax: 400 }).boundMs).toBe(400)
  })
  it("allows a step that it was told of beforehand, and no more than there is", () => {
    const watch = heard(many(10))
    watch.expect(12_000)
    watch.expect(7_000)
    expect(watch.boundMs).toBe(12_000)
    watch.expect(1e9)
    expect(watch.boundMs).toBe(30_000)
  })
  it("forgets one stall by half in a minute of steps", () => {
    const watch = heard([...many(100), 2_000])
    expect(watch.boundMs).toBe(20_000)
    for (let step = 0; step < 600; step++) watch.note(100)
    expect(watch.boundMs).toBeCloseTo(10_000, 6)
  })
})
