/**
 * The boundary to a graph that writes: which inputs it wants, what for, and where its cache comes in and goes out. Read from
 * the weights' file, so that a graph nobody can feed is refused before anything is opened.
 */
import { Result } from "effect"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import type { KvShape } from "../cache/KvSegment.ts"
import { type InputRole, presentOf } from "../folder/DecoderNames.ts"
import { layersOf, queryHeadsOf, widthOf } from "../folder/ModelConfig.ts"
import { type ModelFolder, modelFailure } from "../folder/modelFolder.ts"
import type { OnnxValue } from "./readOnnx.ts"

/** One input of the cache, and what continues it. */
export interface KvTensor extends KvShape {
  readonly past: string
  readonly present: string
  /**
   * Keys and values are one tensor `[2, rows, heads / 2, tokens, headDim]` (contrib Attention); for one row that is the
   * same memory as `[1, heads, tokens, headDim]`. Otherwise `[rows, heads, tokens, headDim]`.
   */
  readonly joined: boolean
}

export interface DecoderInput {
  readonly name: string
  readonly role: InputRole
  readonly type: "int64" | "int32" | "bool"
  /** Number of dimensions; 0 is a scalar. */
  readonly rank: number
}

/** What a graph wants and gives. */
export interface DecoderGraph {
  readonly kv: ReadonlyArray<KvTensor>
  readonly inputs: ReadonlyArray<DecoderInput>
  readonly logits: string
  readonly vocabSize: number | undefined
  /**
   * Where new tokens go in a cache with room for more than a row has: `behind` all of the room (Concat, and attention that
   * is told by its mask where the holes are), or `at-length`, right behind the row's own (GroupQueryAttention, which is
   * told each row's length).
   */
  readonly append: "behind" | "at-length"
}

const ELEMENTS: Readonly<Record<number, KvTensor["type"] | DecoderInput["type"]>> = {
  1: "float32",
  6: "int32",
  7: "int64",
  9: "bool",
  10: "float16",
}

const known = (dimension: number | string | undefined): number | undefined =>
  typeof dimension === "number" && dimension > 0 ? dimension : undefined

interface CacheSize {
  readonly heads: number
  readonly headDim: number
}

/** What the configuration says of a cache's size, where it does. */
const configuredSize = ({ config }: ModelFolder): Partial<CacheSize> => {
  const queryHeads = queryHeadsOf(config)
  const width = widthOf(config)
  const heads = config.num_key_value_heads ?? queryHeads
  const headDim = config.head_dim ?? (width && queryHeads ? width / queryHeads : undefined)
  return { ...(heads === undefined ? {} : { heads }), ...(headDim === undefined ? {} : { headDim }) }
}

/** The graph's own numbers, filled up with the configuration's; a sentence where they contradict each other. */
const sizeOf = (input: OnnxValue, folder: ModelFolder): CacheSize | string => {
  const dims = input.dims ?? []
  const said = configuredSize(folder)
  const own = { heads: known(dims.at(-3)), headDim: known(dims.at(-1)) }
  const file = folder.layout === "genai" ? "genai_config.json" : "config.json"
  for (const part of ["heads", "headDim"] as const) {
    const [theirs, ours] = [said[part], own[part]]
    if (theirs === undefined && ours === undefined) {
      return `neither its graph nor ${file} says how many ${part === "heads" ? "heads" : "numbers a head"} "${input.name}" has`
    }
    if (theirs !== undefined && ours !== undefined && theirs !== ours) {
      const noun = part === "heads" ? "heads" : "numbers a head"
      return `${file} says that a cache has ${theirs} ${noun} and "${input.name}" of its graph has ${ours}; they do not belong together`
    }
  }
  const size = { heads: own.heads ?? said.heads ?? 0, headDim: own.headDim ?? said.headDim ?? 0 }
  if (Number.isInteger(size.headDim)) return size
  return `${file} says hidden_size ${widthOf(folder.config)}, which is no multiple of its ${queryHeadsOf(folder.config)} heads`
}

/** A cache's input, and the output that continues it; undefined where it is none, a sentence where it cannot be fed. */
const readKvTensor = (input: OnnxValue, folder: ModelFolder): KvTensor | string | undefined => {
  const present = presentOf(folder.names, input.name)
  if (present === undefined) return undefined
  if (!folder.graph.outputs.some(({ name }) => name === present)) {
    return `"${input.name}" is continued by no output "${present}"`
  }
  const type = ELEMENTS[input.elementType ?? 0]
  if (type !== "float32" && type !== "float16") return `"${input.name}" holds neither 32-bit nor 16-bit floats`
  const rank = input.dims?.length
  const joined = rank === 5
  // Only the numbers of rows and of tokens may be open.
  if ((rank !== 4 && !joined) || typeof input.dims?.at(-2) === "number") {
    return `"${input.name}" has the shape [${input.dims?.join(", ") ?? "?"}] and not [rows, heads, tokens, numbers a head]`
  }
  const size = sizeOf(input, folder)
  if (typeof size === "string") return size
  return { past: input.name, present, type, joined, headDim: size.headDim, heads: joined ? 2 * size.heads : size.heads }
}

const refuse = (folder: ModelFolder, found: string) =>
  modelFailure(folder.name)(
    "unsupported",
    `not a decoder with a cache that can be run (model_type ${folder.config.model_type}): ${found}.`,
  )

/** The inputs of a graph's cache, in the graph's order; none where it has none. */
export const readKvTensors = (folder: ModelFolder): Result.Result<ReadonlyArray<KvTensor>, TerminalModelFailure> => {
  const kv: Array<KvTensor> = []
  for (const input of folder.graph.inputs) {
    const tensor = readKvTensor(input, folder)
    if (typeof tensor === "string") return Result.fail(refuse(folder, tensor))
    if (tensor !== undefined) kv.push(tensor)
  }
  return Result.succeed(kv)
}

/** What is no cache; a sentence where nobody knows what to put into it. */
const readInputs = (folder: ModelFolder): ReadonlyArray<DecoderInput> | string => {
  const inputs: Array<DecoderInput> = []
  for (const { dims, elementType, name } of folder.graph.inputs) {
    if (presentOf(folder.names, name) !== undefined) continue
    const role = folder.names.roles.get(name)
    const type = ELEMENTS[elementType ?? 0]
    if (role === undefined) return `it wants an input "${name}", which nobody knows how to fill`
    if (type !== "int64" && type !== "int32" && type !== "bool") return `its input "${name}" is not of integers`
    inputs.push({ name, role, type, rank: dims?.length ?? 0 })
  }
  return inputs.some(({ role }) => role === "input_ids") ? inputs : "it has no input input_ids"
}

/** Layers that the configuration has and the graph's cache has not, or the other way round. */
const wrongLayers = (folder: ModelFolder, kv: ReadonlyArray<KvTensor>): string | undefined => {
  const layers = layersOf(folder.config)
  const cached = kv.reduce((sum, { joined }) => sum + (joined ? 2 : 1), 0) / 2
  // Fewer in the graph are right where layers share a cache; the other layout names every one.
  const wrong = layers !== undefined && (folder.layout === "genai" ? cached !== layers : cached > layers)
  if (!wrong) return undefined
  const file = folder.layout === "genai" ? "genai_config.json" : "config.json"
  return `${file} says that it has ${layers} layers and its graph has caches of ${cached}; they do not belong together`
}

/**
 * Reads a decoder's graph.
 *
 * @returns fails with reason `unsupported`, naming what was found
 */
export const readDecoderGraph = (folder: ModelFolder): Result.Result<DecoderGraph, TerminalModelFailure> => {
  const { graph, names } = folder
  const logits = graph.outputs.find(({ name }) => name === names.logits)
  const read = readKvTensors(folder)
  if (Result.isFailure(read)) return Result.fail(read.failure)
  const kv = read.success
  const inputs = readInputs(folder)
  if (typeof inputs === "string") return Result.fail(refuse(folder, inputs))
  if (logits === undefined) {
    const found = graph.outputs.map(({ name }) => name).join(", ")
    return Result.fail(refuse(folder, `it has no output "${names.logits}", but ${found}`))
  }
  if (kv.length === 0) {
    const wanted = names.caches.map(({ past }) => past).join(" or ")
    return Result.fail(refuse(folder, `it has no inputs ${wanted}, so every token would cost the whole prompt again`))
  }
  const wrong = wrongLayers(folder, kv)
  if (wrong !== undefined) return Result.fail(refuse(folder, wrong))
  const append = graph.operators.has("GroupQueryAttention") ? "at-length" : "behind"
  return Result.succeed({ kv, inputs, logits: names.logits, vocabSize: known(logits.dims?.at(-1)), append })
}
