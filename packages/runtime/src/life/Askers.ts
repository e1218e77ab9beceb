/**
 * The boundary between a message and those who wait for it, in this process: askers are told its end, readers of a
 * stream that there is something new to read, and its handler whether a reader is too far behind.
 */
import type { AppendChunk } from "../ports/Write.ts"
import type { Ending } from "./Ending.ts"
import { IdMap } from "./IdMap.ts"
import type { Reader } from "./streams/Reader.ts"

export class Askers {
  /** A message has one asker nearly always. */
  readonly #waiting = new IdMap<Array<(ending: Ending) => void>>()
  readonly #reading = new Map<string, Set<Reader>>()

  /** Calls `then` at the message's end; the result stops waiting. */
  wait(messageId: string, then: (ending: Ending) => void): () => void {
    const waiting = this.#waiting.get(messageId)
    if (waiting === undefined) this.#waiting.set(messageId, [then])
    else waiting.push(then)
    return () => this.#stop(messageId, then)
  }

  #stop(messageId: string, then: (ending: Ending) => void): void {
    const waiting = this.#waiting.get(messageId)
    const index = waiting?.indexOf(then) ?? -1
    if (waiting === undefined || index < 0) return
    waiting.splice(index, 1)
    if (waiting.length === 0) this.#waiting.delete(messageId)
  }

  /** Rings for the reader at every new chunk, and at the end; the result stops reading. */
  read(messageId: string, reader: Reader): () => void {
    const reading = this.#reading.get(messageId) ?? new Set<Reader>()
    this.#reading.set(messageId, reading.add(reader))
    return () => {
      reading.delete(reader)
      if (reading.size === 0 && this.#reading.get(messageId) === reading) this.#reading.delete(messageId)
    }
  }

  /** Whether anybody waits for the message. */
  has(messageId: string): boolean {
    return this.#waiting.has(messageId) || this.#reading.has(messageId)
  }

  /** Tells readers that there is something new, and what, if that is all there is. */
  chunk(messageId: string, written: ReadonlyArray<AppendChunk> = []): void {
    const readers = this.#reading.get(messageId)
    if (readers === undefined) return
    for (const reader of [...readers]) {
      if (written.length > 0) reader.hand(written)
      reader.ring()
    }
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
    if (waiting !== undefined) {
      this.#waiting.delete(messageId)
      for (const waiter of waiting) waiter(ending)
    }
    if (this.#reading.size === 0) return
    const readers = this.#reading.get(messageId)
    if (readers === undefined) return
    for (const reader of readers) reader.ending = ending
    this.chunk(messageId)
  }

  /** Ends every wait. */
  endAll(ending: (messageId: string) => Ending): void {
    for (const messageId of [...this.#waiting.ids()]) this.end(messageId, ending(messageId))
    for (const messageId of [...this.#reading.keys()]) this.end(messageId, ending(messageId))
  }
}
