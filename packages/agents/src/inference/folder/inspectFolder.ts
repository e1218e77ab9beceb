/**
 * The boundary between a model folder and somebody who wants to know what it is before running it: everything that can be
 * said from its files, with nothing opened and nothing run. Which path a decoder takes, and why, is found out by running
 * it a few tokens: `Engine.decoder(…).target.describe.path` says it.
 */
import { existsSync, statSync } from "node:fs"
import { basename, join, relative, resolve } from "node:path"
import { Effect, Result } from "effect"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import { shapeBytes } from "../cache/KvSegment.ts"
import { type KvTensor, readKvTensors } from "../graph/DecoderGraph.ts"
import type { OnnxGraph } from "../graph/readOnnx.ts"
import { layersOf, queryHeadsOf, slidingWindowOf } from "./ModelConfig.ts"
import { contextLengthOf, endTokenIds, type ModelFolder, readModelFolder } from "./modelFolder.ts"
import { type Dtype, findWeights, type WeightFile } from "./weightFiles.ts"

/** How a decoder's layers look back. */
export type AttentionKind = "plain" | "GroupQueryAttention" | "MultiHeadAttention" | "Attention" | "mixed"

export interface FolderReport {
  readonly name: string
  /** Absolute. */
  readonly folder: string
  readonly layout: ModelFolder["layout"]
  /** `decoder` writes, `encoder` reads. */
  readonly kind: "decoder" | "encoder"
  readonly modelType: string
  /** The weights that are there, most faithful first; of onnxruntime-genai's layout only the one that it names. */
  readonly dtypes: ReadonlyArray<WeightFile>
  readonly dtype: WeightFile["dtype"]
  /** Every file that is read, relative to the folder. */
  readonly files: ReadonlyArray<{
    readonly path: string
    readonly bytes: number
    readonly role: "weights" | "external data" | "configuration" | "tokenizer" | "chat template"
  }>
  /** Bytes of the weights, external data included. */
  readonly weightsBytes: number
  /** SHA-256, hex. */
  readonly weightsHash: string
  readonly tokenizerHash: string
  readonly layers: number | undefined
  readonly queryHeads: number | undefined
  /** Of a decoder: heads of its cache, and numbers in each of a token's. */
  readonly kvHeads: number | undefined
  readonly headDim: number | undefined
  readonly vocabSize: number | undefined
  /** Tokens. */
  readonly contextLength: number | undefined
  /** Tokens that some layers look back on at most; undefined where all see everything, or nothing is said. */
  readonly slidingWindow: number | undefined
  /** Tokens that end an answer. */
  readonly endTokenIds: ReadonlyArray<number>
  readonly hasChatTemplate: boolean
  /** Of a decoder: what its cache holds, and how many bytes of it one token of context takes. */
  readonly cacheType: "float32" | "float16" | undefined
  readonly cacheBytesPerToken: number | undefined
  readonly attention: AttentionKind | undefined
  /** The graph's inputs and outputs that are no caches, with their shapes: `input_ids [batch, length]`. */
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  /** How often each operator is used, most used first. */
  readonly operators: ReadonlyArray<{ readonly operator: string; readonly count: number }>
  readonly opset: number
  /** Answers depend on what else is in a step: activations are quantised as it runs. */
  readonly stepSensitive: boolean
}

const FILES = [
  { file: "config.json", role: "configuration" },
  { file: "genai_config.json", role: "configuration" },
  { file: "generation_config.json", role: "configuration" },
  { file: "tokenizer.json", role: "tokenizer" },
  { file: "tokenizer_config.json", role: "tokenizer" },
  { file: "chat_template.jinja", role: "chat template" },
] as const

const listFiles = (folder: ModelFolder): FolderReport["files"] => {
  const entry = <Role extends FolderReport["files"][number]["role"]>(path: string, role: Role) => ({
    path: relative(folder.folder, path),
    bytes: statSync(path).size,
    role,
  })
  return [
    entry(folder.weightsPath, "weights"),
    ...folder.externalPaths.map((path) => entry(path, "external data")),
    ...FILES.filter(({ file }) => existsSync(join(folder.folder, file))).map(({ file, role }) =>
      entry(join(folder.folder, file), role),
    ),
  ]
}

const attentionOf = ({ operators }: OnnxGraph): AttentionKind => {
  const found = (["GroupQueryAttention", "MultiHeadAttention", "Attention"] as const).filter((name) =>
    operators.has(name),
  )
  return found.length > 1 ? "mixed" : (found[0] ?? "plain")
}

const shown = ({ dims, name }: OnnxGraph["inputs"][number]): string =>
  dims === undefined ? name : `${name} [${dims.join(", ")}]`

const describeCache = (kv: ReadonlyArray<KvTensor>, folder: ModelFolder) =>
  ({
    kvHeads: kv[0]?.heads,
    headDim: kv[0]?.headDim,
    cacheType: kv[0]?.type,
    cacheBytesPerToken: kv.length === 0 ? undefined : kv.reduce((bytes, shape) => bytes + shapeBytes(shape), 0),
    attention: kv.length === 0 ? undefined : attentionOf(folder.graph),
  }) as const

const lastDimension = (graph: OnnxGraph, output: string): number | undefined => {
  const last = graph.outputs.find(({ name }) => name === output)?.dims?.at(-1)
  return typeof last === "number" ? last : undefined
}

const report = (folder: ModelFolder): FolderReport => {
  const { config, graph, names } = folder
  const kv = Result.getOrElse(readKvTensors(folder), () => [])
  const caches = new Set(kv.flatMap(({ past, present }) => [past, present]))
  const values = (list: OnnxGraph["inputs"]) => list.filter(({ name }) => !caches.has(name)).map(shown)
  const isDecoder = kv.length > 0 || config.is_encoder_decoder === true
  const { dtype, layout, stepSensitive, tokenizerHash, weightsBytes, weightsHash } = folder
  return {
    name: folder.name,
    folder: folder.folder,
    kind: isDecoder ? "decoder" : "encoder",
    modelType: config.model_type,
    dtypes:
      layout === "genai" ? [{ dtype, file: relative(folder.folder, folder.weightsPath) }] : findWeights(folder.folder),
    files: listFiles(folder),
    ...{ layout, dtype, stepSensitive, tokenizerHash, weightsBytes, weightsHash, opset: graph.opset },
    layers: layersOf(config),
    queryHeads: queryHeadsOf(config),
    ...describeCache(kv, folder),
    vocabSize: (isDecoder ? lastDimension(graph, names.logits) : undefined) ?? config.vocab_size,
    contextLength: contextLengthOf(folder),
    slidingWindow: slidingWindowOf(config),
    endTokenIds: [...endTokenIds(folder)],
    hasChatTemplate: folder.chatTemplate !== undefined,
    inputs: values(graph.inputs),
    outputs: values(graph.outputs),
    operators: [...graph.operators]
      .map(([operator, count]) => ({ operator, count }))
      .sort((a, b) => b.count - a.count || (a.operator < b.operator ? -1 : 1)),
  }
}

/**
 * Says what a folder is. Reads every file once, the weights to hash them.
 *
 * @param options.dtype which of its weights; default `auto`, the most faithful
 * @returns fails as `readModelFolder` does
 */
export const inspectFolder = (
  folder: string,
  options: { readonly dtype?: Dtype } = {},
): Effect.Effect<FolderReport, TerminalModelFailure> =>
  Effect.map(readModelFolder(basename(resolve(folder)), resolve(folder), options.dtype ?? "auto"), report)
