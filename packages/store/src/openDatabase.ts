/**
 * The boundary to a database file: opened by its one owner, for writing, at this version and at full durability, or not
 * at all.
 */
import { lstatSync, realpathSync, statSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { TerminalStoreFailure } from "@pontoon/runtime"
import Database from "better-sqlite3"
import { backupBeforeMigration } from "./care/backupBeforeMigration.ts"
import { putUpkeep, readUpkeep } from "./care/upkeep.ts"
import { REST_PAGES_MAX } from "./care/WalGuard.ts"
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
const SYNCHRONOUS = { normal: 1, full: 2 } as const

/** Pages after which a commit copies the write-ahead log into the database by itself: SQLite's default, 4 MB. */
export const AUTOCHECKPOINT_PAGES = 1_000

/** The version from which the table `upkeep` is there. */
const UPKEEP_VERSION = 2

export interface OpenOptions {
  /** @see StoreOptions */
  readonly synchronous?: "full" | "normal"
  /** Told, in a sentence, what takes time before the file is open. */
  readonly announce?: (message: string) => void
}

export interface OpenDatabase {
  readonly database: Database.Database
  /** The absolute path. */
  readonly file: string
  /** Whether the owner before this one left without closing it. */
  readonly isUnclean: boolean
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
 * WAL, and FULL unless it was asked otherwise: every commit is synced to the disk. better-sqlite3 is built with NORMAL as its WAL default, and the
 * pragma reads FULL until the first write all the same, so it is set here and checked after that write.
 */
const setDurability = (database: Database.Database, wanted: "full" | "normal"): void => {
  // First: a killed owner may have left a gigabyte in the write-ahead log, and the first write, which the next pragma is,
  // would copy all of it at once.
  database.pragma("wal_autocheckpoint = 0")
  // Before the first page is written, so only a new file gets it; an old one keeps the pages that become free. What it costs
  // cannot be seen in four alternating runs of bench/plainLoop.ts, 40,000 asks each: 32.7 and 32.1 us of processor time per
  // ask with it and without (medians, each within 30 to 35), and 0.15 % more bytes.
  database.pragma("auto_vacuum = incremental")
  database.pragma("journal_mode = wal")
  database.pragma(`synchronous = ${wanted}`)
}

/** Pages in the write-ahead log; checkpoints nothing. */
const walPages = (database: Database.Database): number =>
  database.prepare<[], { readonly log: number }>("pragma wal_checkpoint(noop)").get()?.log ?? 0

const assertDurability = (database: Database.Database, file: string, wanted: "full" | "normal"): void => {
  const journal = database.pragma("journal_mode", { simple: true })
  const synchronous = database.pragma("synchronous", { simple: true })
  if (journal !== "wal" || synchronous !== SYNCHRONOUS[wanted]) {
    throw refuse(
      `${file} could not be set to WAL with ${wanted} syncs (it is ${String(journal)} at ${String(synchronous)}); put it on a local disk.`,
    )
  }
}

/** Brings the file to this version, and its earlier state to safety before. */
const bringForward = (
  database: Database.Database,
  file: string,
  migrations: ReadonlyArray<Migration>,
  announce: (message: string) => void,
): void => {
  const version = readVersion(database)
  const latest = latestVersion(migrations)
  if (version > 0 && version < latest) {
    const backup = backupBeforeMigration(database, file, version)
    announce(
      `${file} is a log of version ${version} and becomes one of version ${latest}; its copy of before is ${backup}.`,
    )
  }
  migrate(database, migrations)
}

/** Writes down that the file has an owner. True where the owner before did not write down that it left. */
const markRunning = (database: Database.Database, synchronous: "full" | "normal"): boolean => {
  if (readVersion(database) < UPKEEP_VERSION) return false
  const isUnclean = readUpkeep(database, "open")?.value === "running"
  database
    .transaction(() => {
      putUpkeep(database, "open", "running", `process ${process.pid}`)
      putUpkeep(database, "synchronous", synchronous)
      if (isUnclean) putUpkeep(database, "integrity", "due", "the owner before did not close the file")
    })
    .immediate()
  return isUnclean
}

const markClosed = (database: Database.Database): void => {
  try {
    if (readVersion(database) >= UPKEEP_VERSION) putUpkeep(database, "open", "closed")
  } catch {
    // A disk in trouble: the file counts as not closed, and is checked when it is opened again.
  }
}

/**
 * Opens `file`, creating it where there is none, and becomes its owner.
 *
 * @throws TerminalStoreFailure with one sentence that names the file and what to do
 */
export const openDatabase = (
  path: string,
  migrations: ReadonlyArray<Migration> = MIGRATIONS,
  { synchronous = "full", announce = () => {} }: OpenOptions = {},
): OpenDatabase => {
  let file = resolve(path)
  try {
    assertFileName(path)
    file = realFile(file)
    const ownership = ownDatabase(file)
    let database: Database.Database | undefined
    let isUnclean: boolean
    try {
      createPrivateFile(file)
      database = new Database(file, { timeout: OPEN_WAIT_MS })
      // Before anything is set: WAL mode is a change to the file, and it may be somebody else's.
      assertOurs(database, file, latestVersion(migrations))
      setDurability(database, synchronous)
      bringForward(database, file, migrations, announce)
      // A write that changes nothing, so that what is asserted is what the next write will do.
      database.pragma(`user_version = ${readVersion(database)}`)
      isUnclean = markRunning(database, synchronous)
      assertDurability(database, file, synchronous)
      if (walPages(database) <= REST_PAGES_MAX) database.pragma(`wal_autocheckpoint = ${AUTOCHECKPOINT_PAGES}`)
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
      isUnclean,
      close: () => {
        try {
          markClosed(opened)
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
