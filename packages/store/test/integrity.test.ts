/** What is done about a file whose owner did not close it: checked, told, written down; and one that was closed is not. */
import { closeSync, openSync, writeSync } from "node:fs"
import { append } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { expect, it } from "vitest"
import { type IntegrityReport, makeIntegrityCheck } from "../src/care/IntegrityCheck.ts"
import { readUpkeep } from "../src/care/upkeep.ts"
import { SqliteStore } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { startChild } from "./support/childProcess.ts"
import { runPontoon } from "./support/runPontoon.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

/** A file whose owner was killed. */
const killedFile = Effect.gen(function* () {
  const file = yield* temporaryFile
  const child = yield* startChild("crashingWriter.ts", [file, "commit.done", "3"])
  yield* Effect.promise(() => child.ended)
  return file
})

/** Opens the file, and gives what is told of it, one line after the other. */
const watch = (file: string, url?: URL) =>
  Effect.gen(function* () {
    const { database, close, isUnclean } = openDatabase(file)
    const told: Array<string> = []
    let hear: (line: string) => void = (line) => told.push(line)
    const report: IntegrityReport = {
      sound: (message) => hear(`sound: ${message}`),
      damaged: (message) => hear(`damaged: ${message}`),
      undecided: (message) => hear(`undecided: ${message}`),
    }
    const check = makeIntegrityCheck(database, file, report, 0, url)
    const next = Effect.callback<string>((resume) => {
      const line = told.shift()
      if (line !== undefined) resume(Effect.succeed(line))
      else hear = (each) => resume(Effect.succeed(each))
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        check.stop()
        if (database.open) close()
      }),
    )
    const stop = (): void => {
      check.stop()
      close()
    }
    return { database, isUnclean, next, told, close: stop }
  })

it("a file that was closed is not checked", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      for (let opening = 0; opening < 2; opening++) {
        const { database, close, isUnclean } = openDatabase(file)
        expect([isUnclean, readUpkeep(database, "integrity")]).toEqual([false, undefined])
        expect(readUpkeep(database, "open")).toMatchObject({ value: "running", detail: `process ${process.pid}` })
        close()
      }
    }),
  ))

it("one whose owner was killed is checked beside its new owner, and the finding is told and written down", () =>
  run(
    Effect.gen(function* () {
      const file = yield* killedFile
      const first = yield* watch(file)
      expect(first.isUnclean).toBe(true)
      expect(readUpkeep(first.database, "integrity")).toMatchObject({ value: "due" })
      expect(yield* first.next).toBe(
        `sound: ${file} was not closed by its last owner; every page of it was checked and is sound.`,
      )
      expect(readUpkeep(first.database, "integrity")).toMatchObject({ value: "ok", detail: null })
      first.close()
      const second = yield* watch(file)
      expect([second.isUnclean, second.told]).toEqual([false, []])
    }),
  ))

it("a check that did not come to its end is due again", () =>
  run(
    Effect.gen(function* () {
      const file = yield* killedFile
      const first = yield* watch(file)
      first.close()
      const second = yield* watch(file, new URL("file:///nowhere/integrityWorker.js"))
      // The owner before closed the file; the one before that did not.
      expect(second.isUnclean).toBe(false)
      expect(yield* second.next).toBe(
        `undecided: ${file} was not closed by its last owner, and could not be checked (the check ended with code 1).`,
      )
      second.close()
      const third = yield* watch(file)
      expect(yield* third.next).toMatch(/^sound: /)
    }),
  ))

it("a damaged page is found, told, shown by pontoon stats, and told again at every opening", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      yield* Effect.scoped(Effect.flatMap(SqliteStore.make(file), ({ commit }) => commit([append("A")])))
      const database = new Database(file)
      const page = database.prepare("select rootpage from sqlite_schema where name = 'routes_pool'").pluck().get()
      database.exec("update upkeep set value = 'running' where name = 'open'")
      database.close()
      const descriptor = openSync(file, "r+")
      writeSync(descriptor, Buffer.alloc(4_096, 0xff), 0, 4_096, (Number(page) - 1) * 4_096)
      closeSync(descriptor)

      const first = yield* watch(file)
      const found = yield* first.next
      expect(found.startsWith(`damaged: ${file} is damaged (`)).toBe(true)
      expect(found).toContain("restore a backup")
      expect(readUpkeep(first.database, "integrity")).toMatchObject({ value: "corrupt" })
      const { out } = yield* runPontoon("stats", "--db", file)
      expect(out).toMatch(/\nintegrity\tcorrupt\t\S+\t\S+/)
      // What can be read is served.
      expect(first.database.prepare("select id from messages").pluck().all()).toEqual(["A"])
      first.close()
      const second = yield* watch(file)
      expect(second.isUnclean).toBe(false)
      expect(second.told[0]).toBe(found)
    }),
  ))
