/**
 * `npm test`: runs vitest over the whole workspace, lets its output through as it comes, and prints last, on a line of
 * its own, `N passed, N failed`. Arguments are vitest's (`npm test -- packages/store -t recover`). Exits with 1 where a
 * test failed or none ran, and with 130 after Ctrl-C.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Option, Schema } from "effect"
import { exitCodeOf, formatTally, tallyTests, VitestReport } from "./TestTally.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))

const readReport = (file: string): VitestReport | undefined => {
  try {
    return Option.getOrUndefined(Schema.decodeUnknownOption(VitestReport)(JSON.parse(readFileSync(file, "utf8"))))
  } catch {
    return undefined // vitest ended before it wrote one
  }
}

const scratch = mkdtempSync(join(tmpdir(), "pontoon-test-"))
const reportFile = join(scratch, "report.json")
const child = spawn(
  process.execPath,
  [
    vitest,
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${reportFile}`,
    // pnpm hands a bare `--` on; vitest would take all that follows it for names of files.
    ...process.argv.slice(2).filter((argument) => argument !== "--"),
  ],
  { cwd: root, stdio: "inherit" },
)

// The terminal sends Ctrl-C to vitest as well, which then ends its workers: wait for it. It is not handed on, because a
// second one makes vitest leave at once, workers behind.
let interrupted = false
process.on("SIGINT", () => {
  interrupted = true
})
process.on("SIGTERM", () => {
  interrupted = true
  child.kill("SIGTERM")
})

const exitCode = await new Promise<number>((resolve) => {
  child.on("exit", (code) => resolve(code ?? 1))
  child.on("error", (error) => {
    console.error(`vitest could not be started: ${error.message}`)
    resolve(1)
  })
})
// An interrupted run has no report, and nothing in it failed.
const tally = tallyTests(readReport(reportFile), interrupted ? 0 : exitCode)
rmSync(scratch, { recursive: true, force: true })
if (interrupted) console.log("interrupted")
console.log(`\n${formatTally(tally)}`)
process.exitCode = interrupted ? 130 : exitCodeOf(tally)
