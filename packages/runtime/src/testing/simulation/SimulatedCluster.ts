/**
 * The boundary between a plan and the processes that live through it: one disk, and one process after the other that opens
 * the real `ActorSystem` on it, is called, and dies.
 */
import { Clock, Context, Effect, Exit, Layer, Logger, Random, Scheduler, Scope, Stream } from "effect"
import { ActorSystem } from "../../ActorSystem.ts"
import { isFinal, type MessageRow } from "../../message/Envelope.ts"
import { type CrashPoint, CrashPoints } from "../../ports/CrashPoints.ts"
import { MessageStore } from "../../ports/MessageStore.ts"
import type { Write } from "../../ports/Write.ts"
import type { Action, Fault, Plan } from "./Plan.ts"
import type { Stage } from "./ScriptedHandler.ts"
import { SimulatedDisk } from "./SimulatedDisk.ts"
import { SimulatedProcess, SimulatedTime } from "./SimulatedTime.ts"
import { seededRandom } from "./seededRandom.ts"
import { makeActors, type SimulatedActors } from "./simulatedActors.ts"
import type { Reading, Witness } from "./Witness.ts"

type System = ActorSystem["Service"]
type Call = Extract<Action, { readonly kind: "tell" | "ask" | "stream" }>

/** One process, from its start to its death. */
interface Life {
  readonly process: SimulatedProcess
  readonly scope: Scope.Closeable
  readonly cast: SimulatedActors
  readonly services: Context.Context<never>
  system: System | undefined
  /** An open that failed is tried again; a close that is under way ends by itself. */
  closing: boolean
}

/** A process that cannot be opened is started again after this, in milliseconds. */
const REOPEN_MS = 50

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)

export class SimulatedCluster {
  readonly time = new SimulatedTime()
  readonly disk: SimulatedDisk
  readonly witness: Witness
  /** Called after each death, with the log as the dead left it. */
  readonly onDeath: () => void
  life: Life | undefined = undefined
  lives = 0
  closes = 0
  /** Actions that came while no process was open. */
  #missed: Array<Action> = []
  #calls = 0
  #armed: Array<{ readonly point: CrashPoint; left: number; readonly downMs: number }> = []
  readonly #stage: Stage
  readonly #startedAtMs: number

  constructor(plan: Plan, witness: Witness, onDeath: () => void) {
    this.witness = witness
    this.onDeath = onDeath
    this.#startedAtMs = this.time.nowMs
    this.disk = new SimulatedDisk(this.time, seededRandom(plan.seed ^ 0x5eed), {
      asked: (writes) => this.#noteUnordered(writes),
      done: (writes, result) => witness.note(this.time.nowMs, `commit ${result} ${JSON.stringify(writes)}`),
    })
    const random = seededRandom(plan.seed ^ 0xac7)
    this.#stage = { plan, witness, time: this.time, random, down: new Set(), started: new Map() }
    for (const action of plan.actions) this.#at(action.atMs, () => this.#perform(action))
    for (const fault of plan.faults) this.#at(fault.atMs, () => this.#strike(fault))
    this.boot()
  }

  /** @see Witness.unordered */
  #noteUnordered(writes: ReadonlyArray<Write>): void {
    const { unordered } = this.witness
    for (const write of writes) {
      if (write._tag === "Append" && write.message.deliverAtMs > write.message.createdAtMs) {
        unordered.add(write.message.id)
      }
      if (write._tag === "Redrive") unordered.add(write.messageId)
      if (write._tag === "Settle" && (write.status === "cancelled" || write.status === "expired")) {
        unordered.add(write.messageId)
      }
    }
  }

  #at(atMs: number, run: () => void): void {
    this.time.at(this.#startedAtMs + atMs, run)
  }

  /** Whether a process serves. */
  get serving(): System | undefined {
    return this.life?.closing === false ? this.life.system : undefined
  }

  /** Resources that are held now. */
  get held(): ReadonlyArray<string> {
    return [...this.#stage.started.keys()]
  }

  // Lives and deaths.

  /** Starts a process, unless one lives. */
  readonly boot = (): void => {
    if (this.life !== undefined) return
    const process = new SimulatedProcess(this.time)
    const nth = ++this.lives
    this.witness.isDeaf = false
    this.witness.note(this.time.nowMs, `process ${nth} starts`)
    const random = seededRandom(this.#stage.plan.seed + nth * 7_919)
    const services = Context.empty().pipe(
      Context.add(Scheduler.Scheduler, process.scheduler),
      Context.add(Clock.Clock, process.clock),
      Context.add(Random.Random, {
        nextDoubleUnsafe: random.next,
        nextIntUnsafe: () => random.below(Number.MAX_SAFE_INTEGER),
      }),
    )
    const crashPoint = (point: CrashPoint) => this.#pass(process, point)
    const cast = makeActors(this.#stage, process)
    const life: Life = { process, scope: Scope.makeUnsafe(), cast, services, system: undefined, closing: false }
    this.life = life
    const layer = ActorSystem.layer({ ...cast, drainMsMax: 300 }).pipe(
      Layer.provide(Layer.succeed(MessageStore, this.disk.open(process, crashPoint))),
      Layer.provide(Layer.succeed(CrashPoints, crashPoint)),
    )
    const opened = Effect.flatMap(Layer.buildWithScope(layer, life.scope), (built) =>
      Effect.sync(() => this.#opened(life, Context.get(built, ActorSystem))),
    )
    this.#fork(life, Effect.provide(opened, Logger.layer([])), (exit) => {
      if (Exit.isFailure(exit)) this.#die(REOPEN_MS, "could not be opened")
    })
  }

  #opened(life: Life, system: System): void {
    life.system = system
    const missed = this.#missed
    this.#missed = []
    for (const action of missed) this.#perform(action)
  }

  /** Runs an effect in the process, up to its first wait at once; nothing is heard of it once the process has died. */
  #fork<A, E>(life: Life, effect: Effect.Effect<A, E>, then: (exit: Exit.Exit<A, E>) => void = () => {}): void {
    const fiber = Effect.runForkWith(life.services)(effect)
    fiber.addObserver((exit) => (life.process.alive ? then(exit) : undefined))
  }

  /** The process dies where it is. */
  #die(downMs: number, why: string): void {
    const { life } = this
    if (life === undefined) return
    life.process.kill()
    this.life = undefined
    this.#armed = []
    this.witness.waiting.clear()
    this.#stage.started.clear()
    this.witness.note(this.time.nowMs, `process ${this.lives} ${why}`)
    // It is in the middle of a turn: what it still does in it, nobody sees.
    this.witness.isDeaf = true
    this.onDeath()
    this.time.at(this.time.nowMs + downMs, this.boot)
  }

  /** Drains and ends the process; `then` is called when it is over. */
  close(then: () => void): void {
    const { life } = this
    if (life === undefined || life.closing) return
    life.closing = true
    this.closes++
    this.witness.note(this.time.nowMs, `process ${this.lives} closes`)
    this.#fork(life, Scope.close(life.scope, Exit.void), then)
  }

  #pass(process: SimulatedProcess, point: CrashPoint): void {
    if (!process.alive) return
    for (const each of this.#armed) {
      if (each.point !== point || --each.left > 0) continue
      this.#die(each.downMs, `is killed at ${point}`)
      return
    }
  }

  // What befalls it.

  #strike(fault: Fault): void {
    const { life } = this
    const untilMs = this.time.nowMs + ("forMs" in fault ? fault.forMs : 0)
    this.witness.note(this.time.nowMs, `fault ${JSON.stringify(fault)}`)
    switch (fault.kind) {
      case "kill":
        this.#die(fault.downMs, "is killed")
        break
      case "killAt":
        this.#armed.push({ point: fault.point, left: fault.occurrence, downMs: fault.downMs })
        break
      case "close":
        this.close(() => this.#die(fault.downMs, "has closed"))
        break
      case "refuse": {
        const trouble = { reason: fault.reason, share: fault.share }
        this.disk.trouble = trouble
        this.time.at(untilMs, () => {
          if (this.disk.trouble === trouble) this.disk.trouble = undefined
        })
        break
      }
      case "slow":
        this.disk.slowMs = fault.byMs
        this.time.at(untilMs, () => {
          this.disk.slowMs = 0
        })
        break
      case "crash": {
        const self = this.#stage.started.get(fault.target)
        if (life !== undefined && self !== undefined) this.#fork(life, self.crash("its resource died"))
        break
      }
      case "down":
        this.#stage.down.add(fault.target)
        this.time.at(untilMs, () => this.#stage.down.delete(fault.target))
        break
      case "stop": {
        const [type = "", id = ""] = fault.actor.split("/")
        if (life?.system !== undefined) this.#fork(life, life.system.stop({ type, id }, "an operator"))
        break
      }
    }
  }

  /** No more trouble: what is unfinished must now come to its end. */
  calm(): void {
    this.disk.trouble = undefined
    this.disk.slowMs = 0
    this.#stage.down.clear()
    this.#armed = []
  }

  // What is asked of it.

  #perform(action: Action): void {
    const { life } = this
    if (life?.system === undefined || life.closing) {
      this.#missed.push(action)
      return
    }
    if (action.kind === "cancel" || action.kind === "redrive") {
      this.#operate(life, life.system, action)
      return
    }
    const label = `${++this.#calls} ${action.kind} ${action.to} ${action.script}`
    this.witness.waiting.add(label)
    const call = this.#call(life.system, life.cast, action)
    const patient = action.leavesAfterMs === undefined ? call : Effect.timeoutOption(call, action.leavesAfterMs)
    this.#fork(life, patient, (exit) => {
      this.witness.waiting.delete(label)
      const failure = Exit.findErrorOption(exit)
      const end = Exit.isSuccess(exit) ? "answered" : failure._tag === "Some" ? tagOf(failure.value) : "broken"
      if (end === "broken") this.witness.wrong(`the caller of ${label} met a defect: ${exit}`)
      this.witness.note(this.time.nowMs, `caller ${label}: ${end}`)
    })
  }

  /** What an operator does to a message of the log. */
  #operate(life: Life, system: System, { kind, nth }: Extract<Action, { readonly nth: number }>): void {
    const isMeant = ({ status }: MessageRow) => (kind === "cancel" ? !isFinal(status) : status === "dead")
    const rows = [...this.disk.log.messages.values()].filter(isMeant)
    const id = rows[nth % Math.max(1, rows.length)]?.id
    if (id === undefined) return
    const operation: Effect.Effect<unknown, unknown> = kind === "cancel" ? system.cancel(id) : system.redrive(id)
    this.#fork(life, operation, (exit) => {
      const failure = Exit.findErrorOption(exit)
      const end = Exit.isSuccess(exit) ? "done" : failure._tag === "Some" ? tagOf(failure.value) : "broken"
      if (end === "broken") this.witness.wrong(`the ${kind} of ${id} met a defect: ${exit}`)
      this.witness.note(this.time.nowMs, `operator ${kind} ${id}: ${end}`)
    })
  }

  /** The reply says the id of its message: that is how an asker knows it. */
  #hear(reply: string): void {
    this.witness.replied(reply.slice(0, reply.lastIndexOf("@")), JSON.stringify(reply))
  }

  #call(system: System, cast: SimulatedActors, { kind, script, terms, to }: Call): Effect.Effect<unknown, unknown> {
    const talker = cast.talkRef(to)
    const work = cast.workRef
    const payload = { script }
    if (kind === "stream" && talker !== undefined) {
      const reading: Reading = { messageId: undefined, chunks: [] }
      this.witness.readings.push(reading)
      return Stream.runForEach(system.stream(talker, "Talk", payload, terms), (chunk) =>
        Effect.sync(() => this.witness.readChunk(reading, chunk)),
      )
    }
    if (kind === "tell") {
      const told =
        talker === undefined
          ? system.tell(work(to), "Work", payload, terms)
          : system.tell(talker, "Talk", payload, terms)
      return Effect.flatMap(told, (id) => {
        this.witness.accept(id)
        return Effect.tap(system.outcome(id), ({ reply }) =>
          Effect.sync(() => (reply === null ? undefined : this.witness.replied(id, reply))),
        )
      })
    }
    const asked =
      talker === undefined ? system.ask(work(to), "Work", payload, terms) : system.ask(talker, "Talk", payload, terms)
    return Effect.tap(asked, (reply) => Effect.sync(() => this.#hear(reply)))
  }
}
