/**
 * The boundary between an actor and a model that writes: a prompt and sampling parameters go in, token ids and text come
 * out, and both can be taken up again where another model left off.
 *
 * Adapters: the ONNX engine (`engine/Engine`), and any effect/ai `LanguageModel` (`languageModelTarget`).
 */
import { Context, type Effect, Schema, type Stream } from "effect"

/** One turn of a conversation, as chat templates know it. */
export const ChatMessage = Schema.Struct({
  role: Schema.Literals(["system", "user", "assistant"]),
  content: Schema.String,
})
export type ChatMessage = typeof ChatMessage.Type

/** Schemas, expressions and grammars of more characters than this are refused: 64 Ki, twenty times a large tool's. */
const FORMAT_LENGTH_MAX = 65_536

const FormatText = Schema.NonEmptyString.check(Schema.isMaxLength(FORMAT_LENGTH_MAX))

/**
 * What an answer has to look like. Whatever the model's opinion, only tokens are drawn that keep it possible, and it is
 * complete before `maxTokens`: when they run short, the shortest completion is written.
 */
export const AnswerFormat = Schema.Union([
  /** JSON that fits this JSON Schema (draft 2020-12; docs/structuredOutput.md says which of its keywords). */
  Schema.Struct({ json: Schema.Json }),
  /** Text that matches this regular expression from its first to its last character. */
  Schema.Struct({ regex: FormatText }),
  /** Text that this grammar in EBNF describes, from its rule `root` on. */
  Schema.Struct({ grammar: FormatText }),
])
export type AnswerFormat = typeof AnswerFormat.Type

const TokenId = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const share = Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
/** The range of OpenAI's interface. */
const penalty = Schema.Number.check(Schema.isBetween({ minimum: -2, maximum: 2 }))
/** Lists of token ids are walked at every token, and stored with every request. */
const TOKEN_IDS_MAX = 1024

/**
 * How the next token is chosen. Every part has a default; the model folder's generation_config.json comes between.
 * docs/generation.md has them in a table, in the order in which they are applied.
 */
export const Sampling = Schema.Struct({
  /** 0 is greedy (default); higher is more varied. Range 0 to 10. */
  temperature: Schema.optionalKey(Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 10 }))),
  /** Only the k most probable tokens; 0 (default) is all of them. */
  topK: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  /** Only the most probable tokens that together reach this probability; 1 (default) is all of them. */
  topP: Schema.optionalKey(share),
  /** Only tokens at least this fraction as probable as the best; 0 (default) is all of them. */
  minP: Schema.optionalKey(share),
  /** Only the tokens nearest to the expected surprise that together reach this probability; 1 (default) is all of them. */
  typicalP: Schema.optionalKey(share),
  /** Divides the logits of tokens already used, prompt included (CTRL, arXiv 1909.05858); 1 (default) is off. */
  repetitionPenalty: Schema.optionalKey(Schema.Number.check(Schema.isGreaterThan(0))),
  /** Taken off the logit of each token that the answer has. Default 0, range -2 to 2; more brings in new tokens. */
  presencePenalty: Schema.optionalKey(penalty),
  /** Taken off it for each time that the answer has it. Default 0, range -2 to 2. */
  frequencyPenalty: Schema.optionalKey(penalty),
  /** No sequence of this many tokens comes twice, prompt included; 0 (default) is off. Range 0 to 1,024. */
  noRepeatNgram: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1024 }))),
  /** Added to the logits of single tokens: pairs of token id and -100 to 100; at most 1,024. */
  logitBias: Schema.optionalKey(
    Schema.Array(Schema.Tuple([TokenId, Schema.Number.check(Schema.isBetween({ minimum: -100, maximum: 100 }))])).check(
      Schema.isMaxLength(TOKEN_IDS_MAX),
    ),
  ),
  /** Tokens that are never drawn; at most 1,024. */
  bannedTokenIds: Schema.optionalKey(Schema.Array(TokenId).check(Schema.isMaxLength(TOKEN_IDS_MAX))),
  /** Same seed, same prompt, same weights: same tokens. Default 0. */
  seed: Schema.optionalKey(Schema.Int),
  /** The text ends before the first of these; at most 16, matched across token borders. */
  stop: Schema.optionalKey(Schema.Array(Schema.String).check(Schema.isMaxLength(16))),
  /** Tokens that end the answer, beside the model's own end tokens; they are not part of its text. At most 16. */
  stopTokenIds: Schema.optionalKey(Schema.Array(TokenId).check(Schema.isMaxLength(16))),
  /** Neither an end token nor a stop token is drawn before this many. Default 0; at most `maxTokens`. */
  minTokens: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  /** Upper bound of new tokens, counting resumed ones. Default 256. */
  maxTokens: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  /** Go on after the model's end token, as far as `maxTokens`. Default false. For measurements; not with a `format`. */
  ignoreEnd: Schema.optionalKey(Schema.Boolean),
  /**
   * Tell the log-probability of each token, and of this many most probable ones beside it: 0 to 20. Default: none is told.
   * They are of the model's own distribution, before any other part, temperature included.
   */
  logprobs: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))),
  /** What the answer has to look like. Default: anything. */
  format: Schema.optionalKey(AnswerFormat),
})
export type Sampling = typeof Sampling.Type

/** Something that a model may ask to be done. */
export const ToolDefinition = Schema.Struct({
  name: Schema.NonEmptyString.check(Schema.isMaxLength(128)),
  description: Schema.optionalKey(Schema.String),
  /** A JSON Schema of an object. */
  parameters: Schema.Json,
})
export type ToolDefinition = typeof ToolDefinition.Type

/** Tools that an answer may call, or has to: then it is `{"name": …, "arguments": …}`, with arguments of the tool's schema. */
export const ToolTerms = Schema.Struct({
  /** At least one, at most 64: all of them are in the prompt. */
  definitions: Schema.Array(ToolDefinition).check(Schema.isMinLength(1), Schema.isMaxLength(64)),
  choice: Schema.Literals(["auto", "required"]),
})
export type ToolTerms = typeof ToolTerms.Type

/** What to do with a prompt that does not fit the context with `maxTokens` free beside it. */
export type Overflow =
  /** Fail with `TerminalPromptTooLong` (default). */
  | "refuse"
  /** Drop whole turns from the oldest on, keeping a leading system message and the last turn; say so in `Finished.cut`. */
  | "drop-oldest"

export interface GenerateRequest {
  readonly prompt: ReadonlyArray<ChatMessage>
  readonly sampling: Sampling
  /** Tools that the answer may call. They stand in the prompt, and exclude a `format`. */
  readonly tools?: ToolTerms
  readonly overflow?: Overflow
  /** Tokens of this very answer that readers already have: generation goes on after them, with the same random numbers. */
  readonly resumeTokenIds?: ReadonlyArray<number>
  /** Requests of one conversation share it, so that a cache of its prefix can be kept. */
  readonly cacheKey?: string
  /** Milliseconds since the epoch; a request that has not finished by then is stopped. */
  readonly deadlineAtMs?: number
}

export const Usage = Schema.Struct({
  promptTokens: Schema.Number,
  /** New tokens of this call; resumed ones are in `promptTokens`. */
  completionTokens: Schema.Number,
  cachedTokens: Schema.Number,
})
export type Usage = typeof Usage.Type

/** Where the time of one answer went, as the model's own process measured it; a resumed answer counts from its resumption. */
export const GenerationTiming = Schema.Struct({
  /** From the request's arrival until it had a slot, ms. */
  queueMs: Schema.Number,
  /** From the request's arrival until its first new token, `queueMs` included, ms. Absent where none was made. */
  firstTokenMs: Schema.optionalKey(Schema.Number),
  /** Mean time from one token to the next after the first, ms. Absent below two tokens. */
  perTokenMs: Schema.optionalKey(Schema.Number),
  /** From the request's arrival to its end, ms. */
  totalMs: Schema.Number,
  /** Mean number of answers in the steps that it took part in, itself included; 0 where it took none. */
  batchRows: Schema.Number,
})
export type GenerationTiming = typeof GenerationTiming.Type

/** What the model gave a token: natural logarithms, to four decimals. */
export const TokenLogprobs = Schema.Struct({
  logprob: Schema.Number,
  /** The most probable tokens in its place, most probable first; as many as were asked for. */
  top: Schema.Array(Schema.Struct({ tokenId: Schema.Int, logprob: Schema.Number })),
})
export type TokenLogprobs = typeof TokenLogprobs.Type

/** New tokens. `text` holds whole characters only, and never a part of a stop string. */
export interface TokensGenerated {
  readonly _tag: "Tokens"
  readonly tokenIds: ReadonlyArray<number>
  readonly text: string
  /** One for each token, where they were asked for. */
  readonly logprobs?: ReadonlyArray<TokenLogprobs>
}

export interface GenerationFinished {
  readonly _tag: "Finished"
  /** `end`: the model's own end token; `stop`: a stop string; `length`: maxTokens, or the end of the context. */
  readonly reason: "end" | "stop" | "length"
  readonly usage: Usage
  /** Absent where a target does not measure it. */
  readonly timing?: GenerationTiming
  /** Present where a prompt was cut to fit: how many turns and tokens were dropped. */
  readonly cut?: { readonly rule: Overflow; readonly droppedTurns: number; readonly droppedTokens: number }
}

export type GenerationEvent = TokensGenerated | GenerationFinished

/** How a decoder's answers share its steps, and why so. */
export const DecodingPath = Schema.Struct({
  /**
   * `batched`: all answers in one call, over a cache that stays where it is; `turns`: one answer a call, which copies
   * its whole cache.
   */
  kind: Schema.Literals(["batched", "turns"]),
  /** One clause, e.g. "its graph has no input attention_mask, so only rows of equal length could share a step". */
  reason: Schema.String,
})
export type DecodingPath = typeof DecodingPath.Type

/** What a target is and can do; equal hashes mean that one can go on from another's token ids. */
export interface TargetDescription {
  readonly name: string
  /** SHA-256 of the weights file, hex; undefined where it cannot be known. */
  readonly weightsHash?: string
  /** SHA-256 of tokenizer.json, hex. */
  readonly tokenizerHash?: string
  /** Execution provider that runs it, e.g. `cpu`, `webgpu`, or `remote`. */
  readonly provider: string
  /** The providers that were tried before it, in order, and why each was not taken. */
  readonly tried: ReadonlyArray<{ readonly provider: string; readonly reason: string }>
  readonly contextLength?: number
  /** How its answers share steps, and why; undefined where it is no decoder of ours. */
  readonly path?: DecodingPath
  /** Requests that it runs at once. */
  readonly slots: number
  readonly capabilities: {
    readonly seed: boolean
    readonly stop: boolean
    readonly resume: boolean
    readonly tokenIds: boolean
    /** Absent where it can not. */
    readonly logprobs?: boolean
    /** Whether it keeps to `Sampling.format`. Absent where it can not. */
    readonly format?: boolean
  }
}

/**
 * Why a model's process is gone. `killed`: by SIGKILL, from outside (the kernel does that too where the machine has no memory
 * left); `aborted`: by another signal, as native code that aborts; `memory`: it said that it could get no more; `hang`: it
 * owed an answer and said nothing; `load`: it took too long to load; `stopped`: its scope was closed; `ended`: by itself, as
 * after an exception (a device that is lost gives one); `unreachable`: it could not be started or spoken with.
 */
export const CrashReason = Schema.Literals([
  "killed",
  "aborted",
  "memory",
  "hang",
  "load",
  "stopped",
  "ended",
  "unreachable",
])
export type CrashReason = typeof CrashReason.Type

/** The model's process died, hangs or was stopped; another target, or the same one restarted, may answer. */
export class RetryableModelCrash extends Schema.TaggedError<RetryableModelCrash>()("RetryableModelCrash", {
  model: Schema.String,
  reason: CrashReason,
  /** The exit code, where it ended by itself. */
  code: Schema.NullOr(Schema.Int),
  /** The signal that ended it, e.g. `SIGKILL`. */
  signal: Schema.NullOr(Schema.String),
  message: Schema.String,
  cause: Schema.Defect(),
}) {}

/** The model answers, but cannot take this request now (queue full, provider error, rate limit). */
export class RetryableModelBusy extends Schema.TaggedError<RetryableModelBusy>()("RetryableModelBusy", {
  model: Schema.String,
  message: Schema.String,
  retryAfterMs: Schema.optionalKey(Schema.Number),
}) {}

/** The prompt and what was asked for do not fit the model's context. */
export class TerminalPromptTooLong extends Schema.TaggedError<TerminalPromptTooLong>()("TerminalPromptTooLong", {
  model: Schema.String,
  promptTokens: Schema.Number,
  contextLength: Schema.Number,
  message: Schema.String,
}) {}

/** The model cannot be loaded, or can never do what was asked; the message says what to do about it. */
export class TerminalModelFailure extends Schema.TaggedError<TerminalModelFailure>()("TerminalModelFailure", {
  model: Schema.String,
  reason: Schema.Literals(["missing", "incomplete", "damaged", "tokenizer", "device", "unsupported", "request"]),
  message: Schema.String,
  cause: Schema.Defect(),
}) {}

export type GenerateFailure = RetryableModelCrash | RetryableModelBusy | TerminalPromptTooLong | TerminalModelFailure

export class ModelTarget extends Context.Service<
  ModelTarget,
  {
    readonly describe: TargetDescription
    /** Runs one request; interrupting the stream cancels it in the model within one step. */
    readonly generate: (request: GenerateRequest) => Stream.Stream<GenerationEvent, GenerateFailure>
    /** Fails when the model behind it is gone; never succeeds. Its supervisor waits on it. */
    readonly died: Effect.Effect<never, RetryableModelCrash>
  }
>()("@pontoon/agents/ModelTarget") {}
