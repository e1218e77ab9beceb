/** What opening refuses, in which words, and what an opened file is like. Misuse first. */
import { execFileSync } from "node:child_process"
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { append, appendClaimed } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, Exit, Result, Scope } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteStore } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { startChild } from "./support/childProcess.ts"
import { temporaryFile, temporaryFolder } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const refusal = (file: string) => Effect.flip(Effect.scoped(SqliteStore.make(file)))

const isRoot = process.getuid?.() === 0
/** Any user without rights, for a child process. */
const NOBODY = 65_534

describe("1 names that are no files", () => {
  it.each([":memory:", "", "file:x.db?mode=memory"])("refuses %j and says what to use", (name) =>
    run(
      Effect.gen(function* () {
        const failure = yield* refusal(name)
        expect(failure.reason).toBe("other")
        expect(failure.message).toBe(
          `"${name}" is not a file path; give one, or use MemoryStore from @pontoon/runtime/testing where nothing must last.`,
        )
      }),
    ),
  )

  it("refuses a folder", () =>
    run(
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const failure = yield* refusal(folder)
        expect(failure.message).toBe(
          `${folder} is a folder; give the path of a file in it, for example ${folder}/pontoon.db.`,
        )
      }),
    ))

  it("refuses a missing folder", () =>
    run(
      Effect.gen(function* () {
        const file = join(yield* temporaryFolder, "nowhere", "pontoon.db")
        expect(yield* refusal(file)).toMatchObject({
          reason: "missing",
          message: `The folder of ${file} does not exist; create it, or give another path.`,
        })
      }),
    ))
})

describe("2 files that are not ours", () => {
  const cases: ReadonlyArray<readonly [string, string, (file: string) => void, (file: string) => string]> = [
    [
      "text",
      "corrupt",
      (file) => writeFileSync(file, "certainly not a database, but long enough to have a header".repeat(20)),
      (file) =>
        `${file} is not a readable SQLite database (file is not a database); restore it from a backup, or give another file.`,
    ],
    [
      "a database of somebody else",
      "other",
      (file) => new Database(file).exec("create table cats (name)").close(),
      (file) => `${file} is a SQLite database, but not a Pontoon log; give another file.`,
    ],
    [
      "a log of a newer version",
      "newer",
      (file) => {
        openDatabase(file).close()
        const database = new Database(file)
        database.pragma("user_version = 99")
        database.close()
      },
      (file) =>
        `${file} is a log of version 99 and this @pontoon/store reads up to version 3; update @pontoon/store, or give another file.`,
    ],
    [
      "a log with a torn schema page",
      "corrupt",
      (file) => {
        openDatabase(file).close()
        const bytes = readFileSync(file)
        bytes.fill(0x41, 100, 4096)
        writeFileSync(file, bytes)
      },
      (file) =>
        `${file} is not a readable SQLite database (database disk image is malformed); restore it from a backup, or give another file.`,
    ],
  ]
  it.each(cases)("refuses %s as %s, in one sentence, and leaves it as it was", (_, reason, make, message) =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        make(file)
        const before = readFileSync(file)
        expect(yield* refusal(file)).toMatchObject({ reason, message: message(file) })
        expect(readFileSync(file).equals(before)).toBe(true)
        // Having failed, it holds nothing: the same refusal again, not "locked".
        expect(yield* refusal(file)).toMatchObject({ reason })
      }),
    ),
  )
})

describe("3 disks that will not", () => {
  it.skipIf(!isRoot)("refuses a folder without rights (needs root, to start a process of another user)", () =>
    run(
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        chmodSync(folder, 0o755)
        const file = join(folder, "pontoon.db")
        const child = yield* startChild("openStore.ts", [file], NOBODY)
        const line = yield* Effect.promise(child.line)
        expect(JSON.parse(line!)).toMatchObject({
          reason: "read-only",
          message: `The folder of ${file} cannot be written; make it writable, or give another path.`,
        })
      }),
    ),
  )

  it.skipIf(!isRoot)("refuses a file without rights in a folder with them (needs root)", () =>
    run(
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const file = join(folder, "pontoon.db")
        openDatabase(file).close()
        chmodSync(file, 0o444)
        rmSync(`${file}.owner`)
        chownSync(folder, NOBODY, NOBODY)
        const child = yield* startChild("openStore.ts", [file], NOBODY)
        const line = yield* Effect.promise(child.line)
        expect(JSON.parse(line!)).toMatchObject({
          reason: "read-only",
          message: `${file} cannot be written; make the file and its folder writable.`,
        })
      }),
    ),
  )

  it.skipIf(!isRoot)(
    "a full disk refuses to open, refuses commits, and is forgotten when there is room (needs root)",
    () =>
      run(
        Effect.gen(function* () {
          const folder = yield* smallDisk
          const file = join(folder, "pontoon.db")
          const filler = join(folder, "filler")
          writeFileSync(filler, Buffer.alloc(600 * 1024))
          fill(join(folder, "rest"))
          expect(yield* refusal(file)).toMatchObject({
            reason: "full",
            message: `The disk of ${file} is full; make room before opening it.`,
          })
          rmSync(filler)
          const store = yield* SqliteStore.make(file)
          yield* store.commit([append("before")])
          fill(filler)
          const failures = yield* Effect.all(
            Array.from({ length: 3 }, (_, n) =>
              Effect.flip(store.commit([append(`no${n}`, { body: "x".repeat(50_000) })])),
            ),
            { concurrency: "unbounded" },
          )
          for (const failure of failures) {
            expect(failure).toMatchObject({
              _tag: "RetryableStoreFailure",
              reason: "full",
              message: `The disk of ${file} is full; nothing was written, try again when there is room.`,
            })
          }
          expect((yield* store.unfinished(0, 10)).map(({ id }) => id)).toEqual(["before"])
          rmSync(filler)
          yield* store.commit([append("after", { body: "x".repeat(50_000) })])
          expect((yield* store.unfinished(0, 10)).map(({ id }) => id)).toEqual(["before", "after"])
        }),
      ),
  )
})

/** A file system of one megabyte, in memory. */
const smallDisk = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const mount = join(folder, "small")
  mkdirSync(mount)
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", mount])
  yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("umount", ["-l", mount])))
  return mount
})

/** Writes until there is no room. */
const fill = (path: string): void => {
  for (let size = 1024 * 1024; size >= 512; size = Math.floor(size / 2)) {
    try {
      writeFileSync(path, Buffer.alloc(size), { flag: "a" })
    } catch {
      // Half as much may still fit.
    }
  }
}

describe("4 one owner", () => {
  it("refuses a second owner in another process, naming the first, and opens at once after kill -9", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const first = yield* startChild("openStore.ts", [file])
        const opened = yield* Effect.promise(first.line)
        expect(JSON.parse(opened!)).toEqual({ open: file, pid: first.process.pid })

        expect(yield* refusal(file)).toMatchObject({
          reason: "locked",
          message: `${file} is owned by process ${first.process.pid}; stop that owner, or give this one another file (reading needs no ownership: pontoon log --db FILE).`,
        })
        const second = yield* startChild("openStore.ts", [file])
        expect(JSON.parse((yield* Effect.promise(second.line))!)).toMatchObject({ reason: "locked" })

        first.process.kill("SIGKILL")
        expect(yield* Effect.promise(() => first.ended)).toBe("SIGKILL")
        const store = yield* SqliteStore.make(file)
        yield* store.commit([append("A")])
      }),
    ))

  it("refuses a second owner in the same process, which does not free the first one's lock", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        yield* SqliteStore.make(file)
        expect((yield* refusal(file)).message).toContain(`${file} is owned by this process already;`)
        const other = yield* startChild("openStore.ts", [file])
        expect(JSON.parse((yield* Effect.promise(other.line))!)).toMatchObject({ reason: "locked" })
      }),
    ))

  it("refuses a second owner who comes by a symbolic link, of the file or of its folder", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        yield* SqliteStore.make(file)
        const elsewhere = yield* temporaryFolder
        symlinkSync(file, join(elsewhere, "link.db"))
        symlinkSync(dirname(file), join(elsewhere, "folder"))
        expect((yield* refusal(join(elsewhere, "link.db"))).reason).toBe("locked")
        expect((yield* refusal(join(elsewhere, "folder", "pontoon.db"))).reason).toBe("locked")
      }),
    ))

  it("closing the scope lets the next one in, and leaves no write-ahead log behind", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const scope = yield* Scope.make()
        const store = yield* Scope.provide(SqliteStore.make(file), scope)
        yield* store.commit([append("A")])
        yield* Scope.close(scope, Exit.void)
        expect(statSync(`${file}-wal`, { throwIfNoEntry: false })).toBe(undefined)
        const next = yield* SqliteStore.make(file)
        expect((yield* next.message("A"))?.id).toBe("A")
      }),
    ))

  it("a damaged sidecar is named, and may be deleted", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        writeFileSync(`${file}.owner`, "not a database, but long enough to be taken for one".repeat(20))
        expect(yield* refusal(file)).toMatchObject({
          reason: "corrupt",
          message: `${file}.owner is damaged; it holds no messages, so delete it, once no process uses ${file}.`,
        })
        rmSync(`${file}.owner`)
        yield* SqliteStore.make(file)
      }),
    ))

  it("keeps the file although nothing refers to the store any more, and the garbage is collected", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const open = () => void openDatabase(file)
        open()
        setFlagsFromString("--expose-gc")
        const collect: () => void = runInNewContext("gc")
        for (let turn = 0; turn < 3; turn++) {
          collect()
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        expect(yield* refusal(file)).toMatchObject({ reason: "locked" })
      }),
    ))

  it("of many processes that start at once, exactly one becomes the owner", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const children = yield* Effect.all(Array.from({ length: 6 }, () => startChild("openStore.ts", [file])))
        const lines = yield* Effect.all(
          children.map((child) => Effect.promise(child.line)),
          { concurrency: "unbounded" },
        )
        expect(lines.filter((line) => line?.startsWith('{"open"')).length).toBe(1)
        expect(lines.filter((line) => line?.includes('"reason":"locked"')).length).toBe(5)
      }),
    ))
})

describe("5 an opened file", () => {
  it("is private, in WAL mode, at full durability, and says what it is", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const store = yield* SqliteStore.make(file)
        yield* store.commit([append("A")])
        for (const path of [file, `${file}-wal`, `${file}-shm`, `${file}.owner`]) {
          expect([path, statSync(path).mode & 0o777]).toEqual([path, 0o600])
        }
        const opened = openDatabase(join(dirname(file), "other.db"))
        expect(opened.database.pragma("journal_mode", { simple: true })).toBe("wal")
        expect(opened.database.pragma("synchronous", { simple: true })).toBe(2)
        expect(opened.database.pragma("user_version", { simple: true })).toBe(3)
        expect(opened.database.pragma("application_id", { simple: true })).toBe(0x504f4e54)
        opened.close()
      }),
    ))

  it("carries out the commits that wait when it closes, and refuses what comes then", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const scope = yield* Scope.make()
        const store = yield* Scope.provide(SqliteStore.make(file), scope)
        const waiting = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 100 }, (_, n) => store.commit([append(`m${n}`)])),
            { concurrency: "unbounded" },
          ),
          { startImmediately: true },
        )
        yield* Scope.close(scope, Exit.void)
        const next = yield* SqliteStore.make(file)
        expect((yield* next.unfinished(0, 1_000)).length).toBe(100)
        expect(waiting.pollUnsafe()).not.toBe(undefined)
        const late = yield* Effect.result(store.commit([appendClaimed("late")]))
        expect(Result.isFailure(late) && late.failure).toMatchObject({ reason: "closed" })
      }),
    ))

  it("holds the columns that README.md promises, to a sqlite3 of any age", () =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const store = yield* SqliteStore.make(file)
        yield* store.commit([append("A")])
        const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
        const section = readme.slice(readme.indexOf("## The log"), readme.indexOf("## The command"))
        const promised = Array.from(
          section.matchAll(/^\| (\w+) +\| (\w+(?:, \w+)+) +\|$/gm),
          ([, table = "", columns = ""]) => [table, columns],
        )
        expect(promised.map(([table]) => table)).toEqual([
          ...["messages", "attempts", "actors", "lifecycle_events", "watches", "routes", "steps", "chunks", "feedback"],
          "upkeep",
          ...["mailbox", "dead_letters", "conversation", "latency"],
        ])
        for (const [table, columns] of promised) {
          const sql = `select group_concat(name, ', ') from pragma_table_info('${table}')`
          const found = execFileSync("sqlite3", [file, sql], { encoding: "utf8" }).trim()
          expect([table, found]).toEqual([table, columns])
        }
      }),
    ))
})
