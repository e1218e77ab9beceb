/**
 * The boundary between processes: who may write a log. The owner holds a write transaction on the sidecar `FILE.owner`
 * for its life; the kernel frees it when the process dies, however it dies, in whatever container or pid namespace.
 *
 * The transaction is `BEGIN IMMEDIATE`, which shuts out every other owner as `BEGIN EXCLUSIVE` does but lets them read
 * the pid inside for their error message. Under EXCLUSIVE it could only be read past SQLite, and a process that opens and
 * closes a file beside SQLite drops its own POSIX locks on it: a second opening in the owner's own process would have
 * freed the owner's lock. The pid is for people only; nothing is decided by it.
 */
import { TerminalStoreFailure } from "@pontoon/runtime"
import Database from "better-sqlite3"
import { createPrivateFile } from "./createPrivateFile.ts"
import { primaryCode } from "./sqliteFailure.ts"

/**
 * How long opening waits for the sidecar: long enough for another opener to read the pid out of it, or to fail to become
 * the owner, both of which take a millisecond; short enough not to be felt in front of a file that is owned.
 */
const OWNER_WAIT_MS = 200

/**
 * Every sidecar that this process holds. A database that nothing refers to is closed by the garbage collector, and its lock
 * goes with it: a program whose only trace of an open store was a fiber that waits lost its file to the next opener.
 */
const held = new Set<Database.Database>()

export interface Ownership {
  /** Lets the next owner in. */
  readonly release: () => void
}

/** The path of the sidecar. */
export const ownerFile = (file: string): string => `${file}.owner`

const readPid = (database: Database.Database): number | undefined => {
  try {
    return database.prepare<[], number>("select pid from owner").pluck().get()
  } catch {
    // The owner is between creating the table and writing its pid.
    return undefined
  }
}

const locked = (file: string, pid: number | undefined, cause: unknown): TerminalStoreFailure => {
  const owner = pid === undefined ? "another process" : pid === process.pid ? "this process already" : `process ${pid}`
  return new TerminalStoreFailure({
    reason: "locked",
    message: `${file} is owned by ${owner}; stop that owner, or give this one another file (reading needs no ownership: pontoon log --db FILE).`,
    cause,
  })
}

const damaged = (file: string, cause: unknown): TerminalStoreFailure =>
  new TerminalStoreFailure({
    reason: "corrupt",
    message: `${ownerFile(file)} is damaged; it holds no messages, so delete it, once no process uses ${file}.`,
    cause,
  })

/**
 * Becomes the owner of `file`.
 *
 * @throws TerminalStoreFailure `locked`, naming the owner's pid; an error of the system where the sidecar cannot be made
 */
export const ownDatabase = (file: string): Ownership => {
  createPrivateFile(ownerFile(file))
  const database = new Database(ownerFile(file), { timeout: OWNER_WAIT_MS })
  try {
    // A rollback journal: in WAL mode the lock would be on the -shm file and come with two files more.
    database.pragma("journal_mode = delete")
    database.exec("begin immediate")
    database.exec("create table if not exists owner (pid integer not null)")
    database.exec("delete from owner")
    database.prepare("insert into owner (pid) values (?)").run(process.pid)
    database.exec("commit")
    // Another opener may come in between; it is then the owner, and this one says so.
    database.exec("begin immediate")
  } catch (error) {
    const isBusy = primaryCode(error) === "SQLITE_BUSY"
    const pid = isBusy ? readPid(database) : undefined
    database.close()
    if (isBusy) throw locked(file, pid, error)
    throw primaryCode(error) === "SQLITE_NOTADB" || primaryCode(error) === "SQLITE_CORRUPT"
      ? damaged(file, error)
      : error
  }
  held.add(database)
  return {
    release: () => {
      held.delete(database)
      database.close()
    },
  }
}
