/**
 * The boundary between commits and the copying of the write-ahead log into the database by a thread of its own, for disks
 * on which a checkpoint inside a commit would keep everything else on the loop waiting for two slow syncs.
 *
 * It is not the default. bench/storeLoop.ts in its best round of three, on two busy cores and a disk that syncs in
 * 0.1 ms:
 *
 *     callers   by commit                          by thread
 *     64        37,021 asks/s, loop p99 4.9 ms     30,382 asks/s, loop p99 4.3 ms
 *     1,024     38,588 asks/s, loop p99 13.0 ms    33,708 asks/s, loop p99 15.0 ms
 */
import { Worker } from "node:worker_threads"
import type { Database } from "better-sqlite3"
import { AUTOCHECKPOINT_PAGES } from "./openDatabase.ts"

/** Pages in the WAL, and not yet in the database, that are worth a checkpoint: SQLite's own default, 4 MB. */
const CHECKPOINT_PAGES = 1_000

/**
 * Pages in the WAL from which it is begun anew. The thread's copying never catches up with a writer that never pauses, so
 * this side copies what is left, between two transactions: once in 16 MB, and about as much as was written meanwhile.
 * (Letting the thread restart the WAL was tried: it did not get hold of the lock between two transactions, and the WAL
 * grew as long as the load lasted.)
 */
const RESTART_PAGES = 4_000

/** The worker's file lies beside this one, under the extension that this one has: sources in the workspace, else built. */
const workerUrl = (): URL =>
  new URL(`./checkpointWorker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url)

/** What SQLite says of a checkpoint. */
interface CheckpointRow {
  /** Pages in the WAL, and how many of them are in the database by now. */
  readonly log: number
  readonly checkpointed: number
}

export interface Checkpointer {
  /** To be called after each transaction. Looks how long the WAL is, which takes 3 us. */
  readonly flushed: () => void
  /** Resolves when the thread, if there was one, has closed the file. */
  readonly stop: () => Promise<void>
}

/** SQLite checkpoints inside the commit that makes the WAL `AUTOCHECKPOINT_PAGES` long; it does so unasked. */
export const noCheckpointer: Checkpointer = { flushed: () => {}, stop: () => Promise.resolve() }

export const makeCheckpointer = (database: Database, file: string, url: URL = workerUrl()): Checkpointer => {
  /** Started by the first WAL that is large enough: most short-lived stores never need it. */
  let worker: Worker | undefined
  let isWorking = false
  let isStopped = false
  database.pragma("wal_autocheckpoint = 0")
  // Checkpoints nothing. Not the size of the file, which keeps its greatest length when the WAL is begun anew.
  const look = database.prepare<[], CheckpointRow>("pragma wal_checkpoint(noop)")

  const giveUp = (): void => {
    isStopped = true
    worker = undefined
    // A service that was bundled into one file has no worker's file beside it. Slower, and right.
    if (database.open) database.pragma(`wal_autocheckpoint = ${AUTOCHECKPOINT_PAGES}`)
  }

  /** The next write begins a WAL anew of which everything is in the database. */
  const beginAnew = (): void => {
    try {
      if ((look.get()?.log ?? 0) >= RESTART_PAGES) database.pragma("wal_checkpoint(passive)")
    } catch {
      // A disk in trouble: the commits that meet it say so, and the next checkpoint tries again.
    }
  }

  const start = (): Worker => {
    const started = new Worker(url, { argv: [file] })
    started.on("message", () => {
      isWorking = false
      if (!isStopped) beginAnew()
    })
    started.on("error", giveUp)
    // It never keeps the process alive.
    started.unref()
    return started
  }

  return {
    flushed: () => {
      if (isWorking || isStopped) return
      const wal = look.get()
      if (wal === undefined || wal.log - wal.checkpointed < CHECKPOINT_PAGES) return
      worker ??= start()
      isWorking = true
      worker.postMessage("checkpoint")
    },
    stop: () => {
      const running = worker
      isStopped = true
      worker = undefined
      if (running === undefined) return Promise.resolve()
      return new Promise((resolve) => {
        running.ref()
        running.once("exit", () => resolve())
        running.postMessage("stop")
      })
    },
  }
}
