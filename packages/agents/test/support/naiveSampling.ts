/**
 * The boundary between tests and what sampling is: every part written down as its definition says, with sorting and no
 * thought of speed.
 */
import type { Before, SamplingPlan } from "../../src/inference/sampling/sample.ts"

/** What a float32 holds: the logits lie in such. */
const float = Math.fround

const processed = (values: ReadonlyArray<number>, plan: SamplingPlan, before: Before): ReadonlyArray<number> => {
  const logits = [...values]
  const answer = before.tokenIds.slice(before.answerFrom)
  for (const [id, added] of plan.logitBias) if (id < logits.length) logits[id] = float(logits[id]! + added)
  for (const id of new Set(before.tokenIds)) {
    const logit = logits[id]
    if (logit === undefined || plan.repetitionPenalty === 1) continue
    logits[id] = float(logit > 0 ? logit / plan.repetitionPenalty : logit * plan.repetitionPenalty)
  }
  for (const id of new Set(answer)) {
    const times = answer.filter((other) => other === id).length
    if (id < logits.length) logits[id] = float(logits[id]! - plan.presencePenalty - plan.frequencyPenalty * times)
  }
  const size = plan.noRepeatNgram
  const banned = new Set(plan.bannedTokenIds)
  if (size > 0) {
    const tail = before.tokenIds.slice(before.tokenIds.length - size + 1).join()
    for (let at = 0; at + size <= before.tokenIds.length; at++) {
      const gram = before.tokenIds.slice(at, at + size)
      if (size === 1 || gram.slice(0, -1).join() === tail) banned.add(gram.at(-1)!)
    }
  }
  if (answer.length < plan.minTokens) for (const id of plan.endTokenIds) banned.add(id)
  return logits.map((logit, id) => (banned.has(id) ? Number.NEGATIVE_INFINITY : logit))
}

interface Share {
  readonly id: number
  readonly logit: number
  readonly share: number
}

const normalise = (kept: ReadonlyArray<Share>): ReadonlyArray<Share> => {
  const total = kept.reduce((sum, { share }) => sum + share, 0)
  return kept.map((one) => ({ ...one, share: one.share / total }))
}

/** The first of them that together reach `mass`. */
const reach = (ordered: ReadonlyArray<Share>, mass: number): ReadonlyArray<Share> => {
  let held = 0
  const at = ordered.findIndex(({ share }) => {
    held += share
    return held >= mass - 1e-12
  })
  return ordered.slice(0, at < 0 ? ordered.length : at + 1)
}

/** The probability of each token that may be drawn. */
export const naiveShares = (
  values: ReadonlyArray<number>,
  plan: SamplingPlan,
  before: Before,
): ReadonlyMap<number, number> => {
  const logits = processed(values, plan, before)
  const most = Math.max(...logits)
  const byLogit = logits
    .map((logit, id) => ({ id, logit, share: Math.exp((logit - most) / plan.temperature) }))
    .filter(({ logit }) => logit > Number.NEGATIVE_INFINITY)
    .sort((a, b) => b.logit - a.logit || a.id - b.id)
  if (byLogit.length === 0) return new Map()
  let kept = normalise(plan.topK === 0 ? byLogit : byLogit.slice(0, plan.topK))
  if (plan.topP < 1) kept = normalise(reach(kept, plan.topP))
  const best = kept[0]!.share
  kept = normalise(kept.filter(({ share }) => share >= plan.minP * best))
  if (plan.typicalP < 1) {
    const surprise = (share: number) => (share > 0 ? -Math.log(share) : 0)
    const entropy = kept.reduce((sum, { share }) => sum + share * surprise(share), 0)
    const distance = ({ share }: Share) => Math.abs(-Math.log(share) - entropy)
    kept = normalise(
      reach(
        [...kept].sort((a, b) => distance(a) - distance(b) || a.id - b.id),
        plan.typicalP,
      ),
    )
  }
  return new Map(kept.map(({ id, share }) => [id, share]))
}
