/**
 * The boundary between a name and its actor in memory: one cell an address, made on first use, dropped when idle: after a
 * time (`Passivator`), or past a limit, those first that are seldom used.
 */
import { type Address, formatAddress } from "../message/Address.ts"
import type { AnyActor } from "./Actor.ts"
import { Cell } from "./Cell.ts"
import type { Queued, Tally } from "./Mailbox.ts"
import { initialLifecycle, type Lifecycle } from "./stepLifecycle.ts"
import { Tombstones } from "./Tombstones.ts"

/** Cells looked at when one is added past the limit: enough to keep up with any rate of new actors. */
const EVICT_LOOK_MAX = 16

export class Registry<M extends Queued> {
  readonly #cells = new Map<string, Cell<M>>()
  readonly #residentMax: number
  /** How an actor begins, shared by all of its type. */
  readonly #first = new Map<AnyActor, Lifecycle>()
  readonly #gone: Tombstones
  /** What waits in all mailboxes, or is on its way into one. */
  readonly waiting: Tally = { count: 0 }

  /**
   * @param residentMax idle actors kept in memory
   * @param gone those that have failed or been stopped, and have left it
   */
  constructor(residentMax: number, gone = new Tombstones()) {
    this.#residentMax = residentMax
    this.#gone = gone
  }

  get size(): number {
    return this.#cells.size
  }

  cell(address: Address, actor: AnyActor): Cell<M> {
    const key = formatAddress(address)
    const known = this.#cells.get(key)
    if (known !== undefined) {
      known.uses++
      return known
    }
    const cell = new Cell<M>(address, actor, this.#firstOf(actor), this.waiting)
    const tombstone = this.#gone.take(key)
    if (tombstone !== undefined) {
      cell.lifecycle = { ...cell.lifecycle, state: tombstone.state }
      cell.reason = tombstone.reason
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

  /** Takes an actor out of memory that is `idle`, or gone and `empty`. */
  drop(cell: Cell<M>): void {
    if (this.#cells.get(cell.key) !== cell) return
    this.#cells.delete(cell.key)
    const { state } = cell.lifecycle
    if (state === "failed" || state === "stopped") this.#gone.put(cell.key, { state, reason: cell.reason })
  }

  /** An actor without a start has nothing to wait for: it is ready from the first message on. */
  #firstOf(actor: AnyActor): Lifecycle {
    const known = this.#first.get(actor)
    if (known !== undefined) return known
    const initial = initialLifecycle(actor.supervision)
    const first: Lifecycle = actor.start === undefined ? { ...initial, state: "ready" } : initial
    this.#first.set(actor, first)
    return first
  }

  /** Makes room before it adds, so that the new cell, which is idle still, is not the one to go. */
  #add(cell: Cell<M>): void {
    while (this.#cells.size >= this.#residentMax && this.#dropOne()) {
      // One goes for each that comes; more only where all were busy before.
    }
    this.#cells.set(cell.key, cell)
  }

  /**
   * Of the first few the least used idle one goes. The others stay in front, to be held against the next: so every actor has
   * its turn, and those that are used outlive it. False where all of them are busy; they go to the back.
   *
   * To move all that are looked at to the back would be a use of the map for each, and leave its old tables for garbage.
   */
  #dropOne(): boolean {
    let looked = 0
    let least: Cell<M> | undefined
    for (const cell of this.#cells.values()) {
      if (looked++ >= EVICT_LOOK_MAX) break
      if (cell.idle && (least === undefined || cell.heat + cell.uses < least.heat + least.uses)) least = cell
    }
    if (least !== undefined) return this.#cells.delete(least.key)
    const busy: Array<Cell<M>> = []
    for (const cell of this.#cells.values()) if (busy.push(cell) >= EVICT_LOOK_MAX) break
    for (const cell of busy) {
      this.#cells.delete(cell.key)
      this.#cells.set(cell.key, cell)
    }
    return false
  }
}
