/**
 * The boundary between a script and a handler: does what a script says through a handler's context, and tells the witness
 * what it sees on the way.
 */
import { Effect, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import type { HandlerFailure } from "../../actor/Actor.ts"
import type { ActorContext, ActorSelf } from "../../actor/ActorContext.ts"
import type { Ref } from "../../actor/Ref.ts"
import * as Task from "../../actor/Task.ts"
import type { HandlerRun } from "../checkRuns.ts"
import { type Act, OPENING, OPENING_SCRIPT, type Plan, type Program, type Script, type Terms } from "./Plan.ts"
import type { SimulatedProcess, SimulatedTime } from "./SimulatedTime.ts"
import type { SeededRandom } from "./seededRandom.ts"
import type { Witness } from "./Witness.ts"

export class RetryableTrouble extends Schema.TaggedError<RetryableTrouble>()("RetryableTrouble", {
  message: Schema.String,
}) {}
class TerminalTrouble extends Schema.TaggedError<TerminalTrouble>()("TerminalTrouble", { message: Schema.String }) {}
class Declared extends Schema.TaggedError<Declared>()("Declared", { message: Schema.String }) {}

const payload = { script: Schema.Number }
export const Work = Rpc.make("Work", { payload, success: Schema.String, error: Declared })
export const Talk = Task.stream("Talk", { payload, chunk: Schema.String, whole: Schema.String, error: Declared })

/** What every process of a simulation plays on. */
export interface Stage {
  readonly plan: Plan
  readonly witness: Witness
  readonly time: SimulatedTime
  readonly random: SeededRandom
  /** Targets that cannot be started now. */
  readonly down: Set<string>
  /** Started targets, with what makes each of them crash. */
  readonly started: Map<string, ActorSelf>
  /** Whether everything must now come to its end. */
  isOver: boolean
}

/** Whom a script may name. */
export interface Cast {
  readonly workRef: (to: string) => Ref<typeof Work>
  /** Undefined for one that does not talk. */
  readonly talkRef: (to: string) => Ref<typeof Talk> | undefined
}

type Context = Pick<
  ActorContext<typeof Work, unknown, unknown>,
  "self" | "message" | "step" | "ask" | "send" | "stream" | "stash" | "unstashAll"
>

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

const isDurable = (act: Act): boolean =>
  act.do === "step" || act.do === "ask" || act.do === "stream" || act.do === "send"

const fail = (act: Extract<Act, { readonly do: "fail" }>, attempt: number) => {
  if (attempt > act.attempts) return Effect.void
  const message = `attempt ${attempt} of the script`
  switch (act.how) {
    case "retryable":
      return Effect.fail(new RetryableTrouble({ message }))
    case "terminal":
      return Effect.fail(new TerminalTrouble({ message }))
    case "declared":
      return Effect.fail(new Declared({ message }))
    case "throw":
      return Effect.die(new Error(message))
  }
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
    // Each hand has a journal of its own.
    const journal = `${id}/${this.#stage.witness.hops.get(id) ?? 0}`
    let handedOn = false
    const stepName = script.revised ? `draw-${this.#program.revision}` : "draw"
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
      else yield* this.#doOne(performance.actor, act, `${journal}.${ordinal}`, stepName)
      if (isDurable(act)) ordinal++
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

  /** One act; `key` is what finds it again when the handler is run again, if it is a durable one. */
  #doOne(
    actor: Context,
    act: Exclude<Act, { readonly do: "emit" | "forward" | "gate" | "stash" }>,
    key: string,
    stepName: string,
  ): Effect.Effect<unknown, Declared | HandlerFailure> {
    const { random, witness } = this.#stage
    const seen = (value: string) => Effect.sync(() => witness.recall(key, value))
    switch (act.do) {
      case "wait":
        return Effect.sleep(act.ms)
      case "fail":
        return fail(act, actor.message.attempt)
      case "step": {
        const draw = Effect.map(Effect.sleep(act.ms), () => random.below(1_000_000))
        return Effect.tap(actor.step(stepName, Schema.Number, draw), (value) => seen(`${value}`))
      }
      case "ask": {
        const asked = Effect.tap(this.#ask(actor, act.to, act.script, act.terms), seen)
        return act.boldly ? Effect.ignore(asked) : asked
      }
      case "stream": {
        const talker = this.#cast.talkRef(act.to)
        if (talker === undefined) return Effect.die(new Error(`${act.to} does not talk`))
        return Stream.runDrain(actor.stream(talker, "Talk", { script: act.script }, act.terms))
      }
      case "send":
        return Effect.tap(this.#send(actor, act.to, act.script, act.terms), (id) =>
          Effect.sync(() => {
            // Under a key, another may have sent it before.
            if (act.terms.idempotencyKey === undefined) witness.sends.set(id, actor.message.id)
          }),
        )
    }
  }

  #ask(actor: Context, to: string, script: number, terms: Terms) {
    const talker = this.#cast.talkRef(to)
    return talker === undefined
      ? actor.ask(this.#cast.workRef(to), "Work", { script }, terms)
      : actor.ask(talker, "Talk", { script }, terms)
  }

  #send(actor: Context, to: string, script: number, terms: Terms) {
    const talker = this.#cast.talkRef(to)
    return talker === undefined
      ? actor.send(this.#cast.workRef(to), "Work", { script }, terms)
      : actor.send(talker, "Talk", { script }, terms)
  }
}
