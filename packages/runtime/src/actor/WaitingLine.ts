/**
 * The boundary before a full mailbox whose senders wait: who is next. The messages of those who stand here are nowhere but
 * with them; none is accepted.
 */
export interface Waiter {
  /** Whether there is room for its message. */
  readonly fits: () => boolean
  /** Leaves the line, and goes on. */
  readonly go: () => void
}

export class WaitingLine {
  readonly #waiters = new Set<Waiter>()

  get size(): number {
    return this.#waiters.size
  }

  get first(): Waiter | undefined {
    return this.#waiters.values().next().value
  }

  join(waiter: Waiter): void {
    this.#waiters.add(waiter)
  }

  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter)
  }
}
