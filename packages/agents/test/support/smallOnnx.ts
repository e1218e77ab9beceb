/** The boundary between tests and graphs of a node or two: writes them, and runs any graph on floats. */
import { writeFileSync } from "node:fs"
import { InferenceSession, Tensor } from "onnxruntime-node"
import { encodeInlineTensor, encodeNode, encodeOpset, type NodeSpec } from "../../src/inference/graph/encodeOnnx.ts"
import { encodeField, encodeNumber } from "../../src/inference/graph/protobuf.ts"

export interface SmallWeight {
  readonly name: string
  readonly dims: ReadonlyArray<number>
  readonly values: Float32Array
}

const INPUT = 11
const OUTPUT = 12
const GRAPH_NAME = 2

/** A float tensor whose sizes are all open, of `rank` dimensions. */
const encodeValue = (name: string, rank: number): Uint8Array => {
  const shape = Array.from({ length: rank }, (_, at) => encodeField(1, encodeField(2, `${name}_${at}`)))
  const tensor = Buffer.concat([encodeNumber(1, 1), encodeField(2, Buffer.concat(shape))])
  return Buffer.concat([encodeField(1, name), encodeField(2, encodeField(1, tensor))])
}

/** Writes a model with one input `x` and one output `y`. */
export const writeSmallOnnx = (
  path: string,
  nodes: ReadonlyArray<NodeSpec>,
  weights: ReadonlyArray<SmallWeight>,
  rank = 2,
): void => {
  const graph = Buffer.concat([
    ...nodes.map(encodeNode),
    encodeField(GRAPH_NAME, "small"),
    ...weights.flatMap(({ dims, name, values }) => [
      encodeInlineTensor({ name, dims, elementType: 1 }, values.byteLength),
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    ]),
    encodeField(INPUT, encodeValue("x", rank)),
    encodeField(OUTPUT, encodeValue("y", rank)),
  ])
  writeFileSync(path, Buffer.concat([encodeNumber(1, 8), encodeOpset("", 17), encodeField(7, graph)]))
}

/** What the model makes of `x`. */
export const runSmallOnnx = async (
  path: string,
  x: Float32Array,
  dims: ReadonlyArray<number>,
): Promise<Float32Array> => {
  const session = await InferenceSession.create(path, { intraOpNumThreads: 1 })
  const { y } = await session.run({ x: new Tensor("float32", x, [...dims]) })
  await session.release()
  if (y === undefined || !(y.data instanceof Float32Array)) throw new Error("no floats came out")
  return y.data
}
