/**
 * `npm run bench -- NAME [--case TEXT] [--json] [--rounds N]`: runs `packages/x/bench/NAME.bench.ts` and prints medians of
 * ours and of its peer, and their ratio. Ratios can be trusted; absolute figures are this machine's, today's. `--case` runs
 * only the cases that have TEXT in their name or in their peer's. An unknown NAME or TEXT lists what there is and exits
 * with 2. See scripts/bench/Bench.ts for what a bench file exports, or scripts/bench/Survey.ts for one of many contenders
 * whose figures come from a seed, which is run once.
 */
import { globSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { type BenchRow, decodeBench } from "./bench/Bench.ts"
import { compareRuns, ROUNDS_MIN, runRounds } from "./bench/compareRuns.ts"
import { formatJsonRows, formatRows } from "./bench/formatRows.ts"
import { decodeSurvey, formatSurvey, isSurvey } from "./bench/Survey.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const SUFFIX = ".bench.ts"
const USAGE = "usage: npm run bench -- NAME [--case TEXT] [--json] [--rounds N]"

const findBenches = (): ReadonlyMap<string, string> =>
  new Map(
    globSync(`packages/*/bench/*${SUFFIX}`, { cwd: root })
      .sort()
      .map((file) => [basename(file, SUFFIX), file]),
  )

/** One sentence on standard error, and the status of a command that was called wrongly. */
const refuse = (sentence: string): 2 => {
  console.error(sentence)
  return 2
}

interface Choice {
  readonly name: string
  readonly file: string
  readonly rounds: number
  readonly json: boolean
  /** Every case where it is empty. */
  readonly part: string
}

/** What is no comparison of two, and no matter of time: run once, section after section. */
const runSurvey = (exported: unknown, { file, json, name, part }: Choice): 0 | 2 => {
  const survey = decodeSurvey(file, exported)
  const sections = survey.sections.filter((each) => each.name.includes(part))
  if (sections.length === 0) {
    return refuse(
      `${name} has no case "${part}"; it has: ${survey.sections.map((each) => `"${each.name}"`).join(", ")}.`,
    )
  }
  if (!json) console.log([`${name} (${file})`, ...survey.conditions].join("\n"))
  for (const section of sections) {
    const rows = section.run()
    if (json) for (const row of rows) console.log(JSON.stringify({ bench: name, case: section.name, ...row }))
    else console.log(`\n${section.name}\n${formatSurvey(rows)}`)
  }
  return 0
}

const runBench = async (choice: Choice): Promise<0 | 2> => {
  const { file, json, name, part, rounds } = choice
  const loaded: { readonly default?: unknown } = await import(pathToFileURL(join(root, file)).href)
  if (isSurvey(loaded.default)) return runSurvey(loaded.default, choice)
  const bench = decodeBench(file, loaded.default)
  const cases = bench.cases.filter((each) => each.name.includes(part) || each.peer.includes(part))
  if (cases.length === 0) {
    const there = bench.cases.map((each) => `"${each.name}" beside "${each.peer}"`).join(", ")
    return refuse(`${name} has no case "${part}"; it has: ${there}.`)
  }
  if (!json) console.log([`${name} (${file})`, ...bench.conditions, ""].join("\n"))
  const rows: Array<BenchRow> = []
  for (const benchCase of cases) {
    const measured = await runRounds(benchCase, rounds, (round) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${benchCase.name}: round ${round + 1} of ${rounds}`)
    })
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K")
    const caseRows = compareRuns(name, benchCase, measured)
    rows.push(...caseRows)
    if (json) console.log(formatJsonRows(caseRows))
  }
  if (!json) console.log(formatRows(rows))
  return 0
}

const readArguments = () => {
  const args = process.argv.slice(2).filter((argument) => argument !== "--")
  const options = { case: { type: "string" }, json: { type: "boolean" }, rounds: { type: "string" } } as const
  return parseArgs({ args, options, allowPositionals: true })
}

const main = async (): Promise<0 | 1 | 2> => {
  let parsed: ReturnType<typeof readArguments>
  try {
    parsed = readArguments()
  } catch (error) {
    return refuse(`${error instanceof Error ? error.message : error}\n${USAGE}`)
  }
  const benches = findBenches()
  const there = benches.size === 0 ? "none yet" : [...benches.keys()].join(", ")
  const [name, ...rest] = parsed.positionals
  if (name === undefined || rest.length > 0) return refuse(`${USAGE}\nbenchmarks: ${there}`)
  const file = benches.get(name)
  if (file === undefined) return refuse(`There is no benchmark "${name}"; there are: ${there}.`)
  const rounds = Number(parsed.values.rounds ?? ROUNDS_MIN)
  if (!Number.isInteger(rounds) || rounds < ROUNDS_MIN) {
    return refuse(`--rounds must be a whole number, ${ROUNDS_MIN} or more; it is "${parsed.values.rounds}".`)
  }
  try {
    return await runBench({ name, file, rounds, json: parsed.values.json ?? false, part: parsed.values.case ?? "" })
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  }
}

process.exitCode = await main()
