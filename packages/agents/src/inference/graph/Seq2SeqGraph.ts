/**
 * The boundary to the graphs of an encoder-decoder in the layout of Optimum: one that reads (encoder_model.onnx), and one that
 * writes, as decoder_model_merged.onnx with both its branches, or as decoder_model.onnx for the first token and
 * decoder_with_past_model.onnx for those behind it.
 */
import { Result } from "effect"
import type { InferenceSession } from "onnxruntime-node"
import type { KvShape } from "../cache/KvSegment.ts"
import type { ModelFolder } from "../folder/modelFolder.ts"

export type IntegerType = "int64" | "int32"
type Metadata = InferenceSession.ValueMetadata

/** One buffer of the cache. Those of the encoder's text stay what the first step makes them. */
export interface CrossKvTensor extends KvShape {
  readonly past: string
  readonly present: string
  readonly ofText: boolean
}

export interface Seq2SeqGraph {
  readonly kv: ReadonlyArray<CrossKvTensor>
  /** Integer inputs of the reading graph, and of the writing ones. */
  readonly encoderInputs: ReadonlyMap<string, IntegerType>
  readonly integers: ReadonlyMap<string, IntegerType>
  readonly vocabSize: number | undefined
}

const PAST = /^past_key_values\.(\d+\.(decoder|encoder)\.(?:key|value))$/
const ENCODER_INPUTS = ["input_ids", "attention_mask"]
const DECODER_INTEGERS = ["input_ids", "encoder_attention_mask"]
const OTHERS = ["encoder_hidden_states", "use_cache_branch"]

const typeOf = (input: Metadata): IntegerType | undefined =>
  input.isTensor && (input.type === "int64" || input.type === "int32") ? input.type : undefined

const sizeOf = (size: number | string | undefined): number | undefined =>
  typeof size === "number" && size > 0 ? size : undefined

const readKv = (input: Metadata, { config }: ModelFolder): CrossKvTensor | undefined => {
  const [, place, side] = PAST.exec(input.name) ?? []
  if (place === undefined || !input.isTensor || input.shape.length !== 4) return undefined
  if (input.type !== "float32" && input.type !== "float16") return undefined
  const queryHeads = config.decoder_attention_heads ?? config.num_heads ?? config.num_attention_heads
  const heads = sizeOf(input.shape[1]) ?? queryHeads
  const width = config.d_model ?? config.hidden_size
  const headDim = sizeOf(input.shape[3]) ?? config.d_kv ?? (width && queryHeads ? width / queryHeads : undefined)
  if (heads === undefined || headDim === undefined) return undefined
  return { past: input.name, present: `present.${place}`, ofText: side === "encoder", type: input.type, heads, headDim }
}

/**
 * Reads what the graphs take.
 *
 * @param later the session that takes a past: the merged one itself where there is one
 * @returns a clause that names what was found
 */
export const readSeq2SeqGraph = (
  sessions: Readonly<Record<"encoder" | "first" | "later", Pick<InferenceSession, "inputMetadata" | "outputMetadata">>>,
  folder: ModelFolder,
): Result.Result<Seq2SeqGraph, string> => {
  const encoderInputs = new Map<string, IntegerType>()
  for (const input of sessions.encoder.inputMetadata) {
    const type = typeOf(input)
    if (type === undefined || !ENCODER_INPUTS.includes(input.name))
      return Result.fail(`its encoder wants "${input.name}"`)
    encoderInputs.set(input.name, type)
  }
  const kv: Array<CrossKvTensor> = []
  const integers = new Map<string, IntegerType>()
  for (const input of [...sessions.first.inputMetadata, ...sessions.later.inputMetadata]) {
    const tensor = readKv(input, folder)
    const type = typeOf(input)
    if (tensor !== undefined) {
      if (!kv.some(({ past }) => past === tensor.past)) kv.push(tensor)
    } else if (type !== undefined && DECODER_INTEGERS.includes(input.name)) integers.set(input.name, type)
    else if (!OTHERS.includes(input.name)) return Result.fail(`its decoder wants "${input.name}"`)
  }
  const outputs = sessions.first.outputMetadata
  const missing = ["logits", ...kv.map(({ present }) => present)].find((name) => !outputs.some((o) => o.name === name))
  if (missing !== undefined) return Result.fail(`its decoder gives no "${missing}"`)
  if (!kv.some(({ ofText }) => !ofText)) return Result.fail("its decoder has no inputs past_key_values.*.decoder.*")
  const logits = outputs.find(({ name }) => name === "logits")
  return Result.succeed({
    kv,
    encoderInputs,
    integers,
    vocabSize: logits?.isTensor === true ? sizeOf(logits.shape.at(-1)) : undefined,
  })
}
