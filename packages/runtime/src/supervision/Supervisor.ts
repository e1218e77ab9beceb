/**
 * The boundary between a crash and what is done about it: restarts actors, alone or with those that stand and fall with
 * them, gives them up when they crash too often, stops, suspends and brings them back. Read this file first: it holds the
 * control flow. What is decided is in `restartPolicy.ts`, `actor/lifecycle.ts` and, for the tree, `decideRestart.ts`.
 */
import { Effect, type Fiber } from "effect"
import { isGone, type LifecycleInput, type LifecycleState, takesMessages } from "../actor/lifecycle.ts"
import { stepLifecycle } from "../actor/stepLifecycle.ts"
import { after } from "../life/alarm.ts"
import type { LiveCell, LiveMessage } from "../life/LiveMessage.ts"
import type { Life } from "../life/life.ts"
import type { Supervision } from "../life/Supervision.ts"
import type { System } from "../life/System.ts"
import { putActor } from "../life/seal.ts"
import { type Address, formatAddress } from "../message/Address.ts"
import { bringActor } from "./bringActor.ts"
import { type Action, decideRestart, forgetCrashes, type GroupStates } from "./decideRestart.ts"
import { LifecycleLog } from "./LifecycleLog.ts"
import { linkedTo } from "./linkedTo.ts"
import type { End } from "./obituaries.ts"
import { RestartPlans } from "./RestartPlans.ts"
import { rescueMessage, rescueMessages } from "./rescueMessages.ts"
import { backoffMs, type Crash, type Directive } from "./restartPolicy.ts"
import { Starter, type StarterEvents } from "./Starter.ts"
import type { Leaf, SupervisionTree } from "./SupervisionTree.ts"

/** Reasons are for reading in a table; the whole cause is in the log output. */
const REASON_LENGTH_MAX = 500

/** Watches of the ended that are read when a system is opened; of more, the next one reads the rest. */
const RECALLED_MAX = 10_000

/** States in which a crash is news: an actor that is restarted, or gone, has been through it already. */
const mayCrash = (state: LifecycleState): boolean =>
  takesMessages(state) || state === "starting" || state === "draining"

export class Supervisor implements Supervision, StarterEvents {
  readonly #system: System
  readonly #life: Life
  readonly #tree: SupervisionTree
  readonly #giveUpSystem: (reason: string) => void
  readonly #log: LifecycleLog
  readonly #starter: Starter
  readonly #plans: RestartPlans
  #groups: GroupStates = new Map()

  /** @param giveUpSystem called when too much has been escalated to the root */
  constructor(system: System, life: Life, tree: SupervisionTree, giveUpSystem: (reason: string) => void) {
    this.#system = system
    this.#life = life
    this.#tree = tree
    this.#giveUpSystem = giveUpSystem
    this.#log = new LifecycleLog(system, {
      enqueue: (message) => life.enqueue(message),
      endLinked: (address, end) => this.#endLinked(address, end),
    })
    this.#starter = new Starter(system, this)
    this.#plans = new RestartPlans(system, (cell, reason) => this.#startAgain(cell, reason))
  }

  /** Closes every actor's resource. */
  get closeAll(): Effect.Effect<void> {
    return this.#starter.closeAll
  }

  /**
   * Steps the lifecycle machine; a change is written with its cause.
   *
   * @param isLast whether an end that it leads to is one: who has failed may be restarted by its supervisor in the same breath
   */
  #step(cell: LiveCell, event: LifecycleInput, reason: string, isLast = true): boolean {
    const from = cell.lifecycle.state
    const next = stepLifecycle(cell.lifecycle, event)
    if (next === cell.lifecycle) return false
    cell.lifecycle = next
    const atMs = this.#system.now()
    const why = reason.slice(0, REASON_LENGTH_MAX)
    cell.reason = why
    const { address } = cell
    const { state } = next
    this.#log.write(
      [
        putActor(cell, undefined, atMs),
        { _tag: "LifecycleEvent", address, from, to: state, event: event.type, reason: why, atMs },
      ],
      isLast && (state === "failed" || state === "stopped") ? [{ address, state, reason: why }] : [],
    )
    return true
  }

  // Starting.

  /** An actor with a start is wanted. */
  wanted(cell: LiveCell): void {
    if (cell.actor.start !== undefined && cell.scope === undefined) this.#starter.launch(cell)
  }

  started(cell: LiveCell, reason: string, degraded: string | undefined): void {
    this.#step(cell, { type: "STARTED" }, reason)
    if (degraded !== undefined) this.#step(cell, { type: "DEGRADED" }, degraded)
    this.#life.pump(cell)
  }

  degraded(cell: LiveCell, reason: string): void {
    this.#step(cell, { type: "DEGRADED" }, reason)
  }

  recovered(cell: LiveCell, reason: string): void {
    this.#step(cell, { type: "RECOVERED" }, reason)
  }

  #startAgain(cell: LiveCell, reason: string): Fiber.Fiber<void> | undefined {
    this.#step(cell, { type: "RESTART" }, reason)
    return this.#starter.launch(cell)
  }

  // Crashing, and what follows.

  /** The actor died, or one of its handlers did: what is done is the actor's own choice, and then its supervisors'. */
  crashed(cell: LiveCell, crash: Crash): void {
    const directive = directiveOf(cell, crash)
    if (directive === "resume") return
    cell.loaded = false
    const { state } = cell.lifecycle
    if (this.#system.closing) return
    // Made anew when it is resumed.
    if (state === "suspended") this.#letGo(cell)
    else if (!mayCrash(state)) return
    else if (directive === "stop") this.#end(cell, "stopped", crash.message)
    else if (directive === "escalate") this.#escalate(cell, `escalated: ${crash.message}`)
    else this.#restart(cell, crash.message)
  }

  /** Within its own limits, and those of its group. */
  #restart(cell: LiveCell, reason: string): void {
    const { onExceeded } = cell.actor.supervision
    const isLast = onExceeded === "fail" || cell.lifecycle.state === "draining"
    this.#step(cell, { type: "CRASHED", atMs: this.#system.now() }, reason, isLast)
    if (cell.lifecycle.state === "restarting") {
      cell.restarts++
      this.#letGo(cell)
      this.#ask(cell, "crashed", reason)
      rescueMessages(this.#system, this.#life, cell, reason)
    } else if (cell.lifecycle.state === "failed" && onExceeded === "escalate") this.#escalate(cell, reason)
    else this.#end(cell, onExceeded === "stop" ? "stopped" : "failed", reason)
  }

  /** Its group has failed. */
  #escalate(cell: LiveCell, reason: string): void {
    this.#step(cell, { type: "RECYCLE" }, reason)
    this.#letGo(cell)
    this.#ask(cell, "escalated", reason)
    rescueMessages(this.#system, this.#life, cell, reason)
  }

  /** The actor can never go on. */
  gaveUp(cell: LiveCell, reason: string): void {
    this.#end(cell, "failed", reason)
  }

  /** Asks the tree, and does what it says. */
  #ask(cell: LiveCell, type: "crashed" | "escalated", reason: string): void {
    const place = this.#tree.placeOf(cell.address, cell.key)
    const event = { type, key: cell.key, place, atMs: this.#system.now() }
    const { actions, states } = decideRestart(this.#tree, this.#groups, event)
    this.#groups = states
    const cells: Array<LiveCell> = []
    const releases: Array<Effect.Effect<void>> = []
    let waitMs = 0
    for (const action of actions) {
      if (action._tag === "Close") {
        const { escalationsMax } = this.#system.settings
        this.#giveUpSystem(`${cell.key} escalated, as ${escalationsMax} actors did within a minute: ${reason}`)
      } else if (action._tag === "Wait") waitMs = this.#waitMs(cell, action)
      else if (action._tag === "Stop") releases.push(...this.#stopWith(cell, action.leaf))
      else if (action._tag === "Start") cells.push(...this.#cellsOf(action.leaf).filter(isRestarting))
      else {
        const why = `${action.group.name} had too many crashes, the last of ${cell.key}: ${reason}`
        for (const each of this.#cellsOf(action.leaf).toReversed()) this.#end(each, action.as, why)
      }
    }
    if (cells.length === 0) return
    const reasonOf = (each: LiveCell) => (each === cell ? `after ${waitMs} ms` : `with ${cell.key}, after ${waitMs} ms`)
    this.#plans.carryOut({ cells, releases, waitMs, reasonOf })
    this.#system.fork(Effect.map(linkedTo(this.#system, cells), (linked) => this.#restartLinked(linked, cell, waitMs)))
  }

  /** After the same wait, but beside each other: links have no order. */
  #restartLinked(linked: ReadonlyArray<LiveCell>, cell: LiveCell, waitMs: number): void {
    if (this.#system.closing) return
    const why = `restarted with ${cell.key}, which it is linked to`
    for (const each of linked) {
      if (isGone(each.lifecycle.state) || !this.#step(each, { type: "RECYCLE" }, why)) continue
      each.loaded = false
      this.#breakOff(each)
      rescueMessages(this.#system, this.#life, each, why)
      const releases = [this.#starter.release(each)]
      this.#plans.carryOut({ cells: [each], releases, waitMs, reasonOf: () => `with ${cell.key}, after ${waitMs} ms` })
    }
  }

  #waitMs(cell: LiveCell, { backoffOf, crashes }: Extract<Action, { readonly _tag: "Wait" }>): number {
    const random = this.#system.random()
    if (backoffOf !== "actor") return backoffMs(backoffOf.backoff, crashes, random)
    return backoffMs(cell.actor.supervision.backoff, cell.lifecycle.context.restartsAtMs.length, random)
  }

  /** Actors that are alive, in the order in which they were made. */
  #cellsOf(leaf: Leaf): ReadonlyArray<LiveCell> {
    const { registry } = this.#system
    const cell = leaf._tag === "Actor" ? registry.find(leaf.key) : undefined
    if (leaf._tag === "Actor") return cell === undefined || isGone(cell.lifecycle.state) ? [] : [cell]
    const place = this.#tree.placeOf({ type: leaf.type, id: "" }, leaf.type)
    return [...registry.all()].filter(
      (each) =>
        each.actor.name === leaf.type &&
        !isGone(each.lifecycle.state) &&
        this.#tree.placeOf(each.address, each.key) === place,
    )
  }

  /** Stops what falls with `cell`; one that is suspended stays as it is. */
  #stopWith(cell: LiveCell, leaf: Leaf): ReadonlyArray<Effect.Effect<void>> {
    return this.#cellsOf(leaf)
      .toReversed()
      .filter((each) => each !== cell && this.#step(each, { type: "RECYCLE" }, `restarted with ${cell.key}`))
      .map((each) => {
        each.loaded = false
        this.#breakOff(each)
        rescueMessages(this.#system, this.#life, each, each.reason)
        return this.#starter.release(each)
      })
  }

  // Ending, for good or for a time.

  /** The actor is gone; what waits for it moves, or becomes dead letters. */
  #end(cell: LiveCell, as: "failed" | "stopped", reason: string): void {
    const wasGone = isGone(cell.lifecycle.state)
    if (!this.#step(cell, { type: as === "failed" ? "GAVE_UP" : "STOP" }, reason) && !wasGone) return
    cell.loaded = false
    this.#letGo(cell)
    rescueMessages(this.#system, this.#life, cell, reason)
  }

  /** An actor has ended that this one is linked to. */
  #endLinked(address: Address, { state, address: other, reason }: End): void {
    const system = this.#system
    const brought = Effect.orElseSucceed(bringActor(system, address), () => undefined)
    const why = `${formatAddress(other)}, which it is linked to, is ${state}: ${reason}`
    const end = (cell: LiveCell | undefined) => {
      if (cell === undefined) return
      // It ended by itself, and the link was made after that.
      if (hasEnded(cell)) this.#log.write([{ _tag: "DropWatch", watched: undefined, watcher: address }])
      else this.#end(cell, state, why)
    }
    system.fork(Effect.map(brought, end))
  }

  /** Whoever was watched, and has ended: at once. */
  watched(addresses: ReadonlyArray<Address>): void {
    this.#log.lookAt(addresses)
  }

  /** Ends that an earlier process wrote and did not live to tell. */
  readonly recallEnds = Effect.suspend(() =>
    Effect.map(this.#system.store.watches({ ended: true }, RECALLED_MAX), (rows) => {
      const ended = new Map(rows.map(({ watched }) => [formatAddress(watched), watched]))
      for (const address of ended.values()) {
        const cell = this.#system.registry.find(formatAddress(address))
        const state = cell?.lifecycle.state === "stopped" ? "stopped" : "failed"
        this.#log.write([], [{ address, state, reason: "it had ended before the system was opened" }])
      }
    }),
  )

  /** Drains an actor, then stops it: what runs may end, within `drainMsMax`; what waits moves, or becomes dead letters. */
  stop(cell: LiveCell, reason: string): boolean {
    if (!this.#step(cell, { type: "DRAIN" }, reason) && !this.#step(cell, { type: "STOP" }, reason)) return false
    if (cell.lifecycle.state !== "draining") this.#release(cell)
    rescueMessages(this.#system, this.#life, cell, reason)
    this.rested(cell)
    if (cell.lifecycle.state !== "draining") return true
    const { drainMsMax } = this.#system.settings
    after(this.#system, drainMsMax, () => {
      if (cell.lifecycle.state !== "draining") return
      this.#step(cell, { type: "STOP" }, `what ran had not ended after ${drainMsMax} ms`)
      this.#letGo(cell)
    })
    return true
  }

  /** The actor has finished a message: one that drains may be done. */
  rested(cell: LiveCell): void {
    if (cell.lifecycle.state !== "draining" || cell.running.size > 0) return
    this.#step(cell, { type: "DRAINED" }, "nothing runs any more")
    this.#release(cell)
  }

  /** What waits, and what comes, waits on; what runs may end. Lasts over restarts of the process. False where it is gone. */
  suspend(cell: LiveCell, reason: string): boolean {
    const wasUp = takesMessages(cell.lifecycle.state)
    if (!this.#step(cell, { type: "SUSPEND" }, reason)) return false
    // One that was ready keeps its resource; a start under way is given up.
    if (!wasUp) this.#release(cell)
    rescueMessages(this.#system, this.#life, cell, reason)
    return true
  }

  /** False where it is not suspended. */
  resume(cell: LiveCell, reason: string): boolean {
    if (cell.lifecycle.state !== "suspended") return false
    if (cell.actor.start !== undefined && cell.scope === undefined) this.#startAgain(cell, reason)
    else {
      this.#step(cell, { type: "RESUME" }, reason)
      this.#life.pump(cell)
    }
    return true
  }

  /** Brings back an actor that is gone, with a fresh budget of restarts; restarts one that is alive. False while it drains. */
  restart(cell: LiveCell, reason: string): boolean {
    const { state } = cell.lifecycle
    if (state === "draining") return false
    this.#groups = forgetCrashes(this.#groups, this.#tree.placeOf(cell.address, cell.key).group)
    cell.loaded = false
    this.#breakOff(cell)
    const release = this.#starter.release(cell)
    if (!isGone(state) && this.#step(cell, { type: "RECYCLE" }, reason)) {
      this.#plans.carryOut({ cells: [cell], releases: [release], waitMs: 0, reasonOf: () => reason })
    } else {
      this.#system.fork(release)
      this.#startAgain(cell, reason)
    }
    return true
  }

  /** Lets an unused actor's resource go; its next message starts it again. It is dropped, if none has come meanwhile. */
  passivate(cell: LiveCell, reason: string): void {
    if (!cell.empty || !this.#step(cell, { type: "PASSIVATED" }, reason)) return
    const rested = (): void => {
      if (cell.lifecycle.state !== "restarting" || cell.scope !== undefined) return
      if (!cell.empty) this.#startAgain(cell, "wanted again")
      else if (this.#step(cell, { type: "RESTART" }, "its resource is released")) this.#system.registry.drop(cell)
    }
    // A resource that does not let go is not waited for when somebody wants the actor.
    const stop = after(this.#system, this.#system.settings.drainMsMax, rested)
    this.#system.fork(this.#starter.release(cell)).addObserver(() => {
      stop()
      rested()
    })
  }

  #release(cell: LiveCell): void {
    this.#system.fork(this.#starter.release(cell))
  }

  /** Lets the resource go, and what runs. */
  #letGo(cell: LiveCell): void {
    this.#release(cell)
    this.#breakOff(cell)
  }

  /** It begins anew: what runs is interrupted, and what was put aside may wait for something that is gone with what it was. */
  #breakOff(cell: LiveCell): void {
    cell.mailbox.unstash()
    for (const message of cell.running) {
      if (message.undoing) continue
      message.interruption ??= "restarted"
      message.fiber?.interruptUnsafe()
    }
  }

  /** A message came to an actor that runs none any more. */
  stranded(message: LiveMessage): void {
    rescueMessage(this.#system, this.#life, message, "it came too late")
  }
}

const hasEnded = ({ lifecycle: { state } }: LiveCell): boolean => state === "failed" || state === "stopped"

const isRestarting = (cell: LiveCell): boolean => cell.lifecycle.state === "restarting"

/** The actor's own choice. What is not a handler's failure cannot be resumed: there is nothing to go on with. */
const directiveOf = (cell: LiveCell, crash: Crash): Directive => {
  try {
    const directive = cell.actor.supervision.onCrash(crash)
    if (directive === "stop" || directive === "escalate") return directive
    return directive === "resume" && crash.from === "handler" ? directive : "restart"
  } catch {
    return "restart"
  }
}
