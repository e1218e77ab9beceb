/**
 * The boundary to a graph that reads: which inputs it wants, and which of its outputs are class scores or embeddings.
 */
import { Result } from "effect"
import type { InferenceSession } from "onnxruntime-node"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import { type ModelFolder, modelFailure } from "../folder/modelFolder.ts"

export type IntegerType = "int64" | "int32"

/** What an encoder's graph wants and gives. */
export interface EncoderGraph {
  readonly inputs: ReadonlyMap<string, IntegerType>
  /** Present where it classifies: the name of each class, by index. */
  readonly labels: ReadonlyArray<string>
  /** The output that embeddings are made of: a vector a text, or one a token to be averaged. */
  readonly embedding: { readonly output: string; readonly pooled: boolean } | undefined
  readonly dimensions: number | undefined
}

const INPUTS = ["input_ids", "attention_mask", "token_type_ids", "position_ids"]
/** In order of preference. */
const EMBEDDING_OUTPUTS = [
  { output: "sentence_embedding", pooled: true },
  { output: "last_hidden_state", pooled: false },
  { output: "token_embeddings", pooled: false },
] as const

const widthOf = (output: InferenceSession.ValueMetadata | undefined): number | undefined => {
  const last = output?.isTensor === true ? output.shape.at(-1) : undefined
  return typeof last === "number" ? last : undefined
}

/**
 * Reads a session's inputs and outputs.
 *
 * @returns fails with reason `unsupported`, naming what was found
 */
export const readEncoderGraph = (
  inputs: ReadonlyArray<InferenceSession.ValueMetadata>,
  outputs: ReadonlyArray<InferenceSession.ValueMetadata>,
  folder: ModelFolder,
): Result.Result<EncoderGraph, TerminalModelFailure> => {
  const fail = (found: string) => {
    const message = `not an encoder that can be run (model_type ${folder.config.model_type}): ${found}.`
    return Result.fail(modelFailure(folder.name)("unsupported", message))
  }
  const wanted = new Map<string, IntegerType>()
  for (const input of inputs) {
    const known = INPUTS.includes(input.name) && input.isTensor && (input.type === "int64" || input.type === "int32")
    if (!known) return fail(`it wants an input "${input.name}"`)
    wanted.set(input.name, input.type === "int32" ? "int32" : "int64")
  }
  if (!wanted.has("input_ids")) return fail("it has no input input_ids")
  const outputNames = outputs.map((output) => output.name)
  const embedding = EMBEDDING_OUTPUTS.find(({ output }) => outputNames.includes(output))
  const classifies = outputNames.includes("logits")
  if (!classifies && embedding === undefined) return fail(`it gives only ${outputNames.join(", ")}`)
  if (classifies && folder.config.problem_type === "multi_label_classification") {
    return fail("its labels do not exclude each other (problem_type multi_label_classification)")
  }
  const classes = widthOf(outputs.find(({ name }) => name === "logits"))
  const labels = classifies ? labelsOf(folder, classes) : []
  if (classes !== undefined && labels.length !== classes) {
    return fail(`config.json names ${labels.length} labels in id2label and the graph has ${classes} classes`)
  }
  const dimensions = widthOf(outputs.find(({ name }) => name === embedding?.output))
  return Result.succeed({ inputs: wanted, labels, embedding, dimensions })
}

/** id2label by index; transformers' own names where the configuration has none. */
const labelsOf = (folder: ModelFolder, classes: number | undefined): ReadonlyArray<string> => {
  const named = folder.config.id2label
  if (named === undefined) return Array.from({ length: classes ?? 0 }, (_, index) => `LABEL_${index}`)
  return Array.from({ length: Object.keys(named).length }, (_, index) => named[String(index)] ?? `LABEL_${index}`)
}
