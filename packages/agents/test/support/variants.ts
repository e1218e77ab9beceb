/**
 * The boundary between the graphs of fixtures/variants and model folders: puts each beside the tokenizer that they share, in
 * the layout that its exporter uses.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fixture } from "./engines.ts"

export const VOCABULARY = 269
export const CONTEXT = 256

/** What config.json says of every variant; two tokens end an answer. */
export const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  max_position_embeddings: CONTEXT,
  eos_token_id: [3, 40],
}

/** What genai_config.json says of the variant in that layout. */
export const GENAI_CONFIG = {
  model: {
    type: "llama",
    vocab_size: VOCABULARY,
    context_length: CONTEXT,
    bos_token_id: 0,
    pad_token_id: 4,
    eos_token_id: [3, 40],
    decoder: {
      session_options: { log_id: "onnxruntime-genai", provider_options: [] },
      filename: "weights.onnx",
      head_size: 16,
      hidden_size: 32,
      num_attention_heads: 2,
      num_hidden_layers: 2,
      num_key_value_heads: 1,
      inputs: {
        input_ids: "tokens",
        attention_mask: "mask",
        past_key_names: "cache_%d_k",
        past_value_names: "cache_%d_v",
      },
      outputs: { logits: "scores", present_key_names: "next_%d_k", present_value_names: "next_%d_v" },
    },
  },
  search: {
    do_sample: false,
    top_k: 1,
    top_p: 1,
    temperature: 1,
    repetition_penalty: 1,
    past_present_share_buffer: true,
  },
}

export const variantPath = (file: string): string => join(fixture("variants"), file)

export interface VariantOptions {
  /** Where its weights are put; default onnx/model.onnx. */
  readonly file?: string
  readonly config?: object
}

/** Folders for one test file; `remove` takes them all away. */
export const makeVariants = () => {
  const scratch = mkdtempSync(join(tmpdir(), "pontoon-variants-"))
  const put = (folder: string, file: string, content: object) => {
    writeFileSync(join(folder, file), JSON.stringify(content))
  }
  const start = (name: string, file: string) => {
    // transformers.js takes the last part of a path for the model's name.
    const folder = join(scratch, `${name}-${Math.abs(hash(name + file))}`)
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    for (const shared of ["tokenizer.json", "tokenizer_config.json"]) {
      copyFileSync(join(fixture("tiny-decoder"), shared), join(folder, shared))
    }
    copyFileSync(variantPath(`${name}.onnx`), join(folder, file))
    return folder
  }
  return {
    /** In the layout of transformers.js. */
    make: (name: string, { config = {}, file = "onnx/model.onnx" }: VariantOptions = {}): string => {
      const folder = start(name, file)
      put(folder, "config.json", { ...CONFIG, ...config })
      if (name === "external")
        copyFileSync(variantPath("model.onnx_data"), join(folder, dirname(file), "model.onnx_data"))
      return folder
    },
    /** In that of onnxruntime-genai. */
    makeGenai: (config: object = GENAI_CONFIG): string => {
      const folder = start("genai", "weights.onnx")
      put(folder, "genai_config.json", config)
      return folder
    },
    read: (folder: string, file: string): Buffer => readFileSync(join(folder, file)),
    remove: () => rmSync(scratch, { recursive: true }),
  }
}

/** Tells folders of one variant apart. */
const hash = (text: string): number => [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) | 0, 7)
