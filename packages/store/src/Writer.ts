/**
 * The boundary to whoever applies commits: data in, an outcome out, in the order of submission. `LoopWriter` does it on
 * the event loop; a worker thread could do it behind the same interface, because nothing but data crosses.
 */
import type { CommitFailure, CommitReceipt, Write } from "@pontoon/runtime"
import type { Exit } from "effect"

export type CommitExit = Exit.Exit<CommitReceipt, CommitFailure>

export interface Writer {
  /** Takes a commit; `done` is called once, after it is durable or refused. */
  readonly submit: (writes: ReadonlyArray<Write>, done: (exit: CommitExit) => void) => void
  /** Whether no commit waits. */
  readonly isIdle: () => boolean
  /** Carries out everything submitted so far, then refuses whatever comes. */
  readonly close: () => void
}
