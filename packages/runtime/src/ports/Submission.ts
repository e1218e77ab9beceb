/**
 * The boundary between a store that answers by a callback and a runtime that has no use for a fiber per commit: a commit
 * that is an Effect like any other, and can also be started by hand.
 *
 * A store need not give one, any Effect will do. But to evaluate an Effect takes a fiber, and to wait in one a suspension:
 * 3 us of processor time a commit, where an ask makes two of them and its SQL takes 20 in all.
 */
import { Effect, Effectable, type Exit } from "effect"
import type { CommitReceipt } from "./MessageStore.ts"
import type { CommitFailure } from "./StoreFailure.ts"

/** How a commit ended. */
export type CommitExit = Exit.Exit<CommitReceipt, CommitFailure>

export class Submission extends Effectable.Class<CommitReceipt, CommitFailure> {
  /** Hands the commit to the store, which calls `done` once, in this call or later. To be started once. */
  readonly start: (done: (exit: CommitExit) => void) => void

  constructor(start: (done: (exit: CommitExit) => void) => void) {
    super()
    this.start = start
  }

  /** No way to take it back: an interrupted caller leaves its commit where it is. */
  override asEffect(): Effect.Effect<CommitReceipt, CommitFailure> {
    return Effect.callback((resume) => this.start(resume))
  }
}
