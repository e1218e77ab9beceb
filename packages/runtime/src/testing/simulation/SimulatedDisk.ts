/**
 * The boundary to a disk in a simulation: a log in memory behind a `MessageStore` that takes its time, refuses, cannot be read, and loses
 * what was not committed when its process dies. It writes in batches as SQLite's writer does: all that was asked for while
 * the batch before was written goes into one transaction, and its callers are told in order, one right after the other.
 */
import { Effect, Exit } from "effect"
import type { CrashPointHook } from "../../ports/CrashPoints.ts"
import { type CommitReceipt, MessageStore } from "../../ports/MessageStore.ts"
import { type CommitFailure, RetryableStoreFailure, TerminalStaleAttempt } from "../../ports/StoreFailure.ts"
import { Submission } from "../../ports/Submission.ts"
import type { Write } from "../../ports/Write.ts"
import { applyCommit, type MemoryLog, makeMemoryLog } from "../MemoryLog.ts"
import { openMemoryLog } from "../MemoryStore.ts"
import type { SimulatedProcess, SimulatedTime } from "./SimulatedTime.ts"
import type { SeededRandom } from "./seededRandom.ts"

type Result = Exit.Exit<CommitReceipt, CommitFailure>

interface Waiting {
  readonly writes: ReadonlyArray<Write>
  readonly resume: (result: Result) => void
}

export interface DiskWatcher {
  /** A commit is asked for; it may never be written. */
  readonly asked: (writes: ReadonlyArray<Write>) => void
  /** What became of it, in the order in which they are applied. */
  readonly done: (writes: ReadonlyArray<Write>, result: string) => void
}

/** A healthy disk answers within this, in milliseconds; 0 is as common as any, so that things fall together. */
const LATENCY_MS_MAX = 4

/** Which part of reads takes that long; most come from memory. */
const SLOW_READS = 0.2

export class SimulatedDisk {
  readonly log: MemoryLog = makeMemoryLog()
  /** Refuses `share` of all commits, while set. */
  trouble: { readonly reason: "busy" | "full" | "io"; readonly share: number } | undefined = undefined
  /** Added to every commit, in milliseconds. */
  slowMs = 0
  /** Which part of all reads fails. */
  unreadable = 0
  commits = 0
  /** What is written in place of what was asked for, for tests of the checkers: a disk that loses or alters. */
  tamper: (writes: ReadonlyArray<Write>, nth: number) => ReadonlyArray<Write> = (writes) => writes
  readonly #time: SimulatedTime
  readonly #random: SeededRandom
  readonly #watcher: DiskWatcher

  constructor(time: SimulatedTime, random: SeededRandom, watch: (log: MemoryLog) => DiskWatcher) {
    this.#time = time
    this.#random = random
    this.#watcher = watch(this.log)
  }

  /** The store of one process; `direct`: it takes commits as SQLite's does, and else as any Effect. */
  open(process: SimulatedProcess, crashPoint: CrashPointHook, direct: boolean): MessageStore["Service"] {
    const { store } = Effect.runSync(openMemoryLog(this.log))
    const reads = this.#troubled(process, store)
    let waiting: Array<Waiting> = []
    let isWriting = false
    const write = (): void => {
      const batch = waiting
      waiting = []
      isWriting = batch.length > 0
      if (!isWriting) return
      crashPoint("commit.begun")
      const writtenAtMs = this.#time.nowMs + this.slowMs + this.#random.below(LATENCY_MS_MAX)
      process.at(writtenAtMs, () => {
        crashPoint("commit.written")
        if (!process.alive) return
        const results = batch.map(({ writes }) => this.#apply(writes))
        crashPoint("commit.done")
        process.at(this.#time.nowMs + this.#random.below(2), () => {
          for (const [nth, { resume }] of batch.entries()) resume(results[nth]!)
          write()
        })
      })
    }
    const take = (writes: ReadonlyArray<Write>, resume: (result: Result) => void): void => {
      this.#watcher.asked(writes)
      waiting.push({ writes, resume })
      if (isWriting) return
      isWriting = true
      process.at(this.#time.nowMs, write)
    }
    const commit = (writes: ReadonlyArray<Write>): Effect.Effect<CommitReceipt, CommitFailure> =>
      direct
        ? new Submission((done) => take(writes, done))
        : Effect.callback<CommitReceipt, CommitFailure>((resume) => take(writes, resume))
    return MessageStore.of({ ...reads, commit })
  }

  /** Reads that are as quick as a cache, or take a moment, or fail. */
  #troubled(process: SimulatedProcess, store: MessageStore["Service"]): MessageStore["Service"] {
    const read = <A, E>(reading: Effect.Effect<A, E>) =>
      Effect.suspend((): Effect.Effect<A, E | RetryableStoreFailure> => {
        if (this.unreadable > 0 && this.#random.chance(this.unreadable)) {
          const message = "The simulated disk could not be read."
          return Effect.fail(new RetryableStoreFailure({ reason: "io", message, cause: undefined }))
        }
        if (!this.#random.chance(SLOW_READS)) return reading
        const atMs = this.#time.nowMs + this.#random.below(LATENCY_MS_MAX)
        return Effect.callback<A, E>((resume) => {
          process.at(atMs, () => resume(reading))
        })
      })
    return {
      ...store,
      message: (id) => read(store.message(id)),
      actor: (address) => read(store.actor(address)),
      steps: (messageId) => read(store.steps(messageId)),
      chunks: (...range) => read(store.chunks(...range)),
      unfinished: (...page) => read(store.unfinished(...page)),
      census: (...page) => read(store.census(...page)),
      due: (...page) => read(store.due(...page)),
    }
  }

  #apply(writes: ReadonlyArray<Write>): Result {
    this.commits++
    const { trouble } = this
    if (trouble !== undefined && this.#random.chance(trouble.share)) {
      this.#watcher.done(writes, trouble.reason)
      const message = `The simulated disk refused a commit (${trouble.reason}); nothing of it was applied.`
      return Exit.fail(new RetryableStoreFailure({ reason: trouble.reason, message, cause: undefined }))
    }
    try {
      const receipt = applyCommit(this.log, this.tamper(writes, this.commits))
      this.#watcher.done(writes, "written")
      return Exit.succeed(receipt)
    } catch (error) {
      if (!(error instanceof TerminalStaleAttempt)) throw error
      this.#watcher.done(writes, "stale")
      return Exit.fail(error)
    }
  }
}
