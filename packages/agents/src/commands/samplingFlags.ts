/** The flags that say how the next token is chosen, and what `Sampling` they make together. */
import { Option } from "effect"
import { Flag } from "effect/cli"
import type { Sampling } from "../ModelTarget.ts"

const number = (name: string, description: string) =>
  Flag.Finite(name).pipe(Flag.withMetavar("X"), Flag.withDescription(description), Flag.optional)
const whole = (name: string, description: string) =>
  Flag.Int(name).pipe(Flag.withMetavar("N"), Flag.withDescription(description), Flag.optional)

export const samplingFlags = {
  maxTokens: whole("max-tokens", "Upper bound of new tokens (default 256)"),
  temperature: number("temperature", "0 is greedy (default unless the folder says otherwise); up to 10"),
  topP: number("top-p", "Only the most probable tokens that together reach this, 0 to 1"),
  topK: whole("top-k", "Only the N most probable tokens; 0 is all"),
  seed: whole("seed", "Same seed, same prompt, same weights: same tokens (default 0)"),
  stop: Flag.String("stop").pipe(
    Flag.withMetavar("TEXT"),
    Flag.withDescription("The answer ends before this; may be given up to 16 times"),
    Flag.between(0, 16),
  ),
}

interface SamplingValues {
  readonly maxTokens: Option.Option<number>
  readonly temperature: Option.Option<number>
  readonly topP: Option.Option<number>
  readonly topK: Option.Option<number>
  readonly seed: Option.Option<number>
  readonly stop: ReadonlyArray<string>
}

/** What is not given stays open for the folder's generation_config.json; ranges are checked by the engine. */
export const readSampling = ({ maxTokens, seed, stop, temperature, topK, topP }: SamplingValues): Sampling => ({
  ...Option.match(maxTokens, { onNone: () => ({}), onSome: (value) => ({ maxTokens: value }) }),
  ...Option.match(temperature, { onNone: () => ({}), onSome: (value) => ({ temperature: value }) }),
  ...Option.match(topP, { onNone: () => ({}), onSome: (value) => ({ topP: value }) }),
  ...Option.match(topK, { onNone: () => ({}), onSome: (value) => ({ topK: value }) }),
  ...Option.match(seed, { onNone: () => ({}), onSome: (value) => ({ seed: value }) }),
  ...(stop.length === 0 ? {} : { stop }),
})
