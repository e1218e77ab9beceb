/** How a file of an earlier version becomes one of this version. A made-up one stands in for what is to come. */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs"
import { append } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { Appends, applyWrites } from "../src/applyWrites.ts"
import { SqliteLogReader } from "../src/index.ts"
import { MIGRATIONS, type Migration } from "../src/migrations/migrations.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements } from "../src/statements.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const next: Migration = { version: 4, sql: "alter table messages add column region text not null default 'here'" }

describe("migrations", () => {
  it("have versions that ascend by one from 1", () => {
    expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, index) => index + 1))
  })

  it("bring a file of this version to the next with everything in it, once, and this version refuses it then", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const old = openDatabase(file)
        applyWrites(prepareStatements(old.database), [append("A")], new Appends())
        old.close()

        for (let opening = 0; opening < 2; opening++) {
          const opened = openDatabase(file, [...MIGRATIONS, next])
          expect(opened.database.pragma("user_version", { simple: true })).toBe(4)
          expect(opened.database.prepare("select id, region from messages").get()).toEqual({ id: "A", region: "here" })
          // The views were made again over the new table.
          expect(opened.database.prepare("select pending from mailbox").get()).toEqual({ pending: 1 })
          opened.close()
        }
        expect(() => openDatabase(file)).toThrow(
          `${file} is a log of version 4 and this @pontoon/store reads up to version 3; update @pontoon/store, or give another file.`,
        )
      }),
    ))

  it("copy the file before, whole and private, once for each version, and say so", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const old = openDatabase(file, MIGRATIONS.slice(0, 1))
        old.database.exec(
          `insert into messages (id, actor_type, actor_id, task, codec, status, priority, attempt, created_at_ms,
             deliver_at_ms, correlation_id, trace_id, body)
           values ('A', 'barista', '1', 'brew', 'json', 'dead', 0, 1, 0, 0, 'A', 't', '{}')`,
        )
        old.close()
        // A reader needs no owner that brings it forward.
        const before = yield* SqliteLogReader.make(file)
        expect(yield* before.messages({ status: "dead", limit: 10 })).toMatchObject([{ id: "A", attemptsBefore: 0 }])
        writeFileSync(`${file}.v1.bak`, "of a migration that failed")
        writeFileSync(`${file}.v1.bak.part`, "of one that was killed")

        const said: Array<string> = []
        const opened = openDatabase(file, MIGRATIONS, { announce: (message) => said.push(message) })
        const columns = "select id, attempts_before from messages"
        expect(opened.database.prepare(columns).all()).toEqual([{ id: "A", attempts_before: 0 }])
        opened.close()
        const backup = `${file}.v1.bak`
        expect(said).toEqual([
          `${file} is a log of version 1 and becomes one of version 3; its copy of before is ${backup}.`,
        ])
        expect(statSync(backup).mode & 0o777).toBe(0o600)
        expect(existsSync(`${backup}.part`)).toBe(false)
        const copy = new Database(backup, { readonly: true })
        expect(copy.pragma("user_version", { simple: true })).toBe(1)
        expect(copy.prepare("select id from messages").all()).toEqual([{ id: "A" }])
        expect(copy.pragma("integrity_check", { simple: true })).toBe("ok")
        copy.close()
        // Nothing is brought forward the second time, and nothing is copied.
        const { mtimeMs } = statSync(backup)
        openDatabase(file, MIGRATIONS, { announce: (message) => said.push(message) }).close()
        expect([said.length, statSync(backup).mtimeMs]).toEqual([1, mtimeMs])
      }),
    ))

  it("change nothing where the copy cannot be made", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        openDatabase(file, MIGRATIONS.slice(0, 1)).close()
        mkdirSync(`${file}.v1.bak`)
        expect(() => openDatabase(file)).toThrow()
        const database = new Database(file, { readonly: true })
        expect(database.pragma("user_version", { simple: true })).toBe(1)
        database.close()
        expect(existsSync(`${file}.v1.bak.part`)).toBe(false)
      }),
    ))

  it("that fail leave the file at the last whole version", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        openDatabase(file).close()
        const broken: Migration = { version: 5, sql: "create table half (x); insert into nowhere values (1)" }
        expect(() => openDatabase(file, [...MIGRATIONS, next, broken])).toThrow("no such table: nowhere")
        const database = new Database(file, { readonly: true })
        expect(database.pragma("user_version", { simple: true })).toBe(4)
        expect(database.prepare("select name from sqlite_schema where name = 'half'").get()).toBe(undefined)
        database.close()
        openDatabase(file, [...MIGRATIONS, next]).close()
      }),
    ))
})
