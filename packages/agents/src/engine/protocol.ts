/**
 * The boundary between the host and a model's process: every message that crosses it, as data, checked on both sides.
 *
 * They travel over Node's own IPC channel with `serialization: "advanced"`, or to a thread. With each model the conversation
 * is: one `Load`, answered by `Loaded` or `Refused`; then any number of requests at once, each with an id of the host's
 * choosing and each answered by exactly one of `Finished`, `Encoded`, `Ran` and `Failed`, unless the host cancels it. While
 * it has requests, the child is
 * never silent for longer than `HEARTBEAT_MS` plus one step.
 */
import { Schema } from "effect"
import { TokenSpan } from "../EncoderTarget.ts"
import { Dtype } from "../inference/folder/modelFolder.ts"
import {
  ChatMessage,
  DecodingPath,
  GenerationTiming,
  RetryableModelBusy,
  Sampling,
  TerminalModelFailure,
  TerminalPromptTooLong,
  TokenLogprobs,
  ToolTerms,
} from "../ModelTarget.ts"
import { NamedTensors, TensorSpec } from "../TensorValue.ts"

/** How often a working child says so; far below any sensible watchdog bound, far above the cost of a message. */
export const HEARTBEAT_MS = 250

const Id = Schema.Int
const Overflow = Schema.Literals(["refuse", "drop-oldest"])

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** So many, or as many as suit the size of the weights, up to the cores that there are for each engine; see `decideThreads`. */
export const Threads = Schema.Union([between(1, 256), Schema.Struct({ autoUpTo: between(1, 256) })])
export type Threads = typeof Threads.Type

/** Faults that tests and demos can have a model's process suffer, on the spot. */
export const Fault = Schema.Literals([
  /** `abort()` in native code. */
  "abort",
  /** Never comes back from what it does. */
  "hang",
  /** Takes memory outside of the JavaScript heap, up to 1 GiB, as weights and caches do. */
  "exhaustMemory",
  /** Takes JavaScript heap. */
  "exhaustHeap",
])
export type Fault = typeof Fault.Type

/** What a child has to know before it can run anything. Defaults are filled in by `Engine`, whose options say the units. */
export const EngineSettings = Schema.Struct({
  kind: Schema.Literals(["decoder", "encoder", "tensors"]),
  name: Schema.NonEmptyString,
  /** Of kind `tensors` the ONNX file itself. */
  folder: Schema.NonEmptyString,
  dtype: Dtype,
  provider: Schema.String,
  /** What else the provider is told, e.g. `deviceId`. */
  providerOptions: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number, Schema.Boolean])),
  intraOpNumThreads: Threads,
  slots: between(1, 256),
  batching: Schema.Boolean,
  checkRewrite: Schema.Boolean,
  /** SHA-256 of weights whose rewritten graph was seen to be right before. */
  checkedWeights: Schema.optionalKey(Schema.String),
  prefillChunkTokens: between(1, 4096),
  cachedConversationsMax: between(0, 100_000),
  cachedBytesMax: between(0, Number.MAX_SAFE_INTEGER),
  contextBytesMax: between(1, Number.MAX_SAFE_INTEGER),
  spillFolder: Schema.optionalKey(Schema.NonEmptyString),
  spillBytesMax: between(0, Number.MAX_SAFE_INTEGER),
  draft: Schema.optionalKey(
    Schema.Struct({ folder: Schema.NonEmptyString, dtype: Dtype, tokens: between(1, 16), adaptive: Schema.Boolean }),
  ),
  batchTextsMax: between(1, 256),
  /** Of kind `encoder`: how vectors are made. What is absent is the folder's to say. */
  vectors: Schema.optionalKey(
    Schema.Struct({
      pooling: Schema.optionalKey(Schema.Literals(["mean", "cls", "last"])),
      normalise: Schema.Boolean,
      dimensionsMax: Schema.optionalKey(between(1, 1_000_000)),
    }),
  ),
  /** Of kind `tensors`. */
  tensors: Schema.optionalKey(
    Schema.Struct({
      batchMax: between(1, 4096),
      bytesMax: between(1, Number.MAX_SAFE_INTEGER),
      nanAllowed: Schema.Boolean,
    }),
  ),
})
export type EngineSettings = typeof EngineSettings.Type

const Load = Schema.TaggedStruct("Load", { settings: EngineSettings })

export const Generate = Schema.TaggedStruct("Generate", {
  id: Id,
  prompt: Schema.Array(ChatMessage),
  sampling: Sampling,
  tools: Schema.optionalKey(ToolTerms),
  overflow: Overflow,
  resumeTokenIds: Schema.Array(Schema.Int),
  cacheKey: Schema.optionalKey(Schema.String),
  deadlineAtMs: Schema.optionalKey(Schema.Number),
})
export type Generate = typeof Generate.Type

export const Encode = Schema.TaggedStruct("Encode", {
  id: Id,
  want: Schema.Literals(["classes", "vectors", "spans", "scores"]),
  texts: Schema.Array(Schema.String),
  /** Of `scores`: each text is read beside it. */
  query: Schema.optionalKey(Schema.String),
  /** Of `spans`: each token for itself. */
  single: Schema.optionalKey(Schema.Boolean),
})
export type Encode = typeof Encode.Type

/** A graph, run once. */
export const Run = Schema.TaggedStruct("Run", {
  id: Id,
  inputs: NamedTensors,
  outputs: Schema.optionalKey(Schema.Array(Schema.String)),
})
export type Run = typeof Run.Type

/** From the host to the child. */
export const HostMessage = Schema.Union([
  Load,
  Generate,
  Encode,
  Run,
  Schema.TaggedStruct("Cancel", { id: Id }),
  /** Fault injection: wait before each step. */
  Schema.TaggedStruct("SetStepDelay", { delayMs: Schema.Number }),
  Schema.TaggedStruct("SufferFault", { fault: Fault }),
  Schema.TaggedStruct("AskCounters", { id: Id }),
  /** Forget the model; its requests are over. */
  Schema.TaggedStruct("Unload", {}),
  /** To the process and none of its models: end as soon as the running step is over. */
  Schema.TaggedStruct("Stop", {}),
])
export type HostMessage = typeof HostMessage.Type

/** What a child has done and holds. */
export const EngineCounters = Schema.Struct({
  /** Calls of the model since the start. */
  steps: Schema.Int,
  runningRequests: Schema.Int,
  waitingRequests: Schema.Int,
  cachedConversations: Schema.Int,
  cachedBytes: Schema.Int,
  /** Tokens that the draft model has guessed, and how many of them were right; absent where there is none. */
  draftedTokens: Schema.optionalKey(Schema.Int),
  acceptedTokens: Schema.optionalKey(Schema.Int),
  /** What lies in `spillFolder`, and what could not be written to it or was found damaged; absent where there is none. */
  spilledConversations: Schema.optionalKey(Schema.Int),
  spilledBytes: Schema.optionalKey(Schema.Int),
  spillFailures: Schema.optionalKey(Schema.Int),
  residentBytes: Schema.Int,
})
export type EngineCounters = typeof EngineCounters.Type

const Loaded = Schema.TaggedStruct("Loaded", {
  dtype: Dtype,
  weightsHash: Schema.String,
  tokenizerHash: Schema.String,
  contextLength: Schema.optionalKey(Schema.Int),
  labels: Schema.Array(Schema.String),
  /** Whether labels exclude each other. Absent where nothing is classified. */
  exclusive: Schema.optionalKey(Schema.Boolean),
  dimensions: Schema.optionalKey(Schema.Int),
  path: Schema.optionalKey(DecodingPath),
  /** How long the longest step can be expected to take, ms; absent where it was not measured. */
  longestStepMs: Schema.optionalKey(Schema.Number),
  /** Of kind `tensors`. */
  inputs: Schema.optionalKey(Schema.Array(TensorSpec)),
  outputs: Schema.optionalKey(Schema.Array(TensorSpec)),
})
export type Loaded = typeof Loaded.Type

const Cut = Schema.Struct({ rule: Overflow, droppedTurns: Schema.Int, droppedTokens: Schema.Int })

const Finished = Schema.TaggedStruct("Finished", {
  id: Id,
  reason: Schema.Literals(["end", "stop", "length"]),
  usage: Schema.Struct({ promptTokens: Schema.Int, completionTokens: Schema.Int, cachedTokens: Schema.Int }),
  timing: GenerationTiming,
  cut: Schema.optionalKey(Cut),
})
export type Finished = typeof Finished.Type

const Encoded = Schema.TaggedStruct("Encoded", {
  id: Id,
  /**
   * As many numbers for each text, one text's behind the other's: probabilities by label, a vector, or a score. One typed
   * array, because objects and numbers one by one cost both processes more than a small model's step.
   */
  values: Schema.instanceOf(Float32Array),
  /** Of each text. */
  cutTokens: Schema.Array(Schema.Int),
  /** Of `spans`, for each text. */
  spans: Schema.optionalKey(Schema.Array(Schema.Array(TokenSpan))),
})
export type Encoded = typeof Encoded.Type

const RequestFailure = Schema.Union([RetryableModelBusy, TerminalPromptTooLong, TerminalModelFailure])
export type RequestFailure = typeof RequestFailure.Type

/** From the child to the host. */
export const ChildMessage = Schema.Union([
  Loaded,
  Schema.TaggedStruct("Refused", { failure: TerminalModelFailure }),
  Schema.TaggedStruct("Tokens", {
    id: Id,
    tokenIds: Schema.Array(Schema.Int),
    text: Schema.String,
    logprobs: Schema.optionalKey(Schema.Array(TokenLogprobs)),
  }),
  Finished,
  Encoded,
  Schema.TaggedStruct("Ran", { id: Id, outputs: NamedTensors }),
  Schema.TaggedStruct("Failed", { id: Id, failure: RequestFailure }),
  Schema.TaggedStruct("Working", {}),
  Schema.TaggedStruct("Counters", { id: Id, counters: EngineCounters }),
])
export type ChildMessage = typeof ChildMessage.Type

const Model = Schema.Int
/** A process may hold several models: each message says whose it is, by a number of the host's choosing. */
const HostFrame = Schema.Struct({ model: Model, message: HostMessage })
const ChildFrame = Schema.Struct({ model: Model, message: ChildMessage })

export const encodeHostFrame = Schema.encodeSync(HostFrame)
export const decodeHostFrame = Schema.decodeUnknownResult(HostFrame)
export const encodeChildFrame = Schema.encodeSync(ChildFrame)
export const decodeChildFrame = Schema.decodeUnknownResult(ChildFrame)
