/**
 * The boundary between a mailbox and a cross-encoder: which of some passages answer a query, the best first.
 */
import { Actor } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { type EncoderActorOptions, encoderTerms, type HeldEncoder } from "./ClassifierActor.ts"

export const Rerank = Rpc.make("Rerank", {
  payload: {
    query: Schema.NonEmptyString,
    passages: Schema.Array(Schema.String),
    /** How many of the best to answer with. Default all. */
    topMax: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  },
  /** The most relevant first; `index` is a passage's place in `passages`, `score` its relevance, 0 to 1. */
  success: Schema.Struct({
    ranked: Schema.Array(Schema.Struct({ index: Schema.Int, score: Schema.Number, cutTokens: Schema.Number })),
  }),
})

/** A kind of reranker over a model folder; each id is a replica with a process of its own. */
export const make = (name: string, options: EncoderActorOptions) =>
  Actor.make<typeof Rerank, typeof Schema.Null, HeldEncoder, never>(name, {
    ...encoderTerms(name, options),
    protocol: [Rerank],
    handlers: {
      Rerank: ({ passages, query, topMax }, actor) =>
        Effect.map(actor.resource.target.rerank(query, passages), (ranked) => ({ ranked: ranked.slice(0, topMax) })),
    },
  })
