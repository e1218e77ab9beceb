/**
 * The boundary to decoders as they are exported today: `present = Concat(past, new)`, one row a call.
 *
 * The cache of a sequence is simply the last call's outputs, fed back. Every call copies the whole of it, 11 % of a step
 * at 64 tokens and 46 to 66 % at 512 to 1024 (27M parameters), which is why `BatchDecoder` is preferred where the graph
 * allows it. This one asks nothing of a graph and works on any device, with the cache left there.
 */
import type { InferenceSession } from "onnxruntime-node"
import { Tensor } from "onnxruntime-node"
import type { DecoderGraph, KvTensor } from "../graph/DecoderGraph.ts"
import type { DecoderStep, KvSlot, StepRow } from "./DecoderStep.ts"
import { feedTokens } from "./feedTokens.ts"

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
    const feeds = feedTokens(graph, [past.length], past.length, [row.tokenIds])
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
