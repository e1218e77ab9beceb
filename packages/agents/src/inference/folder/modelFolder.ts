/**
 * The boundary between a folder on disk and a model that can be run: what must be in it, in which form, and one clear
 * sentence about whatever is not.
 *
 * The layout is that of transformers.js: config.json, tokenizer.json, tokenizer_config.json, generation_config.json
 * (decoders; optional), chat_template.jinja (optional), and onnx/model*.onnx with any external data beside it.
 */
import { createHash } from "node:crypto"
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { Effect, Result, Schema } from "effect"
import { TerminalModelFailure } from "../../ModelTarget.ts"

/** How the weights are stored; `auto` takes the first that is there, in the order of `WEIGHT_FILES`. */
export const Dtype = Schema.Literals(["auto", "fp32", "int8", "q4", "fp16"])
export type Dtype = typeof Dtype.Type

/**
 * Most faithful first, because accuracy is what nobody measured for you. For one stream q4 is 2.6 times as fast as fp32,
 * for many int8 is 1.7 times as fast (27M parameters, one thread): ask for them where you have measured what they cost.
 */
const WEIGHT_FILES: ReadonlyArray<{ readonly dtype: Exclude<Dtype, "auto">; readonly file: string }> = [
  { dtype: "fp32", file: "model.onnx" },
  { dtype: "fp16", file: "model_fp16.onnx" },
  { dtype: "int8", file: "model_quantized.onnx" },
  { dtype: "q4", file: "model_q4.onnx" },
]

const TokenIds = Schema.NullOr(Schema.Union([Schema.Int, Schema.Array(Schema.Int)]))
const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))

const ModelConfig = Schema.Struct({
  model_type: Schema.String,
  is_encoder_decoder: Schema.optionalKey(Schema.Boolean),
  vocab_size: Schema.optionalKey(PositiveInt),
  max_position_embeddings: Schema.optionalKey(PositiveInt),
  n_positions: Schema.optionalKey(PositiveInt),
  n_ctx: Schema.optionalKey(PositiveInt),
  num_hidden_layers: Schema.optionalKey(PositiveInt),
  num_attention_heads: Schema.optionalKey(PositiveInt),
  num_key_value_heads: Schema.optionalKey(PositiveInt),
  hidden_size: Schema.optionalKey(PositiveInt),
  head_dim: Schema.optionalKey(Schema.NullOr(PositiveInt)),
  eos_token_id: Schema.optionalKey(TokenIds),
  problem_type: Schema.optionalKey(Schema.NullOr(Schema.String)),
  id2label: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})
export type ModelConfig = typeof ModelConfig.Type

const GenerationConfig = Schema.Struct({
  eos_token_id: Schema.optionalKey(TokenIds),
  do_sample: Schema.optionalKey(Schema.Boolean),
  temperature: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  top_k: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  top_p: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  repetition_penalty: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  max_new_tokens: Schema.optionalKey(Schema.NullOr(PositiveInt)),
})
export type GenerationConfig = typeof GenerationConfig.Type

/** A special token is written as text, or as an object that holds it. */
const SpecialToken = Schema.NullOr(Schema.Union([Schema.String, Schema.Struct({ content: Schema.String })]))
const NamedTemplate = Schema.Struct({ name: Schema.String, template: Schema.String })

const TokenizerConfig = Schema.Struct({
  bos_token: Schema.optionalKey(SpecialToken),
  eos_token: Schema.optionalKey(SpecialToken),
  unk_token: Schema.optionalKey(SpecialToken),
  sep_token: Schema.optionalKey(SpecialToken),
  pad_token: Schema.optionalKey(SpecialToken),
  cls_token: Schema.optionalKey(SpecialToken),
  mask_token: Schema.optionalKey(SpecialToken),
  model_max_length: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  chat_template: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Array(NamedTemplate)]))),
})
export type TokenizerConfig = typeof TokenizerConfig.Type

const JsonObject = Schema.Record(Schema.String, Schema.Unknown)

/** A file that says what it holds: the decoded part, and everything as it is written for the library that reads it. */
interface ReadJson<A> {
  readonly decoded: A
  readonly raw: { readonly [key: string]: unknown }
}

export interface ModelFolder {
  readonly name: string
  readonly folder: string
  readonly config: ModelConfig
  readonly generationConfig: GenerationConfig
  readonly tokenizerConfig: TokenizerConfig
  readonly rawTokenizer: ReadJson<unknown>["raw"]
  readonly rawTokenizerConfig: ReadJson<unknown>["raw"]
  readonly chatTemplate: string | undefined
  readonly dtype: Exclude<Dtype, "auto">
  readonly weightsPath: string
  /** Whether a part of the weights lies in files beside it. */
  readonly hasExternalData: boolean
  readonly weightsHash: string
  readonly tokenizerHash: string
  /**
   * The graph quantises activations as it runs, with one scale for all tokens of a step. What a token comes to then
   * depends on the tokens beside it, so where a step begins and ends must be a function of the request alone.
   */
  readonly stepSensitive: boolean
}

type Reason = TerminalModelFailure["reason"]

/** Makes the failure of one model: `fail("missing", "…")`. */
export const modelFailure =
  (model: string) =>
  (reason: Reason, message: string, cause: unknown = null) =>
    new TerminalModelFailure({ model, reason, message: `Model "${model}": ${message}`, cause })

type Fail = ReturnType<typeof modelFailure>

/** Values that are longer than this are quoted in part. */
const QUOTED_LENGTH_MAX = 300

export const oneLine = (error: unknown): string => {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim()
  return text.length > QUOTED_LENGTH_MAX ? `${text.slice(0, QUOTED_LENGTH_MAX)}…` : text
}

const readJson = <S extends Schema.ConstraintDecoder<unknown>>(
  path: string,
  shown: string,
  schema: S,
  fail: Fail,
): Result.Result<ReadJson<S["Type"]>, TerminalModelFailure> => {
  const text = Result.try(() => readFileSync(path, "utf8"))
  if (Result.isFailure(text))
    return Result.fail(fail("incomplete", `${shown} cannot be read: ${oneLine(text.failure)}.`))
  const raw = Schema.decodeUnknownResult(Schema.fromJsonString(JsonObject))(text.success)
  if (Result.isFailure(raw)) {
    return Result.fail(fail("damaged", `${shown} is not a JSON object; copy it again.`, raw.failure))
  }
  const decoded = Schema.decodeUnknownResult(schema)(raw.success)
  if (Result.isFailure(decoded)) {
    return Result.fail(fail("damaged", `${shown} is not what it should be: ${oneLine(decoded.failure)}.`))
  }
  return Result.succeed({ decoded: decoded.success, raw: raw.success })
}

/** The weights that `dtype` asks for; what is there otherwise is said, so that nobody has to look. */
const chooseWeights = (folder: string, dtype: Dtype, fail: Fail) => {
  const present = WEIGHT_FILES.filter(({ file }) => existsSync(join(folder, "onnx", file)))
  const wanted = dtype === "auto" ? present[0] : present.find((choice) => choice.dtype === dtype)
  if (wanted !== undefined) return Result.succeed(wanted)
  const file =
    WEIGHT_FILES.find((choice) => choice.dtype === dtype)?.file ?? WEIGHT_FILES.map((w) => w.file).join(" or ")
  const others =
    present.length === 0
      ? "there are no weights in it"
      : `there is ${present.map((choice) => `${choice.file} (dtype ${choice.dtype})`).join(" and ")}`
  return Result.fail(fail("incomplete", `onnx/${file} is missing in ${folder}; ${others}.`))
}

/** `model.onnx_data`, `model.onnx_data_1`, … or `model.onnx.data`: weights too large for one protobuf. */
const externalData = (folder: string, file: string): ReadonlyArray<string> =>
  readdirSync(join(folder, "onnx"))
    .filter((name) => name.startsWith(`${file}_data`) || name === `${file}.data`)
    .sort()
    .map((name) => join(folder, "onnx", name))

/** The operator that gives a whole tensor of activations one scale. */
const DYNAMIC_QUANTISATION = Buffer.from("DynamicQuantize")

/** SHA-256 over the files' bytes in order, and whether the graph quantises activations: one pass, 1 MB at a time. */
const readWeights = async (paths: ReadonlyArray<string>): Promise<{ hash: string; stepSensitive: boolean }> => {
  const hash = createHash("sha256")
  let stepSensitive = false
  for (const path of paths) {
    let tail = Buffer.alloc(0)
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) {
      const bytes = Buffer.isBuffer(piece) ? piece : Buffer.from(piece)
      hash.update(bytes)
      stepSensitive ||= Buffer.concat([tail, bytes]).includes(DYNAMIC_QUANTISATION)
      tail = bytes.subarray(-DYNAMIC_QUANTISATION.length)
    }
  }
  return { hash: hash.digest("hex"), stepSensitive }
}

/** What a checkout without Git LFS leaves in place of a large file. */
const LFS_POINTER = "version https://git-lfs"

const checkWeights = (path: string, shown: string, fail: Fail): Result.Result<void, TerminalModelFailure> => {
  const size = statSync(path).size
  if (size === 0) return Result.fail(fail("damaged", `${shown} is empty; copy it again.`))
  // A pointer has some 130 bytes.
  if (size < 1024 && readFileSync(path, "utf8").startsWith(LFS_POINTER)) {
    return Result.fail(fail("incomplete", `${shown} is a Git LFS pointer, not the weights; run "git lfs pull".`))
  }
  return Result.succeed(undefined)
}

const readChatTemplate = (folder: string, config: TokenizerConfig): string | undefined => {
  const template = config.chat_template
  if (typeof template === "string") return template
  if (template) return template.find((named) => named.name === "default")?.template
  const path = join(folder, "chat_template.jinja")
  return existsSync(path) ? readFileSync(path, "utf8") : undefined
}

/** Which of the files that every model needs is not there. */
const missingFile = (folder: string): string | undefined =>
  ["config.json", "tokenizer.json", "tokenizer_config.json"].find((file) => !existsSync(join(folder, file)))

/**
 * Reads and checks a model folder. It does not open the weights: what is wrong inside them is found by `openSession`.
 *
 * @param name what the model is called in messages
 * @returns fails with reason `missing` (no such folder), `incomplete` (a file is missing), `damaged` (a file does not
 * parse) or `unsupported` (an encoder-decoder)
 */
export const readModelFolder = Effect.fnUntraced(function* (name: string, folder: string, dtype: Dtype) {
  const fail = modelFailure(name)
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    return yield* fail("missing", `there is no folder ${folder}; set \`folder\` to where the model is.`)
  }
  const missing = missingFile(folder)
  if (missing !== undefined) return yield* fail("incomplete", `${missing} is missing in ${folder}.`)
  const config = yield* Effect.fromResult(readJson(join(folder, "config.json"), "config.json", ModelConfig, fail))
  if (config.decoded.is_encoder_decoder === true) {
    return yield* fail(
      "unsupported",
      `it is an encoder-decoder (model_type ${config.decoded.model_type}); those are not run.`,
    )
  }
  const tokenizer = yield* Effect.fromResult(
    readJson(join(folder, "tokenizer.json"), "tokenizer.json", JsonObject, fail),
  )
  const tokenizerConfig = yield* Effect.fromResult(
    readJson(join(folder, "tokenizer_config.json"), "tokenizer_config.json", TokenizerConfig, fail),
  )
  const generationPath = join(folder, "generation_config.json")
  const generationConfig = existsSync(generationPath)
    ? yield* Effect.fromResult(readJson(generationPath, "generation_config.json", GenerationConfig, fail))
    : { decoded: {} }
  const weights = yield* Effect.fromResult(chooseWeights(folder, dtype, fail))
  const weightsPath = join(folder, "onnx", weights.file)
  yield* Effect.fromResult(checkWeights(weightsPath, `onnx/${weights.file}`, fail))
  const external = externalData(folder, weights.file)
  const read = yield* Effect.tryPromise({
    try: () => readWeights([weightsPath, ...external]),
    catch: (cause) => fail("incomplete", `onnx/${weights.file} cannot be read: ${oneLine(cause)}.`, cause),
  })
  return {
    name,
    folder,
    config: config.decoded,
    generationConfig: generationConfig.decoded,
    tokenizerConfig: tokenizerConfig.decoded,
    rawTokenizer: tokenizer.raw,
    rawTokenizerConfig: tokenizerConfig.raw,
    chatTemplate: readChatTemplate(folder, tokenizerConfig.decoded),
    dtype: weights.dtype,
    weightsPath,
    hasExternalData: external.length > 0,
    weightsHash: read.hash,
    tokenizerHash: createHash("sha256")
      .update(readFileSync(join(folder, "tokenizer.json")))
      .digest("hex"),
    stepSensitive: read.stepSensitive,
  } satisfies ModelFolder
})

/** Token positions that the model has: the smallest of what its configurations claim; undefined where they do not. */
export const contextLengthOf = (folder: ModelFolder): number | undefined => {
  const { config, tokenizerConfig } = folder
  // Tokenizers without a limit of their own write 1e30.
  const claims = [
    config.max_position_embeddings ?? config.n_positions ?? config.n_ctx,
    tokenizerConfig.model_max_length,
  ].filter((claim) => typeof claim === "number" && claim > 0 && claim < 1e9)
  return claims.length === 0 ? undefined : Math.min(...claims.map(Number))
}

const asList = (ids: typeof TokenIds.Type | undefined): ReadonlyArray<number> =>
  ids === null || ids === undefined ? [] : typeof ids === "number" ? [ids] : ids

/** The tokens that end an answer: generation_config.json's, else config.json's, else none. */
export const endTokenIds = (folder: ModelFolder): ReadonlySet<number> => {
  const own = asList(folder.generationConfig.eos_token_id)
  return new Set(own.length > 0 ? own : asList(folder.config.eos_token_id))
}

/** The text of a special token, however it is written. */
export const specialToken = (token: typeof SpecialToken.Type | undefined): string | undefined =>
  typeof token === "string" ? token : (token?.content ?? undefined)
