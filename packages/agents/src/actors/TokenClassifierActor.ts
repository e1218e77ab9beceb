/**
 * The boundary between a mailbox and a model that labels the parts of a text: names, places, amounts.
 */
import { Actor } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TokenSpan } from "../EncoderTarget.ts"
import { type EncoderActorOptions, encoderTerms, type HeldEncoder } from "./ClassifierActor.ts"

/** What is labelled in a text, in its order, and how many tokens were cut from its end because it is too long. */
export const Tag = Rpc.make("Tag", {
  payload: {
    text: Schema.NonEmptyString,
    /** Each token for itself, in place of neighbours joined. Default false. */
    single: Schema.optionalKey(Schema.Boolean),
  },
  success: Schema.Struct({ spans: Schema.Array(TokenSpan), cutTokens: Schema.Number }),
})

/** A kind of token classifier over a model folder; each id is a replica with a process of its own. */
export const make = (name: string, options: EncoderActorOptions) =>
  Actor.make<typeof Tag, typeof Schema.Null, HeldEncoder, never>(name, {
    ...encoderTerms(name, options),
    protocol: [Tag],
    handlers: {
      Tag: ({ single = false, text }, actor) =>
        Effect.map(actor.resource.target.tag([text], { single }), ([tagged]) => tagged!),
    },
  })
