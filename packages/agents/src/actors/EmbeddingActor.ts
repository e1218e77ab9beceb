/**
 * The boundary between a mailbox and a model that measures: an actor that wraps one sentence embedder.
 */

import { Actor } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { type EncoderActorOptions, encoderTerms, type HeldEncoder } from "./ClassifierActor.ts"

/** A text's vector, of length 1: the dot product of two is their cosine similarity. */
export const Embed = Rpc.make("Embed", {
  payload: { text: Schema.NonEmptyString },
  success: Schema.Struct({ vector: Schema.Array(Schema.Number) }),
})

/** A kind of embedder over a model folder; each id is a replica with a process of its own. */
export const make = (name: string, options: EncoderActorOptions) =>
  Actor.make<typeof Embed, typeof Schema.Null, HeldEncoder, never>(name, {
    ...encoderTerms(name, options),
    protocol: [Embed],
    handlers: {
      Embed: ({ text }, actor) => Effect.map(actor.resource.target.embed([text]), ([vector]) => ({ vector: vector! })),
    },
  })
