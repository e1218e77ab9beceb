/**
 * The boundary between one handler and many answers: asks several actors the same at once, goes on when enough have
 * answered, and takes back what is still asked (scatter-gather; Hohpe and Woolf, Enterprise Integration Patterns, 2003).
 *
 * Which answers counted depends on who was quicker, so it is decided once and recorded, as a step: a handler that runs
 * again counts the same answers, in the same order, and asks nobody a second time. It records whom it was still asking,
 * too: where a death came between the decision and taking back the others, they are taken back when it runs again.
 */
import { Deferred, Effect, Exit, Fiber, Predicate, Schema } from "effect"
import type { Rpc } from "effect/rpc"
import type { ChildOptions, ErasedContext } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import type { StepFailure } from "../actor/StepOptions.ts"
import type { AnyTask, DeclaredError, Whole } from "../actor/Task.ts"
import type { AskFailure } from "../message/DeliveryFailure.ts"

/** A scatter cannot be done as it is written. */
export class TerminalInvalidScatter extends Schema.TaggedError<TerminalInvalidScatter>()("TerminalInvalidScatter", {
  message: Schema.String,
}) {}

/** What a pattern needs of a handler's context. */
export type PatternContext = Pick<ErasedContext, "ask" | "branches" | "cancel" | "message" | "nowMs" | "step">

/** One actor's answer. */
export interface Answer<A> {
  /** Which of `refs` it is of. */
  readonly index: number
  readonly value: A
}

export interface Gathered<A> {
  /** In the order in which they came. */
  readonly answers: ReadonlyArray<Answer<A>>
  /** Who failed before enough had answered, and how. */
  readonly failures: ReadonlyArray<{ readonly index: number; readonly tag: string; readonly message: string }>
  /** Whether enough answered; false: these are the partial results at the deadline, or when nobody was left. */
  readonly complete: boolean
}

export interface ScatterOptions<T extends AnyTask, Tag extends Rpc.Tag<T>> {
  /** The name of the recorded decision, among the handler's steps. */
  readonly name: string
  /** Whom to ask: 1 to 1,000. A pool may stand here several times; it chooses a target each time. */
  readonly refs: ReadonlyArray<Ref<T>>
  readonly task: Tag
  readonly payload: Rpc.PayloadConstructor<Rpc.ExtractTag<T, Tag>>
  /**
   * How many answers are enough, or what says so of the answers so far. Default all. Raising it waits for slower actors.
   */
  readonly enough?: number | ((answers: ReadonlyArray<Answer<Whole<Rpc.ExtractTag<T, Tag>>>>) => boolean)
  /** Milliseconds from the first attempt on until the answers that have come are taken as they are. Default none. */
  readonly withinMs?: number
  /** Further terms of each ask. */
  readonly options?: Omit<ChildOptions, "timeoutMs" | "idempotencyKey">
}

export type ScatterFailure = TerminalInvalidScatter | StepFailure | AskFailure

/** Each is a message and a fiber, and all their rows are in one step's reach; more belongs into a tree of scatters. */
const ASKS_MAX = 1_000

const Decision = Schema.Struct({
  answered: Schema.Array(Schema.Int),
  failures: Schema.Array(Schema.Struct({ index: Schema.Int, tag: Schema.String, message: Schema.String })),
  complete: Schema.Boolean,
  /** Messages that nobody needs any more. */
  left: Schema.optionalKey(Schema.Array(Schema.String)),
})

/** Failures that say nothing of the one who was asked, but that this attempt is over. */
const ENDS_ATTEMPT = new Set([
  "RetryableClosing",
  "RetryableStoreFailure",
  "TerminalStoreFailure",
  "TerminalStaleAttempt",
  "TerminalReplayMismatch",
])

const tagOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Failure"
const textOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string" ? error.message : String(error)

interface Terms {
  readonly enough?: unknown
  readonly name: string
  readonly refs: ReadonlyArray<unknown>
  readonly withinMs?: number
}

const mistakeIn = ({ enough, name, refs, withinMs }: Terms): string | undefined => {
  if (refs.length === 0 || refs.length > ASKS_MAX) return `it asks ${refs.length} actors, and may ask 1 to ${ASKS_MAX}`
  if (typeof enough === "number" && !(Number.isSafeInteger(enough) && enough >= 1 && enough <= refs.length)) {
    return `enough must be a whole number from 1 to ${refs.length}, the number of actors it asks, and is ${enough}`
  }
  if (withinMs !== undefined && !(withinMs > 0 && Number.isFinite(withinMs))) {
    return `withinMs must be above 0 and finite, and is ${withinMs}; leave it out for no deadline`
  }
  return name === "" ? "its name must not be empty" : undefined
}

/** Asks all, and waits until enough have answered or nobody is left. */
const race = <A, E>(
  asks: ReadonlyArray<Effect.Effect<A, E>>,
  isEnough: (answers: ReadonlyArray<Answer<A>>) => boolean,
) =>
  Effect.gen(function* () {
    const answers: Array<Answer<A>> = []
    const failures: Array<Gathered<A>["failures"][number]> = []
    const over = yield* Deferred.make<boolean, E>()
    let end: Exit.Exit<boolean, E> | undefined
    const settle = (index: number, exit: Exit.Exit<A, E>): void => {
      // What still comes while the others are taken back does not count.
      if (end !== undefined) return
      if (Exit.isSuccess(exit)) {
        answers.push({ index, value: exit.value })
        if (isEnough(answers)) end = Exit.succeed(true)
      } else {
        const error = Exit.findErrorOption(exit)
        if (error._tag === "None" || ENDS_ATTEMPT.has(tagOf(error.value))) end = Exit.failCause(exit.cause)
        else failures.push({ index, tag: tagOf(error.value), message: textOf(error.value) })
      }
      if (answers.length + failures.length === asks.length) end ??= Exit.succeed(false)
      if (end !== undefined) Deferred.doneUnsafe(over, end)
    }
    const fibers: Array<Fiber.Fiber<void>> = []
    for (const [index, ask] of asks.entries()) {
      const watched = Effect.flatMap(Effect.exit(ask), (exit) => Effect.sync(() => settle(index, exit)))
      fibers.push(yield* Effect.forkChild(watched, { startImmediately: true }))
    }
    const complete = yield* Effect.ensuring(Deferred.await(over), Fiber.interruptAll(fibers))
    return { answers, failures, complete }
  })

/**
 * Asks all of `refs` at once and gives the answers of the quickest. Their number is `enough`; with `withinMs`, and where
 * too many fail, there may be fewer, and `complete` is false. An actor that fails is no failure of the scatter.
 *
 * Fails with `TerminalInvalidScatter` where it cannot be done as written, and with what ends the attempt as a whole.
 */
export const scatter = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  actor: PatternContext,
  options: ScatterOptions<T, Tag>,
): Effect.Effect<Gathered<Whole<Rpc.ExtractTag<T, Tag>>>, ScatterFailure> =>
  Effect.gen(function* () {
    const { enough, name, payload, refs, task, withinMs } = options
    const mistake = mistakeIn(options)
    if (mistake !== undefined)
      return yield* new TerminalInvalidScatter({ message: `The scatter ${name} is not valid: ${mistake}.` })
    type A = Whole<Rpc.ExtractTag<T, Tag>>
    type E = DeclaredError<Rpc.ExtractTag<T, Tag>> | AskFailure
    const untilMs =
      withinMs === undefined
        ? undefined
        : yield* actor.step(`${name} deadline`, Schema.Number, Effect.succeed(actor.nowMs + withinMs))
    const open = new Map<number, string>()
    const ask = (ref: Ref<T>, index: number): Effect.Effect<A, E> =>
      Effect.clockWith((clock) => {
        // The deadline is each message's own, so that it is kept over restarts.
        const timeoutMs =
          untilMs === undefined ? {} : { timeoutMs: Math.max(1, untilMs - clock.currentTimeMillisUnsafe()) }
        const onAccepted = (id: string) => {
          // The answer to another's question is not this scatter's to take back.
          if (id.startsWith(`${actor.message.id}.`)) open.set(index, id)
          options.options?.onAccepted?.(id)
        }
        return actor.ask(ref, task, payload, { ...options.options, ...timeoutMs, onAccepted })
      })
    const count = typeof enough === "number" ? enough : refs.length
    const isEnough =
      typeof enough === "function" ? enough : (answers: ReadonlyArray<Answer<A>>) => answers.length >= count
    // Each with a number of its own, so that those that counted can be read again without the others.
    const asks = yield* actor.branches(refs.map(ask))
    let values: Map<number, A> | undefined
    const decision = yield* actor.step(
      name,
      Decision,
      Effect.map(race(asks, isEnough), ({ answers, complete, failures }) => {
        values = new Map(answers.map(({ index, value }) => [index, value]))
        for (const { index } of [...answers, ...failures]) open.delete(index)
        return {
          answered: answers.map(({ index }) => index),
          failures: [...failures],
          complete,
          left: [...open.values()],
        }
      }),
    ) as Effect.Effect<(typeof Decision)["Type"], ScatterFailure>
    const found = values ?? (yield* again(asks, decision.answered) as Effect.Effect<Map<number, A>, ScatterFailure>)
    // In the attempt that decided, who was still asked was interrupted, and so taken back, already.
    if (values === undefined) yield* Effect.forEach(decision.left ?? [], (id) => actor.cancel(id), { discard: true })
    const answers = decision.answered.map((index) => ({ index, value: found.get(index) as A }))
    return { answers, failures: decision.failures, complete: decision.complete }
  })

/** In a later attempt: reads the answers that counted. */
const again = <A, E>(asks: ReadonlyArray<Effect.Effect<A, E>>, counted: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const values = new Map<number, A>()
    for (const index of counted) {
      const ask = asks[index]
      if (ask !== undefined) values.set(index, yield* ask)
    }
    return values
  })
