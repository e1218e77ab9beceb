/**
 * The boundary between what lies on disk and what memory has room for: how many messages that were read back have not
 * ended yet, and when there is room for the next ones.
 */
import { Effect } from "effect"

/**
 * How long a full memory keeps the next page out, in milliseconds. What was read may be unable to move: its actors are
 * down, or slow, or wait for an answer of an actor whose turn comes later in the backlog. So a page comes in at least this
 * often, and memory grows by that instead of the system standing still.
 */
const ROOM_WAIT_MS_MAX = 1_000

export class ReadAhead {
  readonly #max: number
  #count = 0
  #wake: (() => void) | undefined = undefined

  /** @param max messages that were read and have not ended, above which nothing is read */
  constructor(max: number) {
    this.#max = max
  }

  get isFull(): boolean {
    return this.#count >= this.#max
  }

  /** A message was read. */
  took(): void {
    this.#count++
  }

  /** One that was read has ended, or has left memory. */
  ended(): void {
    this.#count--
    if (!this.isFull) this.#wake?.()
  }

  /** Waits until there is room, but not for ever. */
  readonly room: Effect.Effect<void> = Effect.suspend(() =>
    Effect.raceFirst(
      Effect.callback<void>((resume) => {
        if (!this.isFull) return resume(Effect.void)
        this.#wake = () => resume(Effect.void)
        return Effect.sync(() => {
          this.#wake = undefined
        })
      }),
      Effect.sleep(ROOM_WAIT_MS_MAX),
    ).pipe(
      // Whoever wakes this is in the middle of a step, and memory behind the log until that is done.
      Effect.andThen(Effect.yieldNow),
    ),
  )
}
