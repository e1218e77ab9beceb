/**
 * The boundary to the bytes of an ONNX file: makes a decoder give the new rows of its cache in place of the whole cache.
 *
 * Exported decoders append with `present = Concat(past, new)` and output `present`: every step copies the whole cache out,
 * 46 to 66 % of its time at 512 to 1024 tokens (27M parameters). With `new` as the output the cache can stay where it is.
 * Where something else appends, the new rows are cut out of `present` inside the graph: of GroupQueryAttention at each
 * row's own length, of all else at the end. One tensor of keys and values becomes two, because an arena's rows lie
 * beside each other in each. All else is copied as it is.
 *
 * Whether what comes out is what it should be is not known here: `checkRewrite` runs both.
 */
import type { DecoderGraph, KvTensor } from "./DecoderGraph.ts"
import { encodeCall, encodeConstant, encodeInput, encodeOutput } from "./encodeOnnx.ts"
import { MODEL } from "./onnxFields.ts"
import { encodeHead } from "./protobuf.ts"
import type { OnnxGraph, OnnxNode, Range } from "./readOnnx.ts"

/** GatherElements came with version 11, Slice with bounds as inputs with 10. */
const OPSET_MIN = 11
/** From this version on Squeeze and Unsqueeze are told their axes as an input. */
const OPSET_AXES_AS_INPUT = 13
/** Of GroupQueryAttention's inputs. */
const GQA_SEQLENS = 5
const END = 2n ** 63n - 1n
/** Names that no exporter gives. */
const OWN = "pontoon"

export interface RewrittenModel {
  /** The file it is now, in pieces: new bytes, and ranges of the old one. */
  readonly pieces: ReadonlyArray<Uint8Array | Range>
  /** How it is fed now. */
  readonly graph: DecoderGraph
  /** Of each of `graph.kv`, the output with its new rows. */
  readonly freshOutputs: ReadonlyArray<string>
}

const elementOf = ({ type }: KvTensor): number => (type === "float32" ? 1 : 10)

/** What is added to a graph on the way. */
class Additions {
  /** Before all other nodes, which need what they make. */
  readonly before: Array<Uint8Array> = []
  readonly after: Array<Uint8Array> = []
  readonly #made = new Set<string>()
  readonly #opset: number

  constructor(opset: number) {
    this.#opset = opset
  }

  constant(values: number | bigint | ReadonlyArray<number | bigint>): string {
    const name = `${OWN}_${typeof values === "object" ? `list_${values.join("_")}` : values}`
    if (!this.#made.has(name)) this.before.push(encodeConstant(name, values))
    this.#made.add(name)
    return name
  }

  /** A node that is made once, however often it is asked for. */
  once(name: string, make: (output: string) => ReadonlyArray<Uint8Array>): string {
    const output = `${OWN}_${name}`
    if (!this.#made.has(output)) this.after.push(...make(output))
    this.#made.add(output)
    return output
  }

  unsqueeze(input: string, output: string): Uint8Array {
    return this.#opset >= OPSET_AXES_AS_INPUT
      ? encodeCall("Unsqueeze", [input, this.constant([0])], output)
      : encodeCall("Unsqueeze", [input], output, { axes: [0] })
  }
}

/** The number of new tokens, `[1]`. */
const tokensOf = (additions: Additions, inputIds: string): string =>
  additions.once("tokens", (output) => [
    encodeCall("Shape", [inputIds], `${output}_shape`),
    encodeCall("Slice", [`${output}_shape`, additions.constant([1]), additions.constant([2])], output),
  ])

/** The last `tokens` of `present`, whose tokens are its last dimension but one. */
const cutEnd = (additions: Additions, tensor: KvTensor, inputIds: string): string => {
  const tokens = tokensOf(additions, inputIds)
  const from = additions.once("from", (output) => [encodeCall("Neg", [tokens], output)])
  const axis = additions.constant([tensor.joined ? 3 : 2])
  return additions.once(`fresh_${tensor.present}`, (output) => [
    encodeCall("Slice", [tensor.present, from, additions.constant([END]), axis], output),
  ])
}

/**
 * Of each row, the tokens from `seqlens + 1 - tokens` on: GroupQueryAttention puts them right behind the row's own, and its
 * `seqlens_k` is each row's length with them, less one.
 */
const cutAtLength = (additions: Additions, tensor: KvTensor, seqlens: string, inputIds: string): string => {
  const tokens = tokensOf(additions, inputIds)
  const places = additions.once(`places_${seqlens}`, (output) => [
    encodeCall("Cast", [seqlens], `${output}_wide`, { to: 7 }),
    encodeCall("Reshape", [`${output}_wide`, additions.constant([-1, 1, 1, 1])], `${output}_last`),
    encodeCall("Reshape", [tokens, additions.constant([])], `${output}_count`),
    encodeCall("Add", [`${output}_count`, additions.constant(1)], `${output}_end`),
    encodeCall("Range", [additions.constant(1), `${output}_end`, additions.constant(1)], `${output}_range`),
    encodeCall("Sub", [`${output}_range`, `${output}_count`], `${output}_back`),
    encodeCall("Reshape", [`${output}_back`, additions.constant([1, 1, -1, 1])], `${output}_offset`),
    encodeCall("Add", [`${output}_last`, `${output}_offset`], output),
  ])
  const index = additions.once(`index_${seqlens}_${tensor.heads}_${tensor.headDim}`, (output) => [
    encodeCall("Expand", [places, additions.constant([1, tensor.heads, 1, tensor.headDim])], output),
  ])
  return additions.once(`fresh_${tensor.present}`, (output) => [
    encodeCall("GatherElements", [tensor.present, index], output, { axis: 2 }),
  ])
}

interface Plan {
  readonly graph: OnnxGraph
  readonly decoder: DecoderGraph
  readonly inputIds: string
  readonly producers: ReadonlyMap<string, OnnxNode>
  readonly additions: Additions
}

/** The name of what holds the new rows of a tensor; a reason where there can be none. */
const findFresh = (plan: Plan, tensor: KvTensor): { readonly fresh: string } | { readonly refused: string } => {
  const producer = plan.producers.get(tensor.present)
  if (plan.decoder.append === "at-length") {
    const seqlens = producer?.opType === "GroupQueryAttention" ? producer.inputs[GQA_SEQLENS] : undefined
    return seqlens
      ? { fresh: cutAtLength(plan.additions, tensor, seqlens, plan.inputIds) }
      : { refused: `some of its layers append with GroupQueryAttention, and "${tensor.present}" does not` }
  }
  const [past, fresh] = producer?.inputs ?? []
  if (producer?.opType === "Concat" && producer.inputs.length === 2 && past === tensor.past && fresh !== undefined) {
    return { fresh }
  }
  return { fresh: cutEnd(plan.additions, tensor, plan.inputIds) }
}

/** Keys and values apart, as the arena holds them. */
const splitJoined = (plan: Plan, tensor: KvTensor, fresh: string) =>
  (["key", "value"] as const).map((part, at) => {
    const output = `${OWN}_${tensor.present}_${part}`
    plan.additions.after.push(encodeCall("Gather", [fresh, plan.additions.constant(at)], output, { axis: 0 }))
    const past = `${tensor.past}.${part}`
    plan.additions.before.push(plan.additions.unsqueeze(past, `${OWN}_${past}`))
    const kv: KvTensor = { ...tensor, past, present: output, joined: false, heads: tensor.heads / 2 }
    return { kv, output }
  })

const rewrite = (plan: Plan): RewrittenModel | { readonly refused: string } => {
  const { additions, decoder, graph } = plan
  const outputs = new Map<string, ReadonlyArray<Uint8Array>>()
  const inputs = new Map<string, ReadonlyArray<Uint8Array>>()
  const kv: Array<KvTensor> = []
  const freshOutputs: Array<string> = []
  for (const tensor of decoder.kv) {
    const found = findFresh(plan, tensor)
    if ("refused" in found) return found
    const parts = tensor.joined ? splitJoined(plan, tensor, found.fresh) : [{ kv: tensor, output: found.fresh }]
    outputs.set(
      tensor.present,
      parts.map(({ output }) => encodeOutput(output, elementOf(tensor))),
    )
    if (tensor.joined) {
      inputs.set(
        tensor.past,
        parts.map((part) =>
          encodeInput(part.kv.past, elementOf(tensor), ["rows", part.kv.heads, `${OWN}_room`, part.kv.headDim]),
        ),
      )
      const halves = parts.map((part) => `${OWN}_${part.kv.past}`)
      additions.before.push(encodeCall("Concat", halves, tensor.past, { axis: 0 }))
    }
    kv.push(...parts.map((part) => part.kv))
    freshOutputs.push(...parts.map(({ output }) => output))
  }
  const replaced = (value: OnnxGraph["valueFields"][number]) => (value.isInput ? inputs : outputs).get(value.name)
  // In the graph: what is added before, the file between what is replaced and its replacements, what is added after.
  const content: Array<Uint8Array | Range> = [...additions.before]
  let at = graph.field.content
  for (const value of graph.valueFields) {
    const replacement = replaced(value)
    if (replacement === undefined) continue
    content.push({ start: at, end: value.start }, ...replacement)
    at = value.end
  }
  content.push({ start: at, end: graph.field.end }, ...additions.after)
  const length = content.reduce((sum, piece) => sum + lengthOf(piece), 0)
  const pieces: ReadonlyArray<Uint8Array | Range> = [
    { start: 0, end: graph.field.start },
    encodeHead(MODEL.graph, length),
    ...content,
    { start: graph.field.end, end: Number.POSITIVE_INFINITY },
  ]
  return { pieces, graph: { ...decoder, kv }, freshOutputs }
}

const lengthOf = (piece: Uint8Array | Range): number =>
  piece instanceof Uint8Array ? piece.length : piece.end - piece.start

/**
 * Plans a decoder with other outputs. Nothing is read: `readPatched` makes the file of it.
 *
 * @returns why it cannot be done, as one clause, where it cannot
 */
export const outputFreshRows = (
  graph: OnnxGraph,
  decoder: DecoderGraph,
): RewrittenModel | { readonly refused: string } => {
  const inputIds = decoder.inputs.find(({ role }) => role === "input_ids")?.name
  if (inputIds === undefined) return { refused: "its graph has no input input_ids" }
  if (graph.opset < OPSET_MIN) {
    return { refused: `its graph is of ONNX's operator set ${graph.opset}, and what would be added of ${OPSET_MIN}` }
  }
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)))
  return rewrite({ graph, decoder, inputIds, producers, additions: new Additions(graph.opset) })
}
