/**
 * The boundary to encoder-decoders (T5, BART, Marian): a text is read once by one graph, and written about, token by token, by
 * another, one row a call.
 *
 * To the scheduler it is a decoder like any other: a row's tokens are those of the text to be read, then `TEXT_END`, then the
 * tokens that were written. The text is read when `TEXT_END` comes. The cache has two parts: that of what was written grows,
 * as in `ConcatDecoder`; that of what was read is what the first step made it, and is only handed on.
 */
import { type InferenceSession, Tensor } from "onnxruntime-node"
import { makeKvNumbers, shapeBytes, sliceSegment } from "../cache/KvSegment.ts"
import type { CrossKvTensor, IntegerType, Seq2SeqGraph } from "../graph/Seq2SeqGraph.ts"
import type { DecoderStep, KvSlot, StepRow } from "./DecoderStep.ts"
import { logitsOf } from "./logitsOf.ts"

/** Stands between the text and the answer, where the decoder's own first token is fed. No token has this id. */
export const TEXT_END = -1

export interface Seq2SeqOptions {
  readonly encoder: InferenceSession
  /** The graph of the first token, and that of those behind it: one and the same where they are merged. */
  readonly first: InferenceSession
  readonly later: InferenceSession
  readonly graph: Seq2SeqGraph
  /** What decoding starts with. */
  readonly startTokenId: number
  /** Tokens that are never written (generation_config.json's bad_words_ids of one token). */
  readonly neverTokenIds: ReadonlyArray<number>
  /** The first token of every answer, where the model wants one (forced_bos_token_id). */
  readonly forcedTokenId: number | undefined
}

interface Memory {
  readonly states: Tensor
  readonly textTokens: number
  /** In the order of `Seq2SeqGraph.kv`. */
  readonly past: ReadonlyArray<Tensor>
  /** Tokens that were written, the starting one among them. */
  readonly written: number
}

interface Held {
  readonly tokenIds: ReadonlyArray<number>
  /** Undefined until the whole text is there. */
  readonly memory: Memory | undefined
}

const EMPTY: Held = { tokenIds: [], memory: undefined }

const integers = (type: IntegerType, values: ReadonlyArray<number>): Tensor => {
  const dims = [1, values.length]
  return type === "int64"
    ? new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
    : new Tensor("int32", Int32Array.from(values), dims)
}

const ones = (tokens: number): ReadonlyArray<number> => Array.from({ length: tokens }, () => 1)

const emptyPast = ({ headDim, heads, type }: CrossKvTensor): Tensor =>
  new Tensor(type, makeKvNumbers(type, 0), [1, heads, 0, headDim])

/** The first `length` tokens of a cache in memory. */
const cutPast = (tensor: Tensor, shape: CrossKvTensor, written: number, length: number): Tensor => {
  const { data } = tensor
  if (!(data instanceof Float32Array || data instanceof Uint16Array)) throw new TypeError("a cache holds no floats")
  const cut = sliceSegment({ length: written, shapes: [shape], buffers: [data] }, 0, length)
  return new Tensor(shape.type, cut.buffers[0]!, [1, shape.heads, length, shape.headDim])
}

/** Reads the text. */
const readText = async (tokenIds: ReadonlyArray<number>, { encoder, graph }: Seq2SeqOptions): Promise<Memory> => {
  const feeds: Record<string, Tensor> = {}
  for (const [name, type] of graph.encoderInputs) {
    feeds[name] = integers(type, name === "input_ids" ? tokenIds : ones(tokenIds.length))
  }
  const { last_hidden_state: states } = await encoder.run(feeds)
  if (states === undefined) throw new Error("the encoder gives no last_hidden_state")
  return { states, textTokens: tokenIds.length, past: graph.kv.map(emptyPast), written: 0 }
}

/** Writes tokens behind what was written; gives the logits of each, and the memory that they leave. */
const write = async (tokenIds: ReadonlyArray<number>, memory: Memory, options: Seq2SeqOptions) => {
  const { first, graph, later } = options
  const session = memory.written === 0 ? first : later
  const feeds: Record<string, Tensor> = {
    encoder_hidden_states: memory.states,
    use_cache_branch: new Tensor("bool", Uint8Array.of(memory.written === 0 ? 0 : 1), [1]),
  }
  for (const [name, type] of graph.integers) {
    feeds[name] = integers(type, name === "input_ids" ? tokenIds : ones(memory.textTokens))
  }
  graph.kv.forEach(({ past }, index) => {
    feeds[past] = memory.past[index]!
  })
  const taken = session.inputNames.filter((name) => feeds[name] !== undefined)
  const fetched = graph.kv.filter(({ ofText }) => memory.written === 0 || !ofText).map(({ present }) => present)
  const outputs = await session.run(Object.fromEntries(taken.map((name) => [name, feeds[name]!])), [
    "logits",
    ...fetched,
  ])
  // What was read does not change: Optimum's graphs give something empty for it from the second token on.
  const past = graph.kv.map(({ present }, index) => outputs[present] ?? memory.past[index]!)
  return { logits: outputs.logits, memory: { ...memory, past, written: memory.written + tokenIds.length } }
}

/** Tokens that a model must not, or must, write; `logits` are those of `positions` in a row, the first after `written`. */
const force = (logits: Float32Array, positions: number, written: number, options: Seq2SeqOptions): void => {
  const { forcedTokenId, neverTokenIds } = options
  const width = logits.length / positions
  for (let at = 0; at < positions; at++) {
    const row = logits.subarray(at * width, (at + 1) * width)
    for (const tokenId of neverTokenIds) row[tokenId] = Number.NEGATIVE_INFINITY
    if (written + at > 0 || forcedTokenId === undefined) continue
    row.fill(Number.NEGATIVE_INFINITY)
    row[forcedTokenId] = 0
  }
}

/** Feeds tokens behind those that are held; the logits are of the last `logitsFrom`, and none while the text goes on. */
const feed = async (
  before: Held,
  { logitsFrom = 1, tokenIds }: StepRow,
  options: Seq2SeqOptions,
): Promise<{ readonly after: Held; readonly logits: Float32Array }> => {
  const all = [...before.tokenIds, ...tokenIds]
  const textEnd = all.indexOf(TEXT_END)
  if (textEnd < 0) return { after: { tokenIds: all, memory: undefined }, logits: new Float32Array(0) }
  const memory = before.memory ?? (await readText(all.slice(0, textEnd), options))
  const unwritten = all.slice(textEnd + memory.written)
  const toWrite = unwritten.map((tokenId) => (tokenId === TEXT_END ? options.startTokenId : tokenId))
  const made = await write(toWrite, memory, options)
  const every = logitsOf(made.logits)
  const logits = every.subarray(every.length - (every.length / toWrite.length) * logitsFrom)
  force(logits, logitsFrom, made.memory.written - logitsFrom, options)
  return { after: { tokenIds: all, memory: made.memory }, logits }
}

/** The first `length` tokens of what is held; a text that is cut is read again. */
const cutHeld = ({ memory, tokenIds }: Held, length: number, { kv }: Seq2SeqGraph): Held => {
  const kept = tokenIds.slice(0, length)
  const written = length - tokenIds.indexOf(TEXT_END)
  if (memory === undefined || written <= 0) return { tokenIds: kept, memory: undefined }
  const past = kv.map((shape, index) => {
    const tensor = memory.past[index]!
    return shape.ofText ? tensor : cutPast(tensor, shape, memory.written, written)
  })
  return { tokenIds: kept, memory: { ...memory, past, written } }
}

export const makeSeq2SeqDecoder = (options: Seq2SeqOptions): DecoderStep => {
  const { graph } = options
  const held = new Map<KvSlot, Held>()
  const bytesOf = (ofText: boolean) =>
    graph.kv.filter((tensor) => tensor.ofText === ofText).reduce((bytes, shape) => bytes + shapeBytes(shape), 0)
  // The encoder's states are as wide as all heads of one layer together, or nearly so.
  const bytesPerToken = Math.max(bytesOf(true) + shapeBytes(graph.kv[0]!), bytesOf(false))
  const makeSlot = (): KvSlot => {
    const slot: KvSlot = {
      get length() {
        return held.get(slot)?.tokenIds.length ?? 0
      },
      get bytes() {
        return slot.length * bytesPerToken
      },
    }
    return slot
  }
  const heldBy = (slot: KvSlot): Held => held.get(slot) ?? EMPTY
  const cutBack = (slot: KvSlot, length: number): boolean => {
    if (length < slot.length) held.set(slot, cutHeld(heldBy(slot), length, graph))
    return true
  }
  return {
    vocabSize: graph.vocabSize,
    rowsMax: 1,
    open: makeSlot,
    cutBack,
    // There are no places that could run out.
    park: () => {},
    unpark: () => {},
    fork: (slot, length = slot.length) => {
      const copy = makeSlot()
      held.set(copy, heldBy(slot))
      cutBack(copy, length)
      return copy
    },
    // A cache of two parts is no stretch of tokens; it is kept as a whole.
    save: () => undefined,
    load: (_, segments) => {
      if (segments.length > 0)
        throw new Error("the cache of an encoder-decoder is kept as a whole, and cannot be added to")
    },
    bytesFor: (lengths) =>
      bytesPerToken * (lengths.reduce((sum, length) => sum + length, 0) + lengths.reduce((a, b) => Math.max(a, b), 0)),
    release: (slot) => {
      held.delete(slot)
    },
    run: async (rows) => {
      const logits: Array<Float32Array> = []
      for (const row of rows) {
        const fed = await feed(heldBy(row.slot), row, options)
        held.set(row.slot, fed.after)
        logits.push(fed.logits)
      }
      return logits
    },
  }
}
