/**
 * The boundary between an actor and a model that reads: texts go in, class scores or embeddings come out.
 */
import { Context, type Effect } from "effect"
import type { RetryableModelBusy, RetryableModelCrash, TargetDescription, TerminalModelFailure } from "./ModelTarget.ts"

export interface Classification {
  readonly label: string
  /** Probability of `label`, 0 to 1. */
  readonly confidence: number
  /** Every label's probability, most probable first. */
  readonly scores: ReadonlyArray<{ readonly label: string; readonly score: number }>
  /** Tokens that did not fit the model's length and were cut from the end of the text. */
  readonly cutTokens: number
}

export type EncodeFailure = RetryableModelCrash | RetryableModelBusy | TerminalModelFailure

export class EncoderTarget extends Context.Service<
  EncoderTarget,
  {
    readonly describe: TargetDescription & { readonly labels: ReadonlyArray<string>; readonly dimensions?: number }
    readonly classify: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Classification>, EncodeFailure>
    /** One vector of length 1 and `dimensions` entries a text. */
    readonly embed: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, EncodeFailure>
    readonly died: Effect.Effect<never, RetryableModelCrash>
  }
>()("@pontoon/agents/EncoderTarget") {}
