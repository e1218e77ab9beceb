/** The boundary from nodes and weights of ours to the bytes that an ONNX file has for them. */

import { encodeField, encodeHead, encodeNumber } from "../inference/graph/protobuf.ts"
import { ATTRIBUTE, GRAPH, MODEL, NODE, OPSET, TENSOR } from "./OnnxFile.ts"

/** Codes of AttributeProto.AttributeType. */
const TYPE = { int: 2, ints: 7 } as const

export interface NodeSpec {
  readonly opType: string
  readonly domain?: string
  readonly name: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  readonly attributes?: Readonly<Record<string, number | ReadonlyArray<number>>>
}

/** A number below 0 is written as its 64-bit complement. */
const encodeInt = (number: number, value: number): Uint8Array => {
  if (value >= 0) return encodeNumber(number, value)
  const bytes = [number * 8]
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest >= 128n; rest /= 128n) bytes.push(Number(rest % 128n) + 128)
  return Uint8Array.from([...bytes, Number(rest)])
}

const encodeAttribute = (name: string, value: number | ReadonlyArray<number>): Uint8Array =>
  encodeField(
    NODE.attribute,
    Buffer.concat([
      encodeField(ATTRIBUTE.name, name),
      ...(typeof value === "number"
        ? [encodeInt(ATTRIBUTE.int, value)]
        : value.map((each) => encodeInt(ATTRIBUTE.ints, each))),
      encodeNumber(ATTRIBUTE.type, typeof value === "number" ? TYPE.int : TYPE.ints),
    ]),
  )

/** A node, as a field of its graph. All our attributes are whole numbers. */
export const encodeNode = (spec: NodeSpec): Uint8Array =>
  encodeField(
    GRAPH.node,
    Buffer.concat([
      ...spec.inputs.map((name) => encodeField(NODE.input, name)),
      ...spec.outputs.map((name) => encodeField(NODE.output, name)),
      encodeField(NODE.name, spec.name),
      encodeField(NODE.opType, spec.opType),
      ...Object.entries(spec.attributes ?? {}).map(([name, value]) => encodeAttribute(name, value)),
      ...(spec.domain === undefined ? [] : [encodeField(NODE.domain, spec.domain)]),
    ]),
  )

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
    encodeField(TENSOR.external, Buffer.concat([encodeField(1, key), encodeField(2, value)]))
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
