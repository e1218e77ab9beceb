/** What tests, simulations and commands are helped by: numbers that can be had again, and a bar. */
import { allowsColor, makeProgressBar, mulberry32, renderBar } from "@pontoon/runtime/testing"
import { describe, expect, it } from "vitest"

describe("mulberry32", () => {
  it("1. draws numbers in [0, 1) that spread", () => {
    const random = mulberry32(0)
    const numbers = Array.from({ length: 10_000 }, random)
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...numbers)).toBeLessThan(1)
    expect(numbers.reduce((sum, one) => sum + one, 0) / numbers.length).toBeCloseTo(0.5, 1)
    expect(new Set(numbers).size).toBeGreaterThan(9_990)
  })
})

describe("the progress bar", () => {
  const record = (isTTY: boolean, columns = 80) => {
    const written: Array<string> = []
    return { written, output: { isTTY, columns, write: (text: string) => written.push(text) > 0 } }
  }

  it("1. draws at most ten times a second on a terminal, and takes itself off for other lines", () => {
    const { output, written } = record(true)
    let nowMs = 0
    const bar = makeProgressBar({ output, label: "rows", total: 200, now: () => nowMs, color: false })
    for (let done = 1; done <= 100; done++) {
      nowMs += 10
      bar.advance(done)
    }
    expect(written).toHaveLength(10)
    expect(written.at(-1)).toBe("\r\x1b[K" + "rows [==============>               ] 91/200 1 s left")
    bar.clear()
    expect(written.at(-1)).toBe("\r\x1b[K")
    bar.advance(101)
    expect(written.at(-1)).toContain("101/200")
    bar.end()
    expect(written.at(-1)).toBe("\n")
  })
  it("2. writes a line a tenth, and no escape, elsewhere", () => {
    const { output, written } = record(false)
    const bar = makeProgressBar({ output, label: "rows", total: 1000, now: () => 0, color: false })
    for (let done = 1; done <= 1000; done++) bar.advance(done)
    bar.end()
    expect(written).toHaveLength(11)
    expect(written[0]).toBe("rows 1/1000 0 s left\n")
    expect(written.at(-1)).toBe("rows 1000/1000 in 0 s\n")
    expect(written.join("")).not.toContain("\x1b")
  })
  it("3. never wraps on a narrow terminal, and stands a total of nothing", () => {
    const { output, written } = record(true, 20)
    makeProgressBar({ output, label: "some long label", total: 1000, now: () => 0, color: true }).advance(5)
    expect(written[0]!.length - "\r\x1b[K".length).toBeLessThan(20)
    expect(renderBar("rows", { done: 0, total: 0, elapsedMs: 61_000 }, false)).toMatch(/0\/0 in 1 min 1 s$/)
  })
  it("4. has colour only on a terminal, and never under NO_COLOR", () => {
    const terminal = { isTTY: true, write: () => true }
    expect(allowsColor(terminal, {})).toBe(true)
    expect(allowsColor(terminal, { NO_COLOR: "1" })).toBe(false)
    expect(allowsColor(terminal, { NO_COLOR: "" })).toBe(true)
    expect(allowsColor(terminal, { TERM: "dumb" })).toBe(false)
    expect(allowsColor({ write: () => true }, {})).toBe(false)
    expect(renderBar("r", { done: 1, total: 2, elapsedMs: 0 }, false)).not.toContain("\x1b")
    expect(renderBar("r", { done: 1, total: 2, elapsedMs: 0 }, true)).toContain("\x1b[36m")
  })
})
