/**
 * The boundary between evidence and expectation: when a message would end at a target, and how surely before its deadline.
 * Pure.
 *
 * The wait is that for `ahead` departures from a target whose slots are all busy. It and the service are taken together as
 * one lognormal of their mean and variance (Fenton and Wilkinson), so that a deadline has a probability, and not a yes or no.
 */
import type { Candidate, Prediction } from "./Evidence.ts"
import { inTime, meanMs, percentileMs } from "./lognormal.ts"

/** p is never believed lower, so that costs stay finite and a failing target can still be ranked. */
const SUCCESS_MIN = 0.05
/** p90 as a normal deviate: one message in ten is looked at again while it runs. */
const REVIEW_Z = 1.282

/**
 * @param leftMs until the deadline; null without one
 * @param others messages there beside this one; by default all that are outstanding
 */
export const predict = (candidate: Candidate, leftMs: number | null, others = candidate.outstanding): Prediction => {
  const { serviceMs, slots, spread } = candidate
  const success = Math.max(SUCCESS_MIN, candidate.success)
  const service = meanMs(serviceMs, spread)
  // Relative variance of a service.
  const scv = Math.exp(spread ** 2) - 1
  const ahead = others + 1 - slots
  if (ahead <= 0) {
    const idle = leftMs === null ? success : success * inTime(leftMs, serviceMs, spread)
    return { totalMs: service, waitMs: 0, ahead: 0, inTime: idle, inTimeIdle: idle }
  }
  // The first departure comes sooner: those that run have run for a while.
  const first = candidate.nextFreeMs ?? ((1 + scv) / 2) * (service / slots)
  const waitMs = first + ((ahead - 1) * service) / slots
  const totalMs = waitMs + service
  if (leftMs === null) return { totalMs, waitMs, ahead, inTime: success, inTimeIdle: success }
  const variance = ahead * (service / slots) ** 2 * ((1 + scv) / 2) + service ** 2 * scv
  const s2 = Math.log(1 + variance / totalMs ** 2)
  const medianMs = totalMs / Math.exp(s2 / 2)
  return {
    totalMs,
    waitMs,
    ahead,
    inTime: success * inTime(leftMs, medianMs, Math.sqrt(s2)),
    inTimeIdle: success * inTime(leftMs, serviceMs, spread),
  }
}

/** When a message that is sent there now should be looked at again, in milliseconds. */
export const reviewAfterMs = ({ serviceMs, spread }: Candidate, { waitMs }: Prediction): number =>
  Math.max(1, waitMs + percentileMs(REVIEW_Z, serviceMs, spread))

/** What a failure costs beside its own time, in milliseconds: a retry elsewhere has to start over. */
const FAIL_COST_MS = 250
/** What missing the deadline costs, as many times as what is left until it: more than any wait that keeps it. */
const MISS_COST = 4
/** What company costs on a target, as a share of its service: slots that run together are slower than one alone. */
const COMPANY_COST = 0.1

/** What sending the message there costs, in milliseconds; the lower the better. */
export const costOf = (
  candidate: Candidate,
  predicted: Prediction,
  leftMs: number | null,
  tierPenaltyMs: number,
): number => {
  const p = Math.max(SUCCESS_MIN, candidate.success)
  const company = (COMPANY_COST * candidate.serviceMs * candidate.outstanding) / candidate.slots
  // A failure is tried again elsewhere: what it costs is time.
  const missed = leftMs === null ? 0 : (1 - predicted.inTime / p) * MISS_COST * Math.max(1, leftMs)
  return (predicted.totalMs + company) / p + ((1 - p) / p) * FAIL_COST_MS + missed + candidate.tier * tierPenaltyMs
}
