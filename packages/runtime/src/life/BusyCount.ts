/**
 * The boundary between what is under way and whoever waits for the end of it: counts, and says when nothing is left.
 */
import { Effect } from "effect"

export class BusyCount {
  #count = 0
  #then: Array<() => void> = []

  enter(): void {
    this.#count++
  }

  leave(): void {
    if (--this.#count > 0) return
    const waiting = this.#then
    this.#then = []
    for (const then of waiting) then()
  }

  /** Resolves when nothing is under way. */
  readonly quiet: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.#count === 0) return resume(Effect.void)
    this.#then.push(() => resume(Effect.void))
  })
}
