/**
 * The demo at a terminal, and on devices: a pseudo-terminal of Python's, because Node has none. Where there is no python3
 * the test says so and is skipped.
 */
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { DEMO, query, run } from "./programs.ts"

const PLAY_MS_MAX = 240_000
const folder = mkdtempSync(join(tmpdir(), "pontoon-terminal-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, "few.txt"), "a small latte please\nwhere is my card\nHarborline profits soar\n")

/** Hands its standard input to the terminal, and the terminal's output on; ends with the program's status. */
const PTY = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
const SIZED = 'stty cols 100 rows 40; exec "$0" "$@"'
const hasPython = spawnSync("python3", ["-c", "import pty"]).status === 0

interface Session {
  readonly status: number | null
  readonly out: string
}

/** Types each line when the prompt is there. */
const atTerminal = (args: ReadonlyArray<string>, lines: ReadonlyArray<string>) =>
  new Promise<Session>((resolve) => {
    const child = spawn("python3", ["-c", PTY, "sh", "-c", SIZED, process.execPath, DEMO, ...args], {
      cwd: folder,
      env: { ...process.env, NO_COLOR: "1" },
    })
    let out = ""
    let typed = 0
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text
      const prompts = out.split("you > ").length - 1
      // The echo of what is typed redraws the prompt; a new one comes after an answer.
      const answers = out.split(/you\.\w+ < .*\]\r\n/).length - 1
      if (typed < lines.length && prompts > 0 && answers === typed) child.stdin.write(`${lines[typed++]}\r`)
    })
    child.on("close", (status) => resolve({ status, out }))
  })

const ERASE = "\r\x1b[K"
/** What is left to see of a line after all that was erased of it. */
const shown = (line: string): string => line.split(ERASE).at(-1)!

describe("the demo at a terminal", () => {
  it(
    "1. streams answers beside a progress bar, then answers what is typed; an empty line ends it",
    async (context) => {
      if (!hasPython) context.skip("python3 is not here, and Node has no pseudo-terminal")
      const args = ["--db", "tty.db", "--input", "few.txt", "--device", "auto"]
      const { out, status } = await atTerminal(args, ["a large mocha to go", ""])
      expect({ status, out: status === 0 ? "" : out }).toEqual({ status: 0, out: "" })
      expect(out.split(ERASE).some((drawn) => /^messages \[=+> +\] \d\/3/.test(drawn))).toBe(true)
      // The model is killed while its answer grows on the screen, and the answer goes on below.
      expect(out).toMatch(
        /storm\.\w+ < \S.* …\r\n-- kill -9 \d+: \S+ is gone in mid-answer\.\r\nstorm\.\w+ < ….*\]\r\n/,
      )
      const lines = out.split("\r\n").map(shown)
      const answers = lines.filter((line) => line.includes(" < "))
      expect(answers.length).toBeGreaterThan(20)
      for (const line of answers) expect(line).toMatch(/^\S+ < .*( …|\[[\w+]+, [\d.]+ m?s\])$/)
      for (const line of lines) expect(line).not.toMatch(/\S.*messages \[|messages \[.*\].*(>|<) \S/)
      expect(out).toMatch(/you\.\w+ < .+ \[coffee, [\d.]+ m?s\]/)
      // The terminal has echoed what was typed; it is not said twice.
      expect(out).not.toMatch(/you\.\w+ > /)
    },
    PLAY_MS_MAX,
  )

  it("2. had said in the lifecycle which devices were tried, and why another was taken", (context) => {
    if (!hasPython) context.skip("python3 is not here, and nothing was played")
    const started = query(
      join(folder, "tty.db"),
      "select reason from lifecycle_events where event = 'STARTED' and reason <> 'first message'",
    )
    expect(started.length).toBeGreaterThan(5)
    for (const { reason } of started) expect(reason).toMatch(/ on (cpu|webgpu|cuda)$/)
    if (started.some(({ reason }) => String(reason).endsWith(" on cuda"))) context.skip("there is a CUDA device here")
    const fallbacks = query(join(folder, "tty.db"), "select reason from lifecycle_events where event = 'DEGRADED'")
    expect(fallbacks.length).toBe(started.length)
    for (const { reason } of fallbacks) expect(reason).toMatch(/runs on (cpu|webgpu); cuda was tried first: \S/)
  })

  it(
    "3. refuses a device that is not there with one sentence",
    async (context) => {
      const { err, out, status } = await run(DEMO, ["--once", "--device", "cuda", "--input", "few.txt"], folder)
      if (status === 0) context.skip("there is a CUDA device here")
      expect(status).toBe(1)
      expect(err.trim().split("\n")).toHaveLength(1)
      expect(err).toMatch(/^Model "\S+": .*cuda cannot run it: .*\.$/m)
      expect(out.trim().split("\n")).toHaveLength(1)
    },
    PLAY_MS_MAX,
  )
})
