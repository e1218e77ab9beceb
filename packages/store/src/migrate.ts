/**
 * The boundary between versions of the log: brings a file to this version, or says why not. Forward only, one
 * transaction for each step, so that a crash leaves a file of a whole version.
 */
import { TerminalStoreFailure } from "@pontoon/runtime"
import type { Database } from "better-sqlite3"
import { APPLICATION_ID, MIGRATIONS, type Migration } from "./migrations/migrations.ts"
import { VIEWS } from "./migrations/views.ts"

/** The version that `migrations` lead to. */
export const latestVersion = (migrations: ReadonlyArray<Migration> = MIGRATIONS): number =>
  migrations.reduce((latest, { version }) => Math.max(latest, version), 0)

export const readVersion = (database: Database): number => Number(database.pragma("user_version", { simple: true }))

const newer = (file: string, version: number, latest: number): TerminalStoreFailure =>
  new TerminalStoreFailure({
    reason: "newer",
    message: `${file} is a log of version ${version} and this @pontoon/store reads up to version ${latest}; update @pontoon/store, or give another file.`,
    cause: undefined,
  })

const foreign = (file: string): TerminalStoreFailure =>
  new TerminalStoreFailure({
    reason: "other",
    message: `${file} is a SQLite database, but not a Pontoon log; give another file.`,
    cause: undefined,
  })

/** Throws where the file belongs to a newer version, or to somebody else. An empty file is nobody's. */
export const assertOurs = (database: Database, file: string, latest: number = latestVersion()): void => {
  const id = Number(database.pragma("application_id", { simple: true }))
  const isEmpty = database.prepare("select 1 from sqlite_schema limit 1").get() === undefined
  if (id !== APPLICATION_ID && !isEmpty) throw foreign(file)
  const version = readVersion(database)
  if (version > latest) throw newer(file, version, latest)
}

const makeViews = (database: Database): void => {
  for (const { name, sql } of VIEWS) {
    database.exec(`drop view if exists ${name}`)
    database.exec(sql)
  }
}

/**
 * Applies what the file has not seen; `assertOurs` must have let it through.
 *
 * @throws an error of SQLite where a step fails, the file left at the version before
 */
export const migrate = (database: Database, migrations: ReadonlyArray<Migration> = MIGRATIONS): void => {
  const latest = latestVersion(migrations)
  for (const { version, sql } of migrations) {
    if (version <= readVersion(database)) continue
    database
      .transaction(() => {
        // Views first: a table that a view reads cannot be changed under it.
        for (const { name } of VIEWS) database.exec(`drop view if exists ${name}`)
        database.exec(sql)
        if (version === latest) makeViews(database)
        database.pragma(`application_id = ${APPLICATION_ID}`)
        database.pragma(`user_version = ${version}`)
      })
      .immediate()
  }
}
