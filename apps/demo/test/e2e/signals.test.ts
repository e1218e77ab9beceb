/** The demo when it is told to end, or ended, in the middle: nothing of it stays behind. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { allGone, DEMO, familyOf, query, run, start } from "./programs.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-signals-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The stage, the cluster and six models. */
const PROCESSES = 8
/** A line of an answer; by then all models are up and all six customers that fit at the counter have spoken. */
const FIRST_ANSWER = " < "

/** Half of it takes a minute and more; a second demo is refused within seconds. */
const LONG_PLAY_MESSAGES = 20_000

const playUntil = async (text: string, ...args: ReadonlyArray<string>) => {
  const program = start(DEMO, ["--once", ...args], folder)
  await program.says(text)
  return { program, family: familyOf(program.pid) }
}
/** What the first customers said; they are all at the counter before the first is answered. */
const firstAsked = (out: string): ReadonlyArray<string> =>
  out
    .split("\n")
    .filter((line) => line.includes(" > "))
    .slice(0, 6)

/** Far above what a play takes; only what hangs is ended by it. */
const PLAY_MS_MAX = 240_000

describe.skipIf(process.platform !== "linux")("the demo, in the middle of a play", () => {
  let asked: ReadonlyArray<string> = []

  it("1. refuses a file that another process owns, and names that process; which ends with all of its own on Ctrl-C", async () => {
    // So much to play that it is far from the act in which the owner is killed, and the file free for a moment.
    writeFileSync(join(folder, "long.txt"), "an espresso please\n".repeat(LONG_PLAY_MESSAGES))
    const { family, program } = await playUntil(FIRST_ANSWER, "--db", "int.db", "--input", "long.txt")
    expect(family).toHaveLength(PROCESSES)
    const second = await run(DEMO, ["--once", "--db", "int.db"], folder)
    expect(second.status).toBe(1)
    const owner = /is owned by process (\d+); stop that owner, or give this one another file/.exec(second.err)?.[1]
    expect(family).toContain(Number(owner))
    expect(second.err.trim().split("\n")).toHaveLength(1)
    // As a terminal sends it: to the whole group.
    program.signal("SIGINT", "group")
    const { err, status } = await program.ended
    expect({ err, status }).toEqual({ err: "", status: 130 })
    await allGone(family)
    expect(query(join(folder, "int.db"), "pragma integrity_check")).toEqual([{ integrity_check: "ok" }])
  })
  it("2. ends on SIGTERM to it alone; the same seed had played in the same order", async () => {
    const orders: Array<ReadonlyArray<string>> = []
    for (const db of ["term.db", "again.db"]) {
      const { family, program } = await playUntil(FIRST_ANSWER, "--db", db, "--seed", "7")
      program.signal("SIGTERM")
      const { err, out } = await program.ended
      expect(err).toBe("")
      await allGone(family)
      orders.push(firstAsked(out))
    }
    expect(orders[1]).toEqual(orders[0])
    asked = orders[0] ?? []
    expect(asked).toHaveLength(6)
  })
  it("3. leaves no process behind when the stage alone is killed: the cluster finishes what it runs, and ends", async () => {
    const { family, program } = await playUntil(FIRST_ANSWER, "--db", "stage.db")
    program.signal("SIGKILL")
    expect(await program.ended).toMatchObject({ err: "", signal: "SIGKILL" })
    await allGone(family)
    expect(query(join(folder, "stage.db"), "select 1 from messages where status = 'dead'")).toEqual([])
  })
  it(
    "4. loses nothing when all of it is killed: the next run finishes it; another seed had played in another order",
    async () => {
      const { family, program } = await playUntil(FIRST_ANSWER, "--db", "kill.db", "--seed", "8")
      program.signal("SIGKILL", "group")
      const { err, out, signal } = await program.ended
      expect({ err, signal }).toEqual({ err: "", signal: "SIGKILL" })
      await allGone(family)
      expect(firstAsked(out)).not.toEqual(asked)
      const file = join(folder, "kill.db")
      const unfinished = query(file, "select id from messages where status in ('pending', 'running')")
      expect(unfinished.length).toBeGreaterThan(0)
      // Whoever opens the file next finishes what had been accepted.
      writeFileSync(join(folder, "one.txt"), "an espresso please\n")
      expect(await run(DEMO, ["--once", "--db", "kill.db", "--input", "one.txt"], folder)).toMatchObject({
        status: 0,
        err: "",
      })
      expect(query(file, "select distinct status from messages")).toEqual([{ status: "done" }])
    },
    PLAY_MS_MAX,
  )
  it("5. ends quietly when its reader goes away", async () => {
    const child = spawn(process.execPath, [DEMO, "--once", "--db", "pipe.db"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    })
    let err = ""
    child.stderr.on("data", (text) => (err += text))
    child.stdout.once("data", () => child.stdout.destroy())
    const family = await new Promise<ReadonlyArray<number>>((resolve) => {
      child.stdout.once("close", () => resolve(familyOf(child.pid!)))
    })
    const status = await new Promise((resolve) => child.on("close", resolve))
    expect({ err, status }).toEqual({ err: "", status: 0 })
    await allGone(family)
  })
})
