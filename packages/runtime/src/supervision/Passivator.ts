/**
 * The boundary between actors and the time that nobody uses them: looks at all that are in memory, now and then, and lets
 * those go that are idle for long. One fiber for all; an idle actor holds none.
 *
 * It looks four times in the shortest time that any actor may be idle, by time that passes and no clock: nothing is measured
 * but whether an actor was used since the last look, which costs a message one addition.
 */
import { Effect } from "effect"
import type { LiveCell } from "../life/LiveMessage.ts"
import type { System } from "../life/System.ts"

/** Looks in the shortest idle time; what is let go is so up to a quarter later. */
const LOOKS = 4
/** Actors looked at in one turn of the loop, far under a millisecond. */
const SLICE = 2_000

/** What lets go of an actor's resource. */
export interface Passivating {
  readonly passivate: (cell: LiveCell, reason: string) => void
}

export class Passivator {
  readonly #system: System
  readonly #supervisor: Passivating
  readonly #lookMs: number

  constructor(system: System, supervisor: Passivating) {
    this.#system = system
    this.#supervisor = supervisor
    const own = [...system.actors.values()].flatMap(({ idleMsMax }) => (idleMsMax === undefined ? [] : [idleMsMax]))
    this.#lookMs = Math.min(system.settings.idleMsMax, ...own) / LOOKS
  }

  readonly run = Effect.fnUntraced(function* (this: Passivator) {
    while (!this.#system.closing) {
      yield* Effect.sleep(this.#lookMs)
      let looked = 0
      for (const cell of this.#system.registry.all()) {
        this.#look(cell)
        if (++looked % SLICE === 0) yield* Effect.yieldNow
      }
    }
  })

  #look(cell: LiveCell): void {
    const wasUsed = cell.uses > 0 || !cell.empty
    cell.cool()
    cell.quiet = wasUsed ? 0 : cell.quiet + 1
    const { idleMsMax } = cell.actor
    const quietMs = cell.quiet * this.#lookMs
    if (quietMs < (idleMsMax ?? this.#system.settings.idleMsMax) || cell.pooled || !cell.empty) return
    const { state } = cell.lifecycle
    if (cell.idle || state === "failed" || state === "stopped") this.#system.registry.drop(cell)
    else if (idleMsMax !== undefined && cell.resource !== undefined) {
      this.#supervisor.passivate(cell, `unused for ${quietMs} ms`)
    }
  }
}
