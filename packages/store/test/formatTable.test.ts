/** What the inspector shows on a terminal, and what a terminal must not be shown. */
import { describe, expect, it } from "vitest"
import { type Column, formatTable } from "../src/inspect/formatTable.ts"
import { formatDuration, formatFailure, preview } from "../src/inspect/formatText.ts"
import { mayColour } from "../src/inspect/Output.ts"

interface Row {
  readonly name: string
  readonly count: number
  readonly text: string
}

const columns: ReadonlyArray<Column<Row>> = [
  { title: "NAME", text: ({ name }) => name },
  { title: "COUNT", text: ({ count }) => `${count}`, isNumber: true, style: () => "red" },
  { title: "TEXT", text: ({ text }) => text },
]

const rows: ReadonlyArray<Row> = [
  { name: "a", count: 5, text: "short" },
  { name: "日本", count: 1_234, text: "a text that is longer than there is room for" },
]

describe("a table", () => {
  it("is aligned on a terminal, by width on the screen, and cut to it", () => {
    expect(formatTable(columns, rows, { isTerminal: true, isColoured: false, width: 30 })).toEqual([
      "NAME  COUNT  TEXT",
      "a         5  short",
      "日本   1234  a text that is l…",
    ])
  })

  it("keeps a readable last column however narrow the terminal is", () => {
    expect(formatTable(columns, rows, { isTerminal: true, isColoured: false, width: 5 })[2]).toBe(
      "日本   1234  a text …",
    )
  })

  it("is tabs and whole texts elsewhere", () => {
    expect(formatTable(columns, rows, { isTerminal: false, isColoured: false, width: 5 })[2]).toBe(
      "日本\t1234\ta text that is longer than there is room for",
    )
  })

  it("is coloured where it may be", () => {
    const [titles, first] = formatTable(columns, rows, { isTerminal: true, isColoured: true, width: 80 })
    expect(titles).toContain("\u001b[1mNAME")
    expect(first).toContain("\u001b[31m    5\u001b[39m")
  })
})

describe("colour", () => {
  it("needs a terminal that has it, and nobody who asked for none", () => {
    expect(mayColour(true, {})).toBe(true)
    expect(mayColour(true, { NO_COLOR: "" })).toBe(true)
    expect(mayColour(true, { NO_COLOR: "1" })).toBe(false)
    expect(mayColour(true, { TERM: "dumb" })).toBe(false)
    expect(mayColour(false, {})).toBe(false)
  })
})

describe("text", () => {
  it("of others comes without control characters, on one line, at its length", () => {
    expect(preview("a\u001b]0;title\u0007b\nc\u2028d\u009be", 80)).toBe("a ]0;title b c d e")
    expect(preview("👩🏽‍🍳".repeat(100), 5)).toMatch(/…$/)
    expect(preview("x".repeat(10_000_000), 4)).toBe("xxx…")
    expect(preview(null, 5)).toBe("")
  })

  it("of durations has three digits", () => {
    expect([0, 999, 1_253, 59_999, 200_000, 18_120_000, -5].map(formatDuration)).toEqual([
      "0 ms",
      "999 ms",
      "1.25 s",
      "60.0 s",
      "3 m 20 s",
      "5 h 2 m",
      "-5 ms",
    ])
  })

  it("of failures is the record's tag and message, or what was there", () => {
    expect(formatFailure('{"tag":"Boom","message":"no\\nmilk","retry":"terminal"}')).toBe("Boom: no milk")
    expect(formatFailure("not JSON")).toBe("not JSON")
    expect(formatFailure(null)).toBe("")
  })
})
