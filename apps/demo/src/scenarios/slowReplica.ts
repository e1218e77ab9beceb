/** The replica that serves most turns slow. It shows in what is known of the replica, and messages go elsewhere. */
import { Effect } from "effect"
import { enterOwn, type Spoken, type Stage, speak } from "./Stage.ts"

const STEP_DELAY_MS = 120
/** Customers before the replica slows down, and after. */
const BEFORE = 6
const AFTER = 8
/** So few at once that waiting is no reason to leave a replica. */
const AT_ONCE = 3

const ORDERS = [
  "an espresso please",
  "one chai latte to go",
  "can i get a mocha",
  "a cold brew pls",
  "cappuccino, large",
]

/** The model that began each answer. */
const beganBy = (spoken: ReadonlyArray<Spoken>): ReadonlyArray<string> =>
  spoken.flatMap(({ models }) => models.slice(0, 1))

const times = (models: ReadonlyArray<string>, model: string): number => models.filter((each) => each === model).length

const mostFrequent = (models: ReadonlyArray<string>): string | undefined =>
  [...new Set(models)].sort((a, b) => times(models, b) - times(models, a))[0]

const serve = (stage: Stage, from: number, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => from + index),
    (number) => {
      const text = ORDERS[number % ORDERS.length] ?? ""
      return speak(stage, enterOwn(stage, `slow-${number}`, text))
    },
    { concurrency: AT_ONCE },
  )

/** Gives false where the slow replica went on taking its share. */
export const slowReplica = Effect.fnUntraced(function* (stage: Stage) {
  const cluster = yield* stage.cluster
  yield* stage.note("Act 2: a replica slows down.")
  const before = beganBy(yield* serve(stage, 0, BEFORE))
  const slow = mostFrequent(before)
  if (slow === undefined) return false
  yield* cluster.slow(slow, STEP_DELAY_MS)
  yield* stage.note(
    `${slow} took ${times(before, slow)} of ${BEFORE} messages; from now on it needs ${STEP_DELAY_MS} ms more for each token.`,
  )
  const after = beganBy(yield* serve(stage, BEFORE, AFTER))
  yield* cluster.slow(slow, 0)
  yield* stage.note(`${slow} took ${times(after, slow)} of the next ${AFTER}.`)
  return times(after, slow) / AFTER < times(before, slow) / BEFORE
})
