/**
 * The boundary between a message and those who wait for it, in this process: askers are told its end, readers of a
 * stream that there is something new to read.
 */
import type { OutcomeFailure } from "../message/DeliveryFailure.ts"
import type { Reply } from "../message/Reply.ts"
import type { TerminalStoreFailure } from "../ports/StoreFailure.ts"

/** How a wait ends: with the message's reply, or without knowing it. */
export type Ending =
  | { readonly _tag: "Replied"; readonly reply: Reply }
  | { readonly _tag: "Unknown"; readonly failure: OutcomeFailure | TerminalStoreFailure }

export class Askers {
  readonly #waiting = new Map<string, Set<(ending: Ending) => void>>()
  readonly #reading = new Map<string, Set<() => void>>()

  /** Calls `then` at the message's end; the result stops waiting. */
  wait(messageId: string, then: (ending: Ending) => void): () => void {
    return add(this.#waiting, messageId, then)
  }

  /** Calls `then` at every new chunk, and at the end; the result stops reading. */
  read(messageId: string, then: () => void): () => void {
    return add(this.#reading, messageId, then)
  }

  /** Whether anybody waits for the message. */
  has(messageId: string): boolean {
    return this.#waiting.has(messageId) || this.#reading.has(messageId)
  }

  chunk(messageId: string): void {
    const readers = this.#reading.get(messageId)
    if (readers !== undefined) for (const reader of [...readers]) reader()
  }

  end(messageId: string, ending: Ending): void {
    const waiting = this.#waiting.get(messageId)
    this.#waiting.delete(messageId)
    if (waiting !== undefined) for (const waiter of waiting) waiter(ending)
    this.chunk(messageId)
  }

  /** Ends every wait. */
  endAll(ending: (messageId: string) => Ending): void {
    for (const messageId of [...this.#waiting.keys()]) this.end(messageId, ending(messageId))
    for (const messageId of [...this.#reading.keys()]) this.chunk(messageId)
  }
}

const add = <F>(map: Map<string, Set<F>>, key: string, then: F): (() => void) => {
  const set = map.get(key) ?? new Set<F>()
  map.set(key, set.add(then))
  return () => {
    set.delete(then)
    if (set.size === 0 && map.get(key) === set) map.delete(key)
  }
}
