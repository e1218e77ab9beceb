/** Every kind of file that the command cannot use: one sentence on standard error, exit code 1, and the file as it was. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { appendClaimed, settle } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteStore } from "../src/index.ts"
import { startChild } from "./support/childProcess.ts"
import { runPontoon } from "./support/runPontoon.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

interface Kind {
  readonly make: (file: string) => void
  readonly says: (file: string) => string
}

const kinds: Readonly<Record<string, Kind>> = {
  "that is missing": {
    make: () => {},
    says: (file) => `There is no file ${file}; give the path of a Pontoon log with --db FILE.`,
  },
  "that is a folder": {
    make: (file) => mkdirSync(file),
    says: (file) => `${file} is a folder; give the path of a Pontoon log in it.`,
  },
  "that is empty": {
    make: (file) => writeFileSync(file, ""),
    says: (file) => `${file} is empty: no Pontoon log has been written to it yet.`,
  },
  "that is text": {
    make: (file) => writeFileSync(file, "nothing of the kind ".repeat(100)),
    says: (file) =>
      `${file} is not a readable SQLite database (file is not a database); restore it from a backup, or give another file.`,
  },
  "of another application": {
    make: (file) => new Database(file).exec("create table cats (name); pragma application_id = 7").close(),
    says: (file) => `${file} is a SQLite database, but not a Pontoon log; give another file.`,
  },
  "of a newer version": {
    make: (file) =>
      new Database(file)
        .exec("create table messages (x); pragma user_version = 99; pragma application_id = 0x504f4e54")
        .close(),
    says: (file) =>
      `${file} is a log of version 99 and this @pontoon/store reads up to version 3; update @pontoon/store, or give another file.`,
  },
}

/** One that reads, and one that would become the owner. */
const commands: ReadonlyArray<ReadonlyArray<string>> = [["log"], ["redrive", "A"]]

const contentsOf = (file: string): Buffer | undefined =>
  statSync(file, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(file) : undefined

describe("1 a file", () => {
  it.each(Object.entries(kinds))("%s", (_, { make, says }) =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        make(file)
        const before = contentsOf(file)
        const outcomes = yield* Effect.forEach(commands, (args) => runPontoon(...args, "--db", file), {
          concurrency: 2,
        })
        for (const outcome of outcomes) expect(outcome).toEqual({ out: "", err: `pontoon: ${says(file)}\n`, code: 1 })
        expect(contentsOf(file)).toEqual(before)
      }),
    ),
  )
})

/** A log with a dead letter, in other hands. */
const heldLog = (what: "write" | "exclusive") =>
  Effect.gen(function* () {
    const file = yield* temporaryFile
    yield* Effect.scoped(
      Effect.flatMap(SqliteStore.make(file), ({ commit }) => commit([appendClaimed("A"), settle("A", 1, "dead")])),
    )
    const child = yield* startChild("holdFile.ts", [file, what])
    expect(yield* Effect.promise(child.line)).toBe("holds")
    return file
  })

const locked = (file: string) =>
  `pontoon: Another process holds the write lock of ${file}; end its transaction and try again.\n`

describe("2 a lock in other hands", () => {
  it("on writing: what reads goes on, what would write says so", () =>
    run(
      Effect.gen(function* () {
        const file = yield* heldLog("write")
        for (const args of [["dead"], ["stats"], ["redrive", "--error", "Other"]]) {
          expect(yield* runPontoon(...args, "--db", file)).toMatchObject({ err: "", code: 0 })
        }
        expect(yield* runPontoon("redrive", "A", "--db", file)).toEqual({ out: "", err: locked(file), code: 1 })
      }),
    ))

  it("on everything: nothing hangs", () =>
    run(
      Effect.gen(function* () {
        const file = yield* heldLog("exclusive")
        for (const args of [["log"], ["redrive", "A"]]) {
          expect(yield* runPontoon(...args, "--db", file)).toEqual({ out: "", err: locked(file), code: 1 })
        }
      }),
    ))
})
