/**
 * The boundary between a migration and the way back: a copy of the file as the earlier version left it, whole or not at
 * all, before anything of it is changed. To go back, put it in the place of the log and use the earlier package.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs"
import type { Database } from "better-sqlite3"
import { createPrivateFile } from "../createPrivateFile.ts"

/** Where the copy of a file of that version lies. */
export const migrationBackup = (file: string, version: number): string => `${file}.v${version}.bak`

/**
 * Copies by `vacuum into`: in one read transaction, without the free pages. An earlier copy of the same version, from a
 * migration that failed, is replaced: the file may have been used since.
 *
 * @throws an error of the system or of SQLite, with no copy left half made
 */
export const backupBeforeMigration = (database: Database, file: string, version: number): string => {
  const path = migrationBackup(file, version)
  const unfinished = `${path}.part`
  try {
    rmSync(unfinished, { force: true })
    // SQLite writes into an empty file, and leaves its mode.
    createPrivateFile(unfinished)
    database.prepare<[string]>("vacuum into ?").run(unfinished)
    const descriptor = openSync(unfinished, "r+")
    fsyncSync(descriptor)
    closeSync(descriptor)
    renameSync(unfinished, path)
    return path
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw error
  }
}
