/**
 * The boundary between SQLite's error codes and the store's failures: one clear sentence each, with the file and what to
 * do about it.
 */
import { RetryableStoreFailure, TerminalStoreFailure } from "@pontoon/runtime"
import Database from "better-sqlite3"

/** Two failing codes are about the moment, not the file: a write that meets them may succeed later. */
export type StoreTrouble = RetryableStoreFailure | TerminalStoreFailure

/** The SQLite result code of an error, without its extension (`SQLITE_IOERR_WRITE` is `SQLITE_IOERR`). */
export const primaryCode = (error: unknown): string | undefined =>
  error instanceof Database.SqliteError ? error.code.split("_").slice(0, 2).join("_") : undefined

const terminal = (reason: TerminalStoreFailure["reason"], message: string, cause: unknown): TerminalStoreFailure =>
  new TerminalStoreFailure({ reason, message, cause })

const detail = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export const corrupt = (file: string, cause: unknown): TerminalStoreFailure =>
  terminal(
    "corrupt",
    `${file} is not a readable SQLite database (${detail(cause)}); restore it from a backup, or give another file.`,
    cause,
  )

export const closedFailure = (file: string): TerminalStoreFailure =>
  terminal("closed", `The store on ${file} is closed; open it again before using it.`, undefined)

/** What an error of SQLite, or of the system around it, means for a write or a read on an open store. */
export const toStoreTrouble = (file: string, error: unknown): StoreTrouble => {
  if (error instanceof RetryableStoreFailure || error instanceof TerminalStoreFailure) return error
  switch (primaryCode(error)) {
    case "SQLITE_BUSY":
    case "SQLITE_LOCKED":
      return new RetryableStoreFailure({
        reason: "busy",
        message: `Another process holds the write lock of ${file}; nothing was written, try again when it has finished.`,
        cause: error,
      })
    case "SQLITE_FULL":
      return new RetryableStoreFailure({
        reason: "full",
        message: `The disk of ${file} is full; nothing was written, try again when there is room.`,
        cause: error,
      })
    case "SQLITE_IOERR":
    case "SQLITE_NOMEM":
    case "SQLITE_CANTOPEN":
    case "SQLITE_PROTOCOL":
      return new RetryableStoreFailure({
        reason: "io",
        message: `${file} could not be read or written (${detail(error)}); nothing was applied, look at the disk and try again.`,
        cause: error,
      })
    case "SQLITE_READONLY":
      return terminal("read-only", `${file} cannot be written; make the file and its folder writable.`, error)
    case "SQLITE_CORRUPT":
    case "SQLITE_NOTADB":
      return corrupt(file, error)
    default:
      return terminal("other", `${file} refused the operation (${detail(error)}).`, error)
  }
}

const systemCode = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined

/** What an error means while a file is being opened: nothing is retried, so every failure is terminal. */
export const toOpenFailure = (file: string, error: unknown): TerminalStoreFailure => {
  if (error instanceof TerminalStoreFailure) return error
  switch (systemCode(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return terminal("missing", `The folder of ${file} does not exist; create it, or give another path.`, error)
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return terminal(
        "read-only",
        `The folder of ${file} cannot be written; make it writable, or give another path.`,
        error,
      )
    case "ENOSPC":
    case "EDQUOT":
      return terminal("full", `The disk of ${file} is full; make room before opening it.`, error)
  }
  switch (primaryCode(error)) {
    case "SQLITE_CANTOPEN":
      return terminal(
        "missing",
        `${file} cannot be opened; check that it is a file and that this process may use it.`,
        error,
      )
    case "SQLITE_FULL":
      return terminal("full", `The disk of ${file} is full; make room before opening it.`, error)
    case "SQLITE_BUSY":
    case "SQLITE_LOCKED":
      return terminal(
        "locked",
        `Another process holds the write lock of ${file}; end its transaction and try again.`,
        error,
      )
  }
  const trouble = toStoreTrouble(file, error)
  return trouble instanceof TerminalStoreFailure ? trouble : terminal("other", trouble.message, error)
}
