/**
 * The boundary of the choice: what becomes of a message of a pool, and why. Pure: the same evidence and the same random
 * number give the same decision, so that a decision in the log can be made again.
 *
 * Every target is scored (with two to eight, power of two choices only adds noise):
 *
 *     cost = (wait + service) / p  +  (1 - p) / p * failCost  +  (1 - inTime) * missCost  +  tier * tierPenalty
 *
 * with p the believed probability of success, and the times from `predict.ts`. What may be scored at all is narrowed first:
 * never a target that is gone, a target that was ejected only where there is no other.
 */
import { admits, retryAfterMs } from "./admit.ts"
import type { Candidate, Decision, Evidence } from "./Evidence.ts"
import { inTime, inTimeAfter, percentileMs } from "./lognormal.ts"
import { pick, type Scored } from "./policies.ts"
import { costOf, predict, reviewAfterMs } from "./predict.ts"

/** What a target has to be: one that runs messages now, or, where there is none, one that will soon. */
const usable = ({ lifecycle }: Candidate): boolean => lifecycle === "ready" || lifecycle === "degraded"
const coming = ({ lifecycle }: Candidate): boolean => lifecycle === "starting" || lifecycle === "restarting"

/** Takes traffic: neither ejected nor waiting for the answer of its probe. */
const open = (candidate: Candidate): boolean =>
  usable(candidate) && candidate.health !== "ejected" && candidate.health !== "probing"

interface Choice {
  readonly rule: string
  readonly from: ReadonlyArray<Candidate>
}

/** Rules from the strictest to the most lenient; the first with a target left decides. Never is every target refused. */
const RULES: ReadonlyArray<readonly [string, (candidate: Candidate) => boolean]> = [
  ["lowest cost", (candidate) => open(candidate) && !candidate.tried],
  ["no untried target is open; lowest cost among the tried", open],
  ["every ready target is ejected; lowest cost all the same", usable],
  ["no target is ready; waits for one that starts", coming],
]

const narrow = (candidates: ReadonlyArray<Candidate>): Choice | undefined => {
  for (const [rule, admitted] of RULES) {
    const from = candidates.filter(admitted)
    if (from.length > 0) return { rule, from }
  }
  return undefined
}

const score = ({ message, pool }: Evidence, candidate: Candidate): Scored => {
  const predicted = predict(candidate, message.leftMs)
  return { candidate, predicted, costMs: costOf(candidate, predicted, message.leftMs, pool.tierPenaltyMs) }
}

const picked = (evidence: Evidence, from: ReadonlyArray<Candidate>, random: number): Scored | undefined =>
  pick(
    from.map((candidate) => score(evidence, candidate)),
    evidence,
    random,
  )

/** A target that is due for its probe takes the next message that can bear it. */
const probeFor = ({ candidates, message }: Evidence): Candidate | undefined =>
  message.outsideEffects || message.phase !== "new"
    ? undefined
    : candidates.find((each) => usable(each) && each.health === "probing" && each.outstanding === 0 && !each.tried)

/** An attempt beyond the first needs a budget; without one, it waits for as long as a service takes. */
const later = (from: ReadonlyArray<Candidate>, random: number): Decision => {
  const usual = Math.min(...from.map(({ serviceMs }) => serviceMs))
  return { _tag: "Later", rule: "the retry budget is used up", waitMs: Math.ceil(usual * (0.5 + random)) }
}

/** A target with less room than the best has is no room where it would hardly be in time. */
const SPARE_SHARE = 0.5

/** Where the best target is full, one that is worse, and has room. */
const spare = (evidence: Evidence, from: ReadonlyArray<Candidate>, random: number): Scored | undefined => {
  const { message, pool } = evidence
  const outlooks = from.map((candidate) => ({ candidate, predicted: predict(candidate, message.leftMs) }))
  const idle = Math.max(...outlooks.map(({ predicted }) => predicted.inTimeIdle))
  const roomy = outlooks.filter(
    ({ candidate, predicted }) =>
      candidate.health !== "suspect" &&
      admits(message, predicted, pool.admitShare) &&
      predicted.inTime >= SPARE_SHARE * idle,
  )
  return picked(
    evidence,
    roomy.map(({ candidate }) => candidate),
    random,
  )
}

const choose = (evidence: Evidence, random: number): Decision | undefined => {
  const { message, pool } = evidence
  const choice = narrow(evidence.candidates)
  if (choice === undefined) return undefined
  if (message.phase === "failed" && pool.retriesLeft < 1) return later(choice.from, random)
  const best = picked(evidence, choice.from, random)
  if (best === undefined) return undefined
  const probed = open(best.candidate) ? probeFor(evidence) : undefined
  if (probed !== undefined) {
    const predicted = predict(probed, message.leftMs)
    // Looked at early: it is moved before that costs it its deadline.
    const reviewMs = Math.max(1, percentileMs(0.67, best.candidate.serviceMs, best.candidate.spread))
    return { _tag: "Route", chosen: probed.target, rule: "probe", predicted, reviewAfterMs: reviewMs }
  }
  const refused = message.phase === "new" && !admits(message, best.predicted, pool.admitShare)
  const taken = refused ? spare(evidence, choice.from, random) : best
  if (taken === undefined) {
    const { predicted } = best
    const rule = "no target would have it in time"
    return { _tag: "Refuse", rule, retryAfterMs: retryAfterMs(predicted, random), predicted }
  }
  const { candidate, predicted } = taken
  return {
    _tag: "Route",
    chosen: candidate.target,
    rule: refused ? "the best are full; lowest cost among those with room" : choice.rule,
    predicted,
    reviewAfterMs: reviewAfterMs(candidate, predicted),
  }
}

/** How much surer of its deadline a message has to be elsewhere to be moved there: it starts over. */
const MOVE_GAIN = 0.1
const HEDGE_GAIN = 0.03
/** Believed of any message before it is late: that its target has just stopped answering. */
const HANG_PRIOR = 0.005

/** The probability that a message will never be answered: the rarer such an age is among healthy ones, the surer. */
const hangs = ({ serviceMs, spread }: Candidate, ageMs: number): number => {
  const tail = 1 - inTime(ageMs, serviceMs, spread)
  return HANG_PRIOR / (HANG_PRIOR + (1 - HANG_PRIOR) * tail)
}

/** Between two looks at a message that waits or runs, as a share of its service. */
const REVIEW_SHARE = 0.25

/** What a message loses or gains by starting over elsewhere. */
const reconsider = (evidence: Evidence, random: number): Decision => {
  const { candidates, message, pool } = evidence
  const here = candidates.find(({ target }) => target === message.on)
  const others = candidates.filter((each) => open(each) && each !== here && !each.tried)
  const best = picked(evidence, others, random)
  const serviceMs = here?.serviceMs ?? best?.candidate.serviceMs ?? 1
  const lookAgainMs = Math.max(1, REVIEW_SHARE * Math.min(serviceMs, best?.candidate.serviceMs ?? serviceMs))
  const stay = (rule: string): Decision => ({ _tag: "Stay", rule, reviewAfterMs: lookAgainMs })
  if (best === undefined) return stay("no other target is open")
  if (here === undefined) return stay("it is nowhere")
  const { ageMs = 0, leftMs } = message
  // Without a deadline, what is expected of a healthy one stands for it.
  const within = leftMs ?? 2 * best.predicted.totalMs
  const p = here.success * (1 - hangs(here, ageMs))
  const stays =
    message.phase === "running"
      ? p * inTimeAfter(within, ageMs, here.serviceMs, here.spread)
      : predict(here, within, Math.max(0, here.outstanding - 1)).inTime
  const moves = leftMs === null ? predict(best.candidate, within).inTime : best.predicted.inTime
  const found = {
    chosen: best.candidate.target,
    predicted: best.predicted,
    reviewAfterMs: reviewAfterMs(best.candidate, best.predicted),
  }
  const both = 1 - (1 - stays) * (1 - moves)
  const free = best.candidate.outstanding < best.candidate.slots
  if (message.phase === "running" && message.outsideEffects) return stay("it may not be run twice on purpose")
  if (message.phase === "running" && here.health === "probing" && message.hedged !== true) {
    const _tag = pool.hedgesLeft >= 1 ? "Hedge" : "Move"
    return { _tag, rule: `${here.target} has not answered its probe as fast as others do`, ...found }
  }
  if (moves > stays + MOVE_GAIN && pool.retriesLeft >= 1 && (message.phase === "waiting" || stays < 0.3)) {
    return { _tag: "Move", rule: `${here.target} is too slow`, ...found }
  }
  const hedges = message.phase === "running" && message.hedged !== true && free && pool.hedgesLeft >= 1
  if (hedges && both > stays + HEDGE_GAIN) return { _tag: "Hedge", rule: `${here.target} may be too slow`, ...found }
  return stay("nothing is gained elsewhere")
}

/**
 * Decides on one message; `undefined` where every target is gone for good.
 *
 * @param random a number in [0, 1), to choose among equals
 */
export const decide = (evidence: Evidence, random: number): Decision | undefined => {
  const { phase } = evidence.message
  return phase === "waiting" || phase === "running" ? reconsider(evidence, random) : choose(evidence, random)
}
