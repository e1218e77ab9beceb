/**
 * The boundary between one database file and all the clusters that die on it: each lives until its death, the checkers look
 * at nothing but the file and at what the dead had said, and a last one drains what is left.
 */
import {
  checkAccepted,
  checkLog,
  checkReplies,
  checkSums,
  type LogContents,
  readContents,
} from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { SqliteLogReader } from "../../src/index.ts"
import { startChild } from "../support/childProcess.ts"
import { Witness } from "./Witness.ts"

export interface Death {
  /** The crash point to die at, or `none`. */
  readonly point: string
  /** At which passing of the point, from 1 on. */
  readonly occurrence: number
  /** Killed from outside after so many lines. */
  readonly afterLines: number
}

const NEVER: Death = { point: "none", occurrence: 1, afterLines: Number.POSITIVE_INFINITY }

export const deathAt = (point: string, occurrence: number): Death => ({ ...NEVER, point, occurrence })
export const deathAfter = (afterLines: number): Death => ({ ...NEVER, afterLines })

/** What a file and its witness have come to. */
export interface DiedOften {
  /** One sentence each; none where all is well. */
  readonly violations: ReadonlyArray<string>
  readonly contents: LogContents
  readonly witness: Witness
}

export interface DieOftenOptions {
  readonly seed: number
  /** Called after each death that left all well. */
  readonly onDeath?: () => void
}

/** Runs a child until it dies; gives the signal, or its exit code. */
const live = (file: string, mode: "load" | "drain", death: Death, witness: Witness, name: string, seed: number) =>
  Effect.gen(function* () {
    const args = [file, mode, death.point, `${death.occurrence}`, `${seed}`, name]
    const child = yield* startChild("../crash/cluster.ts", args)
    yield* Effect.promise(async () => {
      for (let seen = 1; ; seen++) {
        const line = await child.line()
        if (line === undefined) return
        witness.hear(line)
        if (seen === death.afterLines) child.process.kill("SIGKILL")
      }
    })
    return yield* Effect.promise(() => child.ended)
  }).pipe(Effect.scoped)

const isSerial = (actorType: string) => actorType !== "model"

/** A workflow that is done has sent each of its messages once. */
const checkWorkflows = ({ messages }: LogContents): ReadonlyArray<string> => {
  const children = Map.groupBy(messages, ({ causationId }) => causationId)
  return messages.flatMap(({ actorType, id, status }) => {
    if (actorType !== "workflow" || status !== "done") return []
    const ids = (children.get(id) ?? []).map((child) => child.id).toSorted()
    return ids.join() === [1, 2, 3, 4, 6].map((ordinal) => `${id}.${ordinal}`).join()
      ? []
      : [`workflow ${id} sent ${ids.join(", ")}`]
  })
}

const amountOf = ({ body }: { readonly body: string }): number => JSON.parse(body).by ?? 0

const judgeFile = (file: string, witness: Witness, drained: boolean) =>
  Effect.gen(function* () {
    const contents = yield* readContents(yield* SqliteLogReader.make(file))
    const violations = [
      ...checkLog(contents, { drained, isSerial }),
      ...checkAccepted(contents, witness.accepted),
      ...checkReplies(contents, witness.repliesIn(contents)),
      ...checkWorkflows(contents),
      ...(drained ? checkSums(contents, "counter", amountOf) : []),
    ]
    return { violations, contents, witness } satisfies DiedOften
  }).pipe(Effect.scoped)

/** Lives and dies as often as there are deaths, is judged after each, drained at the end and judged again. */
export const dieOften = Effect.fnUntraced(function* (
  file: string,
  deaths: ReadonlyArray<Death>,
  { onDeath = () => {}, seed }: DieOftenOptions,
) {
  const witness = new Witness()
  const after = (violation: string, found: DiedOften): DiedOften => ({
    ...found,
    violations: [violation, ...found.violations],
  })
  for (const [index, death] of deaths.entries()) {
    const end = yield* live(file, "load", death, witness, `${index}`, seed)
    const found = yield* judgeFile(file, witness, false)
    const how = `death ${index + 1} (${JSON.stringify(death)})`
    if (end !== "SIGKILL") return after(`${how} was an end with ${end}`, found)
    if (found.violations.length > 0) return after(`after ${how}:`, found)
    onDeath()
  }
  const end = yield* live(file, "drain", NEVER, witness, "drain", seed)
  const found = yield* judgeFile(file, witness, true)
  return end === "0" ? found : after(`the drain ended with ${end}`, found)
})
