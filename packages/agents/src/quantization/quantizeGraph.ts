/**
 * The boundary from a graph of floats to one of few bits: which nodes take the place of which, and which weights are
 * written in place of which. Pure but for the weights, which are read when they are written.
 */

import { encodeNode, encodeOpset, type NodeSpec } from "../inference/graph/encodeOnnx.ts"
import { ELEMENT, GRAPH } from "../inference/graph/onnxFields.ts"
import { encodeField } from "../inference/graph/protobuf.ts"
import type { Findings, LookUp, Product } from "./findProducts.ts"
import type { OnnxFile, OnnxNode, OnnxTensor } from "./OnnxFile.ts"
import { BLOCK, type Matrix, quantizeBlocks, quantizeColumns } from "./quantizeMatrix.ts"
import { type QuantizedRows, quantizeRows, rowConstants } from "./quantizeRows.ts"
import type { GraphPart, ModelPlan, WeightPart } from "./writeOnnx.ts"

export interface QuantizeRules {
  /**
   * How products are written. `blocks4` and `blocks8`: MatMulNBits of onnxruntime, activations quantised in blocks of their
   * own. `rows` and `tensor`: MatMulInteger, one scale for each token's activations, or for all of a step
   * (DynamicQuantizeLinear).
   */
  readonly products: "blocks4" | "blocks8" | "rows" | "tensor"
  /** What MatMulNBits computes in: 4 is whole numbers (fast), 1 is floats, 0 leaves it to onnxruntime. */
  readonly accuracyLevel: 0 | 1 | 4
  /** Tables of word vectors: left as they are, or 8 bits with a scale a row. */
  readonly embeddings: "fp32" | "int8"
}

/** What `pontoon-models quantize --to q4` and `--to int8` do where nothing else is asked for. */
export const QUANTIZE_RULES = {
  q4: { products: "blocks4", accuracyLevel: 4, embeddings: "fp32" },
  int8: { products: "blocks8", accuracyLevel: 4, embeddings: "int8" },
} as const satisfies Readonly<Record<string, QuantizeRules>>

const CONTRIB = "com.microsoft"

/**
 * With 8 bits, pairs of products overflow 16 bits on processors without VNNI, where onnxruntime adds them so
 * (`reduce_range` of its own quantiser). With 7 the sums are the same everywhere.
 */
const COLUMN_LIMIT = 63

/** With 8 bits: what a row of a table is only widened from. */
const ROW_LIMIT = 127

const bytesOf = (array: Float32Array | Int8Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

const floats = (file: OnnxFile, tensor: OnnxTensor): Float32Array => {
  if (tensor.data === undefined) throw new RangeError(`${tensor.name} has no elements`)
  const bytes = file.read(tensor.data)
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}

/** Both halves of a pair come from one computation; the second is asked for right after the first. */
const once = <A>(make: () => A) => {
  let made: A | undefined
  return {
    first: (): A => {
      made = make()
      return made
    },
    last: (): A => {
      const value = made ?? make()
      made = undefined
      return value
    },
  }
}

const weight = (
  name: string,
  elementType: number,
  dims: ReadonlyArray<number>,
  bytes: number,
  produce: () => Uint8Array,
): WeightPart => ({ spec: { name, dims, elementType }, bytes, produce })

/** The name that a product's own result gets where a bias is added to it. */
const summed = ({ bias, node }: Product): { readonly output: string; readonly nodes: ReadonlyArray<NodeSpec> } => {
  const output = node.outputs[0] ?? ""
  if (bias === undefined) return { output, nodes: [] }
  const name = `${output}_unbiased`
  return { output: name, nodes: [{ opType: "Add", name: `${output}_bias`, inputs: [name, bias], outputs: [output] }] }
}

class GraphQuantizer {
  readonly weights: Array<WeightPart> = []
  readonly #file: OnnxFile
  readonly #rules: QuantizeRules
  /** Weights and activations that have been written for an earlier node. */
  readonly #known = new Set<string>()

  constructor(file: OnnxFile, rules: QuantizeRules) {
    this.#file = file
    this.#rules = rules
  }

  #isNew(name: string): boolean {
    const isNew = !this.#known.has(name)
    this.#known.add(name)
    return isNew
  }

  #matrix({ isTransposed, k, n, weights }: Product): Matrix {
    return { values: floats(this.#file, weights), k, n, isTransposed }
  }

  product(product: Product): ReadonlyArray<NodeSpec> {
    const { products } = this.#rules
    return products === "tensor" || products === "rows" ? this.#columns(product) : this.#blocks(product)
  }

  #blocks(product: Product): ReadonlyArray<NodeSpec> {
    const { activations, k, n, node } = product
    const bits = this.#rules.products === "blocks4" ? 4 : 8
    const base = `${product.weights.name}_q${bits}${product.isTransposed ? "t" : ""}`
    const blocks = Math.ceil(k / BLOCK)
    const blockBytes = (BLOCK * bits) / 8
    if (this.#isNew(base)) {
      const { first, last } = once(() => quantizeBlocks(this.#matrix(product), bits))
      this.weights.push(
        weight(base, ELEMENT.uint8, [n, blocks, blockBytes], n * blocks * blockBytes, () => first().packed),
        weight(`${base}_scales`, ELEMENT.float, [n * blocks], n * blocks * 4, () => bytesOf(last().scales)),
      )
    }
    const { nodes, output } = summed(product)
    const { accuracyLevel } = this.#rules
    return [
      {
        opType: "MatMulNBits",
        domain: CONTRIB,
        name: `${node.name === "" ? output : node.name}_q${bits}`,
        inputs: [activations, base, `${base}_scales`],
        outputs: [output],
        attributes: {
          K: k,
          N: n,
          bits,
          block_size: BLOCK,
          ...(accuracyLevel === 0 ? {} : { accuracy_level: accuracyLevel }),
        },
      },
      ...nodes,
    ]
  }

  #activations(activations: string, whole: string): QuantizedRows {
    if (this.#rules.products === "rows") {
      if (this.#isNew("rows")) this.weights.push(...rowConstants())
      return quantizeRows(activations, whole, this.#file.opsets.get("") ?? 0)
    }
    const [scale, zero] = [`${whole}_scale`, `${whole}_zero`]
    const name = `${activations}_quantize`
    const node = { opType: "DynamicQuantizeLinear", name, inputs: [activations], outputs: [whole, scale, zero] }
    return { nodes: [node], scale, zero }
  }

  #columns(product: Product): ReadonlyArray<NodeSpec> {
    const { activations, k, n, node } = product
    const base = `${product.weights.name}_int8${product.isTransposed ? "t" : ""}`
    if (this.#isNew(base)) {
      const { first, last } = once(() => quantizeColumns(this.#matrix(product), COLUMN_LIMIT))
      this.weights.push(
        weight(base, ELEMENT.int8, [k, n], k * n, () => bytesOf(first().whole)),
        weight(`${base}_scale`, ELEMENT.float, [n], n * 4, () => bytesOf(last().scales)),
      )
    }
    const { nodes, output } = summed(product)
    const whole = `${activations}_int8`
    const quantised = this.#activations(activations, whole)
    const name = node.name === "" ? output : node.name
    return [
      ...(this.#isNew(whole) ? quantised.nodes : []),
      {
        opType: "MatMulInteger",
        name: `${name}_int8`,
        inputs: [whole, base, quantised.zero],
        outputs: [`${output}_sum`],
      },
      {
        opType: "Cast",
        name: `${name}_cast`,
        inputs: [`${output}_sum`],
        outputs: [`${output}_float`],
        attributes: { to: ELEMENT.float },
      },
      ...this.#scaled(output, name, quantised.scale, `${base}_scale`),
      ...nodes,
    ]
  }

  /** Sums back to floats: by what an activation's step and a weight's step come to. */
  #scaled(output: string, name: string, activations: string, weights: string): ReadonlyArray<NodeSpec> {
    const [sum, between] = [`${output}_float`, `${output}_scale`]
    // One scale for all: the two are multiplied first, as onnxruntime's quantiser has it, which fuses all of it to one node.
    // That fusion takes a scale for each row for one for all where a bias is added, so those are multiplied apart.
    const [first, second] =
      this.#rules.products === "rows"
        ? [
            [sum, weights],
            [between, activations],
          ]
        : [
            [activations, weights],
            [sum, between],
          ]
    return [
      { opType: "Mul", name: `${name}_scales`, inputs: first, outputs: [between] },
      { opType: "Mul", name: `${name}_scaled`, inputs: second, outputs: [output] },
    ]
  }

  lookUp({ ids, node, table }: LookUp): ReadonlyArray<NodeSpec> {
    const [rows = 0, width = 0] = table.dims
    const base = `${table.name}_rows`
    if (this.#isNew(base)) {
      // A row of the table is a column of its transpose.
      const { first, last } = once(() => {
        const turned = { values: floats(this.#file, table), k: width, n: rows, isTransposed: true }
        const { scales, whole } = quantizeColumns(turned, ROW_LIMIT)
        const inRows = new Int8Array(whole.length)
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < width; column++) inRows[row * width + column] = whole[column * rows + row]!
        }
        return { inRows, scales }
      })
      this.weights.push(
        weight(base, ELEMENT.int8, [rows, width], rows * width, () => bytesOf(first().inRows)),
        weight(`${base}_scale`, ELEMENT.float, [rows, 1], rows * 4, () => bytesOf(last().scales)),
      )
    }
    const output = node.outputs[0] ?? ""
    const name = node.name === "" ? output : node.name
    return [
      { opType: "Gather", name: `${name}_int8`, inputs: [base, ids], outputs: [`${output}_int8`] },
      {
        opType: "Cast",
        name: `${name}_cast`,
        inputs: [`${output}_int8`],
        outputs: [`${output}_float`],
        attributes: { to: ELEMENT.float },
      },
      { opType: "Gather", name: `${name}_scale`, inputs: [`${base}_scale`, ids], outputs: [`${output}_scale`] },
      { opType: "Mul", name: `${name}_scaled`, inputs: [`${output}_float`, `${output}_scale`], outputs: [output] },
    ]
  }
}

/** Whatever the nodes that stay still read. */
const readBy = (nodes: ReadonlyArray<OnnxNode>): ReadonlySet<string> =>
  new Set(nodes.flatMap(({ innerInputs, inputs }) => [...inputs, ...innerInputs]))

/** A weight that stays: from its own place in the file, or from the file beside it. */
const keep = (file: OnnxFile, tensor: OnnxTensor): GraphPart | ReadonlyArray<GraphPart> => {
  const { data, dims, elementType, message, name } = tensor
  if (data === undefined) return encodeField(GRAPH.initializer, file.read(message))
  return weight(name, elementType, dims, data.bytes, () => file.read(data))
}

/** Plans the smaller model. */
export const quantizeGraph = (file: OnnxFile, findings: Findings, rules: QuantizeRules): ModelPlan => {
  const products = new Map(findings.products.map((product) => [product.node, product]))
  const lookUps = new Map(findings.lookUps.map((lookUp) => [lookUp.node, lookUp]))
  const isReplaced = (node: OnnxNode) => products.has(node) || (rules.embeddings === "int8" && lookUps.has(node))
  const others = file.nodes.filter((node) => !isReplaced(node))
  const usedByOthers = readBy(others.filter((node) => !findings.preparations.has(node)))
  // A turned weight that something else reads, or a bias, is still needed as it is.
  const staying = others.filter(
    (node) => !findings.preparations.has(node) || node.outputs.some((output) => usedByOthers.has(output)),
  )
  const needed = new Set([...readBy(staying), ...findings.products.flatMap(({ bias }) => bias ?? [])])
  const quantizer = new GraphQuantizer(file, rules)
  const nodes: Array<Uint8Array> = []
  const stays = new Set(staying)
  for (const node of file.nodes) {
    const product = products.get(node)
    const lookUp = lookUps.get(node)
    if (product !== undefined) nodes.push(...quantizer.product(product).map(encodeNode))
    else if (lookUp !== undefined && rules.embeddings === "int8")
      nodes.push(...quantizer.lookUp(lookUp).map(encodeNode))
    else if (stays.has(node)) nodes.push(encodeField(GRAPH.node, node.raw))
  }
  const kept = [...file.tensors.values()].filter(({ name }) => needed.has(name)).flatMap((tensor) => keep(file, tensor))
  const isContrib = rules.products.startsWith("blocks") && !file.opsets.has(CONTRIB)
  return {
    rest: [...file.modelRest, ...(isContrib ? [encodeOpset(CONTRIB, 1)] : [])],
    graph: [...nodes, ...file.graphRest, ...kept, ...quantizer.weights],
  }
}
