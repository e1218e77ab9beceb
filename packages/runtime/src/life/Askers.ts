/**
 * The boundary between a message and those who wait for it, in this process: askers are told its end, readers of a
 * stream that there is something new to read, and its handler whether a reader is too far behind.
 */
import type { Ending } from "./Ending.ts"
import type { Reader } from "./Reader.ts"

export class Askers {
  readonly #waiting = new Map<string, Set<(ending: Ending) => void>>()
  readonly #reading = new Map<string, Set<Reader>>()

  /** Calls `then` at the message's end; the result stops waiting. */
  wait(messageId: string, then: (ending: Ending) => void): () => void {
    return add(this.#waiting, messageId, then)
  }

  /** Rings for the reader at every new chunk, and at the end; the result stops reading. */
  read(messageId: string, reader: Reader): () => void {
    return add(this.#reading, messageId, reader)
  }

  /** Whether anybody waits for the message. */
  has(messageId: string): boolean {
    return this.#waiting.has(messageId) || this.#reading.has(messageId)
  }

  chunk(messageId: string): void {
    const readers = this.#reading.get(messageId)
    if (readers !== undefined) for (const reader of [...readers]) reader.ring()
  }

  /** A reader that the message's handler, which has said `said` chunks, must wait for. */
  holder(messageId: string, said: number): Reader | undefined {
    const readers = this.#reading.get(messageId)
    if (readers === undefined) return undefined
    for (const reader of readers) if (reader.holdsBack(said)) return reader
    return undefined
  }

  end(messageId: string, ending: Ending): void {
    const waiting = this.#waiting.get(messageId)
    this.#waiting.delete(messageId)
    if (waiting !== undefined) for (const waiter of waiting) waiter(ending)
    const readers = this.#reading.get(messageId)
    if (readers === undefined) return
    for (const reader of readers) reader.ending = ending
    this.chunk(messageId)
  }

  /** Ends every wait. */
  endAll(ending: (messageId: string) => Ending): void {
    for (const messageId of [...this.#waiting.keys()]) this.end(messageId, ending(messageId))
    for (const messageId of [...this.#reading.keys()]) this.end(messageId, ending(messageId))
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
