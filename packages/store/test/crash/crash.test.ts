/**
 * kill -9, at every named point around a commit and at moments that nobody chose; again and again on one file, until a last
 * run drains it. `npm run torture` is the same for as long as one likes.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { CRASH_POINTS } from "@pontoon/runtime"
import { checkAccepted, checkReplies } from "@pontoon/runtime/testing"
import { Effect, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { temporaryFile } from "../support/temporaryFolder.ts"
import { type Death, deathAfter, deathAt, dieOften } from "./dieOften.ts"
import { Witness } from "./Witness.ts"

const seed = Number(process.env.PONTOON_SEED ?? Date.now() % 1_000_000)
const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))
/** Far over what it takes; a busy machine starts a process in seconds. */
const LIMIT_MS = 600_000

const expectClean = (deaths: ReadonlyArray<Death>) =>
  Effect.gen(function* () {
    const file = yield* temporaryFile
    const { contents, violations, witness } = yield* dieOften(file, deaths, { seed })
    expect(violations).toEqual([])
    const { attempts, messages } = contents
    // The deaths were in mid-work: handlers were cut off by them, and run again.
    const cutOff = [...attempts.values()].flat().filter(({ error }) => error.includes("RetryableProcessDied"))
    expect(cutOff.length).toBeGreaterThan(deaths.length / 2)
    // A saga fails where its script says so, and nothing else does.
    const refused = ({ actorType, body }: (typeof messages)[number]) =>
      actorType === "saga" && JSON.parse(body).n % 3 === 0
    expect(messages.filter((row) => row.status !== (refused(row) ? "failed" : "done"))).toEqual([])
    expect(witness.lines).toBeGreaterThan(deaths.length)
  })

// Side by side: most of a run is the start of a process, which waits for the disk as much as for a core.
describe("1 a cluster that is killed at a point around a commit", () => {
  for (const occurrence of [1, 15]) {
    it.concurrent(
      `1.${occurrence} at its occurrence ${occurrence}, at every point in turn (PONTOON_SEED=${seed})`,
      () => run(expectClean(CRASH_POINTS.map((point) => deathAt(point, occurrence)))),
      LIMIT_MS,
    )
  }
})

describe("2 a cluster that is killed at a moment that nobody chose", () => {
  const moments = Array.from({ length: 50 }, (_, nth) => 1 + (((seed + nth * 104_729) * 7_919) % 400))
  for (const part of [0, 1]) {
    const chosen = moments.filter((_, nth) => nth % 2 === part)
    it.concurrent(
      `2.${part + 1} ${chosen.length} times (PONTOON_SEED=${seed})`,
      () => run(expectClean(chosen.map(deathAfter))),
      LIMIT_MS,
    )
  }
})

describe("3 a witness", () => {
  it("3.1 puts what was answered under a key with its message, and finds an answer to none", () => {
    const witness = new Witness()
    for (const line of ["accepted m", 'replied m "a b"', "answered k 7", 'read m 2 ["a b","c"]']) witness.hear(line)
    expect(witness.readings).toEqual([{ messageId: "m", from: 2, chunks: ['"a b"', '"c"'] }])
    expect([...witness.accepted]).toEqual(["m"])
    const contents = { messages: [], actors: [], steps: new Map(), chunks: new Map(), attempts: new Map() }
    const replies = witness.repliesIn(contents)
    expect([...replies]).toEqual([
      ["m", '"a b"'],
      ["with the key k", "7"],
    ])
    expect(checkReplies(contents, replies)).toHaveLength(2)
    expect(checkAccepted(contents, witness.accepted)).toHaveLength(1)
    expect(() => witness.hear("sighed")).toThrow('a child said "sighed"')
  })
})

describe("4 the command", () => {
  const torture = fileURLToPath(new URL("./torture.ts", import.meta.url))
  it(
    "4.1 kills as often as it is told, and counts",
    () => {
      const output = execFileSync(process.execPath, [torture, "--kills", "3", "--seed", "4"], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      })
      expect(output).toMatch(/^3 kills \(\d at named points, \d at random moments\) of 1 file, seed 4, all clean: /)
    },
    LIMIT_MS,
  )
  it("4.2 says what is wrong with its arguments, and exits with 2", () => {
    const refused = (...args: ReadonlyArray<string>): string => {
      const { status, stderr } = spawnSync(process.execPath, [torture, ...args], { encoding: "utf8" })
      return `${status} ${stderr}`
    }
    expect(refused("--kills", "many")).toMatch(/^2 --kills must be a whole number, 1 or more; it is "many"\.\nusage: /)
    expect(refused("--from", "30")).toMatch(/^2 --from must be the first kill of a file .*; it is "30"\.\nusage: /)
  })
})
