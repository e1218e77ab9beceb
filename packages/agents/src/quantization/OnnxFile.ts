/**
 * The boundary to an ONNX file that may be larger than memory: its nodes, what its weights are called and where their
 * bytes lie. Weights stay on the disk until somebody asks for one.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { ATTRIBUTE, ENTRY, GRAPH, MODEL, NODE, OPSET, TENSOR } from "../inference/graph/onnxFields.ts"
import { HEAD_BYTES_MAX, readHead } from "../inference/graph/protobuf.ts"
import { type Field, numberOf, numbersOf, readFields, textOf } from "./wire.ts"

/** A stretch of a file. */
export interface Stretch {
  readonly path: string
  readonly offset: number
  readonly bytes: number
}

export interface OnnxNode {
  /** The node as it is written. */
  readonly raw: Uint8Array
  readonly opType: string
  readonly domain: string
  readonly name: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  /** Names of tensors that graphs within this node (the branches of an If, the body of a Loop) take from outside. */
  readonly innerInputs: ReadonlyArray<string>
  readonly attributes: ReadonlyMap<string, ReadonlyArray<Field>>
}

export interface OnnxTensor {
  readonly name: string
  readonly dims: ReadonlyArray<number>
  readonly elementType: number
  /** The whole message in the model's file, without its tag. */
  readonly message: Stretch
  /** Its little-endian elements; undefined where they are written one by one. */
  readonly data: Stretch | undefined
  readonly isExternal: boolean
}

export interface OnnxFile {
  readonly path: string
  readonly nodes: ReadonlyArray<OnnxNode>
  readonly tensors: ReadonlyMap<string, OnnxTensor>
  /** All that the graph has besides nodes and weights, tags included. */
  readonly graphRest: ReadonlyArray<Stretch>
  /** All that the model has besides its graph, tags included. */
  readonly modelRest: ReadonlyArray<Stretch>
  /** Operator sets by domain; the standard one is "". */
  readonly opsets: ReadonlyMap<string, number>
  /** Of the model's file and of the weights that lie in files beside it. */
  readonly bytes: number
  readonly read: (stretch: Stretch) => Uint8Array
}

/** Largest thing that is read whole besides a weight: a node with a table in it. Past it a file is not a decoder's. */
const NODE_BYTES_MAX = 1 << 28

/** Tags and lengths are read a page at a time. */
const PAGE_BYTES = 1 << 16

class PagedFile {
  readonly path: string
  readonly size: number
  readonly #descriptor: number
  #page: Buffer = Buffer.alloc(0)
  #pageAt = 0

  constructor(path: string) {
    this.path = path
    this.#descriptor = openSync(path, "r")
    this.size = fstatSync(this.#descriptor).size
  }

  /** At most `length` bytes, fewer at the end of the file. */
  read(offset: number, length: number): Uint8Array {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.size - offset)))
    let done = 0
    while (done < bytes.length) {
      const got = readSync(this.#descriptor, bytes, done, bytes.length - done, offset + done)
      if (got === 0) throw new RangeError(`${this.path} ends at byte ${offset + done}`)
      done += got
    }
    return bytes
  }

  /** A few bytes; those beside them are likely to be asked for next. */
  peek(offset: number, length: number): Uint8Array {
    const inside = offset - this.#pageAt
    if (inside >= 0 && inside + length <= this.#page.length) return this.#page.subarray(inside, inside + length)
    this.#page = Buffer.from(this.read(offset, Math.max(PAGE_BYTES, length)))
    this.#pageAt = offset
    return this.#page.subarray(0, length)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

interface Placed {
  readonly number: number
  readonly wireType: number
  readonly start: number
  readonly content: Stretch
}

/** The fields of a message in a file, their contents unread. */
const walk = function* (file: PagedFile, from: number, to: number): Generator<Placed> {
  let at = from
  while (at < to) {
    const head = readHead(file.peek(at, Math.min(HEAD_BYTES_MAX, to - at)), 0)
    const offset = at + head.headBytes
    if (offset + head.contentBytes > to) throw new RangeError("not a protobuf: a field is cut off")
    const content = { path: file.path, offset, bytes: head.contentBytes }
    yield { number: head.number, wireType: head.wireType, start: at, content }
    at = offset + head.contentBytes
  }
}

const readAttribute = (field: Field): readonly [string, ReadonlyArray<Field>] => {
  const fields = [...readFields(field.content)]
  const name = fields.find(({ number }) => number === ATTRIBUTE.name)
  return [name === undefined ? "" : textOf(name), fields]
}

/** Every tensor that the nodes of a graph within a node mention, at any depth. */
const innerInputsOf = (graph: Uint8Array): ReadonlyArray<string> =>
  [...readFields(graph)]
    .filter(({ number }) => number === GRAPH.node)
    .flatMap((field) => {
      const node = readNode(field.content)
      return [...node.inputs, ...node.innerInputs]
    })

export const readNode = (raw: Uint8Array): OnnxNode => {
  const inputs: Array<string> = []
  const outputs: Array<string> = []
  const innerInputs: Array<string> = []
  const attributes = new Map<string, ReadonlyArray<Field>>()
  let opType = ""
  let domain = ""
  let name = ""
  for (const field of readFields(raw)) {
    if (field.number === NODE.input) inputs.push(textOf(field))
    else if (field.number === NODE.output) outputs.push(textOf(field))
    else if (field.number === NODE.name) name = textOf(field)
    else if (field.number === NODE.opType) opType = textOf(field)
    else if (field.number === NODE.domain) domain = textOf(field)
    else if (field.number === NODE.attribute) {
      const [key, fields] = readAttribute(field)
      attributes.set(key, fields)
      for (const { content, number } of fields) {
        if (number === ATTRIBUTE.graph || number === ATTRIBUTE.graphs) innerInputs.push(...innerInputsOf(content))
      }
    }
  }
  return { raw, opType, domain: domain === "ai.onnx" ? "" : domain, name, inputs, outputs, innerInputs, attributes }
}

/** Where a weight outside of the model's file lies; the file must be beside it, as the format demands. */
const externalStretch = (entries: ReadonlyMap<string, string>, path: string, bytes: number): Stretch => {
  const location = normalize(entries.get("location") ?? "")
  if (location === "." || location.startsWith("..") || location.startsWith("/")) {
    throw new RangeError(`a weight lies outside of the model's folder (${location})`)
  }
  const offset = Number(entries.get("offset") ?? 0)
  return { path: join(dirname(path), location), offset, bytes: Number(entries.get("length") ?? bytes) }
}

/** Bytes of an element, by type; 0 where we do not need to know. */
const ELEMENT_BYTES: Readonly<Record<number, number>> = { 1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8 }

const readTensor = (file: PagedFile, message: Stretch): OnnxTensor => {
  const dims: Array<number> = []
  const external = new Map<string, string>()
  let name = ""
  let elementType = 0
  let data: Stretch | undefined
  const whole = ({ content, number, wireType }: Placed): Field => ({
    number,
    wireType,
    content: file.read(content.offset, content.bytes),
  })
  for (const placed of walk(file, message.offset, message.offset + message.bytes)) {
    if (placed.number === TENSOR.rawData) data = placed.content
    // Packed floats have the bytes of raw ones.
    else if (placed.number === TENSOR.floatData && placed.wireType === 2) data = placed.content
    else if (placed.number === TENSOR.dims) dims.push(...numbersOf(whole(placed)))
    else if (placed.number === TENSOR.dataType) elementType = numberOf(whole(placed))
    else if (placed.number === TENSOR.name) name = textOf(whole(placed))
    else if (placed.number === TENSOR.external) {
      const fields = [...readFields(whole(placed).content)]
      const text = (wanted: number) => fields.filter(({ number }) => number === wanted).map(textOf)[0] ?? ""
      external.set(text(ENTRY.key), text(ENTRY.value))
    }
  }
  const bytes = dims.reduce((product, size) => product * size, 1) * (ELEMENT_BYTES[elementType] ?? 0)
  const isExternal = external.size > 0
  if (isExternal) data = externalStretch(external, file.path, bytes)
  return { name, dims, elementType, message, data, isExternal }
}

const readGraph = (file: PagedFile, graph: Stretch) => {
  const nodes: Array<OnnxNode> = []
  const tensors = new Map<string, OnnxTensor>()
  const graphRest: Array<Stretch> = []
  for (const { content, number, start } of walk(file, graph.offset, graph.offset + graph.bytes)) {
    if (number === GRAPH.node) {
      if (content.bytes > NODE_BYTES_MAX) throw new RangeError(`a node of ${content.bytes} bytes`)
      nodes.push(readNode(file.read(content.offset, content.bytes)))
    } else if (number === GRAPH.initializer) {
      const tensor = readTensor(file, content)
      tensors.set(tensor.name, tensor)
    } else graphRest.push({ path: file.path, offset: start, bytes: content.offset + content.bytes - start })
  }
  return { nodes, tensors, graphRest }
}

const readOpset = (content: Uint8Array): readonly [string, number] => {
  const fields = [...readFields(content)]
  const domain = fields.filter(({ number }) => number === OPSET.domain).map(textOf)[0] ?? ""
  const version = fields.filter(({ number }) => number === OPSET.version).map(numberOf)[0] ?? 0
  return [domain === "ai.onnx" ? "" : domain, version]
}

const readStretch = ({ bytes, offset, path }: Stretch): Uint8Array => {
  const file = new PagedFile(path)
  try {
    const read = file.read(offset, bytes)
    if (read.length < bytes) throw new RangeError(`${path} ends before byte ${offset + bytes}`)
    return read
  } finally {
    file.close()
  }
}

/** Reads all of a model but its weights. Throws a RangeError where the file is no ONNX model, or is cut off. */
export const readOnnxFile = (path: string): OnnxFile => {
  const file = new PagedFile(path)
  try {
    const modelRest: Array<Stretch> = []
    const opsets = new Map<string, number>()
    let graph: ReturnType<typeof readGraph> | undefined
    for (const { content, number, start } of walk(file, 0, file.size)) {
      if (number === MODEL.graph) {
        graph = readGraph(file, content)
        continue
      }
      if (number === MODEL.opsetImport) {
        const [domain, version] = readOpset(file.read(content.offset, content.bytes))
        opsets.set(domain, version)
      }
      modelRest.push({ path, offset: start, bytes: content.offset + content.bytes - start })
    }
    if (graph === undefined) throw new RangeError("it has no graph")
    const outside = [...graph.tensors.values()].filter(({ isExternal }) => isExternal)
    const externalPaths = [...new Set(outside.map(({ data }) => data?.path ?? ""))]
    const lacking = externalPaths.find((each) => !existsSync(each))
    if (lacking !== undefined) throw new RangeError(`its weights are in ${lacking}, which is not there`)
    const bytes = outside.reduce((sum, { data }) => sum + (data?.bytes ?? 0), file.size)
    return { path, ...graph, modelRest, opsets, bytes, read: readStretch }
  } finally {
    file.close()
  }
}
