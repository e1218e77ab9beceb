/**
 * The boundary between a number of parameters and a model folder that the engine and transformers.js both load: random
 * weights in a temporary folder, made once a process and gone with it.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DecoderGraphWriter, type DecoderShape } from "./DecoderGraphWriter.ts"

export const SHAPES = {
  /** 27.6 million parameters. */
  "27M": { layers: 6, width: 512, heads: 8, inner: 1376, vocab: 8192, positions: 2048 },
  /** 110 million. */
  "110M": { layers: 12, width: 768, heads: 12, inner: 2048, vocab: 16384, positions: 2048 },
} as const satisfies Record<string, DecoderShape>

export type ShapeName = keyof typeof SHAPES

/** The printable stand-in of every byte, as byte-level tokenizers have them (GPT-2). */
const byteAlphabet = (): ReadonlyArray<string> => {
  const isPlain = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  let others = 0
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPlain(byte) ? byte : 256 + others++))
}

/** One token a byte, and names that no text has for all others: a prompt of n letters has n tokens. */
const tokenizerOf = (vocab: number) => {
  const names = byteAlphabet()
  const all = Array.from(
    { length: vocab },
    (_, id) => names[id] ?? `${names[65 + (id % 26)]}${names[97 + (id % 23)]}${id}`,
  )
  return {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { type: "BPE", vocab: Object.fromEntries(all.map((name, id) => [name, id])), merges: [], fuse_unk: false },
  }
}

const configOf = (shape: DecoderShape) => ({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: shape.vocab,
  hidden_size: shape.width,
  intermediate_size: shape.inner,
  num_hidden_layers: shape.layers,
  num_attention_heads: shape.heads,
  num_key_value_heads: shape.heads,
  head_dim: shape.width / shape.heads,
  max_position_embeddings: shape.positions,
})

const writeWeights = (path: string, shape: DecoderShape, quantised: boolean): void => {
  const file = openSync(path, "w")
  for (const part of new DecoderGraphWriter(shape, quantised).write()) writeSync(file, part)
  closeSync(file)
}

let root: string | undefined

const rootFolder = (): string => {
  if (root !== undefined) return root
  const made = mkdtempSync(join(tmpdir(), "pontoon-bench-"))
  process.on("exit", () => rmSync(made, { recursive: true, force: true }))
  root = made
  return made
}

const folders = new Map<ShapeName, string>()

/** The folder of a decoder of this size, fp32 and int8 (products only), made on first use: 2 to 10 seconds. */
export const makeRandomDecoder = (name: ShapeName): string => {
  const found = folders.get(name)
  if (found !== undefined) return found
  const shape = SHAPES[name]
  const folder = join(rootFolder(), name)
  mkdirSync(join(folder, "onnx"), { recursive: true })
  const write = (file: string, content: unknown) => writeFileSync(join(folder, file), JSON.stringify(content))
  write("config.json", configOf(shape))
  write("generation_config.json", { do_sample: false })
  write("tokenizer.json", tokenizerOf(shape.vocab))
  write("tokenizer_config.json", { tokenizer_class: "PreTrainedTokenizerFast", model_max_length: shape.positions })
  writeWeights(join(folder, "onnx", "model.onnx"), shape, false)
  writeWeights(join(folder, "onnx", "model_quantized.onnx"), shape, true)
  folders.set(name, folder)
  return folder
}
