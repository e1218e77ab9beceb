import { describe, expect, it } from "vitest"
import { type AnswerEvent, emptyView, renderLine, stepTerminal, WAITING_MAX } from "../src/terminal/AnswerView.ts"
import { formatSummary } from "../src/terminal/formatSummary.ts"
import { formatTable } from "../src/terminal/formatTable.ts"
import { clip, printable } from "../src/terminal/printable.ts"

const asked = (conversation: string, text: string): AnswerEvent => ({ _tag: "Asked", conversation, text })
const chunk = (conversation: string, text: string): AnswerEvent => ({ _tag: "Chunk", conversation, text })
const answered = (conversation: string, text: string): AnswerEvent => ({
  _tag: "Answered",
  conversation,
  desk: "coffee",
  text,
  elapsedMs: 812.4,
})
const play = (...events: ReadonlyArray<AnswerEvent>) => {
  let view = emptyView
  return events.map((event) => {
    const [next, text] = stepTerminal(view, event)
    view = next
    return text
  })
}

describe("text of strangers", () => {
  it("1. cannot steer the terminal", () => {
    expect(printable("a\x1b[2J\nb\u202ec\x9bd\te")).toBe("a [2J b c d e")
    expect(renderLine(asked("a", "hi\r\nyou\x07"))).toBe("a > hi you\n")
  })
  it("2. is clipped by whole characters and says so", () => {
    expect(clip("abcdef", 6)).toBe("abcdef")
    expect(clip("abcdefg", 6)).toBe("abcde…")
    expect(clip("👩‍👩‍👧👍🏽x", 3)).toBe("👩‍👩‍👧👍🏽x")
    expect(clip("👩‍👩‍👧👍🏽xyz", 3)).toBe("👩‍👩‍👧👍🏽…")
  })
})

describe("answers on a terminal", () => {
  it("3. are written one at a time, token by token; others wait for the stage", () => {
    expect(
      play(
        asked("a", "latte?"),
        asked("b", "mocha?"),
        chunk("a", " Sure"),
        chunk("b", "Yes"),
        chunk("a", ", one latte."),
        answered("b", "Yes."),
        { _tag: "Noted", text: "killed barista/1" },
        answered("a", "Sure, one latte."),
      ),
    ).toEqual([
      "",
      "",
      "a > latte?\na < Sure",
      "",
      ", one latte.",
      "",
      "",
      " [coffee, 812 ms]\nb > mocha?\nb < Yes. [coffee, 812 ms]\n-- killed barista/1\n",
    ])
  })
  it("4. that never streamed are written whole", () => {
    expect(play(asked("a", "q"), answered("a", "x"))).toEqual(["", "a > q\na < x [coffee, 812 ms]\n"])
    expect(play(asked("a", "q"), { _tag: "Failed", conversation: "a", reason: "expired" })[1]).toBe(
      "a > q\na ! expired\n",
    )
  })
  it("5. start over on a new line where they are withdrawn", () => {
    const texts = play(
      asked("a", "q"),
      chunk("a", "One"),
      { _tag: "Retracted", conversation: "a", reason: "barista-mini starts over" },
      chunk("a", "Two"),
    )
    expect(texts.slice(2)).toEqual([" …\n-- barista-mini starts over\na < ", "Two"])
  })
  it("6. that hold up too much are cleared off the stage, and written when they are whole", () => {
    const others = Array.from(
      { length: WAITING_MAX + 1 },
      (_, index): AnswerEvent => ({ _tag: "Noted", text: `${index}` }),
    )
    const texts = play(asked("a", "q"), chunk("a", "One"), ...others, chunk("a", " two"), answered("a", "One two"))
    expect(texts.slice(2, -3).join("")).toBe("")
    expect(texts.at(-3)).toMatch(/^ …\n-- 0\n(.*\n)+-- 40\n$/)
    expect(texts.slice(-2)).toEqual(["", "a < One two [coffee, 812 ms]\n"])
  })
})

describe("answers elsewhere", () => {
  it("7. are whole lines without tokens", () => {
    const events = [asked("a", "q"), chunk("a", "x"), answered("a", "x"), { _tag: "Noted", text: "n" } as const]
    expect(events.map(renderLine)).toEqual(["a > q\n", "", "a < x [coffee, 812 ms]\n", "-- n\n"])
  })
})

describe("the tables at the end", () => {
  it("8. are aligned, and stand missing cells", () => {
    expect(formatTable([{ head: "name" }, { head: "n", align: "right" }], [["a", "10"], ["long name"]])).toBe(
      "name        n\na          10\nlong name",
    )
    expect(formatTable([{ head: "name" }], [])).toBe("name")
  })
  it("9. give counts, actors, reroutes and the three commands, with the path quoted", () => {
    const text = formatSummary({
      accepted: 83,
      done: 83,
      failed: 0,
      dead: 0,
      lost: 0,
      doubled: 0,
      actors: [{ actor: "barista", actors: 2, messages: 40, restarts: 1, p50Ms: 120.4, p95Ms: 300, p99Ms: 411 }],
      reroutes: [{ pool: "baristas", from: "barista/1", to: "barista/2", reason: "crashed", count: 2 }],
      db: "/tmp/my demo.db",
      traceId: "m-ana",
    })
    expect(text).toContain("83 messages accepted: 83 done, 0 failed, 0 dead, 0 lost, 0 doubled\n")
    expect(text).toContain("barista       2        40         1     120     300     411\n")
    expect(text).toContain("baristas  barista/1  barista/2  crashed      2\n")
    expect(text).toContain("npm run -s pontoon -- trace m-ana --db '/tmp/my demo.db'\n")
    expect(text.match(/^ {2}\S/gm)).toHaveLength(3)
  })
})
