/**
 * The boundary from nodes, weights, inputs and outputs of ours to the bytes that an ONNX file has for them. All attributes of
 * ours are whole numbers.
 */
import {
  ATTRIBUTE,
  ATTRIBUTE_TYPE,
  DIMENSION,
  ELEMENT,
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
import { encodeField, encodeHead, encodeNumber } from "./protobuf.ts"

/** Of a node: whole numbers, or lists of them. */
export type Attributes = Readonly<Record<string, number | ReadonlyArray<number>>>

export interface NodeSpec {
  readonly opType: string
  readonly domain?: string
  readonly name?: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  readonly attributes?: Attributes
}

/** A number below 0 is written as its 64-bit complement. */
const encodeInt = (number: number, value: number): Uint8Array => {
  if (value >= 0) return encodeNumber(number, value)
  const bytes = [number * 8]
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest >= 128n; rest /= 128n) bytes.push(Number(rest % 128n) + 128)
  return Uint8Array.from([...bytes, Number(rest)])
}

const encodeAttribute = ([name, value]: readonly [string, Attributes[string]]): Uint8Array =>
  encodeField(
    NODE.attribute,
    encodeField(ATTRIBUTE.name, name),
    ...(typeof value === "number"
      ? [encodeInt(ATTRIBUTE.int, value)]
      : value.map((each) => encodeInt(ATTRIBUTE.ints, each))),
    encodeNumber(ATTRIBUTE.type, typeof value === "number" ? ATTRIBUTE_TYPE.int : ATTRIBUTE_TYPE.ints),
  )

/** A node, as a field of a graph. */
export const encodeNode = ({ attributes = {}, domain, inputs, name, opType, outputs }: NodeSpec): Uint8Array =>
  encodeField(
    GRAPH.node,
    ...inputs.map((input) => encodeField(NODE.input, input)),
    ...outputs.map((output) => encodeField(NODE.output, output)),
    ...(name === undefined ? [] : [encodeField(NODE.name, name)]),
    encodeField(NODE.opType, opType),
    ...Object.entries(attributes).map(encodeAttribute),
    ...(domain === undefined ? [] : [encodeField(NODE.domain, domain)]),
  )

/** A node of ONNX's own operators with one output, as a field of a graph. */
export const encodeCall = (
  opType: string,
  inputs: ReadonlyArray<string>,
  output: string,
  attributes: Attributes = {},
): Uint8Array => encodeNode({ opType, inputs, outputs: [output], attributes })

/** A constant of 64-bit integers, as a field of a graph; a scalar where `values` is a number. */
export const encodeConstant = (name: string, values: number | bigint | ReadonlyArray<number | bigint>): Uint8Array => {
  const list = typeof values === "object" ? values : [values]
  const raw = Buffer.alloc(list.length * 8)
  for (const [at, value] of list.entries()) raw.writeBigInt64LE(BigInt(value), at * 8)
  return encodeField(
    GRAPH.initializer,
    ...(typeof values === "object" ? [encodeNumber(TENSOR.dims, list.length)] : []),
    encodeNumber(TENSOR.dataType, ELEMENT.int64),
    encodeField(TENSOR.name, name),
    encodeField(TENSOR.rawData, raw),
  )
}

const encodeValue = (
  field: number,
  name: string,
  elementType: number,
  dims: ReadonlyArray<number | string> | undefined,
): Uint8Array => {
  const encodeDimension = (dimension: number | string) =>
    encodeField(
      SHAPE.dimension,
      typeof dimension === "number" ? encodeNumber(DIMENSION.value, dimension) : encodeField(DIMENSION.name, dimension),
    )
  const shape = dims === undefined ? [] : [encodeField(TENSOR_TYPE.shape, ...dims.map(encodeDimension))]
  const tensor = encodeField(TYPE.tensor, encodeNumber(TENSOR_TYPE.elementType, elementType), ...shape)
  return encodeField(field, encodeField(VALUE.name, name), encodeField(VALUE.type, tensor))
}

/** An input of a graph. */
export const encodeInput = (name: string, elementType: number, dims: ReadonlyArray<number | string>): Uint8Array =>
  encodeValue(GRAPH.input, name, elementType, dims)

/** An output of a graph; left out, its shape is what onnxruntime finds it to be. */
export const encodeOutput = (name: string, elementType: number, dims?: ReadonlyArray<number | string>): Uint8Array =>
  encodeValue(GRAPH.output, name, elementType, dims)

export interface TensorSpec {
  readonly name: string
  readonly dims: ReadonlyArray<number>
  readonly elementType: number
}

/** All of a tensor but its elements. */
export const encodeTensorHead = (spec: TensorSpec): Uint8Array =>
  Buffer.concat([
    ...spec.dims.map((size) => encodeNumber(TENSOR.dims, size)),
    encodeNumber(TENSOR.dataType, spec.elementType),
    encodeField(TENSOR.name, spec.name),
  ])

/** What stands before the elements of a tensor whose elements follow in the file, the tag of the graph's field included. */
export const encodeInlineTensor = (spec: TensorSpec, dataBytes: number): Uint8Array => {
  const head = Buffer.concat([encodeTensorHead(spec), encodeHead(TENSOR.rawData, dataBytes)])
  return Buffer.concat([encodeHead(GRAPH.initializer, head.length + dataBytes), head])
}

/** A tensor whose elements lie in a file beside the model's. */
export const encodeExternalTensor = (
  spec: TensorSpec,
  { bytes, location, offset }: { readonly location: string; readonly offset: number; readonly bytes: number },
): Uint8Array => {
  const entry = (key: string, value: string) =>
    encodeField(TENSOR.external, Buffer.concat([encodeField(ENTRY.key, key), encodeField(ENTRY.value, value)]))
  return encodeField(
    GRAPH.initializer,
    Buffer.concat([
      encodeTensorHead(spec),
      entry("location", location),
      entry("offset", String(offset)),
      entry("length", String(bytes)),
      encodeNumber(TENSOR.location, 1),
    ]),
  )
}

/** That a model uses the operators of a domain, as a field of the model. */
export const encodeOpset = (domain: string, version: number): Uint8Array =>
  encodeField(
    MODEL.opsetImport,
    Buffer.concat([encodeField(OPSET.domain, domain), encodeNumber(OPSET.version, version)]),
  )
