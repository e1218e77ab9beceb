/**
 * The boundary between token ids and the integer inputs of a decoder, for any number of rows.
 */
import { Tensor } from "onnxruntime-node"
import type { DecoderGraph, IntegerType } from "../graph/DecoderGraph.ts"

const integers = (type: IntegerType, values: ReadonlyArray<number>, dims: ReadonlyArray<number>): Tensor =>
  type === "int64"
    ? new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
    : new Tensor("int32", Int32Array.from(values), dims)

/**
 * The attention mask of rows over a cache with room for `capacity` tokens: each row's own, then the new ones. Filled and
 * not converted from numbers: at 8 rows of 512 tokens that is 4,096 BigInts a step.
 */
const attentionMask = (type: IntegerType, lengths: ReadonlyArray<number>, capacity: number, tokens: number): Tensor => {
  const width = capacity + tokens
  const dims = [lengths.length, width]
  const fillWith = (fill: (from: number, to: number) => void) => {
    for (const [row, length] of lengths.entries()) {
      fill(row * width, row * width + length)
      fill(row * width + capacity, (row + 1) * width)
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
  const dims = [lengths.length, tokens]
  const positions = () => lengths.flatMap((length) => Array.from({ length: tokens }, (_, at) => length + at))
  const feeds: Record<string, Tensor> = {}
  for (const [name, type] of graph.integerInputs) {
    if (name === "input_ids") feeds[name] = integers(type, tokenIds.flat(), dims)
    else if (name === "attention_mask") feeds[name] = attentionMask(type, lengths, capacity, tokens)
    else if (name === "position_ids") feeds[name] = integers(type, positions(), dims)
    // num_logits_to_keep
    else feeds[name] = integers(type, [logitsFrom], [])
  }
  return feeds
}
