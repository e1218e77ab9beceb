/** The boundary from all that a repository holds to the files that one variant of its model needs. Pure. */
import { Result } from "effect"
import { type Dtype, findWeightsAmong, type WeightFile } from "../inference/folder/weightFiles.ts"
import { type PullFailure, terminal } from "./pullFailure.ts"

/** A file of a repository, as its tree lists it. */
export interface RepoFile {
  /** Relative, with forward slashes. */
  readonly path: string
  readonly bytes: number
  /** What its bytes come to: SHA-256 of a large file, git's SHA-1 of a small one; both hex. */
  readonly checksum: { readonly kind: "sha256" | "git-sha1"; readonly hex: string }
}

export interface ChosenFiles {
  readonly dtype: WeightFile["dtype"]
  readonly files: ReadonlyArray<RepoFile>
  /** The variants that were not asked for. */
  readonly others: ReadonlyArray<WeightFile>
}

/** Small files that say how the weights are to be used. What a model does not have it does not need. */
const AROUND = [
  "config.json",
  "genai_config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "preprocessor_config.json",
]

const NEEDED = ["config.json", "tokenizer.json", "tokenizer_config.json"]

/** `model.onnx_data`, `model.onnx_data_1`, `model.onnx.data`: weights too large for one protobuf. */
const isBeside = (weights: string, path: string): boolean =>
  path === `${weights}.data` ||
  (path.startsWith(`${weights}_data`) && /^(_\d+)?$/.test(path.slice(`${weights}_data`.length)))

/** The other graphs of an encoder-decoder, by the name of the one that its weights are known by. */
const partsOf = (weights: string): ReadonlyArray<string> =>
  ["encoder_model", ...(weights.includes("_merged") ? [] : ["decoder_with_past_model"])].map((part) =>
    weights.replace(/decoder_model(_merged)?/, part),
  )

/** Paths that would lie outside of the folder, or in places that are ours. */
const isStrange = (path: string): boolean =>
  path.startsWith("/") ||
  path.includes("\\") ||
  path.includes("\0") ||
  path.split("/").some((part) => part.startsWith("."))

const nameless = (files: ReadonlyArray<RepoFile>, repo: string): PullFailure => {
  const lacking = NEEDED.find((name) => !files.some(({ path }) => path === name))
  const safetensors = files.some(({ path }) => path.endsWith(".safetensors"))
  if (!files.some(({ path }) => path.endsWith(".onnx"))) {
    return terminal(
      `${repo} has no ONNX weights${safetensors ? ", only safetensors" : ""}; look for an ONNX export of it (onnx-community has many).`,
    )
  }
  return lacking === undefined
    ? terminal(`${repo} has no onnx/model*.onnx; it is not in the layout of transformers.js.`)
    : terminal(`${repo} has no ${lacking}, so its model cannot be run.`)
}

/** Chooses the files of one variant. */
export const chooseFiles = (
  all: ReadonlyArray<RepoFile>,
  dtype: Dtype,
  repo: string,
): Result.Result<ChosenFiles, PullFailure> => {
  const files = all.filter(({ path }) => !isStrange(path))
  const byPath = new Map(files.map((file) => [file.path, file]))
  const variants = findWeightsAmong((path) => byPath.has(path))
  if (variants.length === 0) return Result.fail(nameless(files, repo))
  const chosen = dtype === "auto" ? variants[0] : variants.find((variant) => variant.dtype === dtype)
  if (chosen === undefined) {
    const there = variants.map((variant) => variant.dtype).join(", ")
    return Result.fail(terminal(`${repo} has no weights of dtype ${dtype}; it has ${there}.`))
  }
  const isGenai = byPath.has("genai_config.json")
  const lacking = NEEDED.find((name) => !byPath.has(name) && !(isGenai && name === "config.json"))
  if (lacking !== undefined) return Result.fail(terminal(`${repo} has no ${lacking}, so its model cannot be run.`))
  const weights = new Set([chosen.file, ...partsOf(chosen.file)])
  return Result.succeed({
    dtype: chosen.dtype,
    files: files.filter(
      ({ path }) => weights.has(path) || AROUND.includes(path) || [...weights].some((each) => isBeside(each, path)),
    ),
    others: variants.filter((variant) => variant !== chosen),
  })
}
