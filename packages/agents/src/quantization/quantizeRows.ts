/**
 * The boundary from floats to 8 bits as a graph runs, with a scale for each row (each token's own), so that what else is in a
 * step changes nothing. ONNX has an operator for one scale over all (DynamicQuantizeLinear) and none for this.
 *
 * At 8 and 16 rows of 512 numbers it takes 3 and 2.7 times less time than floats, where MatMulNBits takes 2 and 1.4 times
 * less (12 products, one thread, AVX-512 VNNI).
 */
import type { NodeSpec } from "../inference/graph/encodeOnnx.ts"
import { ELEMENT } from "../inference/graph/onnxFields.ts"
import type { WeightPart } from "./writeOnnx.ts"

/** The middle of unsigned bytes: activations go to 1 … 255, because onnxruntime multiplies those by signed weights fastest. */
const MIDDLE = 128
const STEPS = 127

/** A row of zeros has a scale that can be divided by. */
const SMALLEST = 1e-8

/** ReduceMax takes its axes as an input from this operator set on. */
const AXES_INPUT_OPSET = 18

const NAME = {
  smallest: "rows_smallest",
  share: "rows_share",
  middle: "rows_middle",
  zero: "rows_zero",
  axes: "rows_axes",
}

const float = (name: string, value: number): WeightPart => ({
  spec: { name, dims: [], elementType: ELEMENT.float },
  bytes: 4,
  produce: () => new Uint8Array(Float32Array.of(value).buffer),
})

/** Constants that all such nodes of a graph share. */
export const rowConstants = (): ReadonlyArray<WeightPart> => [
  float(NAME.smallest, SMALLEST),
  float(NAME.share, 1 / STEPS),
  float(NAME.middle, MIDDLE),
  { spec: { name: NAME.zero, dims: [], elementType: ELEMENT.uint8 }, bytes: 1, produce: () => Uint8Array.of(MIDDLE) },
  {
    spec: { name: NAME.axes, dims: [1], elementType: ELEMENT.int64 },
    bytes: 8,
    produce: () => new Uint8Array(BigInt64Array.of(-1n).buffer),
  },
]

export interface QuantizedRows {
  readonly nodes: ReadonlyArray<NodeSpec>
  readonly scale: string
  readonly zero: string
}

/** Nodes that make unsigned bytes, called `whole`, of `activations`. */
export const quantizeRows = (activations: string, whole: string, opset: number): QuantizedRows => {
  const scale = `${whole}_scale`
  const step = (opType: string, inputs: ReadonlyArray<string>, output: string, attributes = {}): NodeSpec => ({
    opType,
    name: `${output}_node`,
    inputs,
    outputs: [output],
    attributes,
  })
  const [size, most, safe] = [`${whole}_size`, `${whole}_most`, `${whole}_safe`]
  const [shares, rounded, shifted] = [`${whole}_shares`, `${whole}_rounded`, `${whole}_shifted`]
  const largest =
    opset < AXES_INPUT_OPSET
      ? step("ReduceMax", [size], most, { keepdims: 1, axes: [-1] })
      : step("ReduceMax", [size, NAME.axes], most, { keepdims: 1 })
  return {
    nodes: [
      step("Abs", [activations], size),
      largest,
      step("Max", [most, NAME.smallest], safe),
      step("Mul", [safe, NAME.share], scale),
      step("Div", [activations, scale], shares),
      step("Round", [shares], rounded),
      step("Add", [rounded, NAME.middle], shifted),
      step("Cast", [shifted], whole, { to: ELEMENT.uint8 }),
    ],
    scale,
    zero: NAME.zero,
  }
}
