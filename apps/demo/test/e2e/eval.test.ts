/**
 * `npm run eval` from outside: its report, its one JSON object, and what it refuses (evaluate.test.ts and
 * options.test.ts have more of that, in this process). evalResume.test.ts kills it.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Schema } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { DEMO, EVAL, query, run } from "./programs.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-eval-e2e-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
const evaluate = (...args: ReadonlyArray<string>) => run(EVAL, args, folder)

const LABELLED = `category,text
card_swallowed,"the machine in the station ate my card, what now"
pin_blocked,i typed the pin wrong three times and it is blocked
getting_virtual_card,how do i get a virtual card
exchange_rate,"which ""rate"" do you use for yen"
`
const Report = Schema.fromJsonString(
  Schema.Struct({
    accuracy: Schema.Number,
    macroF1: Schema.Number,
    n: Schema.Int,
    classes: Schema.Array(Schema.Struct({ label: Schema.String, precision: Schema.Number, recall: Schema.Number })),
  }),
)

describe("an evaluation", () => {
  it("1. prints a report, and as JSON one object with the same figures", async () => {
    write("rows.csv", LABELLED)
    const plain = await evaluate("banking-intent", "--data", "rows.csv", "--db", "eval.db")
    expect(plain.status).toBe(0)
    const [heads] = plain.out.split("\n")
    expect(heads?.trim().split(/\s+/)).toEqual(["precision", "recall", "f1-score", "support"])
    expect(plain.out).toMatch(/^ +accuracy +[\d.]+ +4$/m)
    expect(plain.out).toMatch(/^ +macro avg( +[\d.]+){3} +4$/m)
    expect(plain.out).toMatch(/^ +weighted avg( +[\d.]+){3} +4$/m)
    expect(plain.err).toContain("banking-intent 4/4")
    const again = await evaluate("banking-intent", "--data", "rows.csv", "--db", "eval.db", "--json")
    expect(again.status).toBe(0)
    expect(again.out.trim().split("\n")).toHaveLength(1)
    const report = Schema.decodeUnknownSync(Report)(again.out)
    expect(report.n).toBe(4)
    expect(plain.out).toMatch(new RegExp(`accuracy +${report.accuracy.toFixed(3)}`))
    // These four are easy: a model that misses them is not the one that was trained.
    expect(report.accuracy).toBeGreaterThanOrEqual(0.75)
    // The second run asked under the same keys.
    const rows = query(
      join(folder, "eval.db"),
      "select count(*) as n, count(distinct idempotency_key) as keys from messages",
    )
    expect(rows).toEqual([{ n: 4, keys: 4 }])
  })
  it.each([
    [
      "a missing column",
      "text,intent\nhi,x\n",
      /line 1: there is no column "category"; the header has "text", "intent"\./,
    ],
    [
      "a quote that is never closed",
      'category,text\npin_blocked,"hi\nhello,\n',
      /line 2.*a quote is opened and never closed/,
    ],
    [
      "a label that the model has not",
      "category,text\npin_blokked,hi\n",
      /line 2: "pin_blokked" is no label of banking-intent/,
    ],
  ])("2. refuses %s with one sentence", async (name, text, says) => {
    const file = `${name.replaceAll(" ", "-")}.csv`
    write(file, text)
    const { err, out, status } = await evaluate("banking-intent", "--data", file, "--db", "refused.db", "--json")
    expect({ out, status }).toEqual({ out: "", status: 1 })
    expect(err).toMatch(says)
    expect(err).toContain(file)
    expect(err.trim().split("\n")).toHaveLength(1)
  })
  it("3. refuses a file that is not there, and an unknown task", async () => {
    const missing = await evaluate("banking-intent", "--data", "nowhere.csv")
    expect(missing).toMatchObject({ status: 1, out: "" })
    expect(missing.err).toMatch(/^\S*nowhere\.csv: cannot be read \(NotFound\); check the path\.\n$/)
    const unknown = await evaluate("weather", "--speed", "9")
    expect(unknown.status).toBe(2)
    expect(unknown.out + unknown.err).toContain("USAGE")
  })
})

describe("the demo's command line", () => {
  it.each([["an unknown flag", ["--fast"], "Unrecognized flag: --fast"]])(
    "4. refuses %s with its usage",
    async (_, args, says) => {
      const { err, out, status } = await run(DEMO, ["--once", ...args], folder)
      expect(status).toBe(2)
      expect(err).toContain(says)
      expect(out).toContain("--input FILE")
    },
  )
  it.each([
    ["a missing file", "nowhere.txt", /nowhere\.txt: cannot be read \(NotFound\); check the path\./],
    ["broken JSON", "broken.jsonl", /broken\.jsonl, line 2: begins with "{" but is not JSON/],
  ])("5. refuses %s with one sentence", async (_, file, says) => {
    write("broken.jsonl", 'a latte\n{"conversation": \n')
    const { err, out, status } = await run(DEMO, ["--once", "--input", file], folder)
    expect({ out, status }).toEqual({ out: "", status: 1 })
    expect(err).toMatch(says)
    expect(err.trim().split("\n")).toHaveLength(1)
  })
})
