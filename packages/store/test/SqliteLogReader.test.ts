/** Readers beside a writer: they see whole commits only, keep nobody waiting, and say so where they cannot read. */
import { chmodSync, copyFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import type { Write } from "@pontoon/runtime"
import { appendClaimed, putActor, settle } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, Fiber, type Scope } from "effect"
import { expect, it } from "vitest"
import { SqliteLogReader, SqliteStore } from "../src/index.ts"
import { startChild } from "./support/childProcess.ts"
import { temporaryFile, temporaryFolder } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const isRoot = process.getuid?.() === 0
/** Any user without rights, for a child process. */
const NOBODY = 65_534

/** The n-th commit settles the message before it, appends the next, and counts in the actor: one running message, always. */
const commitOf = (n: number): ReadonlyArray<Write> => [
  ...(n === 0 ? [] : [settle(`m${n - 1}`)]),
  appendClaimed(`m${n}`),
  putActor({ type: "barista", id: "1" }, `${n}`),
]

it("a reader among commits sees each of them whole or not at all", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const store = yield* SqliteStore.make(file)
      yield* store.commit(commitOf(0))
      const database = new Database(file, { readonly: true })
      const look = database.prepare<[], { readonly running: number; readonly total: number; readonly state: number }>(
        `select (select count(*) from messages where status = 'running') as running,
           (select count(*) from messages) as total, (select cast(state as integer) from actors) as state`,
      )
      const writer = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 300 }, (_, n) => n + 1),
          (n) => store.commit(commitOf(n)),
          { discard: true },
        ),
        { startImmediately: true },
      )
      const seen = new Set<number>()
      while (writer.pollUnsafe() === undefined) {
        const row = look.get()!
        expect([row.running, row.total]).toEqual([1, row.state + 1])
        seen.add(row.state)
        yield* Effect.yieldNow
      }
      yield* Fiber.join(writer)
      expect(seen.size > 10).toBe(true)
      database.close()
    }),
  ))

it("a reader that stays in an old snapshot keeps no commit waiting", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const store = yield* SqliteStore.make(file)
      yield* store.commit(commitOf(0))
      const database = new Database(file, { readonly: true })
      const count = database.prepare("select count(*) from messages").pluck()
      database.exec("begin")
      expect(count.get()).toBe(1)
      for (let n = 1; n < 50; n++) yield* store.commit(commitOf(n))
      expect(count.get()).toBe(1)
      database.exec("commit")
      expect(count.get()).toBe(50)
      database.close()
    }),
  ))

it("a backup of the file alone is read as well, and nothing is written beside the original", () =>
  run(
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "pontoon.db")
      yield* Effect.scoped(Effect.flatMap(SqliteStore.make(file), (store) => store.commit(commitOf(0))))
      copyFileSync(file, join(folder, "backup.db"))
      const reader = yield* SqliteLogReader.make(join(folder, "backup.db"))
      expect((yield* reader.messages({ limit: 10 })).map(({ id }) => id)).toEqual(["m0"])
      expect(
        readdirSync(folder)
          .filter((name) => name.startsWith("pontoon.db"))
          .sort(),
      ).toEqual(["pontoon.db", "pontoon.db.owner"])
    }),
  ))

it.skipIf(!isRoot)("a folder that must not be written is told, with what to do (needs root)", () =>
  run(
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "pontoon.db")
      yield* Effect.scoped(Effect.flatMap(SqliteStore.make(file), (store) => store.commit(commitOf(0))))
      chmodSync(folder, 0o755)
      chmodSync(file, 0o644)
      const child = yield* startChild("openReader.ts", [file], NOBODY)
      const line = yield* Effect.promise(child.line)
      expect(JSON.parse(line!)).toEqual({
        _tag: "TerminalStoreFailure",
        reason: "read-only",
        message: `${file} cannot be read where it is, because reading a write-ahead log needs a writable folder; copy it with its -wal file to one.`,
      })
    }),
  ),
)
