/**
 * The boundary between a name and its actor in memory: one cell an address, made on first use, dropped when idle and
 * long unused.
 */
import { type Address, formatAddress } from "../message/Address.ts"
import type { AnyActor } from "./Actor.ts"
import { Cell } from "./Cell.ts"
import type { Queued, Tally } from "./Mailbox.ts"
import { initialLifecycle } from "./stepLifecycle.ts"

/** Cells looked at when one is added past the limit: enough to keep up with any rate of new actors. */
const EVICT_LOOK_MAX = 16

export class Registry<M extends Queued> {
  readonly #cells = new Map<string, Cell<M>>()
  readonly #residentMax: number
  /** What waits in all mailboxes, or is on its way into one. */
  readonly waiting: Tally = { count: 0 }

  /** @param residentMax idle actors kept in memory, by how recently they were used */
  constructor(residentMax: number) {
    this.#residentMax = residentMax
  }

  get size(): number {
    return this.#cells.size
  }

  cell(address: Address, actor: AnyActor): Cell<M> {
    const key = formatAddress(address)
    const known = this.#cells.get(key)
    if (known !== undefined) {
      // A Map keeps insertion order: putting a used cell at the end leaves the longest unused one in front.
      if (this.#cells.size >= this.#residentMax) {
        this.#cells.delete(key)
        this.#cells.set(key, known)
      }
      return known
    }
    const cell = new Cell<M>(address, actor, this.waiting)
    // An actor without a start has nothing to wait for: it is ready from the first message on.
    if (actor.start === undefined) {
      cell.lifecycle = { ...initialLifecycle(actor.supervision), state: "ready" }
    }
    this.#add(cell)
    return cell
  }

  /**
   * The cell to use for one that was found earlier: an idle cell may have been dropped since, and another made for its
   * address; two at once would run one actor's messages side by side.
   */
  keep(cell: Cell<M>): Cell<M> {
    const known = this.#cells.get(cell.key)
    if (known !== undefined) return known
    this.#add(cell)
    return cell
  }

  find(key: string): Cell<M> | undefined {
    return this.#cells.get(key)
  }

  all(): IterableIterator<Cell<M>> {
    return this.#cells.values()
  }

  /** Makes room before it adds, so that the new cell, which is idle still, is not the one to go. */
  #add(cell: Cell<M>): void {
    let looked = 0
    for (const other of this.#cells.values()) {
      if (this.#cells.size < this.#residentMax || looked++ >= EVICT_LOOK_MAX) break
      if (other.idle) this.#cells.delete(other.key)
      else {
        // Busy ones go to the back, or they would be looked at every time and hide the idle ones behind them.
        this.#cells.delete(other.key)
        this.#cells.set(other.key, other)
      }
    }
    this.#cells.set(cell.key, cell)
  }
}
