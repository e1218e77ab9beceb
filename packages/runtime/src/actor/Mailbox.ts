/**
 * The boundary of one actor's queue in memory: which of its waiting messages runs next. The messages themselves are in
 * the store; losing this loses nothing.
 *
 * Order: priority, then acceptance. A message that is not due (delayed, or in backoff) is passed by later ones, unless
 * the mailbox is strict.
 */

/** What the queue has to know of a message. */
export interface Queued {
  readonly envelope: { readonly priority: number }
  /** The order of acceptance. */
  readonly order: number
  /** Not run before this time, in milliseconds since the epoch. */
  readonly dueAtMs: number
}

const before = (a: Queued, b: Queued): boolean =>
  a.envelope.priority === b.envelope.priority ? a.order < b.order : a.envelope.priority > b.envelope.priority

export class Mailbox<M extends Queued> {
  readonly #strict: boolean
  /** Due, in running order; in a strict mailbox, every waiting message. */
  readonly #queue: Array<M> = []
  /** Not due yet. */
  readonly #delayed = new Set<M>()

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

  push(message: M, nowMs: number): void {
    if (message.dueAtMs > nowMs && !this.#strict) this.#delayed.add(message)
    else this.#insert(message)
  }

  /** The time has come for a delayed message. */
  due(message: M): void {
    if (this.#delayed.delete(message)) this.#insert(message)
  }

  /** Removes and gives the message to run now, if there is one: the first that `admits` lets through. */
  take(nowMs: number, admits: (message: M) => boolean): M | undefined {
    // Nearly always the head: only while the system closes is anything passed over.
    const index = this.#queue.findIndex(admits)
    const found = this.#queue[index]
    if (found === undefined || found.dueAtMs > nowMs) return undefined
    if (index === 0) this.#queue.shift()
    else this.#queue.splice(index, 1)
    return found
  }

  remove(message: M): boolean {
    if (this.#delayed.delete(message)) return true
    const index = this.#queue.indexOf(message)
    if (index < 0) return false
    this.#queue.splice(index, 1)
    return true
  }

  /** Every waiting message: the due ones in running order, then the others. */
  all(): ReadonlyArray<M> {
    return [...this.#queue, ...this.#delayed]
  }

  #insert(message: M): void {
    // Almost always the newest: look from the end.
    let index = this.#queue.length
    while (index > 0 && before(message, this.#queue[index - 1]!)) index--
    this.#queue.splice(index, 0, message)
  }
}
