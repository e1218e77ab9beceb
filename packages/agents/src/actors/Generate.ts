/**
 * The boundary of what is asked of a model through a mailbox: the task of every model actor, and so of every pool of
 * them, with its chunks and its whole.
 */
import { Task } from "@pontoon/runtime"
import { Schema } from "effect"
import { ChatMessage, GenerationTiming, Sampling, TerminalPromptTooLong, TokenLogprobs, Usage } from "../ModelTarget.ts"

/**
 * How an answer was taken up. `exact`: same weights, so the whole text equals the undisturbed one. `prefix`: another
 * model with the same tokenizer goes on after the tokens. `restart`: nothing could be kept; readers discard what they
 * have.
 */
export const Resumed = Schema.Struct({
  from: Schema.String,
  to: Schema.String,
  atToken: Schema.Number,
  mode: Schema.Literals(["exact", "prefix", "restart"]),
})
export type Resumed = typeof Resumed.Type

/** How a prompt was cut to fit, where it was. */
export const Cut = Schema.Struct({
  rule: Schema.Literals(["refuse", "drop-oldest"]),
  droppedTurns: Schema.Number,
  droppedTokens: Schema.Number,
})

export const FinishReason = Schema.Literals(["end", "stop", "length"])

/** A part of an answer as it is written. */
export const GenerateChunk = Schema.Union([
  /** A model begins, or goes on where another left off (`resumed`). */
  Schema.TaggedStruct("Began", {
    model: Schema.String,
    weightsHash: Schema.optionalKey(Schema.String),
    tokenizerHash: Schema.optionalKey(Schema.String),
    resumed: Schema.optionalKey(Resumed),
  }),
  Schema.TaggedStruct("Tokens", {
    tokenIds: Schema.Array(Schema.Number),
    text: Schema.String,
    /** One for each token, where `sampling.logprobs` asks for them. */
    logprobs: Schema.optionalKey(Schema.Array(TokenLogprobs)),
  }),
  Schema.TaggedStruct("Finished", {
    reason: FinishReason,
    usage: Usage,
    timing: Schema.optionalKey(GenerationTiming),
    cut: Schema.optionalKey(Cut),
  }),
])
export type GenerateChunk = typeof GenerateChunk.Type

/** The whole answer. */
export const Generation = Schema.Struct({
  text: Schema.String,
  tokenIds: Schema.Array(Schema.Number),
  /** One for each token, where `sampling.logprobs` asks for them. */
  logprobs: Schema.optionalKey(Schema.Array(TokenLogprobs)),
  /** The model that finished it. */
  model: Schema.String,
  reason: FinishReason,
  usage: Usage,
  /** Of the attempt that finished it. */
  timing: Schema.optionalKey(GenerationTiming),
  cut: Schema.optionalKey(Cut),
  /** Every time that another model, or the same one restarted, went on with it. */
  resumed: Schema.Array(Resumed),
})
export type Generation = typeof Generation.Type

/** The task of every model actor, and so of every pool of them. */
export const Generate = Task.stream("Generate", {
  payload: {
    prompt: Schema.Array(ChatMessage).check(Schema.isMinLength(1)),
    sampling: Schema.optionalKey(Sampling),
    /** What to do with a prompt that does not fit. Default `refuse`. */
    overflow: Schema.optionalKey(Schema.Literals(["refuse", "drop-oldest"])),
    /** Shared by the requests of one conversation, so that a cache of its prefix can be kept. */
    cacheKey: Schema.optionalKey(Schema.String),
  },
  chunk: GenerateChunk,
  whole: Generation,
  error: TerminalPromptTooLong,
})
