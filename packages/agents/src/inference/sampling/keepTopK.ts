/** The boundary of top-k: only the k most probable tokens (Fan, Lewis, Dauphin 2018, arXiv 1805.04833). Pure. */
import { selectFirst } from "./selectFirst.ts"

/** Up to this many are found in one pass with a heap: a top-k 50 token of 150,000 takes 0.7 ms, and took 30 with a sort. */
const HEAP_LENGTH_MAX = 256

/** Whether `a` is worse than `b`: of equal logits the greater id. */
const isWorse = (a: number, b: number, logits: Float32Array): boolean =>
  logits[a]! < logits[b]! || (logits[a] === logits[b] && a > b)

/** Restores the heap, the worst of whose first `length` ids stands first, from `at` downwards. */
const sink = (heap: Int32Array, length: number, at: number, logits: Float32Array): void => {
  const id = heap[at]!
  let hole = at
  for (;;) {
    let child = 2 * hole + 1
    if (child >= length) break
    if (child + 1 < length && isWorse(heap[child + 1]!, heap[child]!, logits)) child++
    if (!isWorse(heap[child]!, id, logits)) break
    heap[hole] = heap[child]!
    hole = child
  }
  heap[hole] = id
}

/**
 * Reorders the first `count` of `ids`, which ascend, so that those to keep stand first. @returns how many they are
 */
export const keepTopK = (ids: Int32Array, count: number, logits: Float32Array, topK: number): number => {
  if (topK === 0 || topK >= count) return count
  if (topK > HEAP_LENGTH_MAX) return selectFirst(ids, count, logits, topK)
  // The ids themselves are the heap: what is read lies always behind it.
  for (let at = (topK >> 1) - 1; at >= 0; at--) sink(ids, topK, at, logits)
  let worst = logits[ids[0]!]!
  for (let at = topK; at < count; at++) {
    const id = ids[at]!
    // Of equal logits the earlier id stays, so what is not greater than the worst is not kept.
    if (logits[id]! <= worst) continue
    ids[0] = id
    sink(ids, topK, 0, logits)
    worst = logits[ids[0]!]!
  }
  return topK
}
