/**
 * The boundary to an ONNX file as it is written: what its graph takes and gives, by which operators, and which files its
 * weights lie in. Nothing is run, and no weight is looked at.
 */
import {
  ATTRIBUTE,
  DIMENSION,
  ENTRY,
  GRAPH,
  MODEL,
  NODE,
  OPSET,
  SHAPE,
  TENSOR,
  TENSOR_TYPE,
  TYPE,
  VALUE,
} from "./onnxFields.ts"
import { bytesOf, type Field, readFields, readVarint, textOf } from "./protobuf.ts"

export interface OnnxValue {
  readonly name: string
  /** TensorProto.DataType: 1 is float32, 10 float16; undefined where it is no tensor. */
  readonly elementType: number | undefined
  /** A number, or the name of what is open; undefined where nothing is said. */
  readonly dims: ReadonlyArray<number | string> | undefined
}

export interface OnnxNode {
  readonly opType: string
  readonly domain: string
  /** "" stands for an optional one that is not given. */
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
}

export interface OnnxGraph {
  readonly inputs: ReadonlyArray<OnnxValue>
  readonly outputs: ReadonlyArray<OnnxValue>
  /** In order of execution; those inside branches are not among them. */
  readonly nodes: ReadonlyArray<OnnxNode>
  /** How often each operator is used, branches included. */
  readonly operators: ReadonlyMap<string, number>
  /** Names of weights. */
  readonly initializers: ReadonlySet<string>
  /** For each file beside the model, the bytes that it must have at least. */
  readonly externalFiles: ReadonlyMap<string, number>
  /** Of ONNX's own operators. */
  readonly opset: number
  /** Where the graph lies in the file, and each of its inputs and outputs, in order: for whoever writes it anew. */
  readonly field: Field
  readonly valueFields: ReadonlyArray<{ readonly name: string; readonly isInput: boolean } & Range>
}

/** Bytes of a file, from `start` up to `end`. */
export interface Range {
  readonly start: number
  readonly end: number
}

const child = (bytes: Uint8Array, number: number): Uint8Array | undefined => {
  for (const field of readFields(bytes)) if (field.number === number) return bytesOf(bytes, field)
  return undefined
}

const readDimension = (bytes: Uint8Array): number | string => {
  for (const field of readFields(bytes)) {
    if (field.number === DIMENSION.value) return readVarint(bytes, field.content).value
    if (field.number === DIMENSION.name) return textOf(bytes, field)
  }
  return "?"
}

const readValue = (bytes: Uint8Array): OnnxValue => {
  const name = child(bytes, VALUE.name)
  const type = child(bytes, VALUE.type)
  const tensor = type === undefined ? undefined : child(type, TYPE.tensor)
  const element = tensor === undefined ? undefined : child(tensor, TENSOR_TYPE.elementType)
  const shape = tensor === undefined ? undefined : child(tensor, TENSOR_TYPE.shape)
  return {
    name: name === undefined ? "" : Buffer.from(name).toString("utf8"),
    elementType: element === undefined ? undefined : readVarint(element, 0).value,
    dims:
      shape === undefined
        ? undefined
        : [...readFields(shape)]
            .filter((field) => field.number === SHAPE.dimension)
            .map((field) => readDimension(bytesOf(shape, field))),
  }
}

/** What is gathered on the way through a graph and the graphs in its branches. */
interface Found {
  readonly operators: Map<string, number>
  readonly externalFiles: Map<string, number>
}

/** Notes the file that a tensor's numbers lie in, if they do. @returns its name */
const readTensor = (bytes: Uint8Array, found: Found): string => {
  const entries = new Map<string, string>()
  let name = ""
  for (const field of readFields(bytes)) {
    if (field.number === TENSOR.name) name = textOf(bytes, field)
    if (field.number !== TENSOR.external) continue
    const entry = bytesOf(bytes, field)
    const [key, value] = [child(entry, ENTRY.key), child(entry, ENTRY.value)]
    if (key && value) entries.set(Buffer.from(key).toString("utf8"), Buffer.from(value).toString("utf8"))
  }
  const location = entries.get("location")
  if (location !== undefined) {
    const end = Number(entries.get("offset") ?? 0) + Number(entries.get("length") ?? 0)
    found.externalFiles.set(location, Math.max(found.externalFiles.get(location) ?? 0, end))
  }
  return name
}

const readNode = (bytes: Uint8Array, found: Found): OnnxNode => {
  const inputs: Array<string> = []
  const outputs: Array<string> = []
  let opType = ""
  let domain = ""
  for (const field of readFields(bytes)) {
    if (field.number === NODE.input) inputs.push(textOf(bytes, field))
    else if (field.number === NODE.output) outputs.push(textOf(bytes, field))
    else if (field.number === NODE.opType) opType = textOf(bytes, field)
    else if (field.number === NODE.domain) domain = textOf(bytes, field)
    else if (field.number === NODE.attribute) {
      const attribute = bytesOf(bytes, field)
      for (const part of readFields(attribute)) {
        if (part.number === ATTRIBUTE.tensor) readTensor(bytesOf(attribute, part), found)
        else if (part.number === ATTRIBUTE.graph) readGraph(bytesOf(attribute, part), found)
      }
    }
  }
  found.operators.set(opType, (found.operators.get(opType) ?? 0) + 1)
  return { opType, domain, inputs, outputs }
}

const readGraph = (bytes: Uint8Array, found: Found) => {
  const inputs: Array<OnnxValue> = []
  const outputs: Array<OnnxValue> = []
  const nodes: Array<OnnxNode> = []
  const initializers = new Set<string>()
  for (const field of readFields(bytes)) {
    const content = bytesOf(bytes, field)
    if (field.number === GRAPH.node) nodes.push(readNode(content, found))
    else if (field.number === GRAPH.input) inputs.push(readValue(content))
    else if (field.number === GRAPH.output) outputs.push(readValue(content))
    else if (field.number === GRAPH.initializer) initializers.add(readTensor(content, found))
  }
  // Before IR version 4, weights had to be among the inputs.
  return { inputs: inputs.filter(({ name }) => !initializers.has(name)), outputs, nodes, initializers }
}

const findValues = (graph: Uint8Array, offset: number): OnnxGraph["valueFields"] =>
  [...readFields(graph)]
    .filter(({ number }) => number === GRAPH.input || number === GRAPH.output)
    .map((field) => ({
      name: readValue(bytesOf(graph, field)).name,
      isInput: field.number === GRAPH.input,
      start: offset + field.start,
      end: offset + field.end,
    }))

const readOpset = (bytes: Uint8Array): number | undefined => {
  const domain = child(bytes, OPSET.domain)
  const version = child(bytes, OPSET.version)
  const isOwn = domain === undefined || domain.length === 0 || Buffer.from(domain).toString("utf8") === "ai.onnx"
  return isOwn && version !== undefined ? readVarint(version, 0).value : undefined
}

/** @returns undefined where the bytes are no ONNX model, or are cut off */
export const readOnnx = (model: Uint8Array): OnnxGraph | undefined => {
  try {
    let graphField: Field | undefined
    let opset = 0
    for (const field of readFields(model)) {
      if (field.number === MODEL.graph) graphField = field
      if (field.number === MODEL.opsetImport) opset = readOpset(bytesOf(model, field)) ?? opset
    }
    if (graphField === undefined) return undefined
    const found: Found = { operators: new Map(), externalFiles: new Map() }
    const graph = bytesOf(model, graphField)
    const valueFields = findValues(graph, graphField.content)
    return { ...readGraph(graph, found), ...found, opset, field: graphField, valueFields }
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
