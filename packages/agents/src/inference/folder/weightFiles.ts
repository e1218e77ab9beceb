/**
 * The boundary between a folder's weights and the files that they lie in: which there are, which one is meant, what lies
 * beside it, and what is wrong with them before anybody opens them.
 */
import { createHash } from "node:crypto"
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { Effect, Result, Schema } from "effect"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import { type OnnxGraph, readOnnx } from "../graph/readOnnx.ts"
import { type Fail, oneLine } from "./modelFailure.ts"

/** How the weights are stored; `auto` takes the first that is there, in the order of `WEIGHT_FILES`. */
export const Dtype = Schema.Literals(["auto", "fp32", "fp16", "int8", "uint8", "q4", "q4f16", "bnb4"])
export type Dtype = typeof Dtype.Type

/**
 * Most faithful first, because accuracy is what nobody measured for you. For one stream q4 is 2.6 times as fast as fp32,
 * for many int8 is 1.7 times as fast (27M parameters, one thread): ask for them where you have measured what they cost.
 */
const WEIGHT_FILES: ReadonlyArray<{ readonly dtype: Exclude<Dtype, "auto">; readonly suffix: string }> = [
  { dtype: "fp32", suffix: "" },
  { dtype: "fp16", suffix: "_fp16" },
  { dtype: "int8", suffix: "_quantized" },
  { dtype: "int8", suffix: "_int8" },
  { dtype: "uint8", suffix: "_uint8" },
  { dtype: "q4", suffix: "_q4" },
  { dtype: "q4f16", suffix: "_q4f16" },
  { dtype: "bnb4", suffix: "_bnb4" },
]

/** transformers.js has them in onnx/, Optimum at the folder's root; older exports hold both of a decoder's graphs in one file. */
const PLACES = [
  ...["onnx/model", "model", "onnx/decoder_model_merged", "decoder_model_merged"],
  // Of an encoder-decoder whose graphs are apart; `openSeq2Seq` finds the others beside it.
  ...["onnx/decoder_model", "decoder_model"],
]

export interface WeightFile {
  readonly dtype: Exclude<Dtype, "auto">
  /** Relative to the folder. */
  readonly file: string
}

/** The weights that a folder has, most faithful first. */
export const findWeights = (folder: string): ReadonlyArray<WeightFile> =>
  findWeightsAmong((file) => existsSync(join(folder, file)))

/** The same of a folder that is not here: `has` says which files it has. */
export const findWeightsAmong = (has: (file: string) => boolean): ReadonlyArray<WeightFile> => {
  const found = WEIGHT_FILES.flatMap(({ dtype, suffix }) => {
    const place = PLACES.find((stem) => has(`${stem}${suffix}.onnx`))
    return place === undefined ? [] : [{ dtype, file: `${place}${suffix}.onnx` }]
  })
  return found.filter(({ dtype }, at) => found.findIndex((other) => other.dtype === dtype) === at)
}

/** The weights that `dtype` asks for; what is there otherwise is said, so that nobody has to look. */
export const chooseWeights = (
  folder: string,
  dtype: Dtype,
  fail: Fail,
): Result.Result<WeightFile, TerminalModelFailure> => {
  const present = findWeights(folder)
  const wanted = dtype === "auto" ? present[0] : present.find((choice) => choice.dtype === dtype)
  if (wanted !== undefined) return Result.succeed(wanted)
  const files = WEIGHT_FILES.filter((choice) => dtype === "auto" || choice.dtype === dtype)
  const file = files.map(({ suffix }) => `model${suffix}.onnx`).join(" or ")
  const others =
    present.length === 0
      ? "there are no weights in it"
      : `there is ${present.map((choice) => `${choice.file.replace(/^onnx\//, "")} (dtype ${choice.dtype})`).join(" and ")}`
  return Result.fail(fail("incomplete", `onnx/${file} is missing in ${folder}; ${others}.`))
}

/** What a graph's operators and cache say of how its weights are stored, where its file's name says nothing. */
export const dtypeOfGraph = ({ inputs, operators }: OnnxGraph): WeightFile["dtype"] => {
  // 10: float16.
  const half = inputs.some(({ elementType }) => elementType === 10)
  if (operators.has("MatMulNBits")) return half ? "q4f16" : "q4"
  if (operators.has("MatMulBnb4")) return "bnb4"
  if (operators.has("MatMulInteger") || operators.has("DynamicQuantizeMatMul")) return "int8"
  return half ? "fp16" : "fp32"
}

export interface ReadWeights {
  readonly path: string
  readonly graph: OnnxGraph
  /** Paths of the files beside it that a part of the weights lies in. */
  readonly externalPaths: ReadonlyArray<string>
  readonly bytes: number
  /** SHA-256 over all of them, hex. */
  readonly hash: string
}

/** What a checkout without Git LFS leaves in place of a large file; it has some 130 bytes. */
const LFS_POINTER = "version https://git-lfs"

const isPointer = (bytes: Uint8Array): boolean =>
  bytes.length < 1024 && Buffer.from(bytes).toString("utf8").startsWith(LFS_POINTER)

const checkExternal = (shown: string, path: string, graph: OnnxGraph): string | undefined => {
  for (const [location, bytes] of graph.externalFiles) {
    const beside = join(dirname(path), location)
    if (!existsSync(beside)) return `${location} is missing beside ${shown}, which keeps weights in it; copy it there`
    const { size } = statSync(beside)
    if (size < bytes)
      return `${location} has ${size} bytes and ${shown} wants ${bytes} of it; it is cut off or another model's`
  }
  return undefined
}

/** One megabyte at a time. */
const READ_BYTES = 1 << 20

const hashFiles = async (first: Uint8Array, others: ReadonlyArray<string>): Promise<string> => {
  const hash = createHash("sha256").update(first)
  for (const path of others) {
    for await (const piece of createReadStream(path, { highWaterMark: READ_BYTES })) hash.update(piece)
  }
  return hash.digest("hex")
}

/**
 * Reads the graph and hashes the weights; opens nothing.
 *
 * @param file relative to the folder
 * @returns fails with reason `incomplete` or `damaged`
 */
export const readWeights = Effect.fnUntraced(function* (folder: string, file: string, fail: Fail) {
  const path = join(folder, file)
  const cannot = (cause: unknown) => fail("incomplete", `${file} cannot be read: ${oneLine(cause)}.`, cause)
  const bytes = yield* Effect.try({ try: () => readFileSync(path), catch: cannot })
  if (bytes.length === 0) return yield* fail("damaged", `${file} is empty; copy it again.`)
  if (isPointer(bytes)) {
    return yield* fail("incomplete", `${file} is a Git LFS pointer, not the weights; run "git lfs pull".`)
  }
  const graph = readOnnx(bytes)
  if (graph === undefined) return yield* fail("damaged", `${path} is truncated or damaged; copy it again.`)
  const wrong = checkExternal(file, path, graph)
  if (wrong !== undefined) return yield* fail("incomplete", `${wrong}.`)
  const externalPaths = [...graph.externalFiles.keys()].sort().map((location) => join(dirname(path), location))
  const hash = yield* Effect.tryPromise({ try: () => hashFiles(bytes, externalPaths), catch: cannot })
  const size = externalPaths.reduce((sum, beside) => sum + statSync(beside).size, bytes.length)
  return { path, graph, externalPaths, bytes: size, hash } satisfies ReadWeights
})
