/**
 * The boundary between many streams and few transactions: whoever has chunks to write is written in one turn of the loop,
 * and so in one transaction of the store, at most once a linger. Only what has waited for nobody goes at once.
 */
import { Effect } from "effect"

/** Runs an effect in a fiber of its own. */
type Fork = (effect: Effect.Effect<void>) => unknown

/** Something that has chunks to write. */
export interface Flushing {
  /** Begins to write what waits, where nothing is being written; else does nothing. */
  readonly flush: () => void
}

export class ChunkClock {
  readonly #fork: Fork
  readonly #lingerMs: number
  #waiting = new Set<Flushing>()
  #isTicking = false

  constructor(fork: Fork, lingerMs: number) {
    this.#fork = fork
    this.#lingerMs = lingerMs
  }

  /** Has `writer` write at the next tick; at once, where none was within the last linger. */
  request(writer: Flushing): void {
    if (this.#isTicking) {
      this.#waiting.add(writer)
      return
    }
    writer.flush()
    if (this.#lingerMs > 0) this.#tick()
  }

  #tick(): void {
    this.#isTicking = true
    // By a sleep, and not by an alarm at a time of the wall clock: that may step back, and chunks would wait for it.
    this.#fork(
      Effect.andThen(
        Effect.sleep(this.#lingerMs),
        Effect.sync(() => {
          this.#isTicking = false
          if (this.#waiting.size === 0) return
          const waiting = this.#waiting
          this.#waiting = new Set()
          for (const writer of waiting) writer.flush()
          this.#tick()
        }),
      ),
    )
  }
}
