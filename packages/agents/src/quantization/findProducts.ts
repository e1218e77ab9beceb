/**
 * The boundary to a graph's meaning: which of its nodes multiply by constant weights or look words up in a table, and can
 * therefore be written with smaller ones.
 */
import { ATTRIBUTE, ELEMENT } from "../inference/graph/onnxFields.ts"
import type { OnnxFile, OnnxNode, OnnxTensor } from "./OnnxFile.ts"
import { numberOf, numbersOf } from "./wire.ts"

/** `output = activations x weights (+ bias)`, with weights that are known now. */
export interface Product {
  readonly node: OnnxNode
  readonly activations: string
  readonly weights: OnnxTensor
  /** Length of the sums, and how many there are. */
  readonly k: number
  readonly n: number
  /** Whether a column of the matrix is a row of the tensor: its dims are [n, k], not [k, n]. */
  readonly isTransposed: boolean
  readonly bias: string | undefined
}

/** `output = table[ids]` for the tokens' own vectors. */
export interface LookUp {
  readonly node: OnnxNode
  readonly ids: string
  readonly table: OnnxTensor
}

export interface Findings {
  readonly products: ReadonlyArray<Product>
  readonly lookUps: ReadonlyArray<LookUp>
  /** Nodes that only prepare weights and are needed no more once the products are written anew. */
  readonly preparations: ReadonlySet<OnnxNode>
  /** Operators of graphs that have been made smaller already, as found. */
  readonly quantised: ReadonlyArray<string>
  /** Weights of products that are no 32-bit floats: their element types. */
  readonly otherTypes: ReadonlySet<number>
}

/** What only a quantised graph has. */
const QUANTISED =
  /^(MatMulNBits|MatMulInteger|MatMulBnb4|QLinearMatMul|QGemm|DynamicQuantizeMatMul|MatMulIntegerToFloat|DynamicQuantizeLinear|QuantizeLinear|GatherBlockQuantized|QAttention)$/

const intOf = (node: OnnxNode, name: string, otherwise: number): number => {
  const field = node.attributes.get(name)?.find(({ number }) => number === ATTRIBUTE.int)
  return field === undefined ? otherwise : numberOf(field)
}

/** A factor of 1, which is what exporters write; other factors are left to the node as it is. */
const isOne = (node: OnnxNode, name: string): boolean => {
  const field = node.attributes.get(name)?.find(({ number }) => number === ATTRIBUTE.float)
  return field === undefined || Buffer.from(field.content).readFloatLE(0) === 1
}

const isSwap = (node: OnnxNode): boolean => {
  const perm = node.attributes.get("perm")?.filter(({ number }) => number === ATTRIBUTE.ints) ?? []
  const order = perm.flatMap(numbersOf)
  return order.length === 0 || (order.length === 2 && order[0] === 1 && order[1] === 0)
}

interface Matrix {
  readonly tensor: OnnxTensor
  readonly isTransposed: boolean
  readonly preparation: OnnxNode | undefined
}

const findMatrix = (file: OnnxFile, transposes: ReadonlyMap<string, OnnxNode>, name: string): Matrix | undefined => {
  const own = file.tensors.get(name)
  if (own !== undefined) return { tensor: own, isTransposed: false, preparation: undefined }
  const preparation = transposes.get(name)
  const tensor = file.tensors.get(preparation?.inputs[0] ?? "")
  return tensor === undefined ? undefined : { tensor, isTransposed: true, preparation }
}

const readProduct = (node: OnnxNode, matrix: Matrix): Omit<Product, "weights" | "node" | "activations"> | undefined => {
  const [first, second] = matrix.tensor.dims
  if (matrix.tensor.dims.length !== 2 || first === undefined || second === undefined) return undefined
  if (first * second === 0 || matrix.tensor.data === undefined) return undefined
  if (node.opType === "MatMul") {
    const { isTransposed } = matrix
    return { k: isTransposed ? second : first, n: isTransposed ? first : second, isTransposed, bias: undefined }
  }
  if (node.opType !== "Gemm" || intOf(node, "transA", 0) !== 0) return undefined
  if (!isOne(node, "alpha") || !isOne(node, "beta")) return undefined
  const isTransposed = matrix.isTransposed !== (intOf(node, "transB", 0) !== 0)
  const bias = node.inputs[2] === "" ? undefined : node.inputs[2]
  return { k: isTransposed ? second : first, n: isTransposed ? first : second, isTransposed, bias }
}

/** Finds what can be made smaller, and what speaks against it. */
export const findProducts = (file: OnnxFile): Findings => {
  const transposes = new Map<string, OnnxNode>()
  const quantised = new Set<string>()
  for (const node of file.nodes) {
    if (QUANTISED.test(node.opType)) quantised.add(node.opType)
    const [output] = node.outputs
    if (node.opType === "Transpose" && isSwap(node) && output !== undefined) transposes.set(output, node)
  }
  const products: Array<Product> = []
  const lookUps: Array<LookUp> = []
  const preparations = new Set<OnnxNode>()
  const otherTypes = new Set<number>()
  for (const node of file.nodes) {
    const [first = "", second = ""] = node.inputs
    if (node.domain !== "") continue
    if (node.opType === "Gather" && second === "input_ids" && intOf(node, "axis", 0) === 0) {
      const table = file.tensors.get(first)
      const fits = table?.elementType === ELEMENT.float && table.dims.length === 2 && table.data !== undefined
      if (table !== undefined && fits) lookUps.push({ node, ids: second, table })
      continue
    }
    if (node.opType !== "MatMul" && node.opType !== "Gemm") continue
    const matrix = findMatrix(file, transposes, second)
    const product = matrix === undefined ? undefined : readProduct(node, matrix)
    if (matrix === undefined || product === undefined) continue
    if (matrix.tensor.elementType !== ELEMENT.float) {
      otherTypes.add(matrix.tensor.elementType)
      continue
    }
    products.push({ node, activations: first, weights: matrix.tensor, ...product })
    if (matrix.preparation !== undefined) preparations.add(matrix.preparation)
  }
  return { products, lookUps, preparations, quantised: [...quantised], otherTypes }
}
