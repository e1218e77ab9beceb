/**
 * The boundary between an actor and what it holds while it lives: acquires its resource, and lets it go.
 */
import { Cause, Effect, Exit, type Fiber, Predicate, Scope } from "effect"
import type { ActorSelf } from "../actor/ActorContext.ts"
import type { LiveCell } from "../life/LiveMessage.ts"
import type { System } from "../life/System.ts"
import { recallCrashes } from "./recallCrashes.ts"
import type { Crash } from "./restartPolicy.ts"

/** What becomes of a start, and what an actor says of itself. */
export interface StarterEvents {
  /** @param degraded what it said of itself while it started, where it works worse */
  readonly started: (cell: LiveCell, reason: string, degraded: string | undefined) => void
  readonly crashed: (cell: LiveCell, crash: Crash) => void
  readonly gaveUp: (cell: LiveCell, reason: string) => void
  readonly degraded: (cell: LiveCell, reason: string) => void
  readonly recovered: (cell: LiveCell, reason: string) => void
}

/** What an actor says of itself while it starts. */
interface Said {
  what?: string
  degraded?: string
}

const isTerminal = (error: unknown): boolean => tagOf(error).startsWith("Terminal")

const tagOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Defect"

/** Takes the resource out of the actor; what is given closes it. */
const takeScope = (cell: LiveCell): Effect.Effect<void> => {
  const { scope } = cell
  cell.scope = undefined
  cell.resource = undefined
  return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
}

export class Starter {
  readonly #system: System
  readonly #events: StarterEvents
  /** Starts under way. */
  readonly #starting = new Map<LiveCell, Fiber.Fiber<void>>()

  constructor(system: System, events: StarterEvents) {
    this.#system = system
    this.#events = events
  }

  /** Starts an actor that is `starting`; gives the start that is under way, where there is something to wait for. */
  launch(cell: LiveCell): Fiber.Fiber<void> | undefined {
    if (this.#starting.has(cell) || cell.lifecycle.state !== "starting") return undefined
    const begin = cell.actor.start
    if (begin === undefined) {
      this.#events.started(cell, "restarted", undefined)
      return undefined
    }
    const scope = Scope.makeUnsafe()
    cell.scope = scope
    const said: Said = {}
    const fiber = this.#system.fork(this.#start(cell, begin(this.#selfOf(cell, scope, said)), scope, said))
    // A start that ends, or crashes, before its first wait has nothing left to be stopped.
    if (fiber.pollUnsafe() !== undefined || cell.scope !== scope) return undefined
    this.#starting.set(cell, fiber)
    fiber.addObserver(() => {
      if (this.#starting.get(cell) === fiber) this.#starting.delete(cell)
    })
    return fiber
  }

  /** Acquires the actor's resource; `starting` becomes `ready`, or the crash is counted. */
  readonly #start = Effect.fnUntraced(function* (
    this: Starter,
    cell: LiveCell,
    begin: Effect.Effect<unknown, unknown, unknown>,
    scope: Scope.Closeable,
    said: Said,
  ) {
    yield* recallCrashes(this.#system, cell)
    const exit = yield* Effect.exit(Effect.provideContext(Scope.provide(begin, scope), this.#system.services))
    // It crashed, or was stopped, meanwhile.
    if (cell.scope !== scope) return
    this.#starting.delete(cell)
    if (Exit.isSuccess(exit)) {
      cell.resource = exit.value
      const what = said.what === undefined ? "" : `: ${said.what}`
      const reason = `${cell.restarts === 0 ? "started" : `restart ${cell.restarts}`}${what}`
      return this.#events.started(cell, reason, said.degraded)
    }
    const error = Cause.squash(exit.cause)
    const message = error instanceof Error ? error.message : String(error)
    if (isTerminal(error)) this.#events.gaveUp(cell, message)
    else this.#events.crashed(cell, { from: "start", tag: tagOf(error), message: `start failed: ${message}` })
  })

  #selfOf(cell: LiveCell, scope: Scope.Closeable, said: Said): ActorSelf {
    // What an earlier incarnation still says is not about this one.
    const ifCurrent = (then: () => void) =>
      Effect.sync(() => {
        if (cell.scope === scope) then()
      })
    return {
      address: cell.address,
      crash: (message) => ifCurrent(() => this.#events.crashed(cell, { from: "self", tag: "Crash", message })),
      describe: (what) =>
        Effect.sync(() => {
          said.what = what
        }),
      degraded: (reason) =>
        ifCurrent(() => {
          if (cell.lifecycle.state === "starting") said.degraded = reason
          else this.#events.degraded(cell, reason)
        }),
      recovered: (reason) => ifCurrent(() => this.#events.recovered(cell, reason)),
    }
  }

  /** Takes the resource out of the actor, and ends a start that is under way; what is given closes the resource. */
  release(cell: LiveCell): Effect.Effect<void> {
    const fiber = this.#starting.get(cell)
    this.#starting.delete(cell)
    const close = takeScope(cell)
    return fiber === undefined
      ? close
      : Effect.andThen(
          Effect.sync(() => fiber.interruptUnsafe()),
          close,
        )
  }

  /** Closes every actor's resource. */
  readonly closeAll: Effect.Effect<void> = Effect.suspend(() => {
    for (const fiber of this.#starting.values()) fiber.interruptUnsafe()
    return Effect.forEach([...this.#system.registry.all()], takeScope, { concurrency: "unbounded", discard: true })
  })
}
