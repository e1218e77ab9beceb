/**
 * The boundary between an actor and a model that reads: texts go in; class scores, tagged spans, embeddings or relevance
 * come out. A model can do some of it, by what its graph gives; what it cannot is a `TerminalModelFailure` (`unsupported`).
 */
import { Context, type Effect, Schema } from "effect"
import type { RetryableModelBusy, RetryableModelCrash, TargetDescription, TerminalModelFailure } from "./ModelTarget.ts"

export interface Classification {
  /** The most probable label. */
  readonly label: string
  /** Probability of `label`, 0 to 1. */
  readonly confidence: number
  /**
   * Every label's probability, most probable first. They add up to 1 where labels exclude each other, and are each its own
   * where they do not (`describe.exclusive`).
   */
  readonly scores: ReadonlyArray<{ readonly label: string; readonly score: number }>
  /** Tokens that did not fit the model's length and were cut from the end of the text. */
  readonly cutTokens: number
}

/** A part of a text, and what it is. */
export const TokenSpan = Schema.Struct({
  /** The label without its B- or I-; with it where each token is for itself. */
  label: Schema.String,
  /** Mean probability of its tokens, 0 to 1. */
  score: Schema.Number,
  /** Where it is in the text, in UTF-16 units as `String.slice` counts; `end` is behind it. */
  start: Schema.Int,
  end: Schema.Int,
  text: Schema.String,
})
export type TokenSpan = typeof TokenSpan.Type

export interface TaggedText {
  /** In the order of the text; what is labelled O is left out. */
  readonly spans: ReadonlyArray<TokenSpan>
  readonly cutTokens: number
}

export interface RankedPassage {
  /** Its place in the list that was given. */
  readonly index: number
  /** How relevant it is, 0 to 1: the logistic function of the model's number. */
  readonly score: number
  /** Tokens cut from the end of the passage because both are longer than the model reads. */
  readonly cutTokens: number
}

export type EncodeFailure = RetryableModelCrash | RetryableModelBusy | TerminalModelFailure

export class EncoderTarget extends Context.Service<
  EncoderTarget,
  {
    readonly describe: TargetDescription & {
      readonly labels: ReadonlyArray<string>
      /** Whether a text has one label (softmax) or any number of them (sigmoid). Absent where it does not classify. */
      readonly exclusive?: boolean
      readonly dimensions?: number
    }
    readonly classify: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Classification>, EncodeFailure>
    /**
     * Finds what a token classifier labels.
     *
     * @param options.single each token for itself, label and all; else neighbours of one tag are one span (B- begins a new
     * one), as aggregation "simple" of transformers has it
     */
    readonly tag: (
      texts: ReadonlyArray<string>,
      options?: { readonly single?: boolean },
    ) => Effect.Effect<ReadonlyArray<TaggedText>, EncodeFailure>
    /** One vector of `dimensions` entries a text, of length 1 unless `normalise` is false. */
    readonly embed: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, EncodeFailure>
    /** Every passage, the most relevant to the query first; equal ones in their order. */
    readonly rerank: (
      query: string,
      passages: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<RankedPassage>, EncodeFailure>
    readonly died: Effect.Effect<never, RetryableModelCrash>
  }
>()("@pontoon/agents/EncoderTarget") {}
