/** How a file of an earlier version becomes one of this version. A made-up one stands in for what is to come. */
import { append } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { applyWrites } from "../src/applyWrites.ts"
import { MIGRATIONS, type Migration } from "../src/migrations/migrations.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements } from "../src/statements.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const third: Migration = { version: 3, sql: "alter table messages add column region text not null default 'here'" }

describe("migrations", () => {
  it("have versions that ascend by one from 1", () => {
    expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, index) => index + 1))
  })

  it("bring a file of version 2 to version 3 with everything in it, once, and version 2 refuses it then", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const old = openDatabase(file)
        applyWrites(prepareStatements(old.database), [append("A")], [])
        old.close()

        for (let opening = 0; opening < 2; opening++) {
          const opened = openDatabase(file, [...MIGRATIONS, third])
          expect(opened.database.pragma("user_version", { simple: true })).toBe(3)
          expect(opened.database.prepare("select id, region from messages").get()).toEqual({ id: "A", region: "here" })
          // The views were made again over the new table.
          expect(opened.database.prepare("select pending from mailbox").get()).toEqual({ pending: 1 })
          opened.close()
        }
        expect(() => openDatabase(file)).toThrow(
          `${file} is a log of version 3 and this @pontoon/store reads up to version 2; update @pontoon/store, or give another file.`,
        )
      }),
    ))

  it("that fail leave the file at the last whole version", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        openDatabase(file).close()
        const broken: Migration = { version: 4, sql: "create table half (x); insert into nowhere values (1)" }
        expect(() => openDatabase(file, [...MIGRATIONS, third, broken])).toThrow("no such table: nowhere")
        const database = new Database(file, { readonly: true })
        expect(database.pragma("user_version", { simple: true })).toBe(3)
        expect(database.prepare("select name from sqlite_schema where name = 'half'").get()).toBe(undefined)
        database.close()
        openDatabase(file, [...MIGRATIONS, third]).close()
      }),
    ))
})
