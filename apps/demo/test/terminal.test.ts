import { describe, expect, it } from "vitest"
import { makeScreen } from "../src/scenarios/makeScreen.ts"
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
        answered("a", "Sure, one latte."),
      ),
    ).toEqual([
      "",
      "",
      "a > latte?\na < Sure",
      "",
      ", one latte.",
      "",
      " [coffee, 812 ms]\nb > mocha?\nb < Yes. [coffee, 812 ms]\n",
    ])
  })
  it("4. that never streamed are written whole", () => {
    expect(play(asked("a", "q"), answered("a", "x"))).toEqual(["", "a > q\na < x [coffee, 812 ms]\n"])
    // A question that its asker has just typed is not repeated.
    expect(play(asked("a", ""), chunk("a", "x"), answered("a", "x"))[1]).toBe("a < x")
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
  it("6. that come on stage late have lost nothing of what was said before", () => {
    const texts = play(
      asked("a", "q"),
      asked("b", "r"),
      chunk("a", "One"),
      chunk("b", "Two"),
      answered("a", "One"),
      chunk("b", " three"),
    )
    expect(texts.slice(3)).toEqual(["", " [coffee, 812 ms]\n", "b > r\nb < Two three"])
  })
  it("7. that hold up too much are cleared off the stage, and written when they are whole", () => {
    const others = Array.from({ length: WAITING_MAX + 1 }, (_, index) => answered(`${index}`, "x"))
    const texts = play(asked("a", "q"), chunk("a", "One"), ...others, chunk("a", " two"), answered("a", "One two"))
    expect(texts.slice(2, -3).join("")).toBe("")
    expect(texts.at(-3)).toMatch(/^ …\n0 < x .*\n(.*\n)+40 < x .*\n$/)
    expect(texts.slice(-2)).toEqual(["", "a < One two [coffee, 812 ms]\n"])
  })
  it("8. let a note through at once, and go on below it", () => {
    const note = { _tag: "Noted", text: "kill -9" } as const
    expect(
      play(
        asked("a", "q"),
        chunk("a", "One"),
        answered("b", "x"),
        note,
        chunk("a", "two"),
        answered("a", "One two"),
      ).slice(3),
    ).toEqual([" …\nb < x [coffee, 812 ms]\n-- kill -9\na < …", "two", " [coffee, 812 ms]\n"])
  })
  it("9. that are cut off leave the stage, and come back whole when they are asked for again", () => {
    const cut = { _tag: "CutOff", conversation: "a" } as const
    const again = [asked("a", "q"), chunk("a", "One"), chunk("a", " two"), answered("a", "One two")]
    expect(play(asked("a", "q"), chunk("a", "One"), answered("b", "x"), cut, ...again).slice(3)).toEqual([
      " …\nb < x [coffee, 812 ms]\n",
      "",
      "a > q\na < One",
      " two",
      " [coffee, 812 ms]\n",
    ])
    expect(renderLine(cut)).toBe("")
  })
})

describe("a screen with a progress bar", () => {
  const show = (isTTY: boolean, ...events: ReadonlyArray<AnswerEvent>) => {
    let text = ""
    const write = (more: string) => {
      text += more
      return true
    }
    const output = { isTTY, columns: 80, write }
    const screen = makeScreen(output, { TERM: "dumb" })
    let done = 0
    screen.expect(2, () => done)
    for (const event of events) {
      if (event._tag === "Answered") done++
      screen.show(event)
    }
    screen.end()
    return text
  }
  const events = [asked("a", "q"), chunk("a", "One"), chunk("a", " two"), answered("a", "One two"), answered("b", "x")]

  it("10. takes the bar off before every line of somebody else's, and nothing but the bar", () => {
    const lines = show(true, ...events).split(/\n|\r/)
    const isBar = (line: string) => line.replace("\x1b[K", "").startsWith("messages [")
    expect(lines.filter((line) => line !== "" && !isBar(line) && line !== "\x1b[K")).toEqual([
      "\x1b[Ka > q",
      "a < One two [coffee, 812 ms]",
      "\x1b[Kb < x [coffee, 812 ms]",
    ])
    expect(lines.filter(isBar).at(-1)).toMatch(/2\/2 in 0 s$/)
  })
  it("11. writes plain lines to a file", () => {
    for (const control of ["\x1b", "\r"]) expect(show(false, ...events)).not.toContain(control)
  })
})

describe("answers elsewhere", () => {
  it("12. are whole lines without tokens", () => {
    const events = [asked("a", "q"), chunk("a", "x"), answered("a", "x"), { _tag: "Noted", text: "n" } as const]
    expect(events.map(renderLine)).toEqual(["a > q\n", "", "a < x [coffee, 812 ms]\n", "-- n\n"])
  })
})

describe("the tables at the end", () => {
  it("13. are aligned, and stand missing cells", () => {
    expect(formatTable([{ head: "name" }, { head: "n", align: "right" }], [["a", "10"], ["long name"]])).toBe(
      "name        n\na          10\nlong name",
    )
    expect(formatTable([{ head: "name" }], [])).toBe("name")
  })
  it("14. give counts, actors, reroutes and the three commands, with the path quoted", () => {
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
