import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { runChaos } from "./runChaos.ts"

/** `npm run chaos` in small. Signals and /proc are Linux's. */
describe.runIf(process.platform === "linux")("models whose processes die under load", () => {
  it("answer every request once, byte for byte, and leave no process behind", async () => {
    const folder = mkdtempSync(join(tmpdir(), "pontoon-chaos-"))
    const report = await Effect.runPromise(
      runChaos({ seed: 7, file: join(folder, "chaos.db"), isEnough: (disturbances) => disturbances >= 5 }),
    )
    rmSync(folder, { recursive: true })
    expect(report.violations).toEqual([])
    expect(report.takeovers).toBeGreaterThan(0)
    expect(report.requests).toBeGreaterThan(6)
  })
})
