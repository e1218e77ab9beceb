/**
 * The boundary between sampling and memory: buffers as long as the vocabulary, made once and used for every token. Nothing in
 * them outlives a call.
 */

export interface Scratch {
  readonly vocabSize: number
  /** Ids of the tokens that may still be drawn, in any order. */
  readonly ids: Int32Array
  /** By token id, of the ids above only. */
  readonly weights: Float64Array
  /** By token id, where an order other than the logits' is needed. */
  readonly keys: Float64Array
  /** By token id; all 0 between calls. */
  readonly counts: Int32Array
  /** The logits before anything was done to them. */
  readonly raw: Float32Array
}

const make = (vocabSize: number): Scratch => ({
  vocabSize,
  ids: new Int32Array(vocabSize),
  weights: new Float64Array(vocabSize),
  keys: new Float64Array(vocabSize),
  counts: new Int32Array(vocabSize),
  raw: new Float32Array(vocabSize),
})

/** The last one: a process has one model, and its vocabulary does not change. */
let last: Scratch | undefined

export const scratchFor = (vocabSize: number): Scratch => {
  if (last?.vocabSize !== vocabSize) last = make(vocabSize)
  return last
}
