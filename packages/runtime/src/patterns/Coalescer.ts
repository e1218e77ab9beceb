/**
 * The boundary between many equal requests and one run: requests of the same key that are under way at the same time share
 * one message to their target, and its reply. With a time to keep it, the reply answers later ones, too.
 *
 * Two actors. The *front* takes the requests; it holds no state, and waits. The *runs* are serial actors, one a slot, and a
 * key belongs to one of them: it runs the first request and stores what came of it in the commit that answers it, so that
 * those behind it find it there, after a restart as well. The target is asked under an idempotency key of the run: should
 * who began it leave, the run goes on, and the next in line joins it.
 *
 * A slot an actor, and not a key an actor: a key is any text, and an actor leaves a row behind for ever.
 */
import { createHash } from "node:crypto"
import { Clock, Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { type Actor, type AnyActor, make } from "../actor/Actor.ts"
import type { ActorContext, ErasedContext, SameTask } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import { type AnyTask, compileTask } from "../actor/Task.ts"

/** A shared run came to no answer; all who waited for it are told. */
export class TerminalSharedRun extends Schema.TaggedError<TerminalSharedRun>()("TerminalSharedRun", {
  /** The failure of the run. */
  tag: Schema.String,
  message: Schema.String,
}) {}

export interface CoalescerOptions<T extends AnyTask, U extends AnyTask> {
  /** The task, of one that does not stream; the coalescer answers it as `to` does. */
  readonly task: T
  /** Who answers: an actor or a pool with the very task. */
  readonly to: Ref<U> & SameTask<T, U>
  /** What makes two requests equal: the same text. Default the payload as it is encoded. */
  readonly by?: (payload: Rpc.Payload<T>) => string
  /**
   * Milliseconds from its end for which a reply answers further requests. Default 0, at most 86,400,000 (a day). Raising
   * it saves runs and gives older answers. Errors are shared with those who waited, and never kept.
   */
  readonly ttlMs?: number
  /**
   * Serial actors that the keys are spread over. Default 16,384, from 1 to 1,000,000. Keys of one slot wait for each other:
   * of n runs at a time, about n in `slots` do. Each keeps its last 4 results, so raising it keeps more.
   */
  readonly slots?: number
  /** Requests that wait at a time; more of them wait in the mailbox. Default 1,000, from 1 to 100,000. */
  readonly waitersMax?: number
}

export interface Coalescer<T extends AnyTask> {
  /** Whom to ask; one actor, named `NAME/all`. */
  readonly ref: Ref<T>
  /** To be opened with the system. */
  readonly actors: readonly [Actor<T, never>, AnyActor]
}

/** Results that a slot keeps: enough for keys that share it by chance and take turns. */
const RESULTS_MAX = 4
/** Of these, in UTF-16 units: the state is written with each run. The newest is kept whatever its size. */
const RESULTS_LENGTH_MAX = 64 * 1024
/** Runs that one request begins, each after one that was taken away with its first asker's deadline. */
const RUNS_MAX = 3

const LIMITS = { ttlMs: [0, 86_400_000], slots: [1, 1_000_000], waitersMax: [1, 100_000] } as const

const outcomeOf = (task: AnyTask) =>
  Schema.Union([
    Schema.TaggedStruct("Replied", { value: task.successSchema }),
    Schema.TaggedStruct("Failed", { error: task.errorSchema }),
    Schema.TaggedStruct("Ended", { tag: Schema.String, message: Schema.String }),
  ])
type Outcome =
  | { readonly _tag: "Replied"; readonly value: unknown }
  | { readonly _tag: "Failed"; readonly error: unknown }
  | { readonly _tag: "Ended"; readonly tag: string; readonly message: string }

interface Result {
  readonly key: string
  readonly endedAtMs: number
  readonly length: number
  readonly outcome: Outcome
}
interface State {
  /** How many runs the slot has seen the end of. */
  readonly runs: number
  /** Newest first. */
  readonly results: ReadonlyArray<Result>
}
interface Run {
  readonly key: string
  readonly askedAtMs: number
  readonly payload: unknown
}

const check = (name: string, task: AnyTask, options: { readonly [K in keyof typeof LIMITS]: number }): void => {
  const refuse = (what: string) => new Error(`The coalescer ${name} is not defined well: ${what}.`)
  if (compileTask(task).streaming) throw refuse(`${task._tag} streams, and a stream has no one answer to share`)
  for (const option of ["ttlMs", "slots", "waitersMax"] as const) {
    const [min, max] = LIMITS[option]
    const value = options[option]
    if (Number.isSafeInteger(value) && value >= min && value <= max) continue
    throw refuse(`${option} must be a whole number from ${min} to ${max}, and is ${value}`)
  }
}

const newest = (results: ReadonlyArray<Result>): ReadonlyArray<Result> => {
  let length = 0
  return results.filter((each, index) => {
    length += each.length
    return index === 0 || (index < RESULTS_MAX && length <= RESULTS_LENGTH_MAX)
  })
}

/** A failure that the task does not declare, as those who waited hear of it. */
const endedOf = (error: { readonly _tag: string; readonly message: string }): Outcome => ({
  _tag: "Ended",
  tag: error._tag,
  message: error.message,
})

/** Its first asker's deadline, or an operator, took the run away; whoever is next may still want it. */
const TAKEN_AWAY = new Set(["TerminalExpired", "TerminalCancelled"])
/** Whether a failure says nothing of the run, but that this attempt is over, or may do better later. */
const endsAttempt = (tag: string): boolean =>
  tag.startsWith("Retryable") || tag === "TerminalStoreFailure" || tag === "TerminalStaleAttempt"

type AskTarget = (
  payload: unknown,
  idempotencyKey: string,
) => Effect.Effect<unknown, { readonly _tag: string; readonly message: string }>

/** Runs a request until it ends; fails where this attempt has to. */
const runOnce = (isDeclared: (error: unknown) => boolean, { key, payload }: Run, from: number, ask: AskTarget) =>
  Effect.gen(function* () {
    for (let run = from; ; run++) {
      const result = yield* Effect.result(ask(payload, `${key}.${run}`))
      if (result._tag === "Success")
        return { runs: run + 1, outcome: { _tag: "Replied", value: result.success } as Outcome }
      const error = result.failure
      if (isDeclared(error)) return { runs: run + 1, outcome: { _tag: "Failed", error } as Outcome }
      if (endsAttempt(error._tag)) return yield* Effect.fail(error)
      if (TAKEN_AWAY.has(error._tag) && run - from + 1 < RUNS_MAX) continue
      return { runs: run + 1, outcome: endedOf(error) }
    }
  })

/** How a slot runs a request, and how it writes what came of it. */
interface Runs {
  readonly start: (runs: number) => ReturnType<typeof runOnce>
  readonly encode: (outcome: Outcome) => Effect.Effect<string, Schema.SchemaError>
}

/** Answers from what the slot has, or runs the request and keeps what comes of it. */
const answer = (run: Run, actor: ErasedContext, ttlMs: number, { encode, start }: Runs) =>
  Effect.gen(function* () {
    const state = actor.state as State
    const known = state.results.find(({ key }) => key === run.key)
    if (known !== undefined) {
      const keptMs = known.outcome._tag === "Replied" ? ttlMs : 0
      // Asked before it ended, it was under way at the same time; it waited behind it here.
      if (run.askedAtMs <= known.endedAtMs || actor.nowMs < known.endedAtMs + keptMs) return known.outcome
    }
    const { outcome, runs } = yield* start(state.runs)
    const endedAtMs = yield* Clock.currentTimeMillis
    const { length } = yield* Effect.orDie(encode(outcome))
    const others = state.results.filter(({ key }) => key !== run.key)
    actor.setState({ runs, results: newest([{ key: run.key, endedAtMs, length, outcome }, ...others]) } satisfies State)
    return outcome
  })

/** The serial actors that run, one a slot. */
const makeRuns = (name: string, task: AnyTask, to: Ref<AnyTask>, ttlMs: number) => {
  const outcome = outcomeOf(task)
  const isDeclared = Schema.is(task.errorSchema)
  const encode = Schema.encodeUnknownEffect(Schema.fromJsonString(Schema.toCodecJson(outcome)))
  const Run = Rpc.make("coalesce.run", {
    payload: { key: Schema.String, askedAtMs: Schema.Number, payload: task.payloadSchema },
    success: outcome,
  })
  const result = { key: Schema.String, endedAtMs: Schema.Number, length: Schema.Int, outcome }
  const handlers = {
    "coalesce.run": (run: Run, actor: ErasedContext) =>
      answer(run, actor, ttlMs, {
        encode,
        start: (runs) => {
          const ask = (payload: unknown, idempotencyKey: string) =>
            actor.ask(to, task._tag as never, payload as never, {
              idempotencyKey: `${name}/${actor.self.id}/${idempotencyKey}`,
            })
          return runOnce(isDeclared, run, runs, ask as AskTarget)
        },
      }),
  }
  return make(`${name}-runs`, {
    protocol: [Run],
    state: Schema.Struct({ runs: Schema.Int, results: Schema.Array(Schema.Struct(result)) }) as never,
    initialState: { runs: 0, results: [] } as never,
    handlers: handlers as never,
  })
}

/**
 * Makes a coalescer: `ask` its `ref` the task as one would ask `to`. Throws where it is not defined well.
 *
 * Its askers get the reply of `to`, or the error that the task declares; with `TerminalSharedRun` what else the run ended
 * with.
 *
 * ```ts
 * const Answers = makeCoalescer("answers", { task: Ask, to: Models.ref, by: ({ text }) => text, ttlMs: 60_000 })
 * ActorSystem.layer({ actors: [Model, ...Answers.actors], pools: [Models] })
 * yield* system.ask(Answers.ref, "Ask", { text })
 * ```
 */
export const makeCoalescer = <T extends AnyTask, U extends AnyTask>(
  name: string,
  options: CoalescerOptions<T, U>,
): Coalescer<T> => {
  const { by, slots = 16_384, task, to, ttlMs = 0, waitersMax = 1_000 } = options
  check(name, task, { slots, ttlMs, waitersMax })
  const runs = makeRuns(name, task, to, ttlMs)
  const { encodePayload } = compileTask(task)
  const textOf = (payload: Rpc.Payload<T>) =>
    by === undefined ? Effect.orDie(encodePayload(payload)) : Effect.sync(() => by(payload))
  const handler = (payload: Rpc.Payload<T>, actor: ActorContext<AnyTask, unknown, unknown>) =>
    Effect.gen(function* () {
      const hash = createHash("sha256")
        .update(yield* textOf(payload))
        .digest()
      const run: Run = { key: hash.toString("base64url"), askedAtMs: actor.message.acceptedAtMs, payload }
      const ref = runs.ref(`${hash.readUIntBE(0, 6) % slots}`)
      const outcome = (yield* actor.ask(ref, "coalesce.run" as never, run as never)) as Outcome
      if (outcome._tag === "Replied") return outcome.value
      if (outcome._tag === "Failed") return yield* Effect.fail(outcome.error)
      const { message, tag } = outcome
      return yield* new TerminalSharedRun({ tag, message })
    })
  const handlers = { [task._tag]: handler }
  const front = make(name, { protocol: [task], concurrency: waitersMax, handlers: handlers as never }) as Actor<
    T,
    never
  >
  return { ref: front.ref("all"), actors: [front, runs] }
}
