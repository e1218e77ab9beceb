/**
 * The boundary between what becomes of actors and the log of it: changes are written in the order in which they happened,
 * also while the store refuses some, and nobody waits for them.
 */
import { Effect } from "effect"
import { commitPatiently } from "../life/commit.ts"
import { isOver } from "../life/reply.ts"
import type { System } from "../life/System.ts"
import type { Write } from "../ports/Write.ts"

export class LifecycleLog {
  readonly #system: System
  #unwritten: Array<Write> = []
  #writing = false

  constructor(system: System) {
    this.#system = system
  }

  write(writes: ReadonlyArray<Write>): void {
    this.#unwritten.push(...writes)
    if (!this.#writing) this.#flush()
  }

  /** One commit at a time, each with all that gathered during the one before. */
  #flush(): void {
    const writes = this.#unwritten
    this.#unwritten = []
    this.#writing = writes.length > 0
    if (!this.#writing) return
    this.#system.fork(
      commitPatiently(this.#system, writes).pipe(
        Effect.catch((failure) =>
          isOver(this.#system, failure)
            ? Effect.void
            : Effect.logError(`A lifecycle change was not written: ${failure.message}`),
        ),
        Effect.ensuring(Effect.sync(() => this.#flush())),
        Effect.uninterruptible,
      ),
    )
  }
}
