/**
 * The boundary between a name and its actor in memory: one cell an address, made on first use, dropped when idle and
 * long unused.
 */
import { type Address, formatAddress } from "../message/Address.ts"
import type { AnyActor } from "./Actor.ts"
import { Cell } from "./Cell.ts"
import { initialLifecycle } from "./stepLifecycle.ts"

export class Registry {
  readonly #cells = new Map<string, Cell>()
  readonly #residentMax: number

  /** @param residentMax idle actors kept in memory, by how recently they were used */
  constructor(residentMax: number) {
    this.#residentMax = residentMax
  }

  cell(address: Address, actor: AnyActor): Cell {
    const key = formatAddress(address)
    const known = this.#cells.get(key)
    if (known !== undefined) {
      // A Map keeps insertion order: putting a used cell at the end leaves the longest unused one in front.
      if (this.#cells.size > this.#residentMax) {
        this.#cells.delete(key)
        this.#cells.set(key, known)
      }
      return known
    }
    const cell = new Cell(address, actor)
    // An actor without a start has nothing to wait for: it is ready from the first message on.
    if (actor.start === undefined) {
      cell.lifecycle = { ...initialLifecycle(actor.supervision), state: "ready" }
    }
    this.#cells.set(key, cell)
    if (this.#cells.size > this.#residentMax) this.#evict()
    return cell
  }

  find(key: string): Cell | undefined {
    return this.#cells.get(key)
  }

  all(): IterableIterator<Cell> {
    return this.#cells.values()
  }

  /** Drops idle cells from the longest unused on, looking at few enough of them that no call is slow. */
  #evict(): void {
    let looked = 0
    for (const cell of this.#cells.values()) {
      if (this.#cells.size <= this.#residentMax || looked++ >= EVICT_LOOK_MAX) return
      if (cell.idle && !cell.pinned) this.#cells.delete(cell.key)
    }
  }
}

/** Cells looked at when one is added past the limit: enough to keep up with any rate of new actors. */
const EVICT_LOOK_MAX = 16
