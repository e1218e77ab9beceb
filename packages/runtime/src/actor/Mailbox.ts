/**
 * The boundary of one actor's queue in memory: which of its waiting messages runs next. The messages themselves are in
 * the store; losing this loses nothing.
 *
 * Order: priority, then acceptance. A message that is not due (delayed, or in backoff) is passed by later ones, unless
 * the mailbox is strict.
 */
import type { LiveMessage } from "../life/LiveMessage.ts"

const before = (a: LiveMessage, b: LiveMessage): boolean =>
  a.envelope.priority === b.envelope.priority ? a.order < b.order : a.envelope.priority > b.envelope.priority

export class Mailbox {
  readonly #strict: boolean
  /** Due, in running order; in a strict mailbox, every waiting message. */
  readonly #queue: Array<LiveMessage> = []
  /** Not due yet. */
  readonly #delayed = new Set<LiveMessage>()

  constructor(strict: boolean) {
    this.#strict = strict
  }

  get size(): number {
    return this.#queue.length + this.#delayed.size
  }

  /** Whether anything could run before a message that arrives now. */
  get hasQueue(): boolean {
    return this.#queue.length > 0
  }

  push(message: LiveMessage, nowMs: number): void {
    if (message.dueAtMs > nowMs && !this.#strict) this.#delayed.add(message)
    else this.#insert(message)
  }

  /** The time has come for a delayed message. */
  due(message: LiveMessage): void {
    if (this.#delayed.delete(message)) this.#insert(message)
  }

  /** Removes and gives the message to run now, if there is one. */
  take(nowMs: number): LiveMessage | undefined {
    const head = this.#queue[0]
    if (head === undefined || head.dueAtMs > nowMs) return undefined
    this.#queue.shift()
    return head
  }

  remove(message: LiveMessage): boolean {
    if (this.#delayed.delete(message)) return true
    const index = this.#queue.indexOf(message)
    if (index < 0) return false
    this.#queue.splice(index, 1)
    return true
  }

  /** Every waiting message, in no particular order. */
  all(): ReadonlyArray<LiveMessage> {
    return [...this.#queue, ...this.#delayed]
  }

  #insert(message: LiveMessage): void {
    // Almost always the newest: look from the end.
    let index = this.#queue.length
    while (index > 0 && before(message, this.#queue[index - 1]!)) index--
    this.#queue.splice(index, 0, message)
  }
}
