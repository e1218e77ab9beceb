/** The boundary between `WalGuard` and a database: how its log is looked at, copied by a thread and emptied. */
import type { Database } from "better-sqlite3"
import { type Checkpointer, makeCheckpointer } from "../Checkpointer.ts"
import { AUTOCHECKPOINT_PAGES } from "../openDatabase.ts"
import { makeWalGuard, type WalGuard, type WalPorts, type WalState } from "./WalGuard.ts"

const MEGABYTE = 1024 * 1024

export interface GuardedWal {
  readonly database: Database
  readonly file: string
  readonly walBytesMax: number
  /** The thread that copies the log anyway; undefined where commits do. */
  readonly checkpointer: Checkpointer | undefined
  readonly warn: (message: string) => void
  readonly inform: (message: string) => void
  readonly clock: Pick<WalPorts, "now" | "later">
}

export interface OpenWalGuard extends WalGuard {
  /** Resolves when a thread that helps has closed the file. */
  readonly closed: () => Promise<void>
}

export const guardWal = (wal: GuardedWal): OpenWalGuard => {
  const { database, file, walBytesMax } = wal
  const pageBytes = Number(database.pragma("page_size", { simple: true }))
  const noop = database.prepare<[], WalState>("pragma wal_checkpoint(noop)")
  const look = (): WalState => noop.get() ?? { log: 0, checkpointed: 0 }
  const emptied = database.prepare<[], { readonly busy: number }>("pragma wal_checkpoint(truncate)")
  let helper: Checkpointer | undefined
  let ended: Promise<void> = Promise.resolve()

  const dismiss = (): void => {
    const leaving = helper
    helper = undefined
    if (leaving !== undefined) ended = ended.then(() => leaving.stop())
    // A commit copies the log by itself again.
    if (wal.checkpointer === undefined && database.open) {
      database.pragma(`wal_autocheckpoint = ${AUTOCHECKPOINT_PAGES}`)
    }
  }

  const guard = makeWalGuard(Math.floor(walBytesMax / pageBytes), {
    ...wal.clock,
    look,
    copy: () => {
      // A commit that copied all of it would keep the loop standing for as long as that takes.
      if (wal.checkpointer === undefined) helper ??= makeCheckpointer(database, file)
      const copying = wal.checkpointer ?? helper
      copying?.flushed()
    },
    truncate: () => emptied.get()?.busy === 0,
    rest: dismiss,
    setOver: (isOver) => {
      if (isOver) {
        wal.warn(
          `${file}-wal has more than ${Math.floor(walBytesMax / MEGABYTE)} MB: somebody reads ${file} in a transaction that does not end, or has just written that much at once; it grows until that is over (fuser ${file} names who has it open).`,
        )
      } else wal.inform(`${file}-wal is small again.`)
    },
    inherited: ({ log }) =>
      wal.inform(
        `${file}-wal has ${Math.ceil((log * pageBytes) / MEGABYTE)} MB that the owner before left behind; they are copied into the database beside the traffic.`,
      ),
  })
  return {
    ...guard,
    closed: () => {
      guard.stop()
      dismiss()
      return ended
    },
  }
}
