/**
 * The boundary between a streamed reply and one of its readers: how far that reader is, how far ahead of it the handler
 * may be, and what wakes either of them.
 */
import { Effect } from "effect"
import type { AppendChunk } from "../../ports/Write.ts"
import type { Ending } from "../Ending.ts"

/** How far a reader lets the handler run ahead. */
export interface Pace {
  /**
   * Chunks that the handler may be ahead of this reader before its `emit` waits, from 1 to 1,000,000. Default: no limit.
   * Raising it lets a model finish sooner, and leaves more to read when the client is slow.
   */
  readonly aheadMax?: number
  /**
   * Milliseconds that one `emit` waits for this reader before it goes on without it, from 1 to 3,600,000. Default 30,000.
   * The reader is waited for again once it has caught up. Raising it keeps the model longer for a client that has stopped.
   */
  readonly aheadMsMax?: number
}

/** Chunks handed to a reader that it has not taken; one that is slower reads them from the log, as it would have. */
const HANDED_MAX = 256

/** A client that takes nothing for half a minute has gone, or its connection has, and neither has been noticed. */
export const AHEAD_MS_DEFAULT = 30_000
const AHEAD_LIMIT = 1_000_000
const AHEAD_MS_LIMIT = 3_600_000

/** What is wrong with a pace, in one clause; undefined where nothing is. */
export const mistakeInPace = ({ aheadMax, aheadMsMax }: Pace): string | undefined => {
  const isWithin = (value: number, max: number) => Number.isSafeInteger(value) && value >= 1 && value <= max
  if (aheadMax !== undefined && !isWithin(aheadMax, AHEAD_LIMIT)) {
    return `aheadMax must be a whole number from 1 to ${AHEAD_LIMIT}, and is ${aheadMax}; leave it out for no limit.`
  }
  if (aheadMsMax !== undefined && !isWithin(aheadMsMax, AHEAD_MS_LIMIT)) {
    return `aheadMsMax must be a whole number of milliseconds from 1 to ${AHEAD_MS_LIMIT}, and is ${aheadMsMax}.`
  }
  return undefined
}

export class Reader {
  /** The number of the first chunk that it has not taken. */
  position: number
  readonly aheadMax: number
  readonly aheadMsMax: number
  /** How the message ended, where that came in this process while it read. */
  ending: Ending | undefined = undefined
  /** It has been handed all that is written, and what comes next will be, or it will be rung for: the log has no more. */
  isCaughtUp = false
  #handed: ReadonlyArray<AppendChunk> = []
  #rung = false
  #wake: (() => void) | undefined = undefined
  /** It kept the handler too long, and is not waited for until it has caught up. */
  #isLeftBehind = false
  #onMoved: Array<() => void> = []

  constructor(from: number, { aheadMax, aheadMsMax }: Pace) {
    this.position = from
    this.aheadMax = aheadMax ?? Number.POSITIVE_INFINITY
    this.aheadMsMax = aheadMsMax ?? AHEAD_MS_DEFAULT
  }

  /** Whether a handler that has said `said` chunks must wait before it says another. */
  holdsBack(said: number): boolean {
    if (said - this.position < this.aheadMax) {
      this.#isLeftBehind = false
      return false
    }
    return !this.#isLeftBehind
  }

  /** It has taken everything before number `position`. */
  advance(position: number): void {
    if (position === this.position) return
    this.position = position
    this.#moved()
  }

  /** It reads no more. */
  leave(): void {
    this.position = Number.POSITIVE_INFINITY
    this.#moved()
  }

  /** Waits until it moves or leaves, but no longer than it may keep the handler. */
  readonly moved = Effect.suspend(() => {
    const waited = Effect.callback<void>((resume) => {
      const then = () => resume(Effect.void)
      this.#onMoved.push(then)
      return Effect.sync(() => {
        this.#onMoved = this.#onMoved.filter((each) => each !== then)
      })
    })
    return Effect.map(Effect.timeoutOption(waited, this.aheadMsMax), (moved) => {
      if (moved._tag === "None") this.#isLeftBehind = true
    })
  })

  /**
   * Hands it chunks that have just been written, in their order: a reader that keeps up need not read them back. (Of 60 us of
   * processor time a token, at 64 streams of 100 tokens a second, 17 were that read.)
   */
  hand(chunks: ReadonlyArray<AppendChunk>): void {
    this.#handed = this.#handed.length + chunks.length > HANDED_MAX ? [] : [...this.#handed, ...chunks]
  }

  /** Takes the chunks that it was handed, from number `from` on and without a hole; what is not among them is in the log. */
  take(from: number): ReadonlyArray<AppendChunk> {
    if (this.#handed.length === 0) return []
    const rest = this.#handed.filter(({ ordinal }) => ordinal >= from)
    this.#handed = []
    const hole = rest.findIndex(({ ordinal }, index) => ordinal !== from + index)
    this.isCaughtUp = hole < 0 && rest.length > 0
    return hole < 0 ? rest : rest.slice(0, hole)
  }

  /** There is something new to read, or the end; heard also by a reader that is busy now. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Forgets what rang before: the reader is about to look. */
  quiet(): void {
    this.#rung = false
    this.#wake = undefined
  }

  readonly rung = Effect.callback<void>((resume) => {
    if (this.#rung) resume(Effect.void)
    else this.#wake = () => resume(Effect.void)
    return Effect.sync(() => {
      this.#wake = undefined
    })
  })

  #moved(): void {
    const waiting = this.#onMoved
    this.#onMoved = []
    for (const then of waiting) then()
  }
}
