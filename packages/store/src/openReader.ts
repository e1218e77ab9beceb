/**
 * The boundary to a file that somebody else may own: opened read-only, without the owner's lock, whether its owner
 * lives, has ended, or was killed and left a write-ahead log behind.
 */
import { statSync } from "node:fs"
import { resolve } from "node:path"
import { TerminalStoreFailure } from "@pontoon/runtime"
import Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { assertOurs, readVersion } from "./migrate.ts"
import { primaryCode, toOpenFailure } from "./sqliteFailure.ts"

/**
 * How long a read waits for a lock, in milliseconds. In WAL mode nothing but recovery after a crash makes a reader wait,
 * and that takes as long as reading the log left behind.
 */
const LOCK_WAIT_MS = 2_000

/**
 * An older log is read as it lies: this connection's own views stand before the tables and add what they lack. Each is for
 * logs below its version.
 */
const LIKE_NEW: ReadonlyArray<readonly [below: number, sql: string]> = [
  [2, "create temp view messages as select *, 0 as attempts_before, null as via from main.messages"],
  [2, "create temp view upkeep as select '' as name, '' as value, null as detail, 0 as at_ms where 0"],
  [3, "create temp view if not exists messages as select *, null as via from main.messages"],
  [3, "create temp view steps as select *, 'step' as kind from main.steps"],
]

const fail = (reason: TerminalStoreFailure["reason"], message: string, cause?: unknown): TerminalStoreFailure =>
  new TerminalStoreFailure({ reason, message, cause })

/** @throws TerminalStoreFailure with one sentence that names the file and what to do */
const openForReading = (path: string): Database.Database => {
  const file = resolve(path)
  const stats = statSync(file, { throwIfNoEntry: false })
  if (stats === undefined)
    throw fail("missing", `There is no file ${file}; give the path of a Pontoon log with --db FILE.`)
  if (stats.isDirectory()) throw fail("other", `${file} is a folder; give the path of a Pontoon log in it.`)
  let database: Database.Database | undefined
  try {
    database = new Database(file, { readonly: true, fileMustExist: true, timeout: LOCK_WAIT_MS })
    assertOurs(database, file)
    const version = readVersion(database)
    if (version === 0) throw fail("other", `${file} is empty: no Pontoon log has been written to it yet.`)
    for (const [below, sql] of LIKE_NEW) if (version < below) database.exec(sql)
    return database
  } catch (error) {
    database?.close()
    if (primaryCode(error) === "SQLITE_READONLY" || primaryCode(error) === "SQLITE_CANTOPEN") {
      throw fail(
        "read-only",
        `${file} cannot be read where it is, because reading a write-ahead log needs a writable folder; copy it with its -wal file to one.`,
        error,
      )
    }
    throw toOpenFailure(file, error)
  }
}

/** A read-only connection, closed with the scope. @fails TerminalStoreFailure */
export const openReader = (file: string): Effect.Effect<Database.Database, TerminalStoreFailure, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({ try: () => openForReading(file), catch: (error) => toOpenFailure(file, error) }),
    (database) => Effect.sync(() => database.close()),
  )
