/**
 * The boundary between a mailbox and a model that reads: an actor that wraps one classifier.
 */

import { Actor } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import type { EncoderTarget } from "../EncoderTarget.ts"
import { type EncoderHandle, Engine } from "../engine/Engine.ts"
import type { EncoderOptions } from "../engine/EngineOptions.ts"
import { type ReplicaTerms, replicaTerms } from "./replicaTerms.ts"

/** What a classifier finds in a text. */
export const Found = Schema.Struct({
  label: Schema.String,
  /** Probability of `label`, 0 to 1. */
  confidence: Schema.Number,
  /** The most probable labels, at most `topMax` of them. */
  top: Schema.Array(Schema.Struct({ label: Schema.String, score: Schema.Number })),
  /** Tokens cut from the end because the text is longer than the model reads. */
  cutTokens: Schema.Number,
})
export type Found = typeof Found.Type

export const Classify = Rpc.make("Classify", { payload: { text: Schema.NonEmptyString }, success: Found })

export interface EncoderActorOptions extends Omit<EncoderOptions, "name">, ReplicaTerms<EncoderHandle> {
  /** Messages run at once; concurrent ones share a step. Default 8. */
  readonly slots?: number
}

export interface ClassifierOptions extends EncoderActorOptions {
  /** Labels named in a reply. Default 5: more of 77 are noise in the log. */
  readonly topMax?: number
}

/** One step's batch of the engine. */
const SLOTS = 8
const TOP_MAX = 5

/** The terms that every actor over an encoder shares. */
export const encoderTerms = (name: string, options: EncoderActorOptions) =>
  replicaTerms(name, options, options.slots ?? SLOTS, Engine.encoder)

export interface HeldEncoder {
  readonly target: EncoderTarget["Service"]
}

/** A kind of classifier over a model folder; each id is a replica with a process of its own. */
export const make = (name: string, options: ClassifierOptions) => {
  const { topMax = TOP_MAX, ...rest } = options
  return Actor.make<typeof Classify, typeof Schema.Null, HeldEncoder, never>(name, {
    ...encoderTerms(name, rest),
    protocol: [Classify],
    handlers: {
      Classify: ({ text }, actor) =>
        Effect.map(actor.resource.target.classify([text]), ([found]) => {
          const { confidence, cutTokens, label, scores } = found!
          return { label, confidence, cutTokens, top: scores.slice(0, topMax) }
        }),
    },
  })
}
