/**
 * The boundary between acts one after the other and acts side by side: gives every branch numbers of its own, so that what
 * it records is found again whoever was quicker.
 */
import { Cause, Effect, Exit, Option, Predicate } from "effect"
import type { AllOptions } from "../../actor/StepOptions.ts"
import type { Act, Journal } from "./Journal.ts"
import { CurrentSpace, type Space } from "./Space.ts"

/** Each is a fiber and a block of numbers; more belongs into several messages. */
const BRANCHES_MAX = 1_000
const CONCURRENCY_DEFAULT = 16

type Branch = Effect.Effect<unknown, unknown>

const mistakeIn = (count: number, concurrency: number): string | undefined => {
  const whole = (value: number) => Number.isSafeInteger(value) && value >= 1 && value <= BRANCHES_MAX
  if (!whole(count)) return `it asks for ${count} branches, and may ask for 1 to ${BRANCHES_MAX}`
  return whole(concurrency)
    ? undefined
    : `concurrency must be a whole number from 1 to ${BRANCHES_MAX}, and is ${concurrency}`
}

/** A space at each run: a branch that is run twice asks for the same acts twice. */
const inBranch = (effect: Branch, space: Space, ordinal: number, undo: boolean): Branch =>
  Effect.suspend(() => Effect.provideService(effect, CurrentSpace, space.within(ordinal, undo)))

/** @see ActorContext.branches */
export const branches = (journal: Journal, effects: ReadonlyArray<Branch>) => {
  const act: Act = { kind: "all", name: "branches", what: `${effects.length} branches` }
  return journal.act(act, false, () =>
    Effect.gen(function* () {
      const mistake = mistakeIn(effects.length, 1)
      if (mistake !== undefined) return yield* journal.invalid("branches", mistake)
      const { first, space } = yield* journal.reserve(effects.length)
      return effects.map((effect, index) => inBranch(effect, space, first + index, false))
    }),
  )
}

/** @see ActorContext.all */
export const all = (journal: Journal, effects: ReadonlyArray<Branch>, options: AllOptions = {}) => {
  const concurrency = options.concurrency ?? CONCURRENCY_DEFAULT
  const act: Act = { kind: "all", name: "all", what: `${effects.length} branches` }
  return journal.act(act, true, () =>
    Effect.gen(function* () {
      const mistake = mistakeIn(effects.length, concurrency)
      if (mistake !== undefined) return yield* journal.invalid("all", mistake)
      const { first, space } = yield* journal.reserve(effects.length)
      const own = effects.map((effect, index) => inBranch(effect, space, first + index, true))
      return yield* Effect.all(own, { concurrency }).pipe(
        // What was cut off by the failure of another need not be asked for again.
        Effect.onError(() => Effect.sync(() => passOverAll(journal, space, first, own.keys()))),
      )
    }),
  )
}

const passOverAll = (journal: Journal, space: Space, first: number, indexes: Iterable<number>): void => {
  for (const index of indexes) journal.passOver(space, first + index)
}

/** Failures that are about the attempt, and not about the branch that met them. */
const ENDS_ATTEMPT = ["TerminalStaleAttempt", "TerminalStoreFailure", "TerminalReplayMismatch", "TerminalInvalidStep"]

const endsAttempt = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(
    Cause.findErrorOption(cause),
    (error) => Predicate.hasProperty(error, "_tag") && ENDS_ATTEMPT.includes(String(error._tag)),
  )

/** The first branch that succeeds, by its number, or that finds the attempt over. */
const firstOf = (own: ReadonlyArray<Branch>) =>
  Effect.raceAll(
    own.map((branch, index) =>
      Effect.flatMap(
        Effect.exit(branch),
        (exit): Effect.Effect<{ readonly exit: Exit.Exit<unknown, unknown>; readonly index: number }, unknown> =>
          Exit.isFailure(exit) && !endsAttempt(exit.cause)
            ? Effect.failCause(exit.cause)
            : Effect.succeed({ exit, index }),
      ),
    ),
  )

/**
 * @see ActorContext.race
 * @param dropSends takes back what those who lost wanted to send, by the numbers of their acts: where the race is not run
 *   again, they do not send either
 */
export const race = (
  journal: Journal,
  effects: ReadonlyArray<Branch>,
  dropSends: (isLost: (ordinal: number) => boolean) => void,
) => {
  const act: Act = { kind: "race", name: `race of ${effects.length}`, what: `a race of ${effects.length}` }
  return journal.act(act, true, ({ ordinal, row }) =>
    Effect.gen(function* () {
      const mistake = mistakeIn(effects.length, 1)
      if (mistake !== undefined) return yield* journal.invalid("race", mistake)
      const { first, space } = yield* journal.reserve(effects.length)
      const own = effects.map((effect, index) => inBranch(effect, space, first + index, false))
      const losers = (winner: number) => [...own.keys()].filter((index) => index !== winner)
      if (row !== undefined) {
        const winner = Number(row.result)
        passOverAll(journal, space, first, losers(winner))
        // Its steps are recorded, and its asks are answered.
        return yield* own[winner] ?? Effect.fail(journal.mismatch(ordinal, `recorded ${row.result} for a winner`))
      }
      if (journal.mode === "recall") return yield* Effect.never
      yield* journal.checkChild(act, ordinal)
      yield* journal.checkSteps(act.name)
      const { exit, index } = yield* firstOf(own).pipe(
        Effect.onError(() => Effect.sync(() => passOverAll(journal, space, first, own.keys()))),
      )
      // An earlier attempt may have come further in them, and died before it had a winner.
      passOverAll(journal, space, first, losers(index))
      const ranges = losers(index).map((each) => space.range(first + each) ?? [0, 0])
      dropSends((number) => ranges.some(([from, to]) => number >= from && number < to))
      if (Exit.isSuccess(exit)) yield* journal.record(ordinal, "race", act.name, `${index}`)
      return yield* exit
    }),
  )
}
