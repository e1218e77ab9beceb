/** `npm run eval`, killed with -9 in the middle and started again: the real program on the real model, read from outside. */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { SqliteLogReader } from "@pontoon/store"
import { Effect, Stream } from "effect"
import { describe, expect, it } from "vitest"
import { askRows, IN_FLIGHT_MAX } from "../src/eval/classifyThroughActors.ts"

const program = fileURLToPath(new URL("../src/eval.ts", import.meta.url))
const messages = readFileSync(fileURLToPath(new URL("../messages/banking.jsonl", import.meta.url)), "utf8")
const folder = mkdtempSync(join(tmpdir(), "pontoon-resume-"))

/** Enough rows that a kill at the first tenth falls into the middle: a few hundred a second are classified. */
const ROWS = 1200
const data = join(folder, "rows.csv")
const texts = messages
  .trim()
  .split("\n")
  .map((line) => String(JSON.parse(line).text).replaceAll('"', '""'))
writeFileSync(
  data,
  `text,category\n${Array.from({ length: ROWS }, (_, row) => `"${texts[row % texts.length]}",pin_blocked`).join("\n")}\n`,
)

/** Runs the evaluation; kills it with -9 as soon as its progress says `killAt`. */
const runEval = (db: string, killAt?: string) =>
  new Promise<{
    readonly signal: string | null
    readonly status: number | null
    readonly out: string
    readonly errors: string
  }>((resolve) => {
    const child = spawn(process.execPath, [
      program,
      "banking-intent",
      "--json",
      "--data",
      data,
      "--db",
      join(folder, db),
    ])
    let [out, errors] = ["", ""]
    child.stdout.on("data", (chunk) => (out += chunk))
    child.stderr.on("data", (chunk) => {
      errors += chunk
      if (killAt !== undefined && errors.includes(killAt)) child.kill("SIGKILL")
    })
    child.on("close", (status, signal) => resolve({ signal, status, out, errors }))
  })

describe("sending rows", () => {
  it("1. never has more asks in flight than the bound, and loses none", async () => {
    const rows = Array.from({ length: IN_FLIGHT_MAX * 3 }, (_, index) => ({ key: String(index), text: "x" }))
    let [inFlight, most] = [0, 0]
    const verdicts = await Effect.runPromise(
      Stream.runCollect(
        askRows(rows, ({ key }) =>
          Effect.gen(function* () {
            most = Math.max(most, ++inFlight)
            yield* Effect.yieldNow
            inFlight--
            return `label ${key}`
          }),
        ),
      ),
    )
    expect(most).toBe(IN_FLIGHT_MAX)
    expect(new Set(verdicts.map(({ key }) => key)).size).toBe(rows.length)
    expect(verdicts.every(({ key, label }) => label === `label ${key}`)).toBe(true)
  })
})

describe("an evaluation that is killed", () => {
  it("2. goes on where it was, with the figures of an undisturbed one and every row done once", async () => {
    const undisturbed = await runEval("whole.db")
    expect(undisturbed).toMatchObject({ status: 0 })
    const killed = await runEval("killed.db", `banking-intent ${ROWS / 10}/`)
    expect(killed).toMatchObject({ signal: "SIGKILL", out: "" })
    const resumed = await runEval("killed.db")
    expect(resumed).toMatchObject({ status: 0, out: undisturbed.out })
    expect(JSON.parse(resumed.out)).toMatchObject({ n: ROWS })
    const rows = await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const log = yield* SqliteLogReader.make(join(folder, "killed.db"))
          return yield* log.messages({ limit: 10_000 })
        }),
      ),
    )
    expect(rows).toHaveLength(ROWS)
    expect(rows.every((row) => row.status === "done")).toBe(true)
    expect(new Set(rows.map((row) => row.idempotencyKey)).size).toBe(ROWS)
    // What was in flight at the kill, and nothing else, was claimed a second time.
    const again = rows.filter((row) => row.attempt > 1).length
    expect(again).toBeGreaterThan(0)
    expect(again).toBeLessThanOrEqual(IN_FLIGHT_MAX)
  })
})
