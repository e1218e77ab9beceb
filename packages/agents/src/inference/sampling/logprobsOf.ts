/** The boundary between logits and the log-probabilities that a reader is told. Pure. */
import type { TokenLogprobs } from "../../ModelTarget.ts"
import { keepTopK } from "./keepTopK.ts"

/** Four decimals: what a float32's logits are good for, and half the length in a durable chunk. */
const round = (value: number): number => Math.round(value * 10_000) / 10_000

/**
 * What the model gave the chosen token, and the `top` most probable ones, most probable first.
 *
 * @param logits as the model gave them
 * @param ids scratch, as long as the logits
 */
export const logprobsOf = (logits: Float32Array, chosen: number, top: number, ids: Int32Array): TokenLogprobs => {
  let most = Number.NEGATIVE_INFINITY
  for (const logit of logits) if (logit > most) most = logit
  let total = 0
  for (const logit of logits) total += Number.isNaN(logit) ? 0 : Math.exp(logit - most)
  const norm = most + Math.log(total)
  const logprob = (id: number) => round(Math.max(logits[id]! - norm, LOGPROB_MIN))
  if (top === 0) return { logprob: logprob(chosen), top: [] }
  for (let id = 0; id < logits.length; id++) ids[id] = id
  const kept = keepTopK(ids, logits.length, logits, top)
  const best = Array.from(ids.subarray(0, kept)).sort((a, b) => logits[b]! - logits[a]! || a - b)
  return { logprob: logprob(chosen), top: best.map((tokenId) => ({ tokenId, logprob: logprob(tokenId) })) }
}

/** JSON has no infinity: a model that excludes a token by itself is told as this, as OpenAI does. */
const LOGPROB_MIN = -9999
