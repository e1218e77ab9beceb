/** The boundary to the operator's knobs: every bound of the store, with its reason. */
import { TerminalStoreFailure } from "@pontoon/runtime"
import { type RetentionLimits, type RetentionOptions, readRetention } from "./care/RetentionOptions.ts"

export interface StoreOptions {
  /**
   * Writes in one transaction. Default 4096, from 1 to 65536. Raising it shares a disk sync among more callers and keeps
   * the event loop longer; on a fast disk `flushMsMax` is reached first. A single commit is never split.
   */
  readonly flushWritesMax?: number
  /**
   * Milliseconds that one transaction may spend on writing rows before it commits and lets the event loop turn. Default
   * 2, from 1 to 1000. Raising it gains throughput under about a thousand callers and delays everything else on the loop:
   * 4 gave 20 % more asks and a delay (p99) of 13 in place of 8.6 ms, 8 gave 40 % more and 17 ms (1,024 callers).
   */
  readonly flushMsMax?: number
  /**
   * Writes that may wait for a transaction; a commit beyond it is refused as `RetryableStoreFailure` `busy`. Default
   * 100000 (about 100 MB with bodies of 1 KB), from 1 to 10000000. Raising it trades memory for bursts.
   */
  readonly pendingWritesMax?: number
  /**
   * Milliseconds to wait for another process that holds the file's write lock (an operator's `sqlite3`), without
   * stopping the event loop; then every waiting commit fails as `RetryableStoreFailure` `busy`. Default 5000, from 0 to
   * 600000.
   */
  readonly lockWaitMsMax?: number
  /**
   * Who copies the write-ahead log into the database: the `commit` that makes it 4 MB long (the default), or a `thread` of
   * its own, which no commit waits for and which lets the log grow to 16 to 20 MB. Where a sync takes 0.1 ms the thread
   * costs 13 to 18 % of the throughput and spares the event loop little or nothing (see Checkpointer.ts); choose it where the loop
   * stands still for long because syncs take milliseconds.
   */
  readonly checkpoint?: "commit" | "thread"
  /**
   * `full` (the default) syncs the disk with every commit: accepted means on disk. `normal` syncs only when the write-ahead
   * log is copied into the database, and gives up that promise for a crash of the machine: after a power cut the last
   * commits, those since the last copy, may be missing, newest first, though their senders were told "accepted". A killed
   * process loses nothing, and the file is never damaged by it. Choose it where a message can be sent again.
   */
  readonly synchronous?: "full" | "normal"
  /**
   * Bytes of the write-ahead log past which a warning says that a reader holds it back. Default 256 MiB, from 32 MiB to
   * 1 TiB. Nothing is refused past it; when the reader has gone, the log is copied by a thread and emptied. Raising it says
   * it later, and leaves a larger file meanwhile.
   */
  readonly walBytesMax?: number
  /** What the log forgets, in small steps beside the traffic. Default: nothing. */
  readonly retention?: RetentionOptions
}

type Limits = Omit<Required<StoreOptions>, "checkpoint" | "synchronous" | "retention">
export interface StoreLimits extends Required<Omit<StoreOptions, "retention">> {
  readonly retention: RetentionLimits | undefined
}

const RANGES: { readonly [K in keyof Limits]: readonly [fallback: number, min: number, max: number] } = {
  flushWritesMax: [4_096, 1, 65_536],
  flushMsMax: [2, 1, 1_000],
  pendingWritesMax: [100_000, 1, 10_000_000],
  lockWaitMsMax: [5_000, 0, 600_000],
  // The least is above the 20 MB that a thread lets it grow to.
  walBytesMax: [256 * 1024 ** 2, 32 * 1024 ** 2, 1024 ** 4],
}

/** Fills in the defaults. @throws TerminalStoreFailure naming the option that is out of range */
export const readStoreOptions = (options: StoreOptions = {}): StoreLimits => {
  const read = (name: keyof Limits): number => {
    const [fallback, min, max] = RANGES[name]
    const value = options[name] ?? fallback
    if (Number.isFinite(value) && value >= min && value <= max) return value
    throw new TerminalStoreFailure({
      reason: "other",
      message: `The store option ${name} is ${value}; give a number from ${min} to ${max}.`,
      cause: undefined,
    })
  }
  const choose = <A extends string>(name: string, value: A | undefined, choices: readonly [A, ...Array<A>]): A => {
    const chosen = value ?? choices[0]
    if (choices.includes(chosen)) return chosen
    throw new TerminalStoreFailure({
      reason: "other",
      message: `The store option ${name} is ${chosen}; give ${choices.join(" or ")}.`,
      cause: undefined,
    })
  }
  return {
    flushWritesMax: read("flushWritesMax"),
    flushMsMax: read("flushMsMax"),
    pendingWritesMax: read("pendingWritesMax"),
    lockWaitMsMax: read("lockWaitMsMax"),
    walBytesMax: read("walBytesMax"),
    checkpoint: choose("checkpoint", options.checkpoint, ["commit", "thread"]),
    synchronous: choose("synchronous", options.synchronous, ["full", "normal"]),
    retention: readRetention(options.retention),
  }
}
