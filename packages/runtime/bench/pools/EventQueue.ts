/** The boundary to simulated time: what happens next, earliest first, and among equals in the order in which it was planned. */

interface Planned {
  readonly atMs: number
  readonly order: number
  readonly happen: () => void
}

const isBefore = (a: Planned, b: Planned): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** A binary heap. */
export class EventQueue {
  readonly #heap: Array<Planned> = []
  #order = 0

  plan(atMs: number, happen: () => void): void {
    const heap = this.#heap
    const planned = { atMs, order: this.#order++, happen }
    let at = heap.length
    heap.push(planned)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent]!, planned)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = planned
  }

  take(): { readonly atMs: number; readonly happen: () => void } | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}
