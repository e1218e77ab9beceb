/**
 * The boundary between several opinions and one: asks many the same, and takes what more than half of all say.
 */
import { Effect } from "effect"
import type { Rpc } from "effect/rpc"
import type { AnyTask, Whole } from "../actor/Task.ts"
import {
  type Answer,
  type Gathered,
  type PatternContext,
  type ScatterFailure,
  type ScatterOptions,
  scatter,
} from "./scatter.ts"

export interface VoteOptions<T extends AnyTask, Tag extends Rpc.Tag<T>> extends Omit<ScatterOptions<T, Tag>, "enough"> {
  /** What an answer says: answers with the same text are for the same. Default the answer as JSON. */
  readonly by?: (value: Whole<Rpc.ExtractTag<T, Tag>>) => string
}

export interface Vote<A> extends Gathered<A> {
  /** The first answer of those that more than half of all who were asked agree on; undefined where there is none. */
  readonly winner: A | undefined
  /** How many answers say what. */
  readonly votes: ReadonlyMap<string, number>
}

const count = <A>(answers: ReadonlyArray<Answer<A>>, by: (value: A) => string): Map<string, number> => {
  const votes = new Map<string, number>()
  for (const { value } of answers) votes.set(by(value), (votes.get(by(value)) ?? 0) + 1)
  return votes
}

/**
 * A majority vote of `refs`: over as soon as one opinion has more than half of all voices, whoever is still thinking;
 * those are taken back. Who failed or was too late has no voice, and is still counted among all.
 */
export const vote = <T extends AnyTask, const Tag extends Rpc.Tag<T>>(
  actor: PatternContext,
  options: VoteOptions<T, Tag>,
): Effect.Effect<Vote<Whole<Rpc.ExtractTag<T, Tag>>>, ScatterFailure> => {
  const { by = (value: unknown) => JSON.stringify(value), ...rest } = options
  const wins = (votes: number) => votes * 2 > options.refs.length
  const enough = (answers: ReadonlyArray<Answer<Whole<Rpc.ExtractTag<T, Tag>>>>) =>
    [...count(answers, by).values()].some(wins)
  return Effect.map(scatter(actor, { ...rest, enough }), (gathered) => {
    const votes = count(gathered.answers, by)
    const winner = gathered.answers.find(({ value }) => wins(votes.get(by(value)) ?? 0))
    return { ...gathered, votes, winner: winner?.value }
  })
}
