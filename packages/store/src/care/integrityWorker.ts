/**
 * The boundary to the process that checks a log: reads every page of it, read-only, and says what it found. Started by
 * `IntegrityCheck` with the file as its argument.
 */
import Database from "better-sqlite3"
import { primaryCode } from "../sqliteFailure.ts"

/** What the check found; `undecided` where it could not be carried out. */
export interface Finding {
  readonly result: "ok" | "corrupt" | "undecided"
  readonly detail: string | null
}

/** Lines kept of what is wrong: the first say where, a thousand more say nothing new. */
const LINES_MAX = 5

/** How long it waits for a lock, in milliseconds; nothing but another recovery holds one that keeps a reader out. */
const LOCK_WAIT_MS = 10_000

const DAMAGE = new Set(["SQLITE_CORRUPT", "SQLITE_NOTADB"])

/** Table by table, each with its indexes: between two of them the owner's write-ahead log can be begun anew. */
const check = (file: string): Finding => {
  try {
    const database = new Database(file, { readonly: true, fileMustExist: true, timeout: LOCK_WAIT_MS })
    const tables = database.prepare<[], string>("select name from sqlite_schema where type = 'table'").pluck().all()
    const wrong = tables.flatMap((table) =>
      database
        .prepare<[], string>(`pragma integrity_check('${table}')`)
        .pluck()
        .all()
        .filter((line) => line !== "ok"),
    )
    database.close()
    return wrong.length === 0
      ? { result: "ok", detail: null }
      : { result: "corrupt", detail: wrong.slice(0, LINES_MAX).join("; ") }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { result: DAMAGE.has(primaryCode(error) ?? "") ? "corrupt" : "undecided", detail }
  }
}

process.send?.(check(process.argv[2] ?? ""), () => process.exit())
