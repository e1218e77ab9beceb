/**
 * The boundary between a live log and its copy: one consistent moment of the file, written beside its owner, whole or not
 * at all.
 *
 * The copy is read in one read transaction. Without it SQLite begins anew whenever the owner commits, and beside one that
 * never pauses a copy would never end; with it the owner's write-ahead log grows until the copy is done.
 */
import { closeSync, existsSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync } from "node:fs"
import { resolve } from "node:path"
import { TerminalStoreFailure } from "@pontoon/runtime"
import Database from "better-sqlite3"
import { Effect } from "effect"
import { createPrivateFile } from "../createPrivateFile.ts"
import { readVersion } from "../migrate.ts"
import { openReader } from "../openReader.ts"
import { toOpenFailure } from "../sqliteFailure.ts"
import { putUpkeep } from "./upkeep.ts"

/** Pages copied between two looks at the progress, 4 MB: about ten looks a second on a slow disk. */
const PAGES_AT_ONCE = 1_000

export interface BackupRequest {
  readonly from: string
  readonly to: string
  /** Whether a file at `to` may be replaced. */
  readonly isForced: boolean
  readonly onProgress: (done: number, total: number) => void
}

const refuse = (message: string): TerminalStoreFailure =>
  new TerminalStoreFailure({ reason: "other", message, cause: undefined })

const assertTarget = (from: string, to: string, isForced: boolean): void => {
  const stats = statSync(to, { throwIfNoEntry: false })
  if (stats === undefined) return
  if (stats.isDirectory()) throw refuse(`${to} is a folder; give the path of a file in it.`)
  if (realpathSync(to) === realpathSync(from)) throw refuse(`${to} is the log itself; give another path for its copy.`)
  if (!isForced) throw refuse(`${to} exists already; give another path, or --force to replace it.`)
  if (existsSync(`${to}.owner`)) throw refuse(`${to} is, or was, a log with an owner (${to}.owner); give another path.`)
}

/** The copy has no owner, and is one file: what an owner's mark and a WAL's would say of it is not true. */
const finish = (path: string): void => {
  const copy = new Database(path)
  try {
    copy.pragma("journal_mode = delete")
    if (readVersion(copy) >= 2) putUpkeep(copy, "open", "closed", "a copy")
  } finally {
    copy.close()
  }
  const descriptor = openSync(path, "r+")
  fsyncSync(descriptor)
  closeSync(descriptor)
}

const copy = async (source: Database.Database, path: string, { onProgress }: BackupRequest): Promise<void> => {
  source.exec("begin")
  // A transaction begins to read, and its moment is fixed, with the first read.
  source.prepare("select count(*) from sqlite_schema").get()
  let last = -1
  await source.backup(path, {
    progress: ({ totalPages, remainingPages }) => {
      const done = totalPages - remainingPages
      if (done !== last) onProgress(done, totalPages)
      last = done
      return PAGES_AT_ONCE
    },
  })
}

/**
 * Copies the log `from`, whose owner may be running, to the new file `to`, of mode 0600.
 *
 * @returns the pages of the copy
 * @fails TerminalStoreFailure where `from` is no log, `to` may not be written, or the disk is full; then `to` is as it was
 */
export const backUp = Effect.fnUntraced(function* (request: BackupRequest) {
  const from = resolve(request.from)
  const to = resolve(request.to)
  const source = yield* openReader(from)
  const unfinished = `${to}.part`
  const attempt = async (): Promise<number> => {
    assertTarget(from, to, request.isForced)
    rmSync(unfinished, { force: true })
    createPrivateFile(unfinished)
    try {
      await copy(source, unfinished, request)
      finish(unfinished)
      renameSync(unfinished, to)
    } catch (error) {
      rmSync(unfinished, { force: true })
      throw error
    }
    return Number(source.pragma("page_count", { simple: true }))
  }
  return yield* Effect.tryPromise({ try: attempt, catch: (error) => toOpenFailure(to, error) })
}, Effect.scoped)
