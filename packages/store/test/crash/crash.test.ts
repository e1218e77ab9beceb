/**
 * kill -9, at every named point around a commit and at moments that nobody chose; again and again on one file, until a last
 * run drains it. The checkers look at nothing but the file, and at what the dead had said.
 */
import { CRASH_POINTS } from "@pontoon/runtime"
import {
  checkAccepted,
  checkLog,
  checkReplies,
  checkSums,
  type LogContents,
  readContents,
} from "@pontoon/runtime/testing"
import { Effect, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteLogReader } from "../../src/index.ts"
import { startChild } from "../support/childProcess.ts"
import { temporaryFile } from "../support/temporaryFolder.ts"

const seed = Number(process.env.PONTOON_SEED ?? Date.now() % 1_000_000)
const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))
/** Far over what it takes; a busy machine starts a process in seconds. */
const LIMIT_MS = 600_000

/** What the children of one file have said before they died. */
class Witness {
  readonly accepted = new Set<string>()
  /** By message id. */
  readonly replies = new Map<string, string>()
  /** By idempotency key. */
  readonly answers = new Map<string, string>()
  lines = 0

  hear(line: string): void {
    const [what, name = "", ...rest] = line.split(" ")
    this.lines++
    if (what === "accepted") this.accepted.add(name)
    else if (what === "replied") this.replies.set(name, rest.join(" "))
    else if (what === "answered") this.answers.set(name, rest.join(" "))
    else throw new Error(`a child said "${line}"`)
  }

  /** With the answers put under the ids of their messages. */
  repliesIn({ messages }: LogContents): ReadonlyMap<string, string> {
    const ids = new Map(messages.map(({ id, idempotencyKey }) => [idempotencyKey ?? "", id]))
    const answers = [...this.answers].map(([key, reply]) => [ids.get(key) ?? `with the key ${key}`, reply] as const)
    return new Map([...this.replies, ...answers])
  }
}

interface Death {
  readonly point: string
  readonly occurrence: number
  /** Killed from outside after so many lines. */
  readonly afterLines: number
}

/** Runs a child until it dies; gives the signal, or its exit code. */
const live = (file: string, mode: "load" | "drain", death: Death, witness: Witness, name: string) =>
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

const checkFile = (file: string, witness: Witness, drained: boolean) =>
  Effect.gen(function* () {
    const contents = yield* readContents(yield* SqliteLogReader.make(file))
    expect([
      ...checkLog(contents, { drained, isSerial }),
      ...checkAccepted(contents, witness.accepted),
      ...checkReplies(contents, witness.repliesIn(contents)),
      ...checkWorkflows(contents),
      ...(drained ? checkSums(contents, "counter", amountOf) : []),
    ]).toEqual([])
    return contents
  }).pipe(Effect.scoped)

const NONE: Death = { point: "none", occurrence: 1, afterLines: Number.POSITIVE_INFINITY }

/** Lives and dies as often as there are deaths, is checked after each, drained at the end and checked again. */
const dieOften = (deaths: ReadonlyArray<Death>) =>
  Effect.gen(function* () {
    const file = yield* temporaryFile
    const witness = new Witness()
    for (const [index, death] of deaths.entries()) {
      const end = yield* live(file, "load", death, witness, `${index}`)
      expect([death, end]).toEqual([death, "SIGKILL"])
      yield* checkFile(file, witness, false)
    }
    expect(yield* live(file, "drain", NONE, witness, "drain")).toBe("0")
    const { attempts, messages } = yield* checkFile(file, witness, true)
    // The deaths were in mid-work: handlers were cut off by them, and run again.
    const cutOff = [...attempts.values()].flat().filter(({ error }) => error.includes("RetryableProcessDied"))
    expect(cutOff.length).toBeGreaterThan(deaths.length / 2)
    expect(messages.filter(({ status }) => status !== "done")).toEqual([])
    expect(witness.lines).toBeGreaterThan(deaths.length)
  })

// Side by side: most of a run is the start of a process, which waits for the disk as much as for a core.
describe("1 a cluster that is killed at a point around a commit", () => {
  for (const occurrence of [1, 15]) {
    it.concurrent(
      `1.${occurrence} at its occurrence ${occurrence}, at every point in turn (PONTOON_SEED=${seed})`,
      () => run(dieOften(CRASH_POINTS.map((point) => ({ point, occurrence, afterLines: Number.POSITIVE_INFINITY })))),
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
      () => run(dieOften(chosen.map((afterLines) => ({ ...NONE, afterLines })))),
      LIMIT_MS,
    )
  }
})
