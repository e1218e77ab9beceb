/**
 * `npm run chaos -- [--minutes N] [--seed S]`: has the processes of three models die in every way for N minutes (default 5)
 * while six callers ask them for answers through a SQLite log, and compares everything with an undisturbed run. The seed
 * (default from the clock) chooses what happens and what is asked; the rest is the machine's. Exits with 1 where something
 * was wrong, and then keeps the log; with 2 for a command that was called wrongly. Linux only: it looks into /proc.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { showProgress } from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { type ChaosReport, runChaos } from "./runChaos.ts"

const USAGE = "usage: npm run chaos -- [--minutes N] [--seed S]"
/** A day: past it a mistyped number is likelier than patience. */
const MINUTES_MAX = 1_440

const readArguments = () => {
  const args = process.argv.slice(2).filter((argument) => argument !== "--")
  const { values } = parseArgs({ args, options: { minutes: { type: "string" }, seed: { type: "string" } } })
  const minutes = Number(values.minutes ?? 5)
  if (!(minutes > 0 && minutes <= MINUTES_MAX)) {
    throw new Error(`--minutes must be a number above 0, at most ${MINUTES_MAX}; it is "${values.minutes}".`)
  }
  const seed = Number(values.seed ?? 1 + (Date.now() % 1_000_000))
  if (!(Number.isSafeInteger(seed) && seed > 0)) {
    throw new Error(`--seed must be a whole number, 1 or more; it is "${values.seed}".`)
  }
  return { minutes, seed }
}

const describeReport = (report: ChaosReport, minutes: number, seed: number): string => {
  const kinds = [...report.disturbances].map(([kind, count]) => `${count} ${kind}`).join(", ")
  const total = [...report.disturbances.values()].reduce((sum, count) => sum + count, 0)
  return (
    `${minutes} min, seed ${seed}: ${total} disturbances (${kinds}), ${report.starts} starts of a process, ` +
    `${report.requests} requests, ${report.takeovers} answers taken up again, ` +
    `the longest ${(report.longestMs / 1000).toFixed(1)} s from call to end`
  )
}

const main = async (): Promise<0 | 1 | 2> => {
  let parsed: ReturnType<typeof readArguments>
  try {
    parsed = readArguments()
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`)
    return 2
  }
  if (process.platform !== "linux") {
    console.error("chaos runs on Linux only: it looks into /proc for processes that are left.")
    return 2
  }
  const { minutes, seed } = parsed
  const folder = mkdtempSync(join(tmpdir(), "pontoon-chaos-"))
  const totalMs = minutes * 60_000
  const bar = showProgress("seconds", Math.ceil(totalMs / 1000))
  const startedAtMs = performance.now()
  const isEnough = () => {
    const passedMs = performance.now() - startedAtMs
    bar.advance(Math.floor(Math.min(passedMs, totalMs) / 1000))
    return passedMs >= totalMs
  }
  const report = await Effect.runPromise(runChaos({ seed, file: join(folder, "chaos.db"), isEnough }))
  bar.clear()
  console.log(describeReport(report, minutes, seed))
  if (report.violations.length === 0) {
    rmSync(folder, { recursive: true })
    console.log("every request ended once, byte for byte as undisturbed; no process is left")
    return 0
  }
  for (const violation of report.violations) console.log(violation)
  console.log(`${report.violations.length} violations; the log is kept in ${folder}`)
  return 1
}

process.exitCode = await main()
