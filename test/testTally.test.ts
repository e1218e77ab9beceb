import { describe, expect, it } from "vitest"
import { exitCodeOf, formatTally, tallyTests, type VitestReport } from "../scripts/TestTally.ts"

const file = (status: string, ...tests: ReadonlyArray<string>) => ({
  name: "a.test.ts",
  status,
  assertionResults: tests.map((status) => ({ status })),
})
const report = (passed: number, failed: number, ...testResults: VitestReport["testResults"]): VitestReport => ({
  numPassedTests: passed,
  numFailedTests: failed,
  testResults,
})

describe("the tally of npm test", () => {
  it("1. says that nothing ran, and fails", () => {
    const tally = tallyTests(report(0, 0), 1)
    expect(formatTally(tally)).toBe("0 passed, 0 failed")
    expect(exitCodeOf(tally)).toBe(1)
  })
  it("2. fails where vitest ended without a report", () => {
    expect(tallyTests(undefined, 1)).toEqual({ passed: 0, failed: 1 })
    expect(exitCodeOf(tallyTests(undefined, 0))).toBe(1)
  })
  it("3. counts a file that does not load as one failure", () => {
    expect(tallyTests(report(1, 0, file("failed"), file("passed", "passed")), 1)).toEqual({ passed: 1, failed: 1 })
  })
  it("4. does not count a file twice whose tests failed", () => {
    expect(tallyTests(report(1, 1, file("failed", "passed", "failed")), 1)).toEqual({ passed: 1, failed: 1 })
  })
  it("5. counts an error outside of every test as one failure", () => {
    expect(tallyTests(report(3, 0, file("passed", "passed", "passed", "passed")), 1)).toEqual({ passed: 3, failed: 1 })
  })
  it("6. passes where something ran and nothing failed; skipped tests are neither", () => {
    const tally = tallyTests(report(2, 0, file("passed", "passed", "passed", "skipped")), 0)
    expect(formatTally(tally)).toBe("2 passed, 0 failed")
    expect(exitCodeOf(tally)).toBe(0)
  })
})
