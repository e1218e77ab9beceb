/**
 * The boundary between a plan and the processes that live through it: one disk, and one process after the other that opens
 * the real `ActorSystem` on it, is called, and dies.
 */
import { Clock, Context, Effect, Exit, Layer, Logger, Random, Scheduler, Scope } from "effect"
import { ActorSystem } from "../../ActorSystem.ts"
import { type CrashPoint, CrashPoints } from "../../ports/CrashPoints.ts"
import { MessageStore } from "../../ports/MessageStore.ts"
import type { MemoryLog } from "../MemoryLog.ts"
import { DiskWitness } from "./DiskWitness.ts"
import { Outside } from "./Outside.ts"
import { type Action, OPENING_SCRIPT, type Plan, PROGRAM, type Program } from "./Plan.ts"
import { SimulatedDisk } from "./SimulatedDisk.ts"
import { SimulatedProcess, SimulatedTime } from "./SimulatedTime.ts"
import type { Stage } from "./Stage.ts"
import { seededRandom } from "./seededRandom.ts"
import { makeActors, type SimulatedActors } from "./simulatedActors.ts"
import { KEY_WINDOW_MS, SHOPS, STOPPABLE } from "./simulatedAddresses.ts"
import { type Struck, strike } from "./strike.ts"
import type { Witness } from "./Witness.ts"

type System = ActorSystem["Service"]

/** One process, from its start to its death. */
interface Life {
  readonly process: SimulatedProcess
  readonly scope: Scope.Closeable
  readonly program: Program
  readonly cast: SimulatedActors
  readonly services: Context.Context<never>
  system: System | undefined
  /** An open that failed is tried again; a close that is under way ends by itself. */
  closing: boolean
}

/** A process that cannot be opened is started again after this, in milliseconds. */
const REOPEN_MS = 50

/** Short and small, so that a run of a second meets each bound. */
const SETTINGS = { drainMsMax: 300, escalationsMax: 1, keyWindowMs: KEY_WINDOW_MS }

export class SimulatedCluster implements Struck {
  readonly time = new SimulatedTime()
  readonly disk: SimulatedDisk
  readonly witness: Witness
  readonly stage: Stage
  readonly armed: Array<{ readonly point: CrashPoint; left: number; readonly downMs: number }> = []
  /** Called after each death, with the log as the dead left it. */
  readonly onDeath: () => void
  lives = 0
  closes = 0
  #life: Life | undefined = undefined
  #program = PROGRAM
  #newestVersion = PROGRAM.version
  readonly #outside: Outside
  /** Actions that came while no process was open. */
  #missed: Array<Action> = []

  constructor(plan: Plan, witness: Witness, onDeath: () => void) {
    this.witness = witness
    this.onDeath = onDeath
    const watch = (log: MemoryLog) => new DiskWitness(witness, this.time, log)
    this.disk = new SimulatedDisk(this.time, seededRandom(plan.seed ^ 0x5eed), watch)
    const random = seededRandom(plan.seed ^ 0xac7)
    this.stage = { plan, witness, time: this.time, random, down: new Set(), started: new Map(), isOver: false }
    this.#outside = new Outside(this.stage, this.disk.log)
    const startedAtMs = this.time.nowMs
    for (const action of plan.actions) this.time.at(startedAtMs + action.atMs, () => this.#perform(action))
    for (const fault of plan.faults) this.time.at(startedAtMs + fault.atMs, () => strike(this, fault))
    this.boot()
  }

  /** The system that serves, if one does. */
  get serving(): System | undefined {
    return this.#life?.closing === false ? this.#life.system : undefined
  }

  /** Resources that are held now. */
  get held(): ReadonlyArray<string> {
    return [...this.stage.started.keys()]
  }

  // Lives and deaths.

  /** Starts a process, unless one lives. */
  readonly boot = (): void => {
    if (this.#life !== undefined) return
    const process = new SimulatedProcess(this.time)
    const nth = ++this.lives
    const program = this.#program
    this.witness.born(this.time.nowMs)
    this.witness.note(this.time.nowMs, `process ${nth} starts ${JSON.stringify(program)}`)
    const random = seededRandom(this.stage.plan.seed + nth * 7_919)
    const services = Context.empty().pipe(
      Context.add(Scheduler.Scheduler, process.scheduler),
      Context.add(Clock.Clock, process.clock),
      Context.add(Random.Random, {
        nextDoubleUnsafe: random.next,
        nextIntUnsafe: () => random.below(Number.MAX_SAFE_INTEGER),
      }),
    )
    const crashPoint = (point: CrashPoint) => this.#pass(process, point)
    const cast = makeActors(this.stage, process, program)
    const scope = Scope.makeUnsafe()
    const life: Life = { process, scope, program, cast, services, system: undefined, closing: false }
    this.#life = life
    // Two of three runs read back what a death left a few messages at a time.
    const readAheadMax = [2, 7, 10_000][this.stage.plan.seed % 3]!
    const layer = ActorSystem.layer({ ...cast, ...SETTINGS, readAheadMax }).pipe(
      Layer.provide(Layer.succeed(MessageStore, this.disk.open(process, crashPoint, nth % 2 === 1))),
      Layer.provide(Layer.succeed(CrashPoints, crashPoint)),
    )
    const opened = Effect.flatMap(Layer.buildWithScope(layer, life.scope), (built) =>
      Effect.sync(() => this.#opened(life, Context.get(built, ActorSystem))),
    )
    this.#fork(life, Effect.provide(opened, Logger.layer([])), (exit) => {
      if (Exit.isFailure(exit)) this.die(REOPEN_MS, "could not be opened")
    })
  }

  #opened(life: Life, system: System): void {
    life.system = system
    this.#fork(life, system.failure, () => this.close(() => this.die(REOPEN_MS, "has given up")))
    for (const { effect, ended } of this.#outside.resume(system, life.cast)) this.#fork(life, effect, ended)
    if (this.stage.isOver) this.#resumeAll()
    const missed = this.#missed
    this.#missed = []
    for (const action of missed) this.#perform(action)
  }

  /** Runs an effect in the process, up to its first wait at once; nothing is heard of it once the process has died. */
  #fork<A, E>(life: Life, effect: Effect.Effect<A, E>, then: (exit: Exit.Exit<A, E>) => void = () => {}): void {
    const fiber = Effect.runForkWith(life.services)(effect)
    fiber.addObserver((exit) => (life.process.alive ? then(exit) : undefined))
  }

  readonly within = (run: (system: System) => Effect.Effect<unknown, unknown>): void => {
    const life = this.#life
    if (life?.system !== undefined) this.#fork(life, run(life.system))
  }

  /** The process dies where it is. */
  readonly die = (downMs: number, why: string): void => {
    const life = this.#life
    if (life === undefined) return
    life.process.kill()
    this.#life = undefined
    this.armed.length = 0
    this.witness.waiting.clear()
    this.stage.started.clear()
    this.witness.note(this.time.nowMs, `process ${this.lives} ${why}`)
    // It is in the middle of a turn: what it still does in it, nobody sees.
    this.witness.isDeaf = true
    this.onDeath()
    this.time.at(this.time.nowMs + downMs, this.boot)
  }

  readonly close = (then: () => void): void => {
    const life = this.#life
    if (life === undefined || life.closing) return
    life.closing = true
    this.witness.isClosing = true
    this.closes++
    this.witness.note(this.time.nowMs, `process ${this.lives} closes`)
    this.#fork(life, Scope.close(life.scope, Exit.void), then)
  }

  readonly deploy = (program: Program, downMs: number): void => {
    if (!this.stage.isOver) this.#program = program
    this.#newestVersion = Math.max(this.#newestVersion, program.version)
    this.die(downMs, "is replaced")
  }

  #pass(process: SimulatedProcess, point: CrashPoint): void {
    if (!process.alive) return
    for (const each of this.armed) {
      if (each.point !== point || --each.left > 0) continue
      this.die(each.downMs, `is killed at ${point}`)
      return
    }
  }

  /** No more trouble: what is unfinished must now come to its end, with a program that has and reads everything. */
  calm(): void {
    this.stage.isOver = true
    this.disk.trouble = undefined
    this.disk.slowMs = 0
    this.disk.unreadable = 0
    this.stage.down.clear()
    this.armed.length = 0
    this.#resumeAll()
    this.#program = { ...this.#program, version: this.#newestVersion, lacks: undefined }
    const stashes = this.stage.plan.scripts.some(({ acts }) => acts.some((act) => act.do === "stash"))
    for (const to of stashes ? SHOPS : []) {
      this.#perform({ kind: "tell", atMs: 0, to, script: OPENING_SCRIPT, terms: {}, leavesAfterMs: undefined })
    }
    const running = this.#life?.program
    if (running === undefined || (running.version === this.#newestVersion && running.lacks === undefined)) return
    this.close(() => this.die(0, "is replaced by a whole one"))
  }

  /** Nobody is on hold any more. */
  #resumeAll(): void {
    for (const actor of STOPPABLE) {
      const [type = "", id = ""] = actor.split("/")
      this.within((system) => system.resume({ type, id }, "no more trouble"))
    }
  }

  #perform(action: Action): void {
    const life = this.#life
    if (life?.system === undefined || life.closing) {
      this.#missed.push(action)
      return
    }
    const call = this.#outside.perform(action, life.system, life.cast)
    if (call !== undefined) this.#fork(life, call.effect, call.ended)
  }
}
