/**
 * The boundary between the folder of an encoder-decoder, in the layout of Optimum, and the step that runs it.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { join, relative } from "node:path"
import { Effect, Result } from "effect"
import type { EngineSettings } from "../../engine/protocol.ts"
import type { DecodingPath, TerminalModelFailure } from "../../ModelTarget.ts"
import { contextLengthOf, type ModelFolder, modelFailure } from "../folder/modelFolder.ts"
import { readWeights } from "../folder/weightFiles.ts"
import { openSession } from "../graph/openSession.ts"
import { readSeq2SeqGraph } from "../graph/Seq2SeqGraph.ts"
import type { ModelTokenizer } from "../text/ModelTokenizer.ts"
import type { DecoderStep } from "./DecoderStep.ts"
import { makeSeq2SeqDecoder, TEXT_END } from "./Seq2SeqDecoder.ts"

export const isSeq2Seq = ({ config }: Pick<ModelFolder, "config">): boolean => config.is_encoder_decoder === true

/** Tokens that an encoder-decoder reads, its end among them, and writes at most; undefined of any other model. */
export interface Seq2SeqLimits {
  readonly readMax: number
  readonly writeMax: number
}

export const seq2SeqLimits = (folder: ModelFolder): Seq2SeqLimits | undefined => {
  if (!isSeq2Seq(folder)) return undefined
  const length = contextLengthOf(folder) ?? Number.MAX_SAFE_INTEGER / 4
  // `TEXT_END` takes a place behind the text; the token that decoding starts with takes one of the answer's.
  return { readMax: length + 1, writeMax: length - 1 }
}

/** The tokenizer of an encoder-decoder: a prompt is the text to be read, and its end. */
export const withTextEnd = (tokenizer: ModelTokenizer): ModelTokenizer => ({
  ...tokenizer,
  encodeChat: (messages, tools) =>
    Result.map(tokenizer.encodeChat(messages, tools), (tokenIds) => [...tokenIds, TEXT_END]),
})

const DECODER_FILE = /decoder_model(_merged)?(_\w+)?\.onnx$/

/** decoder_model_merged.onnx, decoder_model.onnx -> the file of the same weights of another part. */
const partOf = (folder: ModelFolder, part: string): string =>
  relative(folder.folder, folder.weightsPath).replace(/decoder_model(_merged)?/, part)

const openPart = Effect.fnUntraced(function* (settings: EngineSettings, folder: ModelFolder, file: string) {
  const fail = modelFailure(folder.name)
  if (!existsSync(join(folder.folder, file))) {
    return yield* fail("incomplete", `it is an encoder-decoder, and ${file} is missing in ${folder.folder}.`)
  }
  const { hash, path: weightsPath } = yield* readWeights(folder.folder, file, fail)
  const session = yield* openSession({ ...settings, folder: { name: folder.name, weightsPath }, keepOnDevice: [] })
  return { session, hash }
})

export interface OpenedSeq2Seq {
  readonly graph: { readonly vocabSize: number | undefined }
  readonly step: DecoderStep
  readonly path: DecodingPath
  /** SHA-256 of the hashes of its parts, hex: of one alone it would not tell two models apart. */
  readonly weightsHash: string
}

/**
 * Opens all its graphs.
 *
 * @returns fails with reason `incomplete` (one of them is missing), `unsupported` (its encoder reads no text, or a decoder wants
 * what nobody has), and as `openSession` does
 */
export const openSeq2Seq = Effect.fnUntraced(function* (
  settings: EngineSettings,
  folder: ModelFolder,
): Effect.fn.Return<OpenedSeq2Seq, TerminalModelFailure> {
  const fail = modelFailure(folder.name)
  const { config, generationConfig } = folder
  if (!DECODER_FILE.test(folder.weightsPath)) {
    return yield* fail(
      "incomplete",
      `it is an encoder-decoder, and has no onnx/decoder_model_merged.onnx in ${folder.folder}.`,
    )
  }
  const encoder = yield* openPart(settings, folder, partOf(folder, "encoder_model"))
  const first = yield* openPart(settings, folder, relative(folder.folder, folder.weightsPath))
  const isMerged = first.session.inputNames.includes("use_cache_branch")
  const later = isMerged ? first : yield* openPart(settings, folder, partOf(folder, "decoder_with_past_model"))
  const sessions = { encoder: encoder.session, first: first.session, later: later.session }
  const graph = readSeq2SeqGraph(sessions, folder)
  if (graph._tag === "Failure") {
    return yield* fail(
      "unsupported",
      `no encoder-decoder of text that can be run (model_type ${config.model_type}): ${graph.failure}.`,
    )
  }
  const startTokenId = generationConfig.decoder_start_token_id ?? config.decoder_start_token_id
  if (startTokenId === undefined || startTokenId === null) {
    return yield* fail("incomplete", "neither generation_config.json nor config.json has a decoder_start_token_id.")
  }
  const hash = createHash("sha256")
  for (const part of [encoder, first, later]) hash.update(part.hash)
  return {
    graph: graph.success,
    step: makeSeq2SeqDecoder({
      ...sessions,
      graph: graph.success,
      startTokenId,
      neverTokenIds: (generationConfig.bad_words_ids ?? []).flatMap((ids) => (ids.length === 1 ? ids : [])),
      forcedTokenId: generationConfig.forced_bos_token_id ?? undefined,
    }),
    path: { kind: "turns", reason: "it is an encoder-decoder, and the texts of its answers have lengths of their own" },
    weightsHash: hash.digest("hex"),
  }
})
