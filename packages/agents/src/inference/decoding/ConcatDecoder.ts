/**
 * The boundary to decoders as they are exported today: `present = Concat(past, new)`, one row a call.
 *
 * The cache of a sequence is simply the last call's outputs, fed back. Every call copies the whole of it, 11 % of a step
 * at 64 tokens and 46 to 66 % at 512 to 1024 (27M parameters), which is why `BatchDecoder` is preferred where the graph
 * allows it. This one asks nothing of a graph and works on any device, with the cache left there.
 */
import type { InferenceSession } from "onnxruntime-node"
import { Tensor } from "onnxruntime-node"
import {
  joinSegments,
  type KvNumbers,
  type KvSegment,
  makeKvNumbers,
  shapeBytes,
  sliceSegment,
} from "../cache/KvSegment.ts"
import type { DecoderGraph, KvTensor } from "../graph/DecoderGraph.ts"
import type { DecoderStep, KvSlot, StepRow } from "./DecoderStep.ts"
import { feedTokens } from "./feedTokens.ts"
import { logitsOf } from "./logitsOf.ts"

/** The logits of the last `positions` as 32-bit floats. */
const lastLogits = (logits: Tensor | undefined, positions: number): Float32Array => {
  const all = logitsOf(logits)
  return all.subarray(all.length - (logits?.dims.at(-1) ?? 0) * positions)
}

/** The shape of one row's cache. */
const dimsOf = ({ headDim, heads, joined }: KvTensor, length: number): ReadonlyArray<number> =>
  joined ? [2, 1, heads / 2, length, headDim] : [1, heads, length, headDim]

/** An empty cache; an empty Uint16Array is taken for 16-bit floats on every Node. */
const emptyPast = (tensor: KvTensor): Tensor =>
  new Tensor(tensor.type, makeKvNumbers(tensor.type, 0), dimsOf(tensor, 0))

/** A tensor's numbers, where they lie in memory and are floats. */
const numbersOf = (tensor: Tensor): KvNumbers | undefined => {
  if (tensor.location !== "cpu") return undefined
  const { data } = tensor
  return data instanceof Float32Array || data instanceof Uint16Array ? data : undefined
}

/** Tensors are never written to, so that slots may share them; the last that leaves frees them. */
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

/** The cache of one sequence as what other parts of the engine can keep; undefined where it is on a device. */
const readSegment = (held: Held, graph: DecoderGraph): KvSegment | undefined => {
  const buffers: Array<KvNumbers> = []
  for (const tensor of held.tensors) {
    const numbers = numbersOf(tensor)
    if (numbers === undefined) return undefined
    buffers.push(numbers)
  }
  return { length: held.length, shapes: graph.kv, buffers }
}

const writeTensors = ({ buffers, length }: KvSegment, graph: DecoderGraph): ReadonlyArray<Tensor> =>
  graph.kv.map((tensor, index) => new Tensor(tensor.type, buffers[index]!, dimsOf(tensor, length)))

const EMPTY: Held = { tensors: [], length: 0 }

/** Gives a slot other tensors, or none, and frees those that nobody shares any more. */
const replaceHeld = (held: Map<KvSlot, Held>, slot: KvSlot, next: Held | undefined): void => {
  const before = held.get(slot)
  if (next === undefined) held.delete(slot)
  else held.set(slot, next)
  if (before === undefined || [...held.values()].some((other) => other.tensors === before.tensors)) return
  // Buffers on a device are freed only when told to.
  for (const tensor of before.tensors) if (tensor.location !== "cpu") tensor.dispose()
}

export const makeConcatDecoder = (session: InferenceSession, graph: DecoderGraph): DecoderStep => {
  const held = new Map<KvSlot, Held>()
  const bytesPerToken = graph.kv.reduce((bytes, shape) => bytes + shapeBytes(shape), 0)
  const heldBy = (slot: KvSlot): Held => held.get(slot) ?? EMPTY
  const put = (slot: KvSlot, next: Held | undefined) => replaceHeld(held, slot, next)
  const feedsOf = (row: StepRow, past: Held): Record<string, Tensor> => {
    const feeds = feedTokens(graph, [past.length], past.length, [row.tokenIds], row.logitsFrom)
    graph.kv.forEach((tensor, index) => {
      feeds[tensor.past] = past.tensors[index] ?? emptyPast(tensor)
    })
    return feeds
  }
  const runRow = async (row: StepRow): Promise<Float32Array> => {
    const past = heldBy(row.slot)
    const outputs = await session.run(feedsOf(row, past))
    const tensors = graph.kv.map((tensor) => outputs[tensor.present]!)
    put(row.slot, { tensors, length: past.length + row.tokenIds.length })
    return lastLogits(outputs[graph.logits], row.logitsFrom ?? 1)
  }
  const save = (slot: KvSlot, from: number, to: number): KvSegment | undefined => {
    const segment = readSegment(heldBy(slot), graph)
    return segment === undefined ? undefined : sliceSegment(segment, from, to)
  }
  const cutBack = (slot: KvSlot, length: number): boolean => {
    if (length >= slot.length) return true
    const segment = save(slot, 0, length)
    if (segment !== undefined) put(slot, { length, tensors: writeTensors(segment, graph) })
    return segment !== undefined
  }
  return {
    vocabSize: graph.vocabSize,
    rowsMax: 1,
    open: () => makeSlot(held, bytesPerToken),
    cutBack,
    // There are no places that could run out.
    park: () => {},
    unpark: () => {},
    fork: (slot, length = slot.length) => {
      const copy = makeSlot(held, bytesPerToken)
      put(copy, heldBy(slot))
      cutBack(copy, length)
      return copy
    },
    save,
    load: (slot, segments) => {
      const own = readSegment(heldBy(slot), graph)
      if (own === undefined) throw new Error("what lies on a device cannot be added to")
      const whole = joinSegments([...(own.length === 0 ? [] : [own]), ...segments])
      if (whole !== undefined) put(slot, { length: whole.length, tensors: writeTensors(whole, graph) })
    },
    // A step reads the past and writes it anew with the present: one sequence at a time is there twice.
    bytesFor: (lengths) =>
      bytesPerToken * (lengths.reduce((sum, length) => sum + length, 0) + lengths.reduce((a, b) => Math.max(a, b), 0)),
    release: (slot) => put(slot, undefined),
    run: async (rows) => {
      const logits: Array<Float32Array> = []
      for (const row of rows) logits.push(await runRow(row))
      return logits
    },
  }
}
