/** The boundary to the file system's permissions: messages are private, so the log's files are their owner's alone. */
import { closeSync, openSync } from "node:fs"

const isExisting = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EEXIST"

/**
 * Creates an empty file of mode 0600 where there is none; one that exists keeps its mode, which is its owner's choice.
 * SQLite gives -wal and -shm the mode of the database.
 *
 * An existing file is not even opened: closing it again would drop every POSIX lock that this process holds on it.
 *
 * @throws an error of the system (ENOENT, EACCES, EROFS, ENOSPC ...)
 */
export const createPrivateFile = (path: string): void => {
  try {
    closeSync(openSync(path, "wx", 0o600))
  } catch (error) {
    if (!isExisting(error)) throw error
  }
}
