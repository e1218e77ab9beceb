/**
 * The boundary of one priority in a mailbox: its messages in the order of acceptance, first in first out, also where one
 * comes back to its old place.
 */

interface Ordered {
  /** The order of acceptance; no two have the same. */
  readonly order: number
}

/** Places that were given up in front before the array is cut: moving what is left then costs less than what was taken. */
const GAP_MAX = 1_024

export class Lane<M extends Ordered> {
  readonly priority: number
  /** From `#head` on; what is before it was taken, and is let go. */
  #items: Array<M | undefined> = []
  #head = 0

  constructor(priority: number) {
    this.priority = priority
  }

  get length(): number {
    return this.#items.length - this.#head
  }

  get first(): M | undefined {
    return this.#items[this.#head]
  }

  add(message: M): void {
    const last = this.#items.at(-1)
    if (last === undefined || last.order < message.order) this.#items.push(message)
    else this.#items.splice(this.#indexOf(message.order), 0, message)
  }

  /** Takes the first one out. */
  shift(): void {
    // An array that is emptied by `pop` keeps its room for the next message.
    if (this.#head === 0 && this.#items.length === 1) return void this.#items.pop()
    if (this.length <= 1) {
      this.#items = []
      this.#head = 0
      return
    }
    this.#items[this.#head++] = undefined
    if (this.#head < GAP_MAX || this.#head * 2 < this.#items.length) return
    this.#items = this.#items.slice(this.#head)
    this.#head = 0
  }

  remove(message: M): boolean {
    const index = this.#indexOf(message.order)
    if (this.#items[index] !== message) return false
    if (index === this.#head) this.shift()
    else this.#items.splice(index, 1)
    return true
  }

  /** The first one that is `wanted`. */
  find(wanted: (message: M) => boolean): M | undefined {
    for (let index = this.#head; index < this.#items.length; index++) {
      const message = this.#items[index]
      if (message !== undefined && wanted(message)) return message
    }
    return undefined
  }

  all(): ReadonlyArray<M> {
    return this.#items.filter((message) => message !== undefined)
  }

  /** Where a message of that order is, or would have to be. */
  #indexOf(order: number): number {
    let low = this.#head
    let high = this.#items.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#items[middle]?.order ?? 0) < order) low = middle + 1
      else high = middle
    }
    return low
  }
}
