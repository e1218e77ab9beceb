/**
 * The boundary between a crash and what is done about it: starts actors, restarts them one for one with backoff, gives
 * them up when they crash too often, and moves their waiting messages where they can be run.
 *
 * Trees: the system supervises one supervisor a type of actor, and that its actors. An actor that escalates makes its
 * type restart; escalations beyond `escalationsMax` within a minute close the system.
 */
import { Cause, Effect, Exit, Scope } from "effect"
import type { ActorSelf } from "../actor/ActorContext.ts"
import type { Cell } from "../actor/Cell.ts"
import { isGone, type LifecycleInput, takesMessages } from "../actor/lifecycle.ts"
import { stepLifecycle } from "../actor/stepLifecycle.ts"
import { alarm } from "../life/alarm.ts"
import { countAssigned, poolOf } from "../life/deliver.ts"
import type { LiveMessage } from "../life/LiveMessage.ts"
import type { Life, Supervision } from "../life/life.ts"
import { abandon, commitPatiently, noteWithdrawn, requeue } from "../life/reply.ts"
import { routeWithin } from "../life/route.ts"
import type { System } from "../life/System.ts"
import { putActor } from "../life/seal.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { Write } from "../ports/Write.ts"
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

export interface Supervisor extends Supervision {
  /** Drains an actor, then stops it. */
  readonly stop: (cell: Cell, reason: string) => void
  /** Closes every actor's resource. */
  readonly closeAll: Effect.Effect<void>
}

export const makeSupervisor = (system: System, life: Life, giveUpSystem: (reason: string) => void): Supervisor => {
  const starting = new Set<Cell>()
  let escalationsAtMs: ReadonlyArray<number> = []

  /** Writes in the order of the calls: the store keeps it. */
  const write = (writes: ReadonlyArray<Write>): void => {
    system.fork(
      commitPatiently(system, writes).pipe(
        Effect.catch((failure) => Effect.logWarning(`A lifecycle change was not written: ${failure.message}`)),
        Effect.uninterruptible,
      ),
    )
  }

  /** Steps the lifecycle machine; a change is written with its cause. */
  const step = (cell: Cell, event: LifecycleInput, reason: string): boolean => {
    const from = cell.lifecycle.state
    const next = stepLifecycle(cell.lifecycle, event)
    if (next === cell.lifecycle) return false
    cell.lifecycle = next
    const atMs = system.now()
    const why = reason.slice(0, REASON_LENGTH_MAX)
    write([
      putActor(cell, undefined, atMs),
      { _tag: "LifecycleEvent", address: cell.address, from, to: next.state, event: event.type, reason: why, atMs },
    ])
    return true
  }

  const closeScope = (cell: Cell): Effect.Effect<void> => {
    const { scope } = cell
    cell.scope = undefined
    cell.resource = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  }

  const selfOf = (cell: Cell, scope: Scope.Closeable, said: Said): ActorSelf => {
    // What an earlier incarnation still says is not about this one.
    const ifCurrent = (then: () => void) =>
      Effect.sync(() => {
        if (cell.scope === scope) then()
      })
    return {
      address: cell.address,
      crash: (reason) => ifCurrent(() => crashed(cell, reason)),
      describe: (what) =>
        Effect.sync(() => {
          said.what = what
        }),
      degraded: (reason) =>
        ifCurrent(() => {
          if (cell.lifecycle.state === "starting") said.degraded = reason
          else step(cell, { type: "DEGRADED" }, reason)
        }),
      recovered: (reason) => ifCurrent(() => void step(cell, { type: "RECOVERED" }, reason)),
    }
  }

  /** Acquires the actor's resource; `starting` becomes `ready`, or the crash is counted. */
  const start = Effect.fnUntraced(function* (cell: Cell) {
    const begin = cell.actor.start
    if (begin === undefined) {
      step(cell, { type: "STARTED" }, "restarted")
      return life.pump(cell)
    }
    const scope = yield* Scope.make()
    const said: Said = {}
    cell.scope = scope
    const row = yield* system.store.actor(cell.address).pipe(Effect.orElseSucceed(() => undefined))
    if (row !== undefined) cell.restarts = Math.max(cell.restarts, row.restarts)
    const exit = yield* Effect.exit(
      Effect.provideContext(Scope.provide(begin(selfOf(cell, scope, said)), scope), system.services),
    )
    if (cell.scope !== scope) return yield* Scope.close(scope, Exit.void)
    if (Exit.isSuccess(exit)) {
      cell.resource = exit.value
      const what = said.what === undefined ? "" : `: ${said.what}`
      step(cell, { type: "STARTED" }, `${cell.restarts === 0 ? "started" : `restart ${cell.restarts}`}${what}`)
      if (said.degraded !== undefined) step(cell, { type: "DEGRADED" }, said.degraded)
      return life.pump(cell)
    }
    const error = Cause.squash(exit.cause)
    const tag = Cause.findErrorOption(exit.cause)
    const reason = error instanceof Error ? error.message : String(error)
    if (tag._tag === "Some" && tag.value._tag.startsWith("Terminal")) gaveUp(cell, reason)
    else crashed(cell, `start failed: ${reason}`)
  })

  const launch = (cell: Cell): void => {
    if (starting.has(cell) || cell.lifecycle.state !== "starting") return
    starting.add(cell)
    system.fork(
      Effect.ensuring(
        start(cell),
        Effect.sync(() => starting.delete(cell)),
      ),
    )
  }

  const interruptRunning = (cell: Cell): void => {
    for (const message of cell.running) {
      message.interruption ??= "restarted"
      message.fiber?.interruptUnsafe()
    }
  }

  /** Gives a waiting message to another target of its pool. */
  const reroute = (message: LiveMessage, reason: string): boolean => {
    const pool = poolOf(system, message.envelope)
    const to = pool === undefined ? undefined : routeWithin(system, pool, message.triedTargets)
    if (to?.decision === undefined || to.cell === message.cell) return false
    const { cell, decision } = to
    message.cell.mailbox.remove(message)
    noteWithdrawn(system, message)
    const { id: messageId, attempt } = message
    const writes: ReadonlyArray<Write> = [
      { _tag: "Reroute", messageId, attempt, target: cell.address, deliverAtMs: message.dueAtMs },
      { ...decision, reason: `${reason}; ${decision.reason}`, messageId, attempt: attempt + 1 },
    ]
    system.fork(
      Effect.matchEffect(commitPatiently(system, writes), {
        onSuccess: () =>
          Effect.sync(() => {
            if (!system.live.has(messageId)) return
            requeue(message, cell, message.dueAtMs)
            countAssigned(system, message.envelope, cell.key)
            life.enqueue(message)
          }),
        onFailure: (failure) => Effect.sync(() => abandon(system, message, failure)),
      }).pipe(Effect.uninterruptible),
    )
    return true
  }

  /** Moves what waits to other targets; what cannot move waits on, or dies with its actor. */
  const evacuate = (cell: Cell, reason: string): void => {
    const gone = isGone(cell.lifecycle.state)
    for (const message of cell.mailbox.all()) {
      if (reroute(message, `${cell.key} is ${cell.lifecycle.state}`) || !gone) continue
      const text = `${cell.key} is ${cell.lifecycle.state}: ${reason}`
      const record: FailureRecord = { tag: "TerminalActorFailed", message: text, retry: "terminal" }
      life.endWaiting(message, "dead", record)
    }
  }

  const restartLater = (cell: Cell): void => {
    cell.restarts++
    const { backoff } = cell.actor.supervision
    const waitMs = backoffMs(backoff, cell.lifecycle.context.restartsAtMs.length, system.random())
    alarm(system, system.now() + waitMs, () => {
      if (system.closing || cell.lifecycle.state !== "restarting") return
      step(cell, { type: "RESTART" }, `after ${waitMs} ms`)
      launch(cell)
    })
  }

  const exceeded = (cell: Cell, reason: string): void => {
    const { onExceeded } = cell.actor.supervision
    if (onExceeded === "stop") step(cell, { type: "STOP" }, reason)
    if (onExceeded === "escalate") escalate(cell, reason)
  }

  /** The type's supervisor restarts all of its actors; the system counts it. */
  const escalate = (cell: Cell, reason: string): void => {
    const nowMs = system.now()
    escalationsAtMs = [...restartsWithin(escalationsAtMs, nowMs, ESCALATION_WINDOW_MS), nowMs]
    if (escalationsAtMs.length > system.settings.escalationsMax) {
      return giveUpSystem(
        `${cell.key} escalated, as ${escalationsAtMs.length - 1} actors did within a minute: ${reason}`,
      )
    }
    for (const sibling of [...system.registry.all()]) {
      if (sibling.actor !== cell.actor) continue
      if (sibling === cell) {
        cell.lifecycle = { ...cell.lifecycle, context: { ...cell.lifecycle.context, restartsAtMs: [] } }
        step(cell, { type: "RESTART" }, `restarted by the supervisor of ${cell.actor.name}`)
        launch(cell)
      } else if (takesMessages(sibling.lifecycle.state)) {
        crashed(sibling, `restarted with ${cell.key}`)
      }
    }
  }

  const crashed = (cell: Cell, reason: string): void => {
    if (system.closing || !step(cell, { type: "CRASHED", atMs: system.now() }, reason)) return
    cell.loaded = false
    system.fork(closeScope(cell))
    interruptRunning(cell)
    if (cell.lifecycle.state === "restarting") restartLater(cell)
    else exceeded(cell, reason)
    evacuate(cell, reason)
  }

  const gaveUp = (cell: Cell, reason: string): void => {
    if (!step(cell, { type: "GAVE_UP" }, reason)) return
    cell.loaded = false
    system.fork(closeScope(cell))
    interruptRunning(cell)
    evacuate(cell, reason)
  }

  return {
    wanted: (cell) => {
      if (cell.actor.start !== undefined && cell.scope === undefined) launch(cell)
    },
    crashed,
    gaveUp,
    stop: (cell, reason) => {
      if (!step(cell, { type: "STOP" }, reason)) return
      system.fork(closeScope(cell))
      interruptRunning(cell)
      evacuate(cell, reason)
    },
    closeAll: Effect.suspend(() =>
      Effect.forEach([...system.registry.all()], closeScope, { concurrency: "unbounded", discard: true }),
    ),
  }
}
