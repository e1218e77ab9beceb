/**
 * The boundary to user code in a simulation: actors of each kind, whose handlers do what a script says, and tell the
 * witness what they see. Each keeps in its state the ids of the messages that it has answered, so that an effect which is
 * committed twice, or not at all, is there to be read.
 */
import { Effect, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import * as Actor from "../../actor/Actor.ts"
import type { ActorContext, ActorSelf } from "../../actor/ActorContext.ts"
import type { Ref } from "../../actor/Ref.ts"
import * as Task from "../../actor/Task.ts"
import { makePool } from "../../supervision/Pool.ts"
import type { RetryPolicy } from "../../supervision/restartPolicy.ts"
import type { HandlerRun } from "../checkRuns.ts"
import { TARGETS } from "./makePlan.ts"
import type { Act, Plan, Terms } from "./Plan.ts"
import type { SimulatedProcess, SimulatedTime } from "./SimulatedTime.ts"
import type { SeededRandom } from "./seededRandom.ts"
import type { Witness } from "./Witness.ts"

class RetryableTrouble extends Schema.TaggedError<RetryableTrouble>()("RetryableTrouble", { message: Schema.String }) {}
class TerminalTrouble extends Schema.TaggedError<TerminalTrouble>()("TerminalTrouble", { message: Schema.String }) {}
class Declared extends Schema.TaggedError<Declared>()("Declared", { message: Schema.String }) {}

const payload = { script: Schema.Number }
export const Work = Rpc.make("Work", { payload, success: Schema.String, error: Declared })
export const Talk = Task.stream("Talk", { payload, chunk: Schema.String, whole: Schema.String, error: Declared })

/** What every handler here needs of its context, whatever its task. */
type Doer = Pick<
  ActorContext<typeof Work, unknown, unknown>,
  "self" | "message" | "step" | "ask" | "send" | "stream"
> & { readonly emit: (chunk: string) => Effect.Effect<void, Actor.HandlerFailure> }

export interface Stage {
  readonly plan: Plan
  readonly witness: Witness
  readonly time: SimulatedTime
  readonly random: SeededRandom
  /** Targets that cannot be started now. */
  readonly down: Set<string>
  /** Started targets, with what makes each of them crash. */
  readonly started: Map<string, ActorSelf>
}

export const ATTEMPTS_MAX = 4
/** Short beside the defaults, so that a run of a second sees all of it; few, so that messages die. */
const RETRY: Partial<RetryPolicy> = {
  attemptsMax: ATTEMPTS_MAX,
  backoff: { baseMs: 4, factor: 3, maxMs: 200, jitter: 0.5 },
}
const SUPERVISION = { restartsMax: 3, withinMs: 10_000, backoff: { baseMs: 5, factor: 2, maxMs: 300, jitter: 0.5 } }

const parts = (address: string): readonly [type: string, id: string] => {
  const [type = "", id = ""] = address.split("/")
  return [type, id]
}

export const makeActors = (stage: Stage, process: SimulatedProcess) => {
  const { down, plan, random, started, time, witness } = stage
  /** How many handlers of each serial actor run in this process. */
  const running = new Map<string, number>()

  const begin = (actor: Doer, isSerial: boolean): HandlerRun => {
    const { attempt, deadlineAtMs, id } = actor.message
    const key = `${actor.self.type}/${actor.self.id}`
    const count = (running.get(key) ?? 0) + 1
    running.set(key, count)
    if (isSerial && count > 1) witness.wrong(`${key} ran ${id} beside another message`)
    witness.note(time.nowMs, `run ${id} attempt ${attempt} on ${key}`)
    const run: HandlerRun = {
      messageId: id,
      actor: key,
      attempt,
      deadlineAtMs,
      startedAtMs: time.nowMs,
    }
    if (process.alive) witness.runs.push(run)
    return run
  }

  const end = (run: HandlerRun): void => {
    running.set(run.actor, (running.get(run.actor) ?? 1) - 1)
  }

  const fail = (act: Extract<Act, { readonly do: "fail" }>, actor: Doer) => {
    if (actor.message.attempt > act.attempts) return Effect.void
    const message = `attempt ${actor.message.attempt} of the script`
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

  const talk = (actor: Doer, act: Extract<Act, { readonly do: "emit" }>, said: Array<string>, count: number) =>
    Effect.gen(function* () {
      while (said.length < count) {
        const chunk = `${actor.message.id}:${said.length}`
        said.push(chunk)
        yield* actor.emit(chunk)
        if (act.ms > 0) yield* Effect.sleep(act.ms)
      }
    })

  /** One act; `ordinal` is the number that the runtime gives it, if it is a durable one. */
  const doOne = (actor: Doer, act: Act, ordinal: number): Effect.Effect<unknown, Declared | Actor.HandlerFailure> => {
    const key = `${actor.message.id}.${ordinal}`
    const seen = (value: string) => Effect.sync(() => witness.recall(key, value))
    switch (act.do) {
      case "wait":
        return Effect.sleep(act.ms)
      case "fail":
        return fail(act, actor)
      case "step": {
        const draw = Effect.andThen(
          Effect.sleep(act.ms),
          Effect.sync(() => random.below(1_000_000)),
        )
        return Effect.tap(actor.step("draw", Schema.Number, draw), (value) => seen(`${value}`))
      }
      case "ask": {
        const asked = Effect.tap(ask(actor, act.to, act.script, act.terms), seen)
        return act.boldly ? Effect.ignore(asked) : asked
      }
      case "stream":
        return Stream.runDrain(actor.stream(Talker.ref(parts(act.to)[1]), "Talk", { script: act.script }, act.terms))
      case "send":
        return Effect.tap(send(actor, act.to, act.script, act.terms), (id) =>
          Effect.sync(() => {
            // Under a key, another may have sent it before.
            if (act.terms.idempotencyKey === undefined) witness.sends.set(id, actor.message.id)
          }),
        )
      case "emit":
        return Effect.void
    }
  }

  const isDurable = (act: Act): boolean =>
    act.do === "step" || act.do === "ask" || act.do === "stream" || act.do === "send"

  const act = (actor: Doer, script: number, said: Array<string>) =>
    Effect.gen(function* () {
      let ordinal = 0
      let spoken = 0
      for (const each of plan.scripts[script]?.acts ?? []) {
        if (each.do === "emit") {
          spoken += each.count
          yield* talk(actor, each, said, spoken)
        } else yield* doOne(actor, each, ordinal)
        if (isDurable(each)) ordinal++
      }
      return `${actor.message.id}@${actor.message.attempt}`
    })

  const perform = (
    actor: Doer,
    script: number,
    isSerial: boolean,
    said: Effect.Effect<Array<string>, Actor.HandlerFailure> = Effect.succeed([]),
  ) =>
    Effect.suspend(() => {
      const run = begin(actor, isSerial)
      return Effect.ensuring(
        Effect.flatMap(said, (before) => act(actor, script, before)),
        Effect.sync(() => end(run)),
      )
    })

  const silent = { emit: () => Effect.void }
  const work = (name: string, options: { readonly mailbox?: { capacity: number; strict: boolean } } = {}) =>
    Actor.make(name, {
      ...options,
      protocol: [Work],
      state: Schema.Array(Schema.String),
      initialState: [],
      retry: RETRY,
      supervision: SUPERVISION,
      handlers: {
        Work: ({ script }, actor) =>
          Effect.tap(perform({ ...pickOf(actor), ...silent }, script, true), () =>
            Effect.sync(() => actor.setState([...actor.state, actor.message.id])),
          ),
      },
    })

  const Account = work("account")
  const Desk = work("desk", { mailbox: { capacity: 2, strict: true } })
  const Planner = work("planner")
  const Talker = Actor.make("talker", {
    protocol: [Talk],
    retry: RETRY,
    supervision: SUPERVISION,
    handlers: {
      Talk: ({ script }, actor) => {
        const before =
          plan.scripts[script]?.resumes === true ? Effect.map(actor.resume, (said) => [...said]) : undefined
        return perform({ ...pickOf(actor), emit: actor.emit }, script, true, before)
      },
    },
  })

  const start = (self: ActorSelf) =>
    Effect.gen(function* () {
      const { id, type } = self.address
      const key = `${type}/${id}`
      yield* Effect.sleep(random.below(8))
      if (down.has(key)) return yield* new RetryableTrouble({ message: `${key} is down` })
      return yield* Effect.acquireRelease(
        Effect.sync(() => {
          if (started.has(key)) witness.wrong(`${key} was started while its resource was held`)
          if (process.alive) started.set(key, self)
          return key
        }),
        () => Effect.sync(() => (process.alive ? started.delete(key) : undefined)),
      )
    })
  const Model = Actor.make("model", {
    protocol: [Work],
    concurrency: 2,
    retry: RETRY,
    supervision: SUPERVISION,
    start,
    handlers: { Work: ({ script }, actor) => perform({ ...pickOf(actor), ...silent }, script, false) },
  })
  const pool = makePool("models", {
    targets: TARGETS.map((target, nth) => ({ ref: Model.ref(parts(target)[1]), tier: nth === 2 ? 1 : 0 })),
    tierPenaltyMs: 50,
  })

  const workRef = (to: string): Ref<typeof Work> => {
    const [type, id] = parts(to)
    if (type === "models") return pool.ref
    return (type === "account" ? Account : type === "desk" ? Desk : Planner).ref(id)
  }
  const talkRef = (to: string): Ref<typeof Talk> | undefined =>
    to.startsWith("talker/") ? Talker.ref(parts(to)[1]) : undefined

  const ask = (actor: Doer, to: string, script: number, terms: Terms) => {
    const talker = talkRef(to)
    return talker === undefined
      ? actor.ask(workRef(to), "Work", { script }, terms)
      : actor.ask(talker, "Talk", { script }, terms)
  }
  const send = (actor: Doer, to: string, script: number, terms: Terms) => {
    const talker = talkRef(to)
    return talker === undefined
      ? actor.send(workRef(to), "Work", { script }, terms)
      : actor.send(talker, "Talk", { script }, terms)
  }
  return { actors: [Account, Desk, Planner, Talker, Model], pools: [pool], workRef, talkRef }
}

const pickOf = <T extends Doer["self"], C extends Omit<Doer, "emit">>(actor: C & { readonly self: T }) => ({
  self: actor.self,
  message: actor.message,
  step: actor.step,
  ask: actor.ask,
  send: actor.send,
  stream: actor.stream,
})
