/**
 * The boundary to a database file: opened by its one owner, for writing, at this version and at full durability, or not
 * at all.
 */
import { lstatSync, realpathSync, statSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { TerminalStoreFailure } from "@pontoon/runtime"
import Database from "better-sqlite3"
import { createPrivateFile } from "./createPrivateFile.ts"
import { assertOurs, latestVersion, migrate, readVersion } from "./migrate.ts"
import { MIGRATIONS, type Migration } from "./migrations/migrations.ts"
import { ownDatabase } from "./ownDatabase.ts"
import { toOpenFailure } from "./sqliteFailure.ts"

/**
 * How long opening waits for locks, in milliseconds: after a crash a reader may be the one that recovers the write-ahead
 * log, which takes as long as reading what was left.
 */
const OPEN_WAIT_MS = 2_000

/** `pragma synchronous` as SQLite reads it back. */
const FULL = 2

export interface OpenDatabase {
  readonly database: Database.Database
  /** The absolute path. */
  readonly file: string
  /** Closes the database, then lets the next owner in. */
  readonly close: () => void
}

const refuse = (message: string): TerminalStoreFailure =>
  new TerminalStoreFailure({ reason: "other", message, cause: undefined })

/** An in-memory name is refused: a store that forgets is a mistake in every place but a test. */
const assertFileName = (file: string): void => {
  if (file === "" || file.startsWith(":memory:") || file.startsWith("file:")) {
    throw refuse(
      `"${file}" is not a file path; give one, or use MemoryStore from @pontoon/runtime/testing where nothing must last.`,
    )
  }
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw refuse(
      `${file} is a folder; give the path of a file in it, for example ${file.replace(/\/$/, "")}/pontoon.db.`,
    )
  }
}

/** The file itself: under two names, by a symbolic link, it would have two sidecars and two owners. */
const realFile = (file: string): string => {
  const exists = lstatSync(file, { throwIfNoEntry: false }) !== undefined
  return exists ? realpathSync(file) : join(realpathSync(dirname(file)), basename(file))
}

/**
 * WAL, and FULL: every commit is synced to the disk. better-sqlite3 is built with NORMAL as its WAL default, and the
 * pragma reads FULL until the first write all the same, so it is set here and checked after that write.
 */
const setDurability = (database: Database.Database): void => {
  database.pragma("journal_mode = wal")
  database.pragma("synchronous = full")
}

const assertDurability = (database: Database.Database, file: string): void => {
  const journal = database.pragma("journal_mode", { simple: true })
  const synchronous = database.pragma("synchronous", { simple: true })
  if (journal !== "wal" || synchronous !== FULL) {
    throw refuse(
      `${file} could not be set to WAL with full syncs (it is ${String(journal)} at ${String(synchronous)}); put it on a local disk.`,
    )
  }
}

/**
 * Opens `file`, creating it where there is none, and becomes its owner.
 *
 * @throws TerminalStoreFailure with one sentence that names the file and what to do
 */
export const openDatabase = (path: string, migrations: ReadonlyArray<Migration> = MIGRATIONS): OpenDatabase => {
  let file = resolve(path)
  try {
    assertFileName(path)
    file = realFile(file)
    const ownership = ownDatabase(file)
    let database: Database.Database | undefined
    try {
      createPrivateFile(file)
      database = new Database(file, { timeout: OPEN_WAIT_MS })
      // Before anything is set: WAL mode is a change to the file, and it may be somebody else's.
      assertOurs(database, file, latestVersion(migrations))
      setDurability(database)
      migrate(database, migrations)
      // A write that changes nothing, so that what is asserted is what the next write will do.
      database.pragma(`user_version = ${readVersion(database)}`)
      assertDurability(database, file)
      // From here on no waiting inside SQLite: it would stop the event loop. The writer waits between turns instead.
      database.pragma("busy_timeout = 0")
    } catch (error) {
      database?.close()
      ownership.release()
      throw error
    }
    const opened = database
    return {
      database: opened,
      file,
      close: () => {
        try {
          opened.close()
        } finally {
          ownership.release()
        }
      },
    }
  } catch (error) {
    throw toOpenFailure(file, error)
  }
}
