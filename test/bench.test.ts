import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { decodeBench } from "../scripts/bench/Bench.ts"
import { compareRuns, median, runRounds } from "../scripts/bench/compareRuns.ts"
import { formatFigure, formatJsonRows, formatRows } from "../scripts/bench/formatRows.ts"
import { decodeSurvey, formatSurvey, isSurvey } from "../scripts/bench/Survey.ts"

const benchCase = { name: "64 callers", peer: "plain SQL" }
const script = fileURLToPath(new URL("../scripts/bench.ts", import.meta.url))
const bench = (...args: ReadonlyArray<string>) => spawnSync(process.execPath, [script, ...args], { encoding: "utf8" })

describe("the bench harness, misused", () => {
  it("1. lists what there is for an unknown name, and exits with 2", () => {
    const { status, stderr } = bench("no-such-bench")
    expect(stderr).toMatch(/^There is no benchmark "no-such-bench"; there are: .+\.\n$/)
    expect(status).toBe(2)
  })
  it("1b. lists the cases there are for a part that none has, and exits with 2", () => {
    const { status, stderr } = bench("mailbox", "--case", "65 callers")
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/^mailbox has no case "65 callers"; it has: "1 callers" /),
    ])
  })
  it("2. exits with 2 without a name, with an unknown flag, and with too few rounds", () => {
    expect(bench().status).toBe(2)
    expect(bench("x", "--fast").status).toBe(2)
  })
  it("3. says what is wrong with a bench file", () => {
    expect(() => decodeBench("a.bench.ts", { conditions: [], cases: [] })).toThrow(/^a\.bench\.ts: its default export/)
    expect(() => decodeBench("a.bench.ts", undefined)).toThrow(/no benchmark/)
    const broken = { conditions: [], cases: [{ ...benchCase, runOurs: 1, runPeer: async () => ({}) }] }
    expect(() => decodeBench("a.bench.ts", broken)).toThrow(/runOurs/)
  })
  it("4. refuses fewer than three rounds", async () => {
    const never = { ...benchCase, runOurs: async () => ({}), runPeer: async () => ({}) }
    await expect(runRounds(never, 2)).rejects.toThrow("3 or more")
  })
  it("5. refuses a metric that one side lacks, and a figure that is none", () => {
    expect(() => compareRuns("b", benchCase, [{ ours: { a: 1 }, theirs: { b: 1 } }])).toThrow(
      'plain SQL did not measure "a"',
    )
    expect(() => compareRuns("b", benchCase, [{ ours: { a: Number.NaN }, theirs: { a: 1 } }])).toThrow("NaN")
    expect(() => compareRuns("b", benchCase, [{ ours: {}, theirs: {} }])).toThrow("nothing was measured")
    expect(() => median([])).toThrow(RangeError)
  })
})

describe("the bench harness", () => {
  it("5b. prints a survey as its own table, and says what is wrong with one", () => {
    expect(
      formatSurvey([
        { who: "ours", ms: 12.345 },
        { who: "theirs", ms: 1_234.5, more: 1 },
      ]),
    ).toBe(["who        ms  more", "ours     12.3", "theirs  1,235     1"].join("\n"))
    expect(() => decodeSurvey("a.bench.ts", { conditions: [], sections: [] })).toThrow(
      /^a\.bench\.ts: its default export is no survey/,
    )
    expect([isSurvey({ sections: [] }), isSurvey({ cases: [] }), isSurvey(undefined)]).toEqual([true, false, false])
  })
  it("6. runs both sides in turn, never at once, and changes who goes first", async () => {
    const order: Array<string> = []
    let running = 0
    const side = (name: string) => async () => {
      running++
      expect(running).toBe(1)
      order.push(name)
      await Promise.resolve()
      running--
      return { n: order.length }
    }
    const rounds = await runRounds({ ...benchCase, runOurs: side("ours"), runPeer: side("peer") }, 3)
    expect(order).toEqual(["ours", "peer", "peer", "ours", "ours", "peer"])
    expect(rounds).toEqual([
      { ours: { n: 1 }, theirs: { n: 2 } },
      { ours: { n: 4 }, theirs: { n: 3 } },
      { ours: { n: 5 }, theirs: { n: 6 } },
    ])
  })
  it("7. gives medians, and the median of the rounds' own ratios", () => {
    const rounds = [
      { ours: { "asks/s": 100 }, theirs: { "asks/s": 50 } },
      { ours: { "asks/s": 10 }, theirs: { "asks/s": 10 } },
      { ours: { "asks/s": 90 }, theirs: { "asks/s": 30 } },
    ]
    expect(compareRuns("mailbox", benchCase, rounds)).toEqual([
      {
        bench: "mailbox",
        case: "64 callers",
        metric: "asks/s",
        ours: 90,
        peer: "plain SQL",
        theirs: 30,
        ratio: 2,
        runs: 3,
      },
    ])
    expect(median([4, 1, 3, 2])).toBe(2.5)
  })
  it("8. prints a table with figures to the right, or one JSON object a line", () => {
    const rows = [
      {
        bench: "m",
        case: "1 caller",
        metric: "asks/s",
        ours: 2516.4,
        peer: "plain",
        theirs: 5000,
        ratio: 0.5,
        runs: 3,
      },
      {
        bench: "m",
        case: "1 caller",
        metric: "p50 ms",
        ours: 0.3712,
        peer: "plain",
        theirs: 0,
        ratio: Infinity,
        runs: 3,
      },
    ]
    expect(formatRows(rows)).toBe(
      [
        "case      metric   ours  theirs  ratio  runs  peer",
        "1 caller  asks/s  2,516   5,000   0.50     3  plain",
        "1 caller  p50 ms  0.371       0      -     3  plain",
      ].join("\n"),
    )
    expect(formatJsonRows(rows.slice(0, 1))).toBe(JSON.stringify(rows[0]))
    expect(formatFigure(999.9)).toBe("1000")
  })
})
