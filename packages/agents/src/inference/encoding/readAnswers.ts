/**
 * The boundary between a graph's outputs and what was asked of a text: the numbers, or the spans, of one row of a batch.
 */
import type { Tensor } from "onnxruntime-node"
import type { TokenSpan } from "../../EncoderTarget.ts"
import type { Encode } from "../../engine/protocol.ts"
import type { ModelTokenizer } from "../text/ModelTokenizer.ts"
import type { EncoderGraph } from "./EncoderGraph.ts"
import { normalise, type Pooling, pool, sigmoid, softmax } from "./encoding.ts"
import { joinedSpans, type LabelledToken, singleSpans } from "./tagSpans.ts"

/** How vectors are made, everything decided. */
export interface VectorPlan {
  /** Undefined where the graph has pooled them. */
  readonly pooling: Pooling | undefined
  readonly normalise: boolean
  readonly dimensionsMax: number | undefined
}

export interface AnswerReader {
  readonly graph: EncoderGraph
  readonly vectors: VectorPlan
  readonly tokenizer: ModelTokenizer
}

/** The outputs that a question needs: each that is fetched is copied. */
export const outputOf = (want: Encode["want"], { graph, vectors }: AnswerReader): string =>
  want !== "vectors" ? "logits" : ((vectors.pooling === undefined ? graph.pooledOutput : graph.statesOutput) ?? "")

/** A whole output as 32-bit floats. */
export const floatsOf = (tensor: Tensor): Float32Array =>
  tensor.data instanceof Float32Array
    ? tensor.data
    : Float32Array.from({ length: tensor.size }, (_, at) => Number(tensor.data[at]))

/** A row's part of an output. */
export const rowOf = (values: Float32Array, rows: number, at: number): Float32Array => {
  const perRow = values.length / rows
  return values.subarray(at * perRow, (at + 1) * perRow)
}

const probabilities = (logits: Float32Array, { exclusive }: EncoderGraph): Float32Array =>
  exclusive ? softmax(logits) : sigmoid(logits)

const vectorOf = (row: Float32Array, tokens: number, paddedTokens: number, plan: VectorPlan): Float32Array => {
  const { dimensionsMax, pooling } = plan
  const whole = pooling === undefined ? row : pool(row, tokens, row.length / paddedTokens, pooling)
  const kept = whole.slice(0, dimensionsMax)
  return plan.normalise ? normalise(kept) : kept
}

/** Two labels are irrelevant and relevant, one is relevance itself. */
const relevanceOf = (logits: Float32Array): number =>
  (logits.length === 1 ? sigmoid(logits)[0] : softmax(logits)[1]) ?? 0

/** The numbers of one text. @param paddedTokens the length of its batch */
export const readNumbers = (
  want: Encode["want"],
  row: Float32Array,
  tokens: number,
  paddedTokens: number,
  { graph, vectors }: AnswerReader,
): Float32Array => {
  if (want === "classes") return probabilities(row, graph)
  if (want === "scores") return Float32Array.of(relevanceOf(row))
  return vectorOf(row, tokens, paddedTokens, vectors)
}

/** The spans of one text. */
export const readSpans = (
  row: Float32Array,
  text: string,
  tokenIds: ReadonlyArray<number>,
  single: boolean,
  { graph, tokenizer }: AnswerReader,
): ReadonlyArray<TokenSpan> => {
  const { labels } = graph
  const places = tokenizer.locate(text, tokenIds)
  const tokens = places.flatMap((place, at): ReadonlyArray<LabelledToken> => {
    if (place === undefined) return []
    const scores = softmax(row.subarray(at * labels.length, (at + 1) * labels.length))
    const best = scores.indexOf(scores.reduce((a, b) => Math.max(a, b), 0))
    return [{ label: labels[best] ?? "", score: scores[best] ?? 0, ...place }]
  })
  return single ? singleSpans(tokens, text) : joinedSpans(tokens, text)
}
