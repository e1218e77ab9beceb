/** The write-ahead log stays bounded under load, by a thread or without one, and nobody waits for it or loses by it. */
import { statSync } from "node:fs"
import { append } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { expect, it } from "vitest"
import { makeCheckpointer } from "../src/Checkpointer.ts"
import { SqliteStore } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const MEGABYTE = 1024 * 1024
const BODY = "x".repeat(40_000)

/** 40 KB a commit. */
const writeMegabytes = (
  store: { readonly commit: Effect.Success<ReturnType<typeof SqliteStore.make>>["commit"] },
  megabytes: number,
) =>
  Effect.forEach(
    Array.from({ length: megabytes * 25 }, (_, n) => n),
    (n) => store.commit([append(`${megabytes}-${n}`, { body: BODY })]),
    { concurrency: 4, discard: true },
  )

it("a thread that checkpoints keeps the WAL of a writer that never pauses bounded, and loses no message", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const store = yield* SqliteStore.make(file, { checkpoint: "thread" })
      yield* writeMegabytes(store, 100)
      // 16 MB, and what is written while the thread is told and waits its turn.
      expect(statSync(`${file}-wal`).size < 64 * MEGABYTE).toBe(true)
      // Most of it is in the database by now.
      expect(statSync(file).size > 30 * MEGABYTE).toBe(true)
      const reader = new Database(file, { readonly: true })
      expect(reader.prepare("select count(*) from messages").pluck().get()).toBe(2_500)
      reader.close()
    }),
  ))

it("with checkpoints inside commits the WAL stays at 4 MB", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const store = yield* SqliteStore.make(file)
      yield* writeMegabytes(store, 30)
      expect(statSync(`${file}-wal`).size < 6 * MEGABYTE).toBe(true)
      expect((yield* store.unfinished(0, 1_000)).length).toBe(750)
    }),
  ))

it("closing ends the thread before the file, and leaves one file behind", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      yield* Effect.scoped(
        Effect.flatMap(SqliteStore.make(file, { checkpoint: "thread" }), (store) => writeMegabytes(store, 12)),
      )
      expect(statSync(`${file}-wal`, { throwIfNoEntry: false })).toBe(undefined)
      const next = yield* SqliteStore.make(file)
      expect((yield* next.unfinished(0, 1_000)).length).toBe(300)
    }),
  ))

it("where no thread can be had, SQLite checkpoints inside commits", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const { database, close } = openDatabase(file)
      const checkpointer = makeCheckpointer(database, file, new URL("file:///nowhere/checkpointWorker.js"))
      const insert = database.prepare(
        "insert into feedback (message_id, score, source, at_ms) values (?, 1, 'test', 0)",
      )
      const pages = (): unknown => database.pragma("wal_autocheckpoint", { simple: true })
      expect(pages()).toBe(0)
      for (let n = 0; n < 60; n++) insert.run(BODY)
      checkpointer.flushed()
      // The worker's failure arrives as an event; each turn of the loop brings it nearer.
      while (pages() === 0) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      expect(pages()).toBe(1_000)
      for (let n = 0; n < 500; n++) insert.run(BODY)
      expect(statSync(`${file}-wal`).size < 16 * MEGABYTE).toBe(true)
      yield* Effect.promise(checkpointer.stop)
      close()
    }),
  ))
