/**
 * The boundary between numbers in JavaScript and the tensors of a graph: an element type, dimensions, and the elements in
 * row-major order. In a process and between processes the elements are typed arrays; in the log they are base64.
 */
import { Schema, SchemaGetter } from "effect"

interface View {
  readonly buffer: ArrayBufferLike
  readonly byteOffset: number
  readonly byteLength: number
}

interface ElementArray<A extends View> {
  new (buffer: ArrayBuffer): A
  readonly BYTES_PER_ELEMENT: number
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/**
 * A typed array; in JSON it is the base64 of its bytes, little-endian as every machine is that onnxruntime-node runs on.
 * For the tensors that an actor keeps in its state, too: `elements(Float32Array, "a Float32Array")`.
 */
export const elements = <A extends View>(array: ElementArray<A>, expected: string): Schema.instanceOf<A> => {
  const isWhole = Schema.makeFilter<string>(
    (text) => BASE64.test(text) && Buffer.byteLength(text, "base64") % array.BYTES_PER_ELEMENT === 0,
    { expected: `base64 of whole elements of ${expected}` },
  )
  return Schema.instanceOf(array, {
    expected,
    toCodecJson: () =>
      Schema.link<A>()(Schema.String.check(isWhole), {
        // `Buffer.from` may give a view into a pool whose offset is no multiple of an element's size.
        decode: SchemaGetter.transform((text) => new array(new Uint8Array(Buffer.from(text, "base64")).buffer)),
        encode: SchemaGetter.transform(({ buffer, byteLength, byteOffset }) =>
          Buffer.from(buffer, byteOffset, byteLength).toString("base64"),
        ),
      }),
  })
}

export const Float32Elements = elements<Float32Array>(Float32Array, "a Float32Array")
const bytes = elements<Uint8Array>(Uint8Array, "a Uint8Array")
const words = elements<Uint16Array>(Uint16Array, "a Uint16Array")

/** What holds the elements of each type but strings. */
export const ELEMENT_ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const

const tensor = <T extends string, D extends Schema.Top>(type: T, data: D) =>
  Schema.Struct({ type: Schema.Literal(type), dims: Schema.Array(Schema.Int), data })

/**
 * One tensor. `float16` holds the bits, because Node 22 has no Float16Array; `bool` holds 0 and 1. A scalar has no
 * dimensions and one element.
 */
export const TensorValue = Schema.Union([
  tensor("float32", Float32Elements),
  tensor("float64", elements<Float64Array>(Float64Array, "a Float64Array")),
  tensor("float16", words),
  tensor("int64", elements<BigInt64Array>(BigInt64Array, "a BigInt64Array")),
  tensor("uint64", elements<BigUint64Array>(BigUint64Array, "a BigUint64Array")),
  tensor("int32", elements<Int32Array>(Int32Array, "an Int32Array")),
  tensor("uint32", elements<Uint32Array>(Uint32Array, "a Uint32Array")),
  tensor("int16", elements<Int16Array>(Int16Array, "an Int16Array")),
  tensor("uint16", words),
  tensor("int8", elements<Int8Array>(Int8Array, "an Int8Array")),
  tensor("uint8", bytes),
  tensor("bool", bytes),
  tensor("string", Schema.Array(Schema.String)),
])
export type TensorValue = typeof TensorValue.Type
export type TensorType = TensorValue["type"]

/** Tensors by the names that the graph gives its inputs or outputs. */
export const NamedTensors = Schema.Record(Schema.String, TensorValue)
export type NamedTensors = typeof NamedTensors.Type

/** What a graph says of one of its inputs or outputs. */
export const TensorSpec = Schema.Struct({
  name: Schema.String,
  type: Schema.String,
  /** A number where the size is fixed; a name, perhaps empty, where any is taken. */
  dims: Schema.Array(Schema.Union([Schema.Int, Schema.String])),
})
export type TensorSpec = typeof TensorSpec.Type

/** Bytes that the elements take; strings count their UTF-16 units. */
export const bytesOf = ({ data }: TensorValue): number =>
  ArrayBuffer.isView(data) ? data.byteLength : data.reduce((sum, text) => sum + 2 * text.length, 0)
