/**
 * The boundary to the bytes of what is added to an ONNX graph: nodes, small constants, inputs and outputs.
 *
 * Field numbers: onnx.proto3 of ONNX 1.12.
 */
import { encodeField, encodeNumber } from "./protobuf.ts"
import { GRAPH_INPUT, GRAPH_NODE, GRAPH_OUTPUT } from "./readOnnx.ts"

const GRAPH_INITIALIZER = 5
const NODE_INPUT = 1
const NODE_OUTPUT = 2
const NODE_OP_TYPE = 4
const NODE_ATTRIBUTE = 5
const ATTRIBUTE_NAME = 1
const ATTRIBUTE_INT = 3
const ATTRIBUTE_INTS = 8
const ATTRIBUTE_TYPE = 20
const TYPE_INT = 2
const TYPE_INTS = 7
const TENSOR_DIMS = 1
const TENSOR_TYPE = 2
const TENSOR_NAME = 8
const TENSOR_RAW = 9
const INT64 = 7
const VALUE_NAME = 1
const VALUE_TYPE = 2
const TYPE_TENSOR = 1
const TENSOR_ELEMENT = 1
const TENSOR_SHAPE = 2
const SHAPE_DIMENSION = 1
const DIMENSION_VALUE = 1
const DIMENSION_NAME = 2

/** Of a node: non-negative integers, or lists of them. */
export type Attributes = Readonly<Record<string, number | ReadonlyArray<number>>>

const encodeAttribute = ([name, value]: readonly [string, Attributes[string]]): Uint8Array => {
  const isList = typeof value !== "number"
  const numbers = isList
    ? value.map((item) => encodeNumber(ATTRIBUTE_INTS, item))
    : [encodeNumber(ATTRIBUTE_INT, value)]
  const type = encodeNumber(ATTRIBUTE_TYPE, isList ? TYPE_INTS : TYPE_INT)
  return encodeField(NODE_ATTRIBUTE, encodeField(ATTRIBUTE_NAME, name), ...numbers, type)
}

/** A node with one output, as a field of a graph. */
export const encodeNode = (
  opType: string,
  inputs: ReadonlyArray<string>,
  output: string,
  attributes: Attributes = {},
): Uint8Array =>
  encodeField(
    GRAPH_NODE,
    ...inputs.map((input) => encodeField(NODE_INPUT, input)),
    encodeField(NODE_OUTPUT, output),
    encodeField(NODE_OP_TYPE, opType),
    ...Object.entries(attributes).map(encodeAttribute),
  )

/** A constant of 64-bit integers, as a field of a graph; a scalar where `values` is a number. */
export const encodeConstant = (name: string, values: number | bigint | ReadonlyArray<number | bigint>): Uint8Array => {
  const list = typeof values === "object" ? values : [values]
  const raw = Buffer.alloc(list.length * 8)
  for (const [at, value] of list.entries()) raw.writeBigInt64LE(BigInt(value), at * 8)
  return encodeField(
    GRAPH_INITIALIZER,
    ...(typeof values === "object" ? [encodeNumber(TENSOR_DIMS, list.length)] : []),
    encodeNumber(TENSOR_TYPE, INT64),
    encodeField(TENSOR_NAME, name),
    encodeField(TENSOR_RAW, raw),
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
      SHAPE_DIMENSION,
      typeof dimension === "number" ? encodeNumber(DIMENSION_VALUE, dimension) : encodeField(DIMENSION_NAME, dimension),
    )
  const shape = dims === undefined ? [] : [encodeField(TENSOR_SHAPE, ...dims.map(encodeDimension))]
  const tensor = encodeField(TYPE_TENSOR, encodeNumber(TENSOR_ELEMENT, elementType), ...shape)
  return encodeField(field, encodeField(VALUE_NAME, name), encodeField(VALUE_TYPE, tensor))
}

/** An input of a graph. */
export const encodeInput = (name: string, elementType: number, dims: ReadonlyArray<number | string>): Uint8Array =>
  encodeValue(GRAPH_INPUT, name, elementType, dims)

/** An output of a graph, with no shape: onnxruntime finds it out. */
export const encodeOutput = (name: string, elementType: number): Uint8Array =>
  encodeValue(GRAPH_OUTPUT, name, elementType, undefined)
