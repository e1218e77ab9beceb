/** A reader that holds the write-ahead log back: said past the limit, and made good when it has gone. */
import { statSync } from "node:fs"
import { append } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, Result, type Scope } from "effect"
import { expect, it } from "vitest"
import { guardWal } from "../src/care/guardWal.ts"
import { HELP_PAGES, LOOK_EVERY_MS, makeWalGuard, type WalState } from "../src/care/WalGuard.ts"
import { SqliteStore } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const MEGABYTE = 1024 * 1024

/** Time and timers of the test. */
const makeClock = () => {
  let ms = 0
  let waiting: { readonly then: () => void; readonly atMs: number } | undefined
  return {
    now: () => ms,
    later: (then: () => void, delayMs: number) => {
      waiting = { then, atMs: ms + delayMs }
      return () => {
        waiting = undefined
      }
    },
    pass: (byMs: number) => {
      ms += byMs
      if (waiting === undefined || waiting.atMs > ms) return
      const { then } = waiting
      waiting = undefined
      then()
    },
  }
}

it("a limit out of range is refused", () =>
  run(
    Effect.gen(function* () {
      const refused = yield* Effect.result(SqliteStore.make(yield* temporaryFile, { walBytesMax: MEGABYTE }))
      expect(Result.isFailure(refused) && refused.failure.message).toBe(
        "The store option walBytesMax is 1048576; give a number from 33554432 to 1099511627776.",
      )
    }),
  ))

it("looks once a second, says once what is over, and shrinks only what is nearly copied", () => {
  const clock = makeClock()
  let state: WalState = { log: 100, checkpointed: 0 }
  let mayTruncate = false
  const said: Array<string> = []
  const guard = makeWalGuard(100, {
    ...clock,
    look: () => {
      said.push("look")
      return state
    },
    copy: () => said.push("copy"),
    truncate: () => {
      said.push("truncate")
      return mayTruncate
    },
    setOver: (isOver) => said.push(isOver ? "over" : "within"),
    inherited: () => said.push("inherited"),
    rest: () => said.push("rest"),
  })
  const after = (byMs: number): ReadonlyArray<string> => {
    clock.pass(byMs)
    guard.flushed()
    return said.splice(0)
  }
  expect(said.splice(0)).toEqual(["look"])
  expect(after(LOOK_EVERY_MS - 1)).toEqual([])
  state = { log: 5_000, checkpointed: 0 }
  expect(after(1)).toEqual(["look", "over", "copy"])
  // By its own timer, without traffic.
  clock.pass(LOOK_EVERY_MS)
  expect(said.splice(0)).toEqual(["look", "copy"])
  state = { log: 5_000, checkpointed: 1_000 }
  expect(after(LOOK_EVERY_MS)).toEqual(["look", "truncate", "copy"])
  mayTruncate = true
  expect(after(LOOK_EVERY_MS)).toEqual(["look", "truncate", "rest", "within"])
  state = { log: 10, checkpointed: 0 }
  expect(after(LOOK_EVERY_MS)).toEqual(["look"])
  guard.stop()
  expect(after(10 * LOOK_EVERY_MS)).toEqual([])
})

it("makes small what is found at the beginning, from 16 MB on, whatever the limit", () => {
  const clock = makeClock()
  const guardOf = (state: () => WalState) => {
    const said: Array<string> = []
    const guard = makeWalGuard(1_000_000, {
      ...clock,
      look: state,
      copy: () => said.push("copy"),
      truncate: () => true,
      setOver: (isOver) => said.push(isOver ? "over" : "within"),
      inherited: ({ log }) => said.push(`inherited ${log}`),
      rest: () => said.push("rest"),
    })
    return { said, guard }
  }
  expect(guardOf(() => ({ log: 4_000, checkpointed: 0 })).said).toEqual([])
  // All of it is in the database but for the last pages.
  expect(guardOf(() => ({ log: 9_000, checkpointed: 8_000 })).said).toEqual(["inherited 9000", "rest", "within"])
  let checkpointed = 0
  const { guard, said } = guardOf(() => ({ log: 9_000, checkpointed }))
  expect(said).toEqual(["inherited 9000", "copy"])
  checkpointed = 6_000
  clock.pass(LOOK_EVERY_MS)
  guard.flushed()
  expect(said.slice(2)).toEqual(["rest", "within"])
})

it("has a thread help from 24 MB on, and says nothing of it below the limit", () => {
  const clock = makeClock()
  const said: Array<string> = []
  let state: WalState = { log: 0, checkpointed: 0 }
  const guard = makeWalGuard(1_000_000, {
    ...clock,
    look: () => state,
    copy: () => said.push("copy"),
    truncate: () => true,
    setOver: () => said.push("said"),
    inherited: () => said.push("said"),
    rest: () => said.push("rest"),
  })
  const at = (log: number, checkpointed: number): ReadonlyArray<string> => {
    state = { log, checkpointed }
    clock.pass(LOOK_EVERY_MS)
    guard.flushed()
    return said.splice(0)
  }
  expect(at(HELP_PAGES, 0)).toEqual([])
  expect(at(HELP_PAGES + 1, 0)).toEqual(["copy"])
  expect(at(9_000, 1_000)).toEqual(["copy"])
  expect(at(9_000, 6_000)).toEqual(["rest"])
  expect(at(5, 0)).toEqual([])
})

it("a real reader holds it, the thread copies when it has gone, and the file is emptied", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const { database, close } = openDatabase(file)
      const clock = makeClock()
      const said: Array<string> = []
      const say = (message: string): void => void said.push(message)
      const wal = { database, file, walBytesMax: 2 * MEGABYTE, checkpointer: undefined, warn: say, inform: say, clock }
      const guard = guardWal(wal)
      const insert = database.prepare(
        "insert into feedback (message_id, score, source, at_ms) values (?, 1, 'test', 0)",
      )
      const write = (megabytes: number): void => {
        for (let n = 0; n < megabytes * 25; n++) {
          insert.run("x".repeat(40_000))
          guard.flushed()
        }
      }
      const reader = new Database(file, { readonly: true })
      reader.exec("begin")
      reader.prepare("select count(*) from feedback").get()
      write(24)
      clock.pass(LOOK_EVERY_MS)
      guard.flushed()
      expect(said).toEqual([
        `${file}-wal has more than 2 MB: somebody reads ${file} in a transaction that does not end, or has just written that much at once; it grows until that is over (fuser ${file} names who has it open).`,
      ])
      expect(statSync(`${file}-wal`).size > 24 * MEGABYTE).toBe(true)
      // From here on no commit copies it.
      expect(database.pragma("wal_autocheckpoint", { simple: true })).toBe(0)
      reader.exec("commit")
      reader.close()
      while (said.length < 2) {
        clock.pass(LOOK_EVERY_MS)
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      expect(said[1]).toBe(`${file}-wal is small again.`)
      expect(statSync(`${file}-wal`).size).toBe(0)
      expect(database.pragma("wal_autocheckpoint", { simple: true })).toBe(1_000)
      expect(database.prepare("select count(*) from feedback").pluck().get()).toBe(600)
      yield* Effect.promise(guard.closed)
      close()
    }),
  ))

it("a store that is closed while a reader holds its log back closes, and loses nothing", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      yield* Effect.scoped(SqliteStore.make(file))
      const reader = new Database(file, { readonly: true })
      reader.exec("begin")
      reader.prepare("select count(*) from messages").get()
      yield* Effect.scoped(
        Effect.flatMap(SqliteStore.make(file), ({ commit }) =>
          commit(Array.from({ length: 40 }, (_, n) => append(`m${n}`, { body: "x".repeat(MEGABYTE) }))),
        ),
      )
      reader.close()
      const store = yield* SqliteStore.make(file)
      expect((yield* store.unfinished(0, 100)).length).toBe(40)
    }),
  ))
