/**
 * The boundary to the bytes of an ONNX file: makes a decoder give the new rows of its cache in place of the whole cache.
 *
 * Exported decoders append with `present = Concat(past, new)` and output `present`: every step copies the whole cache out,
 * 46 to 66 % of its time at 512 to 1024 tokens (27M parameters). With `new` as the output the cache can stay where it is.
 * Only the list of outputs is written anew; all else is copied as it is. (The package onnx-proto reads these files too, but
 * turns every weight into an object first.)
 *
 * Wire format: https://protobuf.dev/programming-guides/encoding, fields: onnx.proto3 of ONNX 1.12.
 */
import { encodeField, encodeVarint, type Field, readFields, readVarint, textOf } from "./protobuf.ts"

const MODEL_GRAPH = 7
const GRAPH_NODE = 1
const GRAPH_INPUT = 11
const GRAPH_OUTPUT = 12
const NODE_INPUT = 1
const NODE_OUTPUT = 2
const NODE_OP_TYPE = 4
const VALUE_NAME = 1
const VALUE_TYPE = 2
const TYPE_TENSOR = 1
const TENSOR_ELEMENT = 1
/** Elements that a cache may have: 32-bit and 16-bit floats. */
const CACHE_ELEMENTS: ReadonlyArray<number | undefined> = [1, 10]
/** A `ValueInfoProto` with no shape: the new rows' differs from that of the whole. */
const encodeValue = (name: string, elementType: number): Uint8Array => {
  const tensor = Uint8Array.from([...encodeVarint(TENSOR_ELEMENT * 8), ...encodeVarint(elementType)])
  const type = encodeField(TYPE_TENSOR, tensor)
  return Buffer.concat([encodeField(VALUE_NAME, name), encodeField(VALUE_TYPE, type)])
}

interface ConcatNode {
  readonly past: string
  readonly fresh: string
}

/** The node, where it is a Concat of two, and by the name of its output. */
const readConcat = (node: Uint8Array): { readonly output: string; readonly concat: ConcatNode } | undefined => {
  const inputs: Array<string> = []
  const outputs: Array<string> = []
  let opType = ""
  for (const field of readFields(node)) {
    if (field.number === NODE_INPUT) inputs.push(textOf(node, field))
    else if (field.number === NODE_OUTPUT) outputs.push(textOf(node, field))
    else if (field.number === NODE_OP_TYPE) opType = textOf(node, field)
  }
  const [past, fresh] = inputs
  const [output] = outputs
  if (opType !== "Concat" || inputs.length !== 2 || past === undefined || fresh === undefined || output === undefined) {
    return undefined
  }
  return { output, concat: { past, fresh } }
}

/** The element type of a `ValueInfoProto`, where it is a tensor. */
const readElementType = (value: Uint8Array): number | undefined => {
  const inside = (bytes: Uint8Array, number: number): Uint8Array => {
    const field = [...readFields(bytes)].find((candidate) => candidate.number === number)
    return field === undefined ? new Uint8Array(0) : bytes.subarray(field.content, field.end)
  }
  const digits = inside(inside(inside(value, VALUE_TYPE), TYPE_TENSOR), TENSOR_ELEMENT)
  return digits.length === 0 ? undefined : readVarint(digits, 0).value
}

const readName = (value: Uint8Array): string => {
  const name = [...readFields(value)].find(({ number }) => number === VALUE_NAME)
  return name === undefined ? "" : textOf(value, name)
}

export interface RewrittenModel {
  readonly bytes: Uint8Array
  readonly inputNames: ReadonlyArray<string>
  /** For each `present.*` that was an output, the name of the output that now gives its new rows. */
  readonly freshOf: ReadonlyMap<string, string>
}

/** The input that an output continues, by the names of exported decoders; undefined where it is no cache. */
const pastName = (output: string): string | undefined =>
  output.startsWith("present.") ? output.replace("present.", "past_key_values.") : undefined

/** Each `present.*` that is its past with new rows behind, and the name of those. */
const findFresh = (graph: Uint8Array, fields: ReadonlyArray<Field>): ReadonlyMap<string, string> => {
  const freshOf = new Map<string, string>()
  for (const field of fields) {
    if (field.number !== GRAPH_NODE) continue
    const found = readConcat(graph.subarray(field.content, field.end))
    if (found !== undefined && pastName(found.output) === found.concat.past)
      freshOf.set(found.output, found.concat.fresh)
  }
  return freshOf
}

const rewrite = (model: Uint8Array): RewrittenModel | undefined => {
  const graphField = [...readFields(model)].find((field) => field.number === MODEL_GRAPH)
  if (graphField === undefined) return undefined
  const graph = model.subarray(graphField.content, graphField.end)
  const fields = [...readFields(graph)]
  const freshOf = findFresh(graph, fields)
  const inputNames: Array<string> = []
  const parts: Array<Uint8Array> = []
  for (const field of fields) {
    const value = graph.subarray(field.content, field.end)
    if (field.number === GRAPH_INPUT) inputNames.push(readName(value))
    const name = field.number === GRAPH_OUTPUT ? readName(value) : ""
    const fresh = freshOf.get(name)
    if (pastName(name) === undefined) parts.push(graph.subarray(field.start, field.end))
    else {
      const elementType = readElementType(value)
      if (fresh === undefined || elementType === undefined || !CACHE_ELEMENTS.includes(elementType)) return undefined
      parts.push(encodeField(GRAPH_OUTPUT, encodeValue(fresh, elementType)))
    }
  }
  if (freshOf.size === 0) return undefined
  const bytes = Buffer.concat([
    model.subarray(0, graphField.start),
    encodeField(MODEL_GRAPH, Buffer.concat(parts)),
    model.subarray(graphField.end),
  ])
  return { bytes, inputNames, freshOf }
}

/**
 * Rewrites the outputs of a decoder with a cache of 32-bit or 16-bit floats.
 *
 * @param model the file's bytes; they are not changed
 * @returns undefined where a `present.*` is anything but its past with new rows behind, or the bytes are no ONNX model
 */
export const outputFreshRows = (model: Uint8Array): RewrittenModel | undefined => {
  try {
    return rewrite(model)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
