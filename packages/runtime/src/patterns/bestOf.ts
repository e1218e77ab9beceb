/**
 * The boundary between several attempts at an answer and the one that is used: asks many, and lets a judge choose.
 */
import { Effect } from "effect"
import type { Rpc } from "effect/rpc"
import type { AnyTask, Whole } from "../actor/Task.ts"
import {
  type Gathered,
  type PatternContext,
  type ScatterFailure,
  type ScatterOptions,
  scatter,
  TerminalInvalidScatter,
} from "./scatter.ts"

export interface BestOfOptions<T extends AnyTask, Tag extends Rpc.Tag<T>, E, R> extends ScatterOptions<T, Tag> {
  /**
   * Gives the place of the best among the answers, counted from 0. It gets the same answers in every attempt, and is
   * run in every one: what must not be judged twice belongs into an `ask` or a `step` of the handler's context.
   */
  readonly judge: (answers: ReadonlyArray<Whole<Rpc.ExtractTag<T, Tag>>>) => Effect.Effect<number, E, R>
}

export interface Best<A> extends Gathered<A> {
  /** The judge's choice; undefined where nobody answered. */
  readonly best: A | undefined
}

/**
 * Best of n: what the judge takes out of the answers of `refs`. One answer alone is not judged.
 *
 * Fails like `scatter`, with the judge's own errors, and with `TerminalInvalidScatter` where the judge names no answer.
 */
export const bestOf = <T extends AnyTask, const Tag extends Rpc.Tag<T>, E = never, R = never>(
  actor: PatternContext,
  options: BestOfOptions<T, Tag, E, R>,
): Effect.Effect<Best<Whole<Rpc.ExtractTag<T, Tag>>>, ScatterFailure | E, R> =>
  Effect.gen(function* () {
    const { judge, ...rest } = options
    const gathered = yield* scatter(actor, rest)
    const values = gathered.answers.map(({ value }) => value)
    if (values.length < 2) return { ...gathered, best: values[0] }
    const place = yield* judge(values)
    if (!(Number.isSafeInteger(place) && place >= 0 && place < values.length)) {
      const message = `The judge of ${options.name} chose ${place}, and there are answers 0 to ${values.length - 1}.`
      return yield* new TerminalInvalidScatter({ message })
    }
    return { ...gathered, best: values[place] }
  })
