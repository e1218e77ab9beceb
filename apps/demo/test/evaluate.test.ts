import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { describe, expect, it } from "vitest"
import { dataFileOf, evaluationTasks } from "../src/eval/EvaluationTask.ts"
import { makeEvalCommand } from "../src/eval/evalCommand.ts"
import { type ClassifyRows, type EvaluationRow, evaluate } from "../src/eval/evaluate.ts"
import { makeFrontDeskTest } from "../src/eval/makeFrontDeskTest.ts"
import { runCommand } from "../src/terminal/runCommand.ts"
import { hasSharedData, NO_DATA } from "./sharedData.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-eval-"))
const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const sentiments = write("s.csv", "text,label\n$A soars,1\n$B sinks,0\n$C meets,2\n$D leaps,1\n")

/** Says bullish to everything, the last row first. */
const allBullish: ClassifyRows<never, never> = ({ rows }) =>
  Stream.fromIterable([...rows].reverse().map(({ key }) => ({ key, label: "bullish" })))

const runEval = async <E>(classify: ClassifyRows<E, never>, ...args: ReadonlyArray<string>) => {
  const [out, errors, drawn]: [Array<string>, Array<string>, Array<string>] = [[], [], []]
  const console = {
    ...globalThis.console,
    log: (text: string) => out.push(text),
    error: (text: string) => errors.push(text),
  }
  const progress = { write: (text: string) => drawn.push(text) > 0 }
  const status = await Effect.runPromise(
    runCommand(makeEvalCommand(classify, { progress, env: {} }), args).pipe(
      Effect.provideService(Console.Console, console),
      Effect.provide(NodeServices.layer),
    ),
  )
  return { status, out: out.join("\n"), errors: errors.join("\n"), drawn: drawn.join("") }
}

describe("npm run eval, misused", () => {
  it("1. refuses an unknown task, and none, with status 2", async () => {
    expect((await runEval(allBullish, "weather")).status).toBe(2)
    expect((await runEval(allBullish)).status).toBe(2)
  })
  it("2. says how to get a file where there is no default", async () => {
    const task = { ...evaluationTasks["front-desk"], findData: () => makeFrontDeskTest("/no/such/folder") }
    const evaluation = evaluate({ task, data: undefined, db: undefined }, allBullish, () => {})
    const error = await Effect.runPromise(Effect.flip(evaluation).pipe(Effect.provide(NodeServices.layer)))
    expect(error.message).toMatch(/^Give a labelled file with --data FILE; one is made from the data sets/)
  })
  it("3. says in one sentence what is wrong with a file", async () => {
    const { errors, status } = await runEval(allBullish, "banking-intent", "--data", sentiments)
    expect(errors).toMatch(/s\.csv: line 1: there is no column "category"; the header has "text", "label"\.$/)
    expect(status).toBe(1)
  })
  it("4. names the line of a label that the model does not have", async () => {
    const file = write("odd.csv", "text,label\nfine,1\nodd,7\n")
    expect((await runEval(allBullish, "finance-sentiment", "--data", file)).errors).toMatch(
      /odd\.csv: line 3: "7" is no label of finance-sentiment; it must be 0 or bearish, 1 or bullish, 2 or neutral\.$/,
    )
  })
  it("5. prints no figures where answers are missing, doubled, or nobody's", async () => {
    const run = (classify: ClassifyRows<never, never>) => runEval(classify, "finance-sentiment", "--data", sentiments)
    const short = await run((request) => Stream.take(allBullish(request), 3))
    expect(short).toMatchObject({ status: 1, out: "" })
    expect(short.errors).toMatch(/^1 of 4 rows were not answered; run it again with the same --db to go on\.$/)
    expect((await run((request) => Stream.concat(allBullish(request), allBullish(request)))).errors).toMatch(/twice/)
    expect((await run(() => Stream.make({ key: "x", label: "bullish" }))).errors).toMatch(/row x was never asked for/)
  })
  it("6. prints the sentence of a failure on the way", async () => {
    const { errors, out, status } = await runEval(
      () => Stream.fail(new Error("The model folder is half there.")),
      "finance-sentiment",
      "--data",
      sentiments,
    )
    expect([errors, out, status]).toEqual(["The model folder is half there.", "", 1])
  })
})

describe("npm run eval", () => {
  it("7. prints a table, and progress elsewhere", async () => {
    const { drawn, out, status } = await runEval(allBullish, "finance-sentiment", "--data", sentiments)
    expect(status).toBe(0)
    expect(out).toMatch(/^ +precision +recall/)
    expect(out).toMatch(/bullish +0\.500 +1\.000 +0\.667 +2/)
    expect(out).toMatch(/accuracy +0\.500 +4/)
    expect(drawn).toMatch(/^finance-sentiment 0\/4\n(.*\n)*finance-sentiment 4\/4 in \d+ s\n$/)
  })
  it("8. prints one JSON object and nothing else with --json", async () => {
    const { out } = await runEval(allBullish, "finance-sentiment", "--data", sentiments, "--json")
    expect(JSON.parse(out)).toMatchObject({ accuracy: 0.5, macroF1: expect.closeTo(0.2222, 4), n: 4 })
  })
  it("9. gives a row the same key in every run of the same file, and another in another file", async () => {
    const seen: Array<ReadonlyArray<EvaluationRow>> = []
    const spy: ClassifyRows<never, never> = (request) => {
      seen.push(request.rows)
      return allBullish(request)
    }
    await runEval(spy, "finance-sentiment", "--data", sentiments)
    await runEval(
      spy,
      "finance-sentiment",
      "--data",
      write("copy.csv", "text,label\n$A soars,1\n$B sinks,0\n$C meets,2\n$D leaps,1\n"),
    )
    await runEval(spy, "finance-sentiment", "--data", write("other.csv", "text,label\n$A soars,1\n"))
    expect(seen[1]).toEqual(seen[0])
    expect(seen[0]![0]!.key).toMatch(/^[0-9a-f]{16}\/2$/)
    expect(seen[2]![0]!.key).not.toBe(seen[0]![0]!.key)
  })
  it("10. finds the data sets beside the repository", (context) => {
    if (!hasSharedData) context.skip(NO_DATA)
    expect(dataFileOf(evaluationTasks["banking-intent"], undefined)).toMatch(/banking77_test\.csv$/)
    expect(dataFileOf(evaluationTasks["finance-sentiment"], undefined)).toMatch(/sent_valid\.csv$/)
    expect(dataFileOf(evaluationTasks["finance-sentiment"], "mine.csv")).toBe("mine.csv")
  })
  it("11. makes front-desk's set of the data sets, the same in every run", (context) => {
    if (!hasSharedData) context.skip(NO_DATA)
    if (spawnSync("python3", ["--version"]).status !== 0) context.skip("there is no python3 on this machine")
    const [first = "", second = ""] = [1, 2].map(() => dataFileOf(evaluationTasks["front-desk"], undefined))
    const text = readFileSync(first, "utf8")
    expect(text).toMatch(/^text,label\n/)
    expect(text.split("\n").length).toBeGreaterThan(8_000)
    expect(readFileSync(second, "utf8")).toBe(text)
  })
})
