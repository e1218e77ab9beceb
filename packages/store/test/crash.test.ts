/**
 * kill -9 at every point inside a commit, and at moments that nobody chose. A checker then looks at nothing but the file.
 */
import { append } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteLogReader, SqliteStore } from "../src/index.ts"
import { type Child, startChild } from "./support/childProcess.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const MINUTE_MS = 60_000

/** The last acknowledged commit of each caller. */
type Acknowledged = Map<string, number>

/** Reads acknowledgements until the child ends, killing it after `killAfter` lines. */
const listen = async (child: Child, killAfter: number): Promise<Acknowledged> => {
  const acknowledged: Acknowledged = new Map()
  let seen = 0
  while (true) {
    const line = await child.line()
    if (line === undefined) return acknowledged
    const [caller = "", n = ""] = line.split(" ")
    acknowledged.set(caller, Number(n))
    if (++seen === killAfter) child.process.kill("SIGKILL")
  }
}

/** What the file must hold, whatever happened: whole commits only, and every acknowledged one. */
const checkFile = (file: string, acknowledged: Acknowledged): void => {
  const database = new Database(file, { readonly: true })
  expect(database.pragma("integrity_check", { simple: true })).toBe("ok")
  const actors = database
    .prepare<[], { readonly caller: string; readonly last: number }>(
      "select actor_id as caller, cast(state as integer) as last from actors",
    )
    .all()
  const last = new Map(actors.map((actor) => [actor.caller, actor.last]))
  for (const [caller, n] of acknowledged) expect([caller, (last.get(caller) ?? -1) >= n]).toEqual([caller, true])
  const rows = database
    .prepare<[], { readonly id: string; readonly status: string; readonly steps: number }>(
      "select id, status, (select count(*) from steps where message_id = m.id) as steps from messages m",
    )
    .all()
  const found = new Map(rows.map((row) => [row.id, `${row.status} ${row.steps}`]))
  let expected = 0
  for (const [caller, n] of last) {
    for (let each = 0; each <= n; each++) {
      expect([caller, each, found.get(`${caller}-${each}`)]).toEqual([
        caller,
        each,
        each === n ? "running 1" : "done 1",
      ])
      expected++
    }
  }
  expect(rows.length).toBe(expected)
  database.close()
}

/** Dead or alive, the next owner opens the file at once and goes on in it. */
const goOn = (file: string) =>
  Effect.gen(function* () {
    const reader = yield* SqliteLogReader.make(file)
    const seen = yield* reader.messages({ limit: 10_000 })
    const store = yield* SqliteStore.make(file)
    const unfinished = yield* store.unfinished(0, 100)
    expect(unfinished.every(({ status }) => status === "running")).toBe(true)
    const { duplicates } = yield* store.commit([
      ...unfinished.map((row) => append("again", { idempotencyKey: row.idempotencyKey, actorId: row.actorId })),
      append("next"),
    ])
    expect(duplicates.map(({ id }) => id)).toEqual(unfinished.map(({ id }) => id))
    expect((yield* reader.messages({ limit: 10_000 })).length).toBe(seen.length + 1)
  })

describe("1 at a point inside a commit", () => {
  const cases = (["commit.begun", "commit.written", "commit.done"] as const).flatMap((point) =>
    [1, 2, 25].map((occurrence) => [point, occurrence] as const),
  )
  it.each(cases)(
    "%s, occurrence %i",
    (point, occurrence) =>
      run(
        Effect.gen(function* () {
          const file = yield* temporaryFile
          const child = yield* startChild("crashingWriter.ts", [file, point, `${occurrence}`])
          const acknowledged = yield* Effect.promise(() => listen(child, Number.POSITIVE_INFINITY))
          expect(yield* Effect.promise(() => child.ended)).toBe("SIGKILL")
          checkFile(file, acknowledged)
          if (occurrence > 1) expect(acknowledged.size > 0).toBe(true)
          yield* goOn(file)
        }),
      ),
    MINUTE_MS,
  )

  it(
    "what dies uncommitted is gone, what dies committed is there",
    () =>
      run(
        Effect.gen(function* () {
          const count = (point: string) =>
            Effect.gen(function* () {
              const file = yield* temporaryFile
              const child = yield* startChild("crashingWriter.ts", [file, point, "1"])
              yield* Effect.promise(() => child.ended)
              const reader = yield* SqliteLogReader.make(file)
              return (yield* reader.messages({ limit: 100 })).length
            })
          expect(yield* count("commit.begun")).toBe(0)
          expect(yield* count("commit.written")).toBe(0)
          expect(yield* count("commit.done")).toBe(16)
        }),
      ),
    MINUTE_MS,
  )
})

describe("2 at moments that nobody chose", () => {
  const seed = Number(process.env.PONTOON_SEED ?? Date.now() % 1_000_000)
  // Past the first checkpoint (1,000 pages of WAL), which the later ones reach.
  const moments = [1, 2, 3, 4].map((nth) => {
    const moment = 1 + (((seed + nth * 104_729) * 7_919) % (nth * 1_500))
    return [moment, nth % 2 === 0 ? "thread" : "commit"] as const
  })
  it.each(moments)(
    `after %i acknowledgements, checkpoint by %s (PONTOON_SEED=${seed})`,
    (moment, checkpoint) =>
      run(
        Effect.gen(function* () {
          const file = yield* temporaryFile
          const child = yield* startChild("crashingWriter.ts", [file, "none", "1", checkpoint])
          const acknowledged = yield* Effect.promise(() => listen(child, moment))
          expect(yield* Effect.promise(() => child.ended)).toBe("SIGKILL")
          checkFile(file, acknowledged)
          yield* goOn(file)
        }),
      ),
    MINUTE_MS,
  )
})
