/**
 * The boundary to decoders as they are exported today: `present = Concat(past, new)`, one row a call.
 *
 * The cache of a sequence is simply the last call's outputs, fed back. Every call copies the whole of it, 11 % of a step
 * at 64 tokens and 46 to 66 % at 512 to 1024 (27M parameters), which is why `BatchDecoder` is preferred where the graph
 * allows it. This one asks nothing of a graph and works on any device, with the cache left there.
 */
import { Result } from "effect"
import type { InferenceSession } from "onnxruntime-node"
import { Tensor } from "onnxruntime-node"
import type { TerminalModelFailure } from "../ModelTarget.ts"
import type { DecoderStep, KvSlot, StepRow } from "./DecoderStep.ts"
import { type ModelFolder, modelFailure } from "./modelFolder.ts"

interface KvTensor {
  readonly past: string
  readonly present: string
  readonly type: "float32" | "float16"
  readonly heads: number
  readonly headDim: number
}

/** What a graph wants and gives. */
export interface DecoderGraph {
  readonly kv: ReadonlyArray<KvTensor>
  readonly integerInputs: ReadonlyMap<string, "int64" | "int32">
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
  const integerInputs = new Map<string, "int64" | "int32">()
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

/** Half precision without a Float16Array (Node 22 has none, and gives the bits). */
const fromHalf = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** The last position's logits as 32-bit floats. */
const lastLogits = (logits: Tensor): Float32Array => {
  const width = logits.dims.at(-1) ?? 0
  const { data } = logits
  if (data instanceof Float32Array) return data.subarray(data.length - width)
  if (data instanceof Uint16Array) return Float32Array.from(data.subarray(data.length - width), fromHalf)
  return Float32Array.from({ length: width }, (_, index) => Number(data[data.length - width + index]))
}

export const integers = (
  type: "int64" | "int32",
  values: ReadonlyArray<number>,
  dims: ReadonlyArray<number>,
): Tensor =>
  type === "int64"
    ? new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
    : new Tensor("int32", Int32Array.from(values), dims)

/** An empty cache; an empty Uint16Array is taken for 16-bit floats on every Node. */
const emptyPast = (tensor: KvTensor): Tensor =>
  new Tensor(tensor.type, tensor.type === "float32" ? new Float32Array(0) : new Uint16Array(0), [
    1,
    tensor.heads,
    0,
    tensor.headDim,
  ])

/** The first `length` positions of [1, heads, positions, headDim]. */
const cutTensor = (tensor: Tensor, length: number): Tensor => {
  const [, heads = 0, positions = 0, headDim = 0] = tensor.dims
  const { data } = tensor
  if (!(data instanceof Float32Array || data instanceof Uint16Array)) return tensor
  const kept = data.slice(0, heads * length * headDim)
  for (let head = 1; head < heads; head++) {
    const start = head * positions * headDim
    kept.set(data.subarray(start, start + length * headDim), head * length * headDim)
  }
  return new Tensor(tensor.type, kept, [1, heads, length, headDim])
}

const canCut = (tensor: Tensor): boolean =>
  tensor.location === "cpu" && (tensor.data instanceof Float32Array || tensor.data instanceof Uint16Array)

interface Held {
  readonly tensors: ReadonlyArray<Tensor>
  readonly length: number
}

/** A slot's numbers are read through to what the step holds for it. */
const makeSlot = (held: Map<KvSlot, Held>, bytesPerToken: number): KvSlot => {
  const slot: KvSlot = {
    get length() {
      return held.get(slot)?.length ?? 0
    },
    get bytes() {
      return slot.length * bytesPerToken
    },
  }
  return slot
}

export const makeConcatDecoder = (session: InferenceSession, graph: DecoderGraph): DecoderStep => {
  const held = new Map<KvSlot, Held>()
  const bytesPerToken = graph.kv.reduce(
    (bytes, tensor) => bytes + tensor.heads * tensor.headDim * (tensor.type === "float32" ? 4 : 2),
    0,
  )
  const dispose = (tensors: ReadonlyArray<Tensor>) => {
    // Buffers on a device are freed only when told to.
    for (const tensor of tensors) if (tensor.location !== "cpu") tensor.dispose()
  }
  const feedsOf = (row: StepRow, past: Held): Record<string, Tensor> => {
    const length = row.tokenIds.length
    const feeds: Record<string, Tensor> = {}
    for (const [name, type] of graph.integerInputs) {
      if (name === "input_ids") feeds[name] = integers(type, row.tokenIds, [1, length])
      else if (name === "attention_mask") {
        feeds[name] = integers(type, new Array<number>(past.length + length).fill(1), [1, past.length + length])
      } else if (name === "position_ids") {
        feeds[name] = integers(
          type,
          row.tokenIds.map((_, index) => past.length + index),
          [1, length],
        )
      } else feeds[name] = integers(type, [1], [])
    }
    graph.kv.forEach((tensor, index) => {
      feeds[tensor.past] = past.tensors[index] ?? emptyPast(tensor)
    })
    return feeds
  }
  const runRow = async (row: StepRow): Promise<Float32Array> => {
    const past = held.get(row.slot) ?? { tensors: [], length: 0 }
    const outputs = await session.run(feedsOf(row, past))
    const tensors = graph.kv.map((tensor) => outputs[tensor.present]!)
    dispose(past.tensors)
    held.set(row.slot, { tensors, length: past.length + row.tokenIds.length })
    return lastLogits(outputs.logits!)
  }
  return {
    vocabSize: graph.vocabSize,
    rowsMax: 1,
    open: () => makeSlot(held, bytesPerToken),
    cutBack: (slot, length) => {
      const past = held.get(slot)
      if (past === undefined || past.length === length) return true
      if (!past.tensors.every(canCut)) return false
      held.set(slot, { tensors: past.tensors.map((tensor) => cutTensor(tensor, length)), length })
      return true
    },
    // Every slot's tensors are its own.
    park: () => {},
    unpark: () => {},
    release: (slot) => {
      dispose(held.get(slot)?.tensors ?? [])
      held.delete(slot)
    },
    run: async (rows) => {
      const logits: Array<Float32Array> = []
      for (const row of rows) logits.push(await runRow(row))
      return logits
    },
  }
}
