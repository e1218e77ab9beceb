/**
 * The boundary to a graph that writes: which inputs it wants, and where its cache comes in and goes out.
 */
import { Result } from "effect"
import type { InferenceSession } from "onnxruntime-node"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import { type ModelFolder, modelFailure } from "../folder/modelFolder.ts"

export type IntegerType = "int64" | "int32"

export interface KvTensor {
  readonly past: string
  readonly present: string
  readonly type: "float32" | "float16"
  readonly heads: number
  readonly headDim: number
}

/** What a graph wants and gives. */
export interface DecoderGraph {
  readonly kv: ReadonlyArray<KvTensor>
  readonly integerInputs: ReadonlyMap<string, IntegerType>
  readonly vocabSize: number | undefined
}

type Metadata = InferenceSession.ValueMetadata

const PAST = /^past_key_values\.(.+)$/
const INTEGER_INPUTS = ["input_ids", "attention_mask", "position_ids", "num_logits_to_keep"]

const dimension = (dimension: number | string | undefined): number | undefined =>
  typeof dimension === "number" && dimension > 0 ? dimension : undefined

/** A `past_key_values.*` input and the `present.*` output that continues it; undefined where it is none that we can feed. */
const readKvTensor = (
  input: Metadata,
  outputNames: ReadonlyArray<string>,
  folder: ModelFolder,
): KvTensor | undefined => {
  const match = PAST.exec(input.name)
  const present = `present.${match?.[1]}`
  if (match === null || !input.isTensor || input.shape.length !== 4 || !outputNames.includes(present)) return undefined
  if (input.type !== "float32" && input.type !== "float16") return undefined
  // [batch, heads, tokens, headDim]: only the number of tokens is open.
  if (typeof input.shape[2] === "number") return undefined
  const { num_attention_heads: queryHeads, num_key_value_heads: kvHeads, head_dim, hidden_size } = folder.config
  const heads = dimension(input.shape[1]) ?? kvHeads ?? queryHeads
  const headDim =
    dimension(input.shape[3]) ?? head_dim ?? (hidden_size && queryHeads ? hidden_size / queryHeads : undefined)
  if (heads === undefined || headDim === undefined) return undefined
  return { past: input.name, present, type: input.type, heads, headDim }
}

/**
 * Reads a session's inputs and outputs.
 *
 * @param replaced outputs that the session gives in another form, and has under another name
 * @returns fails with reason `unsupported`, naming what was found
 */
export const readDecoderGraph = (
  inputs: ReadonlyArray<Metadata>,
  outputs: ReadonlyArray<Metadata>,
  replaced: ReadonlyArray<string>,
  folder: ModelFolder,
): Result.Result<DecoderGraph, TerminalModelFailure> => {
  const fail = (found: string) =>
    Result.fail(
      modelFailure(folder.name)(
        "unsupported",
        `not a decoder with a cache that can be run (model_type ${folder.config.model_type}): ${found}.`,
      ),
    )
  const outputNames = [...outputs.map((output) => output.name), ...replaced]
  const logits = outputs.find((output) => output.name === "logits")
  if (logits === undefined || !logits.isTensor) return fail(`it has no output "logits", but ${outputNames.join(", ")}`)
  const kv: Array<KvTensor> = []
  const integerInputs = new Map<string, IntegerType>()
  for (const input of inputs) {
    const tensor = readKvTensor(input, outputNames, folder)
    if (tensor !== undefined) kv.push(tensor)
    else if (
      INTEGER_INPUTS.includes(input.name) &&
      input.isTensor &&
      (input.type === "int64" || input.type === "int32")
    ) {
      integerInputs.set(input.name, input.type)
    } else return fail(`it wants an input "${input.name}"`)
  }
  if (!integerInputs.has("input_ids")) return fail("it has no input input_ids")
  if (kv.length === 0)
    return fail("it has no inputs past_key_values.*, so every token would cost the whole prompt again")
  return Result.succeed({ kv, integerInputs, vocabSize: dimension(logits.shape.at(-1)) })
}
