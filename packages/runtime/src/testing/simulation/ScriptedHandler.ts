/**
 * The boundary between a script and a handler: does what a script says through a handler's context, and tells the witness
 * what it sees on the way.
 */
import { Effect } from "effect"
import type { HandlerFailure } from "../../actor/Actor.ts"
import type { ActorContext } from "../../actor/ActorContext.ts"
import type { HandlerRun } from "../checkRuns.ts"
import { type Act, OPENING, OPENING_SCRIPT, type Program, type Script } from "./Plan.ts"
import { type Context, isNumbered, performAct } from "./performAct.ts"
import type { SimulatedProcess } from "./SimulatedTime.ts"
import type { Cast, Declared, Stage, Talk, Work } from "./Stage.ts"

/** An actor that is open or shut, as its state says. */
export interface Gate {
  readonly isOpen: () => boolean
  readonly set: (open: boolean) => void
}

export interface Performance {
  readonly actor: Context
  readonly script: number
  /** Whether its actor runs one message at a time. */
  readonly isSerial: boolean
  /** Of an actor that has one. */
  readonly gate?: Gate
  /** Hands the message on; undefined for one that has not the task. */
  readonly forward: (to: string) => Effect.Effect<unknown, HandlerFailure> | undefined
  /** Called when all is done, with whether the message was handed on. */
  readonly done?: (handedOn: boolean) => void
  /** How a streaming handler adds a chunk, and what it has said in attempts before. */
  readonly emit?: (chunk: string) => Effect.Effect<void, HandlerFailure>
  readonly said?: Effect.Effect<ReadonlyArray<string>, HandlerFailure> | undefined
}

/** The handlers of one process. */
export class ScriptedHandler {
  readonly #stage: Stage
  readonly #process: SimulatedProcess
  readonly #cast: Cast
  readonly #program: Program
  /** How many run on each actor in this process. */
  readonly #running = new Map<string, number>()

  constructor(stage: Stage, process: SimulatedProcess, program: Program, cast: Cast) {
    this.#stage = stage
    this.#program = program
    this.#process = process
    this.#cast = cast
  }

  scriptOf(nth: number): Script {
    if (nth === OPENING_SCRIPT) return OPENING
    return this.#stage.plan.scripts[nth] ?? { acts: [], resumes: false, revised: false }
  }

  handOnWork(actor: Pick<ActorContext<typeof Work, unknown, unknown>, "forward">, to: string) {
    return this.#cast.talkRef(to) === undefined ? actor.forward(this.#cast.workRef(to)) : undefined
  }

  handOnTalk(actor: Pick<ActorContext<typeof Talk, unknown, unknown>, "forward">, to: string) {
    const talker = this.#cast.talkRef(to)
    return talker === undefined ? undefined : actor.forward(talker)
  }

  /** Runs a script; the reply says which attempt of which message it is of. */
  perform(performance: Performance): Effect.Effect<string, Declared | HandlerFailure> {
    return Effect.suspend(() => {
      const run = this.#begin(performance)
      const said = performance.said ?? Effect.succeed([])
      return Effect.ensuring(
        Effect.flatMap(said, (before) => this.#act(performance, [...before])),
        Effect.sync(() => this.#running.set(run.actor, (this.#running.get(run.actor) ?? 1) - 1)),
      )
    })
  }

  #begin({ actor, isSerial }: Performance): HandlerRun {
    const { time, witness } = this.#stage
    const { attempt, deadlineAtMs, id } = actor.message
    const key = `${actor.self.type}/${actor.self.id}`
    const count = (this.#running.get(key) ?? 0) + 1
    this.#running.set(key, count)
    if (isSerial && count > 1) witness.wrong(`${key} ran ${id} beside another message`)
    witness.note(time.nowMs, `run ${id} attempt ${attempt} on ${key}`)
    const run: HandlerRun = { messageId: id, actor: key, attempt, deadlineAtMs, startedAtMs: time.nowMs }
    if (this.#process.alive) witness.runs.push(run)
    return run
  }

  readonly #act = Effect.fnUntraced(function* (this: ScriptedHandler, performance: Performance, said: Array<string>) {
    const { id, attempt } = performance.actor.message
    let ordinal = 0
    let spoken = 0
    const script = this.scriptOf(performance.script)
    const journal = this.#stage.witness.journalOf(id)
    let handedOn = false
    const stepName = script.revised ? `draw-${this.#program.revision}` : "draw"
    const playing = {
      stage: this.#stage,
      cast: this.#cast,
      actor: performance.actor,
      stepName,
      sent: (sent: string) => void this.#stage.witness.sends.set(sent, id),
    }
    for (const act of script.acts) {
      if (act.do === "emit") {
        spoken += act.count
        while (performance.emit !== undefined && said.length < spoken) {
          const chunk = `${id}:${said.length}`
          said.push(chunk)
          yield* performance.emit(chunk)
          if (act.ms > 0) yield* Effect.sleep(act.ms)
        }
      } else if (act.do === "forward") {
        const { id, type } = performance.actor.self
        const isThere = act.to === `${type}/${id}` || (act.to === "models" && type === "model")
        const forwarded = handedOn || isThere ? undefined : performance.forward(act.to)
        if (forwarded === undefined) continue
        yield* forwarded
        handedOn = true
      } else if (act.do === "gate" || act.do === "stash") yield* this.#pass(performance, act)
      else yield* performAct(playing, act, `${journal}.${ordinal}`)
      if (isNumbered(act)) ordinal++
    }
    performance.done?.(handedOn)
    return `${id}@${attempt}`
  })

  /** Opens or shuts the actor, or waits outside. */
  #pass({ actor, gate }: Performance, act: Extract<Act, { readonly do: "gate" | "stash" }>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (gate === undefined) return Effect.void
      if (act.do === "gate") {
        gate.set(act.open)
        return act.open ? actor.unstashAll : Effect.void
      }
      if (gate.isOpen() || this.#stage.isOver) return Effect.void
      this.#stage.witness.unordered.add(actor.message.id)
      return actor.stash
    })
  }
}
