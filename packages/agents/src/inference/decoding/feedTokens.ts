/**
 * The boundary between token ids and the inputs of a decoder that are no cache, for any number of rows.
 */
import { Tensor } from "onnxruntime-node"
import type { DecoderGraph, DecoderInput } from "../graph/DecoderGraph.ts"

const integers = (type: DecoderInput["type"], values: ReadonlyArray<number>, dims: ReadonlyArray<number>): Tensor => {
  if (type === "bool") return new Tensor("bool", Uint8Array.from(values), dims)
  return type === "int64"
    ? new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
    : new Tensor("int32", Int32Array.from(values), dims)
}

/** A step's rows: how they lie in the cache, and what is new. */
export interface StepShape {
  /** Tokens that each row's cache holds; what lies behind them, up to `capacity`, is masked. */
  readonly lengths: ReadonlyArray<number>
  /** Tokens that the cache has room for. */
  readonly capacity: number
  /** New tokens of each row. */
  readonly tokens: number
}

/**
 * The attention mask of rows over a cache with room for `capacity` tokens: each row's own, then the new ones, which lie
 * behind the room or behind the row. Filled and not converted from numbers: at 8 rows of 512 tokens that is 4,096 BigInts
 * a step.
 */
const attentionMask = (type: DecoderInput["type"], append: DecoderGraph["append"], shape: StepShape): Tensor => {
  const { capacity, lengths, tokens } = shape
  const width = capacity + tokens
  const dims = [lengths.length, width]
  const fillWith = (fill: (from: number, to: number) => void) => {
    for (const [row, length] of lengths.entries()) {
      const start = row * width
      if (append === "at-length") {
        fill(start, start + length + tokens)
      } else {
        fill(start, start + length)
        fill(start + capacity, start + width)
      }
    }
  }
  if (type === "int64") {
    const mask = new BigInt64Array(lengths.length * width)
    fillWith((from, to) => mask.fill(1n, from, to))
    return new Tensor("int64", mask, dims)
  }
  const mask = new Int32Array(lengths.length * width)
  fillWith((from, to) => mask.fill(1, from, to))
  return new Tensor("int32", mask, dims)
}

/** A single number in as many dimensions as the graph wants it. */
const single = ({ rank, type }: DecoderInput, value: number): Tensor =>
  integers(
    type,
    [value],
    Array.from({ length: rank }, () => 1),
  )

/**
 * All inputs of a step but the cache.
 *
 * @param lengths tokens that each row's cache holds; what lies behind them, up to `capacity`, is masked
 * @param capacity tokens that the cache has room for
 * @param tokenIds the new ones, as many for each row
 * @param logitsFrom of how many of the last positions a graph that can choose gives the logits
 */
export const feedTokens = (
  graph: DecoderGraph,
  lengths: ReadonlyArray<number>,
  capacity: number,
  tokenIds: ReadonlyArray<ReadonlyArray<number>>,
  logitsFrom = 1,
): Record<string, Tensor> => {
  const tokens = tokenIds[0]?.length ?? 0
  const rows = lengths.length
  const dims = [rows, tokens]
  const feed = (input: DecoderInput): Tensor => {
    switch (input.role) {
      case "input_ids":
        return integers(input.type, tokenIds.flat(), dims)
      case "attention_mask":
        return attentionMask(input.type, graph.append, { lengths, capacity, tokens })
      case "position_ids": {
        const positions = lengths.flatMap((length) => Array.from({ length: tokens }, (_, at) => length + at))
        return integers(input.type, positions, dims)
      }
      case "num_logits_to_keep":
        return single(input, logitsFrom)
      case "seqlens_k": {
        const last = lengths.map((length) => length + tokens - 1)
        return integers(input.type, last, input.rank === 2 ? [rows, 1] : [rows])
      }
      case "total_sequence_length":
        return single(input, capacity + tokens)
      case "past_sequence_length":
        return single(input, capacity)
      case "current_sequence_length":
        return single(input, tokens)
      case "use_cache_branch":
        return single(input, capacity > 0 ? 1 : 0)
    }
  }
  return Object.fromEntries(graph.inputs.map((input) => [input.name, feed(input)]))
}
