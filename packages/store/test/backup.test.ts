/** `pontoon backup`: a copy of one moment, beside an owner that goes on; misuse first. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { append } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, Exit, Fiber, Result, Scope } from "effect"
import { describe, expect, it } from "vitest"
import { backUp } from "../src/care/backUp.ts"
import { SqliteStore } from "../src/index.ts"
import { formatBar } from "../src/inspect/printBackup.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { runPontoon } from "./support/runPontoon.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const onProgress = () => {}

describe("1 misuse", () => {
  it("is told in a sentence, and leaves the target as it was", () =>
    run(
      Effect.gen(function* () {
        const from = yield* temporaryFile
        yield* Effect.scoped(SqliteStore.make(from))
        const to = join(dirname(from), "copy.db")
        writeFileSync(to, "precious")
        const refused = (request: Partial<Parameters<typeof backUp>[0]>) =>
          Effect.map(Effect.result(backUp({ from, to, isForced: false, onProgress, ...request })), (outcome) =>
            Result.isFailure(outcome) ? outcome.failure.message : "no failure",
          )
        expect(yield* refused({})).toBe(`${to} exists already; give another path, or --force to replace it.`)
        expect(yield* refused({ to: from, isForced: true })).toBe(
          `${from} is the log itself; give another path for its copy.`,
        )
        mkdirSync(join(dirname(from), "folder"))
        expect(yield* refused({ to: join(dirname(from), "folder"), isForced: true })).toBe(
          `${join(dirname(from), "folder")} is a folder; give the path of a file in it.`,
        )
        expect(yield* refused({ to: join(dirname(from), "none", "copy.db") })).toMatch(
          /^The folder of .* does not exist/,
        )
        expect(yield* refused({ from: `${from}.none` })).toMatch(/^There is no file/)
        const other = join(dirname(from), "other.db")
        yield* SqliteStore.make(other)
        expect(yield* refused({ to: other, isForced: true })).toBe(
          `${other} is, or was, a log with an owner (${other}.owner); give another path.`,
        )
        expect(readFileSync(to, "utf8")).toBe("precious")
        expect(readdirSync(dirname(from)).filter((name) => name.endsWith(".part"))).toEqual([])
      }),
    ))
})

describe("2 the copy", () => {
  it("by the command: private, one file, whole, and a log that opens as closed; --force replaces", () =>
    run(
      Effect.gen(function* () {
        const from = yield* temporaryFile
        const store = yield* SqliteStore.make(from)
        yield* store.commit([append("A")])
        const to = join(dirname(from), "copy.db")
        writeFileSync(`${to}.part`, "of a copy that was killed")
        const ran = yield* runPontoon("backup", to, "--db", from)
        expect([ran.err, ran.code]).toEqual(["", 0])
        expect(ran.out).toMatch(/^.* is copied to .*copy\.db, \d+ pages, readable by you alone\.\n$/)
        expect(statSync(to).mode & 0o777).toBe(0o600)
        expect(
          readdirSync(dirname(from))
            .filter((name) => name.startsWith("copy"))
            .sort(),
        ).toEqual(["copy.db"])
        const copy = new Database(to, { readonly: true })
        expect(copy.pragma("integrity_check", { simple: true })).toBe("ok")
        copy.close()
        yield* store.commit([append("B")])
        expect((yield* runPontoon("backup", to, "--force", "--json", "--db", from)).code).toBe(0)
        const opened = openDatabase(to)
        expect(opened.isUnclean).toBe(false)
        expect(opened.database.prepare("select id from messages").pluck().all()).toEqual(["A", "B"])
        opened.close()
      }),
    ))

  it("is of one moment, and ends, beside an owner that never pauses", () =>
    run(
      Effect.gen(function* () {
        const from = yield* temporaryFile
        const scope = yield* Scope.fork(yield* Effect.scope)
        const store = yield* Scope.provide(SqliteStore.make(from), scope)
        const body = "x".repeat(4_000)
        yield* store.commit(Array.from({ length: 3_000 }, (_, n) => append(`m${n}`, { body })))
        let written = 0
        const writing = yield* Effect.forkChild(
          Effect.gen(function* () {
            for (;;) yield* store.commit([append(`a${written}`), append(`b${written++}`)])
          }),
          { startImmediately: true },
        )
        const seen: Array<readonly [number, number]> = []
        const to = join(dirname(from), "copy.db")
        yield* backUp({ from, to, isForced: false, onProgress: (done, total) => seen.push([done, total]) })
        const during = written
        yield* Fiber.interrupt(writing)
        expect(during > 0).toBe(true)
        // It went forward only, by more than one step.
        expect(seen.length > 3).toBe(true)
        expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).sort((a, b) => a - b))
        expect(new Set(seen.map(([, total]) => total)).size).toBe(1)
        const copy = new Database(to, { readonly: true })
        const count = (like: string) =>
          copy.prepare("select count(*) from messages where id like ?").pluck().get(like) as number
        expect(count("m%")).toBe(3_000)
        expect(count("a%")).toBe(count("b%"))
        expect(copy.pragma("integrity_check", { simple: true })).toBe("ok")
        copy.close()
        yield* Scope.close(scope, Exit.void)
        expect(existsSync(`${to}.part`)).toBe(false)
      }),
    ))

  it("shows a bar", () => {
    expect(formatBar(0, 100)).toBe(`[${".".repeat(30)}]   0 %`)
    expect(formatBar(50, 100)).toBe(`[${"#".repeat(15)}${".".repeat(15)}]  50 %`)
    expect(formatBar(7, 7)).toBe(`[${"#".repeat(30)}] 100 %`)
    expect(formatBar(0, 0)).toBe(`[${"#".repeat(30)}] 100 %`)
  })
})
