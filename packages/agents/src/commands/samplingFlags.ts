/** The flags that say how the next token is chosen, and what `Sampling` they make together. */
import { readFileSync } from "node:fs"
import { Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import { oneLine } from "../inference/folder/modelFailure.ts"
import type { Sampling } from "../ModelTarget.ts"
import { refuse } from "./Output.ts"

const number = (name: string, description: string) =>
  Flag.Finite(name).pipe(Flag.withMetavar("X"), Flag.withDescription(description), Flag.optional)
const whole = (name: string, description: string) =>
  Flag.Int(name).pipe(Flag.withMetavar("N"), Flag.withDescription(description), Flag.optional)

/** Under the names of `Sampling`; ranges are checked by the engine. */
const numbers = {
  maxTokens: whole("max-tokens", "Upper bound of new tokens (default 256)"),
  minTokens: whole("min-tokens", "No end before this many tokens (default 0)"),
  temperature: number("temperature", "0 is greedy (default unless the folder says otherwise); up to 10"),
  topP: number("top-p", "Only the most probable tokens that together reach this, 0 to 1"),
  topK: whole("top-k", "Only the N most probable tokens; 0 is all"),
  minP: number("min-p", "Only tokens at least this fraction as probable as the best, 0 to 1"),
  typicalP: number("typical-p", "Only the tokens nearest to the expected surprise that reach this, 0 to 1"),
  repetitionPenalty: number("repetition-penalty", "Divides the logits of tokens already used; 1 is off"),
  presencePenalty: number("presence-penalty", "Taken off the logits of tokens that the answer has, -2 to 2"),
  frequencyPenalty: number("frequency-penalty", "The same for each time that it has them, -2 to 2"),
  noRepeatNgram: whole("no-repeat-ngram", "No sequence of N tokens comes twice; 0 is off"),
  seed: whole("seed", "Same seed, same prompt, same weights: same tokens (default 0)"),
} as const

type NumberName = keyof typeof numbers

export const samplingFlags = {
  ...numbers,
  stop: Flag.String("stop").pipe(
    Flag.withMetavar("TEXT"),
    Flag.withDescription("The answer ends before this; may be given up to 16 times"),
    Flag.between(0, 16),
  ),
  schema: Flag.String("schema").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("The answer is JSON that fits the JSON Schema in this file"),
    Flag.optional,
  ),
}

export type SamplingValues = Readonly<Record<NumberName, Option.Option<number>>> & {
  readonly stop: ReadonlyArray<string>
  readonly schema: Option.Option<string>
}

const decodeJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Json))

const readSchema = (path: string) =>
  Effect.try({ try: () => readFileSync(path, "utf8"), catch: (cause) => cause }).pipe(
    Effect.flatMap(decodeJson),
    Effect.mapError((cause) => refuse(`${path} holds no JSON Schema: ${oneLine(cause)}.`)),
  )

const isGiven = (name: string): name is NumberName => name in numbers

/** What is not given stays open for the folder's generation_config.json. */
export const readSampling = Effect.fnUntraced(function* (values: SamplingValues) {
  const given: { [name in NumberName]?: number } = {}
  for (const name of Object.keys(numbers).filter(isGiven)) {
    const value = values[name]
    if (Option.isSome(value)) given[name] = value.value
  }
  const { schema, stop } = values
  const sampling: Sampling = {
    ...given,
    ...(stop.length === 0 ? {} : { stop }),
    ...(Option.isNone(schema) ? {} : { format: { json: yield* readSchema(schema.value) } }),
  }
  return sampling
})
