/**
 * The boundary between a crash and what is done about it: starts actors, restarts them one for one with backoff, gives
 * them up when they crash too often, and moves their waiting messages where they can be run.
 *
 * Trees: the system supervises one supervisor a type of actor, and that its actors. An actor that escalates makes its
 * type restart; escalations beyond `escalationsMax` within a minute close the system.
 */
import { Cause, Effect, Exit, type Fiber, Scope } from "effect"
import type { ActorSelf } from "../actor/ActorContext.ts"
import { isGone, type LifecycleInput, takesMessages } from "../actor/lifecycle.ts"
import { stepLifecycle } from "../actor/stepLifecycle.ts"
import { after } from "../life/alarm.ts"
import { commitPatiently } from "../life/commit.ts"
import { countAssigned, countWithdrawn, poolOf } from "../life/deliver.ts"
import type { LiveCell, LiveMessage } from "../life/LiveMessage.ts"
import type { Life } from "../life/life.ts"
import { lose, requeue } from "../life/reply.ts"
import { routeWithin } from "../life/route.ts"
import type { Supervision } from "../life/Supervision.ts"
import type { System } from "../life/System.ts"
import { putActor } from "../life/seal.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { Write } from "../ports/Write.ts"
import { LifecycleLog } from "./LifecycleLog.ts"
import { backoffMs, restartsWithin } from "./restartPolicy.ts"

/** The window of `escalationsMax`. */
const ESCALATION_WINDOW_MS = 60_000
/** Reasons are for reading in a table; the whole cause is in the log output. */
const REASON_LENGTH_MAX = 500

/** What an actor says of itself while it starts. */
interface Said {
  what?: string
  degraded?: string
}

export class Supervisor implements Supervision {
  readonly #system: System
  readonly #life: Life
  readonly #giveUpSystem: (reason: string) => void
  readonly #log: LifecycleLog
  /** Starts under way. */
  readonly #starting = new Map<LiveCell, Fiber.Fiber<void>>()
  #escalationsAtMs: ReadonlyArray<number> = []

  /** @param giveUpSystem called when too many actors have escalated */
  constructor(system: System, life: Life, giveUpSystem: (reason: string) => void) {
    this.#system = system
    this.#life = life
    this.#giveUpSystem = giveUpSystem
    this.#log = new LifecycleLog(system)
  }

  /** Steps the lifecycle machine; a change is written with its cause. */
  #step(cell: LiveCell, event: LifecycleInput, reason: string): boolean {
    const from = cell.lifecycle.state
    const next = stepLifecycle(cell.lifecycle, event)
    if (next === cell.lifecycle) return false
    cell.lifecycle = next
    const atMs = this.#system.now()
    const why = reason.slice(0, REASON_LENGTH_MAX)
    cell.reason = why
    this.#log.write([
      putActor(cell, undefined, atMs),
      { _tag: "LifecycleEvent", address: cell.address, from, to: next.state, event: event.type, reason: why, atMs },
    ])
    return true
  }

  // Starting.

  /** An actor with a start is wanted. */
  wanted(cell: LiveCell): void {
    if (cell.actor.start !== undefined && cell.scope === undefined) this.#launch(cell)
  }

  #launch(cell: LiveCell): void {
    if (this.#starting.has(cell) || cell.lifecycle.state !== "starting") return
    const begin = cell.actor.start
    if (begin === undefined) {
      this.#step(cell, { type: "STARTED" }, "restarted")
      this.#life.pump(cell)
      return
    }
    const scope = Scope.makeUnsafe()
    cell.scope = scope
    const said: Said = {}
    const fiber = this.#system.fork(this.#start(cell, begin(this.#selfOf(cell, scope, said)), scope, said))
    // A start that ends, or crashes, before its first wait has nothing left to be stopped.
    if (fiber.pollUnsafe() !== undefined || cell.scope !== scope) return
    this.#starting.set(cell, fiber)
    fiber.addObserver(() => {
      if (this.#starting.get(cell) === fiber) this.#starting.delete(cell)
    })
  }

  /** Acquires the actor's resource; `starting` becomes `ready`, or the crash is counted. */
  readonly #start = Effect.fnUntraced(function* (
    this: Supervisor,
    cell: LiveCell,
    begin: Effect.Effect<unknown, unknown, unknown>,
    scope: Scope.Closeable,
    said: Said,
  ) {
    const row = yield* Effect.orElseSucceed(this.#system.store.actor(cell.address), () => undefined)
    if (row !== undefined) cell.restarts = Math.max(cell.restarts, row.restarts)
    const exit = yield* Effect.exit(Effect.provideContext(Scope.provide(begin, scope), this.#system.services))
    // It crashed, or was stopped, meanwhile.
    if (cell.scope !== scope) return
    this.#starting.delete(cell)
    if (Exit.isSuccess(exit)) {
      cell.resource = exit.value
      const what = said.what === undefined ? "" : `: ${said.what}`
      this.#step(cell, { type: "STARTED" }, `${cell.restarts === 0 ? "started" : `restart ${cell.restarts}`}${what}`)
      if (said.degraded !== undefined) this.#step(cell, { type: "DEGRADED" }, said.degraded)
      return this.#life.pump(cell)
    }
    const error = Cause.squash(exit.cause)
    const reason = error instanceof Error ? error.message : String(error)
    if (isTerminal(error)) this.gaveUp(cell, reason)
    else this.crashed(cell, `start failed: ${reason}`)
  })

  #selfOf(cell: LiveCell, scope: Scope.Closeable, said: Said): ActorSelf {
    // What an earlier incarnation still says is not about this one.
    const ifCurrent = (then: () => void) =>
      Effect.sync(() => {
        if (cell.scope === scope) then()
      })
    return {
      address: cell.address,
      crash: (reason) => ifCurrent(() => this.crashed(cell, reason)),
      describe: (what) =>
        Effect.sync(() => {
          said.what = what
        }),
      degraded: (reason) =>
        ifCurrent(() => {
          if (cell.lifecycle.state === "starting") said.degraded = reason
          else this.#step(cell, { type: "DEGRADED" }, reason)
        }),
      recovered: (reason) => ifCurrent(() => void this.#step(cell, { type: "RECOVERED" }, reason)),
    }
  }

  // Crashing, and what follows.

  /** The actor died: it is restarted after a wait, or given up. */
  crashed(cell: LiveCell, reason: string): void {
    cell.loaded = false
    if (this.#system.closing || !this.#step(cell, { type: "CRASHED", atMs: this.#system.now() }, reason)) return
    this.#release(cell)
    this.#interruptRunning(cell)
    // It begins anew, and what it waited for may be gone with what it was.
    cell.mailbox.unstash()
    if (cell.lifecycle.state === "restarting") this.#restartLater(cell)
    else this.#exceeded(cell, reason)
    this.#evacuate(cell, reason)
  }

  /** The actor can never go on. */
  gaveUp(cell: LiveCell, reason: string): void {
    cell.loaded = false
    if (!this.#step(cell, { type: "GAVE_UP" }, reason)) return
    this.#release(cell)
    this.#interruptRunning(cell)
    this.#evacuate(cell, reason)
  }

  #restartLater(cell: LiveCell): void {
    cell.restarts++
    const { backoff } = cell.actor.supervision
    const waitMs = backoffMs(backoff, cell.lifecycle.context.restartsAtMs.length, this.#system.random())
    after(this.#system, waitMs, () => {
      if (this.#system.closing || cell.lifecycle.state !== "restarting") return
      this.#step(cell, { type: "RESTART" }, `after ${waitMs} ms`)
      this.#launch(cell)
    })
  }

  #exceeded(cell: LiveCell, reason: string): void {
    const { onExceeded } = cell.actor.supervision
    if (onExceeded === "stop") this.#step(cell, { type: "STOP" }, reason)
    if (onExceeded === "escalate") this.#escalate(cell, reason)
  }

  /** The type's supervisor restarts all of its actors; the system counts it. */
  #escalate(cell: LiveCell, reason: string): void {
    const nowMs = this.#system.now()
    this.#escalationsAtMs = [...restartsWithin(this.#escalationsAtMs, nowMs, ESCALATION_WINDOW_MS), nowMs]
    const count = this.#escalationsAtMs.length
    if (count > this.#system.settings.escalationsMax) {
      this.#giveUpSystem(`${cell.key} escalated, as ${count - 1} actors did within a minute: ${reason}`)
      return
    }
    for (const sibling of [...this.#system.registry.all()]) {
      if (sibling.actor !== cell.actor) continue
      if (sibling === cell) {
        cell.lifecycle = { ...cell.lifecycle, context: { ...cell.lifecycle.context, restartsAtMs: [] } }
        this.#step(cell, { type: "RESTART" }, `restarted by the supervisor of ${cell.actor.name}`)
        this.#launch(cell)
      } else if (takesMessages(sibling.lifecycle.state)) {
        this.crashed(sibling, `restarted with ${cell.key}`)
      }
    }
  }

  // Stopping.

  /** Drains an actor, then stops it: what runs may end, within `drainMsMax`; what waits moves, or becomes dead letters. */
  stop(cell: LiveCell, reason: string): boolean {
    if (!this.#step(cell, { type: "DRAIN" }, reason) && !this.#step(cell, { type: "STOP" }, reason)) return false
    if (cell.lifecycle.state !== "draining") this.#release(cell)
    this.#evacuate(cell, reason)
    this.rested(cell)
    if (cell.lifecycle.state !== "draining") return true
    const { drainMsMax } = this.#system.settings
    after(this.#system, drainMsMax, () => {
      if (cell.lifecycle.state !== "draining") return
      this.#step(cell, { type: "STOP" }, `what ran had not ended after ${drainMsMax} ms`)
      this.#release(cell)
      this.#interruptRunning(cell)
    })
    return true
  }

  /** The actor has finished a message: one that drains may be done. */
  rested(cell: LiveCell): void {
    if (cell.lifecycle.state !== "draining" || cell.running.size > 0) return
    this.#step(cell, { type: "DRAINED" }, "nothing runs any more")
    this.#release(cell)
  }

  /** Closes every actor's resource. */
  readonly closeAll: Effect.Effect<void> = Effect.suspend(() => {
    for (const fiber of this.#starting.values()) fiber.interruptUnsafe()
    return Effect.forEach([...this.#system.registry.all()], takeScope, { concurrency: "unbounded", discard: true })
  })

  /** Lets the resource go, and a start that is under way. */
  #release(cell: LiveCell): void {
    const fiber = this.#starting.get(cell)
    this.#starting.delete(cell)
    this.#system.fork(takeScope(cell))
    fiber?.interruptUnsafe()
  }

  #interruptRunning(cell: LiveCell): void {
    for (const message of cell.running) {
      if (message.undoing) continue
      message.interruption ??= "restarted"
      message.fiber?.interruptUnsafe()
    }
  }

  // The messages of an actor that does not run them.

  /** Moves what waits to other targets; what cannot move waits on, or dies with its actor. */
  #evacuate(cell: LiveCell, reason: string): void {
    // What waits is left to the next start, which may have what this one lacks.
    if (this.#system.closing) return
    for (const message of cell.mailbox.all()) this.#save(message, reason)
  }

  /** A message came to an actor that runs none any more. */
  stranded(message: LiveMessage): void {
    this.#save(message, "it came too late")
  }

  #save(message: LiveMessage, reason: string): void {
    const { cell } = message
    const { state } = cell.lifecycle
    if (this.#reroute(message, `${cell.key} is ${state}`) || !isGone(state)) return
    const text = `${cell.key} is ${state}: ${reason}`
    const record: FailureRecord = { tag: "TerminalActorFailed", message: text, retry: "terminal" }
    this.#life.endWaiting(message, "dead", record)
  }

  /** Gives a waiting message to another target of its pool. */
  #reroute(message: LiveMessage, reason: string): boolean {
    const pool = poolOf(this.#system, message.envelope)
    const to = pool === undefined ? undefined : routeWithin(this.#system, pool, message.triedTargets)
    if (to?.decision === undefined || to.cell === message.cell) return false
    const { cell, decision } = to
    message.cell.mailbox.remove(message)
    countWithdrawn(this.#system, message)
    message.phase = "moving"
    const { id: messageId, attempt } = message
    const writes: ReadonlyArray<Write> = [
      {
        _tag: "Reroute",
        messageId,
        attempt,
        target: cell.address,
        deliverAtMs: message.deliverAtMs,
      },
      { ...decision, reason: `${reason}; ${decision.reason}`, messageId, attempt: attempt + 1 },
    ]
    this.#system.fork(
      Effect.matchEffect(commitPatiently(this.#system, writes), {
        onSuccess: () =>
          Effect.sync(() => {
            requeue(message, cell, message.dueAtMs)
            countAssigned(this.#system, message.envelope, cell.key)
            this.#life.enqueue(message)
          }),
        onFailure: (failure) => lose(this.#system, message, failure),
      }).pipe(Effect.uninterruptible),
    )
    return true
  }
}

const isTerminal = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && String(error._tag).startsWith("Terminal")

/** Takes the resource out of the actor, and closes it. */
const takeScope = (cell: LiveCell): Effect.Effect<void> => {
  const { scope } = cell
  cell.scope = undefined
  cell.resource = undefined
  return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
}
