/**
 * The boundary between one database file and all the clusters that die on it: each lives until its death, the checkers look
 * at nothing but the file and at what the dead had said, and a last one drains what is left.
 */
import { handedOnFrom } from "@pontoon/runtime"
import {
  checkAccepted,
  checkJournals,
  checkLog,
  checkReading,
  checkReplies,
  checkSums,
  checkTimes,
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

/** What a till has sold is in its state, once. */
const checkTills = ({ actors, messages }: LogContents): ReadonlyArray<string> =>
  actors.flatMap(({ address, state }) => {
    if (address.type !== "till" || state === null) return []
    const sold = messages.filter(
      ({ actorId, actorType, status, task }) =>
        actorType === "till" && actorId === address.id && task === "Sell" && status === "done",
    )
    const sum = sold.reduce((total, { body }) => total + (JSON.parse(body).by as number), 0)
    return sum === JSON.parse(state).sum ? [] : [`till ${address.id} holds ${state}, and has sold ${sum}`]
  })

/** What was booked by a saga that failed is taken back; by one that is done, it stands. */
const checkSagas = ({ actors, messages }: LogContents): ReadonlyArray<string> => {
  const booked = messages
    .filter(({ actorType, status }) => actorType === "saga" && status === "done")
    .reduce((sum, { body }) => sum + 3 * (JSON.parse(body).n as number), 0)
  const counter = actors.find(({ address }) => address.type === "counter" && address.id === "booked")
  const held = Number(counter?.state ?? 0)
  return held === booked ? [] : [`sagas that are done have booked ${booked}, and the counter holds ${held}`]
}

/** What a front handed on is in its state once, and in the counter's by `checkSums`. */
const checkFronts = ({ actors, messages }: LogContents): ReadonlyArray<string> =>
  actors.flatMap(({ address, state }) => {
    if (address.type !== "front") return []
    const handed = messages.filter((row) => handedOnFrom(row).includes(`front/${address.id}`))
    const sum = handed.reduce((total, { body }) => total + (JSON.parse(body).by as number), 0)
    return sum === Number(state ?? 0) ? [] : [`front ${address.id} holds ${state}, and has handed on ${sum}`]
  })

/** Who watched a session is told of its end once; each session has one watcher, and ends at most once. */
const checkWatches = ({ actors, messages }: LogContents, drained: boolean): ReadonlyArray<string> => {
  const told = Map.groupBy(
    messages.filter(({ actorType, task }) => actorType === "room" && task === "Terminated"),
    ({ body }) => JSON.parse(body).address.id as string,
  )
  const twice = [...told].flatMap(([id, rows]) =>
    rows.length > 1 ? [`the end of session ${id} was told ${rows.length} times`] : [],
  )
  const joined = messages.flatMap(({ body, status, task }) =>
    task === "Join" && status === "done" ? [JSON.parse(body).session as string] : [],
  )
  const ended = new Set(
    actors.flatMap(({ address, lifecycle }) =>
      address.type === "session" && lifecycle === "stopped" ? [address.id] : [],
    ),
  )
  const untold = joined
    .filter((id) => ended.has(id) && !told.has(id))
    .map((id) => `the end of session ${id} was not told`)
  return [...twice, ...(drained ? untold : [])]
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
      ...checkTimes(contents),
      ...checkJournals(contents, true),
      ...checkTills(contents),
      ...checkFronts(contents),
      ...checkWatches(contents, drained),
      ...witness.readings.flatMap(({ chunks, from, messageId }) => checkReading(contents, messageId, chunks, { from })),
      ...(drained ? [...checkSums(contents, "counter", amountOf), ...checkSagas(contents)] : []),
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
