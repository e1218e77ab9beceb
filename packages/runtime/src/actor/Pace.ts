/**
 * The boundary between how fast an actor ends its messages and what a sender is told who found no room: an estimate from
 * what it did lately, while something waited for it. An idle actor says nothing of its pace.
 */

/** Looked back upon at most: long enough to have seen a slow model answer, short enough to follow its mood. */
const WINDOW_MS = 30_000
/** Below it a sender's own timer and way are all that it waits for. */
const RETRY_AFTER_MS_MIN = 20
/** Further ahead nobody sees; whoever comes back then finds out. */
const RETRY_AFTER_MS_MAX = 60_000
/** Said where nothing has ended yet since something waits. */
const RETRY_AFTER_MS_UNKNOWN = 1_000
/** The part of the queue that is to be gone first: all who were refused come back, and one free place is not for all. */
const PART = 10

const bounded = (ms: number): number => Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, Math.ceil(ms)))

export class Pace {
  #sinceMs: number
  #since: number
  /** Milliseconds for each message, as last measured. */
  #before: number | undefined = undefined

  /** @param ended how many messages of the actor have ended */
  constructor(nowMs: number, ended: number) {
    this.#sinceMs = nowMs
    this.#since = ended
  }

  /** Something waits where nothing did: from here on it is measured anew. */
  begin(nowMs: number, ended: number): void {
    this.#sinceMs = nowMs
    this.#since = ended
  }

  /**
   * Milliseconds after which a sender may well find room, from 20 to 60,000.
   *
   * @param depth how many messages wait
   */
  retryAfterMs(nowMs: number, ended: number, depth: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#sinceMs)
    const count = ended - this.#since
    const each = count > 0 ? elapsedMs / count : this.#before
    this.#before = each
    if (count > 0 && elapsedMs >= WINDOW_MS) this.begin(nowMs, ended)
    // The longer nothing ends, the longer it may still take.
    return bounded(
      each === undefined ? Math.max(elapsedMs, RETRY_AFTER_MS_UNKNOWN) : each * Math.ceil(Math.max(1, depth) / PART),
    )
  }
}
