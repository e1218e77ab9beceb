/**
 * `npm run torture -- [--kills N] [--from F] [--seed S]`: kills a working cluster N times (default 2,000) with SIGKILL, half of
 * them at a named point of `CRASH_POINTS`, half at moments that nobody chose, and lets the checkers look at its file after
 * each. The seed (default from the clock) chooses the deaths and the load; what the processes do in between is the
 * machine's. A long run can be split: kills are numbered from 1 on, and `--from 501` goes on after 500, at the beginning of
 * a file (one in 25). The last line counts what was run. At the first violation the file is kept, and it exits with 1; 2 for a command that was called
 * wrongly.
 */
import { cpSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { CRASH_POINTS } from "@pontoon/runtime"
import { seededRandom, showProgress } from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { temporaryFile } from "../support/temporaryFolder.ts"
import { type Death, deathAfter, deathAt, dieOften } from "./dieOften.ts"

const USAGE = "usage: npm run torture -- [--kills N] [--from F] [--seed S]"
/** Deaths on one file before it is drained: the checkers read all of it after each, so a longer one is slower, not worse. */
const DEATHS_PER_FILE = 25
/** Files at once: most of a life is the start of a process, which waits for the disk as much as for a core. */
const FILES_AT_ONCE = 2
/** Passings of a point, and lines said, up to which a life may last: some seconds of work. */
const OCCURRENCE_MAX = 40
const LINES_MAX = 400

const readArguments = () => {
  const args = process.argv.slice(2).filter((argument) => argument !== "--")
  const options = { kills: { type: "string" }, from: { type: "string" }, seed: { type: "string" } } as const
  const { values } = parseArgs({ args, options })
  const numberOf = (name: keyof typeof options, fallback: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name])
    if (Number.isSafeInteger(value) && value > 0) return value
    throw new Error(`--${name} must be a whole number, 1 or more; it is "${values[name]}".`)
  }
  const from = numberOf("from", 1)
  if (from % DEATHS_PER_FILE !== 1) {
    throw new Error(
      `--from must be the first kill of a file (1, ${1 + DEATHS_PER_FILE}, ${1 + 2 * DEATHS_PER_FILE} and so on); it is "${from}".`,
    )
  }
  return { kills: numberOf("kills", 2_000), from, seed: numberOf("seed", 1 + (Date.now() % 1_000_000)) }
}

const count = (value: number): string => value.toLocaleString("en")

/** The deaths of one file; a file has a seed of its own, whatever was run before it. */
const drawDeaths = (kills: number, seed: number): ReadonlyArray<Death> => {
  const random = seededRandom(seed)
  return Array.from({ length: kills }, () =>
    random.chance(0.5)
      ? deathAt(random.pick(CRASH_POINTS), 1 + random.below(OCCURRENCE_MAX))
      : deathAfter(1 + random.below(LINES_MAX)),
  )
}

/** The files, in order. */
const drawFiles = (kills: number, from: number, seed: number) =>
  Array.from({ length: Math.ceil(kills / DEATHS_PER_FILE) }, (_, nth) => {
    const own = seed + (from - 1) / DEATHS_PER_FILE + nth
    return { seed: own, deaths: drawDeaths(Math.min(DEATHS_PER_FILE, kills - nth * DEATHS_PER_FILE), own) }
  })

/** Tortures one file; a failure says what is wrong, and where the file is kept. */
const tortureFile = (deaths: ReadonlyArray<Death>, seed: number, onDeath: () => void) =>
  Effect.gen(function* () {
    const file = yield* temporaryFile
    const { contents, violations } = yield* dieOften(file, deaths, { seed, onDeath })
    if (violations.length === 0) return contents.messages.length
    const kept = mkdtempSync(join(tmpdir(), "pontoon-torture-"))
    cpSync(dirname(file), kept, { recursive: true })
    return yield* Effect.fail([...violations, `The file is kept in ${kept}.`].join("\n"))
  }).pipe(Effect.scoped)

const main = async (): Promise<0 | 1 | 2> => {
  let parsed: ReturnType<typeof readArguments>
  try {
    parsed = readArguments()
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`)
    return 2
  }
  const { from, kills, seed } = parsed
  const files = drawFiles(kills, from, seed)
  const bar = showProgress("kills", kills)
  const startedAtMs = performance.now()
  let done = 0
  const onDeath = () => {
    bar.advance(++done)
  }
  const tortured = Effect.forEach(files, (file) => tortureFile(file.deaths, file.seed, onDeath), {
    concurrency: FILES_AT_ONCE,
  })
  const result = await Effect.runPromise(Effect.result(tortured))
  bar.clear()
  if (result._tag === "Failure") {
    console.log(String(result.failure))
    console.log(`${count(done)} kills were clean; another one was not (--kills ${kills} --from ${from} --seed ${seed})`)
    return 1
  }
  const named = files.flatMap(({ deaths }) => deaths).filter(({ point }) => point !== "none").length
  const messages = result.success.reduce((sum, each) => sum + each, 0)
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(0)
  const how = `${count(named)} at named points, ${count(kills - named)} at random moments`
  const where = `${files.length} ${files.length === 1 ? "file" : "files"}, seed ${seed}${from === 1 ? "" : `, from ${from} on`}`
  console.log(`${count(kills)} kills (${how}) of ${where}, all clean: ${count(messages)} messages in ${seconds} s`)
  return 0
}

process.exitCode = await main()
