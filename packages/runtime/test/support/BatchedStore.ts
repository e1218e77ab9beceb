/**
 * The boundary to a store that writes in batches, as SQLite's does: commits wait for `flush`, which applies them in order
 * and then tells every caller, in order and without a turn of the loop between two of them.
 */
import { MessageStore } from "@pontoon/runtime"
import { applyCommit, type MemoryLog } from "@pontoon/runtime/testing"
import { Effect, Exit } from "effect"

type Store = MessageStore["Service"]

export class BatchedStore {
  #waiting: Array<() => () => void> = []

  /** Stands before `store`, on whose log it writes; to be used once. */
  readonly wrap = (store: Store, log: MemoryLog): Store =>
    MessageStore.of({
      ...store,
      commit: (writes) =>
        Effect.callback((resume) => {
          this.#waiting.push(() => {
            const receipt = applyCommit(log, writes)
            return () => resume(Exit.succeed(receipt))
          })
        }),
    })

  get size(): number {
    return this.#waiting.length
  }

  readonly flush = Effect.sync(() => {
    const batch = this.#waiting
    this.#waiting = []
    for (const tell of batch.map((apply) => apply())) tell()
  })
}
