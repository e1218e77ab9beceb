/**
 * The boundary to whoever applies commits: data in, an outcome out, in the order of submission. `LoopWriter` does it on
 * the event loop; a worker thread could do it behind the same interface, because nothing but data crosses.
 */
import type { CommitExit, Write } from "@pontoon/runtime"

export interface Writer {
  /** Takes a commit; `done` is called once, after it is durable or refused. */
  readonly submit: (writes: ReadonlyArray<Write>, done: (exit: CommitExit) => void) => void
  /** Whether no commit waits. */
  readonly isIdle: () => boolean
  /** Carries out everything submitted so far, then refuses whatever comes. */
  readonly close: () => void
}
