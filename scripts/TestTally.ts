/** The boundary between vitest's JSON report and the one line that everybody reads: how many passed, how many failed. */
import { Schema } from "effect"

/** The part of vitest's JSON report that is counted. */
export const VitestReport = Schema.Struct({
  numPassedTests: Schema.Int,
  numFailedTests: Schema.Int,
  testResults: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      status: Schema.String,
      assertionResults: Schema.Array(Schema.Struct({ status: Schema.String })),
    }),
  ),
})
export type VitestReport = typeof VitestReport.Type

export interface TestTally {
  readonly passed: number
  readonly failed: number
}

/**
 * Counts what passed and failed. A file that failed without a failed test in it (it does not load, or a hook of it
 * threw) counts as one failure. A run that ended with an error although nothing in it failed (an unhandled rejection,
 * a worker that crashed) counts as one failure as well.
 *
 * @param report `undefined` where vitest ended before it wrote one
 * @param exitCode vitest's own exit code
 */
export const tallyTests = (report: VitestReport | undefined, exitCode: number): TestTally => {
  if (report === undefined) return { passed: 0, failed: exitCode === 0 ? 0 : 1 }
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  ).length
  const failed = report.numFailedTests + brokenFiles
  if (failed > 0 || exitCode === 0) return { passed: report.numPassedTests, failed }
  // vitest exits with an error where nothing ran; that is no failed test, and `exitCodeOf` refuses it.
  return { passed: report.numPassedTests, failed: report.numPassedTests === 0 ? 0 : 1 }
}

/** 0 only where something ran and nothing failed. */
export const exitCodeOf = (tally: TestTally): 0 | 1 => (tally.failed === 0 && tally.passed > 0 ? 0 : 1)

export const formatTally = (tally: TestTally): string => `${tally.passed} passed, ${tally.failed} failed`
