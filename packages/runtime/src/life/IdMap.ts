/**
 * The boundary between the messages of this moment and the collector: a map from message ids, for entries that come and go
 * thousands of times a second.
 *
 * Not a Map, because of what its table leaves behind. V8 gives a Map that churns a new table every few dozen entries, and
 * the old one points to the new (for iterators that are under way). Once a single table has grown old, each one after it
 * hangs on the one before, and so do the messages in them: every scavenge keeps what nobody can reach, until the next full
 * collection. Measured on a store that does nothing (64 callers): 20 to 40 ms in place of 1 for a scavenge, and 17.4 in
 * place of 12.2 us of processor time per ask.
 *
 * Open addressing with linear probing, and no tombstones (Knuth, The Art of Computer Programming, 6.4, algorithm R).
 */

const CAPACITY_MIN = 64

/** Ids made one after the other differ in their last characters; a child's end with its parent's, and its number. */
const HASHED = 12

const hash = (id: string): number => {
  let value = 0x811c9dc5
  for (let index = Math.max(0, id.length - HASHED); index < id.length; index++) {
    value = Math.imul(value ^ id.charCodeAt(index), 0x01000193)
  }
  return (value ^ (value >>> 15)) >>> 0
}

/** Never gets smaller: what was once needed, a backlog, comes again. */
export class IdMap<V> {
  #ids: Array<string | undefined> = new Array(CAPACITY_MIN).fill(undefined)
  #values: Array<V | undefined> = new Array(CAPACITY_MIN).fill(undefined)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: string): V | undefined {
    return this.#values[this.#find(id)]
  }

  has(id: string): boolean {
    return this.#ids[this.#find(id)] !== undefined
  }

  set(id: string, value: V): void {
    const slot = this.#find(id)
    if (this.#ids[slot] === undefined) {
      this.#ids[slot] = id
      this.#size++
    }
    this.#values[slot] = value
    // Half full at most, so that a search ends after two or three steps.
    if (this.#size * 2 > this.#ids.length) this.#grow()
  }

  delete(id: string): boolean {
    let hole = this.#find(id)
    if (this.#ids[hole] === undefined) return false
    this.#size--
    const mask = this.#ids.length - 1
    // What comes after it is moved up, where it would not be found any more past the hole.
    for (let slot = hole; ; ) {
      slot = (slot + 1) & mask
      const next = this.#ids[slot]
      if (next === undefined) break
      const home = hash(next) & mask
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      this.#ids[hole] = next
      this.#values[hole] = this.#values[slot]
      hole = slot
    }
    this.#ids[hole] = undefined
    this.#values[hole] = undefined
    return true
  }

  /** In no order. Take a copy where entries may come or go meanwhile. */
  *values(): IterableIterator<V> {
    for (let slot = 0; slot < this.#ids.length; slot++) {
      if (this.#ids[slot] !== undefined) yield this.#values[slot] as V
    }
  }

  /** As `values`. */
  *ids(): IterableIterator<string> {
    for (const id of this.#ids) if (id !== undefined) yield id
  }

  /** Where the id is, or would be. */
  #find(id: string): number {
    const mask = this.#ids.length - 1
    let slot = hash(id) & mask
    for (;;) {
      const known = this.#ids[slot]
      if (known === undefined || known === id) return slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const ids = this.#ids
    const values = this.#values
    this.#ids = new Array(ids.length * 2).fill(undefined)
    this.#values = new Array(ids.length * 2).fill(undefined)
    for (let from = 0; from < ids.length; from++) {
      const id = ids[from]
      if (id === undefined) continue
      const slot = this.#find(id)
      this.#ids[slot] = id
      this.#values[slot] = values[from]
    }
  }
}
