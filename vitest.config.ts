/** Where the tests of the whole workspace lie, and how they are run. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // Forks, not threads: better-sqlite3 and onnxruntime are native, and an abort must cost one file, not the run.
    pool: "forks",
    // Two files at once: engines and crash tests start children of their own, and two cores is what a CI machine has.
    maxWorkers: 2,
    // Nothing in a test waits for a clock; these only end what hangs, also on a slow and busy machine.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    passWithNoTests: false,
  },
})
