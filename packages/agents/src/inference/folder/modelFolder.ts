/**
 * The boundary between a folder on disk and a model that can be run: what must be in it, in which form, and one clear
 * sentence about whatever is not.
 *
 * Two layouts. That of transformers.js and Optimum: config.json, generation_config.json (decoders; optional), and
 * onnx/model*.onnx or model*.onnx. That of onnxruntime-genai: genai_config.json, which says the rest. Both with
 * tokenizer.json, tokenizer_config.json, chat_template.jinja (optional) and external data beside the weights.
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import type { OnnxGraph } from "../graph/readOnnx.ts"
import { type DecoderNames, TRANSFORMERS_NAMES } from "./DecoderNames.ts"
import { asDecoderNames, asGenerationConfig, asModelConfig, GenaiConfig } from "./genaiConfig.ts"
import { GenerationConfig, ModelConfig, type TokenIds } from "./ModelConfig.ts"
import { type Fail, modelFailure } from "./modelFailure.ts"
import { JsonObject, type ReadJson, readJson } from "./readJson.ts"
import { readChatTemplate, TokenizerConfig } from "./TokenizerConfig.ts"
import { findUnfinishedPull } from "./unfinishedPull.ts"
import { chooseWeights, type Dtype, dtypeOfGraph, readWeights, type WeightFile } from "./weightFiles.ts"

export interface ModelFolder {
  readonly name: string
  readonly folder: string
  readonly layout: "transformers" | "genai"
  /** config.json; of the other layout, what it says in the same words. */
  readonly config: ModelConfig
  readonly generationConfig: GenerationConfig
  readonly tokenizerConfig: TokenizerConfig
  readonly rawTokenizer: ReadJson<unknown>["raw"]
  readonly rawTokenizerConfig: ReadJson<unknown>["raw"]
  readonly chatTemplate: string | undefined
  readonly dtype: WeightFile["dtype"]
  readonly weightsPath: string
  /** The weights' bytes, with those of `externalPaths`. */
  readonly weightsBytes: number
  /** Files beside it that a part of the weights lies in. */
  readonly externalPaths: ReadonlyArray<string>
  readonly weightsHash: string
  readonly tokenizerHash: string
  /** What the weights' file says of its graph. */
  readonly graph: OnnxGraph
  /** What a decoder's inputs and outputs are called. */
  readonly names: DecoderNames
  /**
   * The graph quantises activations as it runs, with one scale for all tokens of a step. What a token comes to then
   * depends on the tokens beside it, so where a step begins and ends must be a function of the request alone.
   */
  readonly stepSensitive: boolean
}

/** What differs between the layouts. */
interface Layout {
  readonly layout: ModelFolder["layout"]
  readonly config: ModelConfig
  readonly generationConfig: GenerationConfig
  readonly names: DecoderNames
  readonly weights: { readonly file: string; readonly dtype: WeightFile["dtype"] | undefined }
}

const GENAI_FILE = "genai_config.json"

const readTransformers = Effect.fnUntraced(function* (folder: string, dtype: Dtype, fail: Fail) {
  const config = yield* Effect.fromResult(readJson(folder, "config.json", ModelConfig, fail))
  const generation = "generation_config.json"
  const generationConfig = existsSync(join(folder, generation))
    ? (yield* Effect.fromResult(readJson(folder, generation, GenerationConfig, fail))).decoded
    : {}
  const weights = yield* Effect.fromResult(chooseWeights(folder, dtype, fail))
  const layout = { layout: "transformers", names: TRANSFORMERS_NAMES } as const
  return { ...layout, config: config.decoded, generationConfig, weights } satisfies Layout
})

const readGenai = Effect.fnUntraced(function* (folder: string, fail: Fail) {
  const { decoded } = yield* Effect.fromResult(readJson(folder, GENAI_FILE, GenaiConfig, fail))
  const file = decoded.model.decoder.filename
  if (!existsSync(join(folder, file))) {
    return yield* fail("incomplete", `${file}, which ${GENAI_FILE} names as the decoder, is missing in ${folder}.`)
  }
  const config = asModelConfig(decoded)
  const generationConfig = asGenerationConfig(decoded)
  const names = asDecoderNames(decoded)
  return { layout: "genai", config, generationConfig, names, weights: { file, dtype: undefined } } satisfies Layout
})

/** A folder may hold both layouts of one model: weights where transformers.js looks for them are its. */
const isGenai = (folder: string): boolean =>
  existsSync(join(folder, GENAI_FILE)) &&
  (!existsSync(join(folder, "config.json")) || !existsSync(join(folder, "onnx")))

/** Which of the files that every model needs is not there. */
const missingFile = (folder: string): string | undefined =>
  [...(isGenai(folder) ? [] : ["config.json"]), "tokenizer.json", "tokenizer_config.json"].find(
    (file) => !existsSync(join(folder, file)),
  )

/** The operators that give a whole tensor of activations one scale. */
const isStepSensitive = (graph: OnnxGraph): boolean =>
  [...graph.operators.keys()].some((operator) => operator.startsWith("DynamicQuantize"))

/** What the configuration says that cannot be true together; undefined where there is nothing. */
const contradiction = ({ config, generationConfig }: Layout): string | undefined => {
  const { num_key_value_heads: kvHeads, vocab_size: vocabSize } = config
  const heads = config.num_attention_heads
  if (heads && kvHeads && heads % kvHeads !== 0) {
    return `num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`
  }
  const ends = [...asList(config.eos_token_id), ...asList(generationConfig.eos_token_id)]
  const strange = ends.find((id) => vocabSize !== undefined && (id < 0 || id >= vocabSize))
  return strange === undefined
    ? undefined
    : `eos_token_id ${strange} is none of its ${vocabSize} token ids (vocab_size)`
}

/**
 * Reads and checks a model folder. It does not open the weights: what is wrong inside them is found by `openSession`.
 *
 * @param name what the model is called in messages
 * @returns fails with reason `missing` (no such folder), `incomplete` (a file is missing), `damaged` (a file does not
 * parse, or contradicts itself)
 */
export const readModelFolder = Effect.fnUntraced(function* (
  name: string,
  folder: string,
  dtype: Dtype,
): Effect.fn.Return<ModelFolder, TerminalModelFailure> {
  const fail = modelFailure(name)
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    return yield* fail("missing", `there is no folder ${folder}; set \`folder\` to where the model is.`)
  }
  const unfinished = findUnfinishedPull(folder)
  if (unfinished !== undefined) return yield* fail("incomplete", unfinished)
  const missing = missingFile(folder)
  if (missing !== undefined) return yield* fail("incomplete", `${missing} is missing in ${folder}.`)
  const read: Layout = isGenai(folder) ? yield* readGenai(folder, fail) : yield* readTransformers(folder, dtype, fail)
  const says = read.layout === "genai" ? GENAI_FILE : "config.json"
  const wrong = contradiction(read)
  if (wrong !== undefined) return yield* fail("damaged", `${says} contradicts itself: ${wrong}.`)
  const tokenizer = yield* Effect.fromResult(readJson(folder, "tokenizer.json", JsonObject, fail))
  const tokenizerConfig = yield* Effect.fromResult(readJson(folder, "tokenizer_config.json", TokenizerConfig, fail))
  const weights = yield* readWeights(folder, read.weights.file, fail)
  const stored = read.weights.dtype ?? dtypeOfGraph(weights.graph)
  if (dtype !== "auto" && stored !== dtype) {
    return yield* fail(
      "incomplete",
      `there are no ${dtype} weights in ${folder}; ${read.weights.file} holds ${stored}.`,
    )
  }
  return {
    name,
    folder,
    layout: read.layout,
    config: read.config,
    generationConfig: read.generationConfig,
    names: read.names,
    tokenizerConfig: tokenizerConfig.decoded,
    rawTokenizer: tokenizer.raw,
    rawTokenizerConfig: tokenizerConfig.raw,
    chatTemplate: readChatTemplate(folder, tokenizerConfig.decoded),
    dtype: stored,
    weightsPath: weights.path,
    weightsBytes: weights.bytes,
    externalPaths: weights.externalPaths,
    weightsHash: weights.hash,
    tokenizerHash: createHash("sha256")
      .update(readFileSync(join(folder, "tokenizer.json")))
      .digest("hex"),
    graph: weights.graph,
    stepSensitive: isStepSensitive(weights.graph),
  }
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

export type { GenerationConfig, ModelConfig } from "./ModelConfig.ts"
export { modelFailure, oneLine } from "./modelFailure.ts"
export { specialToken } from "./TokenizerConfig.ts"
export { Dtype } from "./weightFiles.ts"
