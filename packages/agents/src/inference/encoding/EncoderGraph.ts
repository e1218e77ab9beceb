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
  /** What its logits are of: a text, or each token; undefined where it gives none. */
  readonly logits: "text" | "token" | undefined
  /** The name of each class, by index. */
  readonly labels: ReadonlyArray<string>
  /** Whether a text has one of the labels, or any number of them. */
  readonly exclusive: boolean
  /** The outputs that embeddings can be made of: a vector a text, and one a token. */
  readonly pooledOutput: string | undefined
  readonly statesOutput: string | undefined
  /** Numbers of a vector, where the graph says. */
  readonly width: number | undefined
}

const INPUTS = ["input_ids", "attention_mask", "token_type_ids", "position_ids"]
const POOLED_OUTPUT = "sentence_embedding"
/** In order of preference. */
const STATES_OUTPUTS = ["last_hidden_state", "token_embeddings"]

type Metadata = InferenceSession.ValueMetadata

const shapeOf = (output: Metadata | undefined): ReadonlyArray<number | string> =>
  output?.isTensor === true ? output.shape : []

const sizeOf = (size: number | string | undefined): number | undefined => (typeof size === "number" ? size : undefined)

/** The inputs and their types; the name of one that cannot be given. */
const readInputs = (inputs: ReadonlyArray<Metadata>): Result.Result<ReadonlyMap<string, IntegerType>, string> => {
  const wanted = new Map<string, IntegerType>()
  for (const input of inputs) {
    const known = INPUTS.includes(input.name) && input.isTensor && (input.type === "int64" || input.type === "int32")
    if (!known) return Result.fail(`it wants an input "${input.name}"`)
    wanted.set(input.name, input.type === "int32" ? "int32" : "int64")
  }
  return wanted.has("input_ids") ? Result.succeed(wanted) : Result.fail("it has no input input_ids")
}

/**
 * Reads a session's inputs and outputs.
 *
 * @returns fails with reason `unsupported`, naming what was found
 */
export const readEncoderGraph = (
  inputs: ReadonlyArray<Metadata>,
  outputs: ReadonlyArray<Metadata>,
  folder: ModelFolder,
): Result.Result<EncoderGraph, TerminalModelFailure> => {
  const fail = (found: string) => {
    const message = `not an encoder that can be run (model_type ${folder.config.model_type}): ${found}.`
    return Result.fail(modelFailure(folder.name)("unsupported", message))
  }
  const wanted = readInputs(inputs)
  if (Result.isFailure(wanted)) return fail(wanted.failure)
  const find = (name: string | undefined) => outputs.find((output) => output.name === name)
  const names = outputs.map(({ name }) => name)
  const statesOutput = STATES_OUTPUTS.find((name) => names.includes(name))
  const pooledOutput = find(POOLED_OUTPUT)?.name
  const logits = find("logits")
  if (logits === undefined && statesOutput === undefined && pooledOutput === undefined) {
    return fail(`it gives only ${names.join(", ")}`)
  }
  const shape = shapeOf(logits)
  const classes = sizeOf(shape.at(-1))
  const labels = logits === undefined ? [] : labelsOf(folder, classes)
  if (classes !== undefined && labels.length !== classes) {
    return fail(`config.json names ${labels.length} labels in id2label and the graph has ${classes} classes`)
  }
  const perToken = shape.length === 3
  return Result.succeed({
    inputs: wanted.success,
    logits: logits === undefined ? undefined : perToken ? "token" : "text",
    labels,
    // One label has nothing to exclude: what a softmax says of it is always 1.
    exclusive: folder.config.problem_type !== "multi_label_classification" && labels.length !== 1,
    pooledOutput,
    statesOutput,
    width: sizeOf(shapeOf(find(pooledOutput ?? statesOutput)).at(-1)),
  })
}

/** id2label by index; transformers' own names where the configuration has none. */
const labelsOf = (folder: ModelFolder, classes: number | undefined): ReadonlyArray<string> => {
  const named = folder.config.id2label
  if (named === undefined) return Array.from({ length: classes ?? 0 }, (_, index) => `LABEL_${index}`)
  return Array.from({ length: Object.keys(named).length }, (_, index) => named[String(index)] ?? `LABEL_${index}`)
}
