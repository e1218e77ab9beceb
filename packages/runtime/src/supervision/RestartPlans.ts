/**
 * The boundary between a plan and time: resources are let go one after the other, then the backoff passes, then actors are
 * started one after the other. An actor is in one plan at a time, the latest: who crashes while it is being restarted with
 * others starts a new plan, and the old one passes over whomever it has lost.
 */
import { Effect, Fiber } from "effect"
import type { LiveCell } from "../life/LiveMessage.ts"
import type { System } from "../life/System.ts"

/** How long one resource may take to close before the next is closed, and the actors are started, all the same, in milliseconds. */
const RELEASE_MS_MAX = 2_000

export interface RestartPlan {
  /** In the order in which they are started. */
  readonly cells: ReadonlyArray<LiveCell>
  /** Closes what they held; one after the other. */
  readonly releases: ReadonlyArray<Effect.Effect<void>>
  readonly waitMs: number
  /** Why each is started, for the log. */
  readonly reasonOf: (cell: LiveCell) => string
}

export class RestartPlans {
  readonly #system: System
  readonly #start: (cell: LiveCell, reason: string) => Fiber.Fiber<void> | undefined
  readonly #planOf = new Map<LiveCell, RestartPlan>()

  /** @param start starts an actor that is `restarting`; gives what is to be waited for before the next */
  constructor(system: System, start: (cell: LiveCell, reason: string) => Fiber.Fiber<void> | undefined) {
    this.#system = system
    this.#start = start
  }

  carryOut(plan: RestartPlan): void {
    for (const cell of plan.cells) this.#planOf.set(cell, plan)
    const fiber = this.#system.fork(this.#run(plan))
    // As any timer, it ends with the system.
    this.#system.alarms.add(fiber)
    fiber.addObserver(() => this.#system.alarms.delete(fiber))
  }

  readonly #run = Effect.fnUntraced(function* (this: RestartPlans, plan: RestartPlan) {
    const system = this.#system
    const released = Effect.forEach(plan.releases, (release) => this.#released(release), { discard: true })
    // A while, whatever a clock says; in a later turn, for the caller is not done with what it is doing.
    const waited = Effect.andThen(Effect.yieldNow, Effect.sleep(plan.waitMs))
    yield* Effect.all([released, waited], { concurrency: 2 })
    for (const cell of plan.cells) {
      if (this.#planOf.get(cell) !== plan) continue
      this.#planOf.delete(cell)
      if (system.closing || cell.lifecycle.state !== "restarting") continue
      const start = this.#start(cell, plan.reasonOf(cell))
      if (start !== undefined) yield* Fiber.await(start)
    }
  })

  #released(release: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const closed = this.#system.fork(release)
      if (closed.pollUnsafe() !== undefined) return Effect.void
      return Effect.raceFirst(Effect.asVoid(Fiber.await(closed)), Effect.sleep(RELEASE_MS_MAX))
    })
  }
}
