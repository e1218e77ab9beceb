/**
 * The boundary between a handful of things and the collector: the messages that an actor runs, of which there are nearly
 * always none or one. A Set's tables hang on each other once one is old (see `life/IdMap.ts`).
 */
export class Bag<A> {
  readonly #all: Array<A> = []

  get size(): number {
    return this.#all.length
  }

  /** Must not be in it. */
  add(each: A): void {
    this.#all.push(each)
  }

  has(each: A): boolean {
    return this.#all.includes(each)
  }

  delete(each: A): boolean {
    const index = this.#all.indexOf(each)
    if (index < 0) return false
    this.#all.splice(index, 1)
    return true
  }

  [Symbol.iterator](): IterableIterator<A> {
    return this.#all.values()
  }
}
