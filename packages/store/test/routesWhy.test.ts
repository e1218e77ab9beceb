/** `pontoon routes --why` and `--replay`: decisions of the log as sentences, and made again by another policy. */
import { join } from "node:path"
import type { Evidence } from "@pontoon/runtime"
import { appendClaimed, settle } from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { expect, it } from "vitest"
import { SqliteStore } from "../src/index.ts"
import { runPontoon } from "./support/runPontoon.ts"
import { SAMPLE_WRITES } from "./support/sampleLog.ts"
import { temporaryFolder } from "./support/temporaryFolder.ts"

const replica = {
  lifecycle: "ready",
  health: "healthy",
  tier: 0,
  slots: 2,
  outstanding: 0,
  serviceMs: 100,
  spread: 0.5,
  success: 1,
  oldestRunningMs: 0,
  tried: false,
} as const
const evidence: Evidence = {
  nowMs: 1_000,
  pool: {
    name: "bar",
    policy: "score",
    tierPenaltyMs: 1_000,
    retriesLeft: 9,
    hedgesLeft: 0,
    admitShare: 0.97,
    turn: 1,
  },
  message: { phase: "new", leftMs: null, priority: 0, outsideEffects: false, attempts: 0 },
  candidates: [
    { ...replica, target: "barista/1" },
    { ...replica, target: "barista/2", health: "suspect", serviceMs: 900 },
  ],
}

const withLog = <A>(use: (file: string) => Effect.Effect<A, unknown>) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const file = join(yield* temporaryFolder, "routes.db")
        const store = yield* SqliteStore.make(file)
        yield* store.commit([
          ...SAMPLE_WRITES,
          appendClaimed("90", { actorType: "barista", actorId: "1", pool: "bar" }),
          {
            _tag: "RouteDecision",
            messageId: "90",
            attempt: 1,
            pool: "bar",
            chosen: "barista/1",
            reason: "lowest cost: 113 ms expected, 0 outstanding (barista/2 is suspect)",
            evidence: JSON.stringify(evidence),
            atMs: 1_000,
          },
        ])
        yield* store.commit([settle("90")])
        return yield* use(file)
      }),
    ),
  )

it("says why a message went where it went, what was known of each target, and what became of it", () =>
  withLog((file) =>
    Effect.gen(function* () {
      const { code, out } = yield* runPontoon("routes", "--why", "90", "--db", file)
      expect(code).toBe(0)
      const lines = out.trimEnd().split("\n")
      expect(lines[0]).toMatch(
        /^1970-01-01T00:00:01\.000Z attempt 1 went to barista\/1 of bar, because: lowest cost: 113 ms expected, 0 outstanding \(barista\/2 is suspect\); it ended done, .+ after its claim\.$/,
      )
      expect(lines.slice(1)).toEqual([
        "    barista/1: ready, healthy; 100 ms a message, 100 % succeed, 0 outstanding on 2 slots",
        "    barista/2: ready, suspect; 900 ms a message, 100 % succeed, 0 outstanding on 2 slots",
      ])
      const rerouted = yield* runPontoon("routes", "--why", "01ROOT.1", "--db", file)
      expect(rerouted.out).toMatch(/attempt 1 went to barista\/1 of bar, because: least loaded; it failed there.*: /)
      expect(rerouted.out).toMatch(/attempt 2 went to barista\/2 of bar, because: barista\/1 failed; it /)
    }),
  ))

it("says what another policy would have changed, and passes over rows without evidence", () =>
  withLog((file) =>
    Effect.gen(function* () {
      expect((yield* runPontoon("routes", "--replay", "score", "--db", file)).out).toBe(
        "score would have sent 0 of 1 messages elsewhere, by what was known then.\n",
      )
      const turns = yield* runPontoon("routes", "--replay", "round-robin", "--pool", "bar", "--db", file)
      expect(turns.out).toBe(
        "round-robin would have sent 1 of 1 messages elsewhere, by what was known then:\n  1 from barista/1 to barista/2, expected 907 ms later on average\n",
      )
    }),
  ))

it("refuses a message that is not there, one that no pool decided on, and a policy that is none, in a sentence each", () =>
  withLog((file) =>
    Effect.gen(function* () {
      const refused = (...args: ReadonlyArray<string>) =>
        Effect.map(runPontoon("routes", ...args, "--db", file), ({ code, err }) => [code, err])
      expect(yield* refused("--why", "none")).toEqual([1, "pontoon: There is no message none in this log.\n"])
      expect(yield* refused("--why", "02DEAD")).toEqual([
        1,
        "pontoon: No pool has decided on message 02DEAD in this log.\n",
      ])
      const [code, err] = yield* refused("--replay", "luck")
      expect([code, err]).toEqual([1, expect.stringMatching(/^pontoon: There is no policy luck; there are: score, /)])
    }),
  ))
