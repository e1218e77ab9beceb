/**
 * The boundary to the thread that checkpoints: copies the write-ahead log into the database on a connection of its own,
 * on request, and answers when it has. Started by `Checkpointer` with the file as its argument.
 */
import { parentPort } from "node:worker_threads"
import Database from "better-sqlite3"

const database = new Database(process.argv[2] ?? "", { timeout: 0 })
// PASSIVE never waits, and nobody waits for it: readers read and the writer writes on.
const checkpoint = database.prepare("pragma wal_checkpoint(passive)")

parentPort?.on("message", (request: "checkpoint" | "stop") => {
  if (request === "stop") {
    database.close()
    parentPort?.close()
    return
  }
  try {
    checkpoint.get()
  } catch {
    // Busy, or a disk in trouble: the WAL keeps everything, and the next request tries again.
  }
  parentPort?.postMessage("done")
})
