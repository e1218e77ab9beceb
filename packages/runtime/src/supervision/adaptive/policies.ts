/**
 * The boundary between the targets that a message may go to and the one that it goes to: policies by name, all of one form.
 * What is gone, ejected or full is not among what they choose from. Pure.
 */
import type { Candidate, Evidence, Prediction } from "./Evidence.ts"

/** A target that a message may go to, with what is expected of it there. */
export interface Scored {
  readonly candidate: Candidate
  readonly predicted: Prediction
  /** In milliseconds; the lower the better. */
  readonly costMs: number
}

/** @param scored at least one; @param random a number in [0, 1) */
type Policy = (scored: ReadonlyArray<Scored>, evidence: Evidence, random: number) => Scored | undefined

const least = (scored: ReadonlyArray<Scored>, of: (each: Scored) => number, random: number): Scored | undefined => {
  let best = Number.POSITIVE_INFINITY
  for (const each of scored) best = Math.min(best, of(each))
  const equals = scored.filter((each) => of(each) <= best)
  return equals[Math.floor(random * equals.length)]
}

const byCost: Policy = (scored, _, random) => least(scored, ({ costMs }) => costMs, random)

/** FNV-1a, and a last mix (of MurmurHash 3), or names that differ in their last digit would have hashes in a row. */
const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  return (value ^ (value >>> 13)) >>> 0
}

/** A message leaves the target of its session where that costs this many times as much as the best. */
const MOVE_SESSION = 2

/** Rendezvous hashing (Thaler and Ravishankar, 1998): of targets that come and go, only their own sessions move. */
const bySession: Policy = (scored, evidence, random) => {
  const best = byCost(scored, evidence, random)
  const { key } = evidence.message
  if (key === undefined || best === undefined) return best
  const home = least(scored, ({ candidate }) => -hash(`${key} ${candidate.target}`), random)
  return home !== undefined && home.costMs <= MOVE_SESSION * best.costMs ? home : best
}

/** In time often enough for the cheaper one to be taken. */
const SURE = 0.95

/** The cheapest of those that are sure enough to be in time; where none is, the one of lowest cost in time. */
const byPrice: Policy = (scored, evidence, random) => {
  const sure = scored.filter(({ predicted }) => predicted.inTime >= SURE)
  const cheap = sure.length === 0 ? scored : sure
  const lowest = Math.min(...cheap.map(({ candidate }) => candidate.costPerMessage ?? 0))
  return byCost(
    sure.length === 0 ? scored : cheap.filter(({ candidate }) => (candidate.costPerMessage ?? 0) === lowest),
    evidence,
    random,
  )
}

const POLICIES = {
  score: byCost,
  "round-robin": (scored, { pool }) => scored[pool.turn % scored.length],
  "least-outstanding": (scored, _, random) =>
    least(scored, ({ candidate }) => candidate.outstanding / candidate.slots, random),
  /** The better of two at random (Mitzenmacher, 2001): for pools of dozens, where scoring each would cost too much. */
  "two-choices": (scored, evidence, random) => {
    const first = Math.floor(random * scored.length)
    const rest = random * scored.length - first
    const second = (first + 1 + Math.floor(rest * (scored.length - 1))) % scored.length
    return byCost(
      [scored[first], scored[second]].flatMap((each) => each ?? []),
      evidence,
      rest,
    )
  },
  session: bySession,
  price: byPrice,
} satisfies Record<string, Policy>

/** How a pool chooses among targets that are open. */
export type PolicyName = keyof typeof POLICIES

export const POLICY_NAMES: ReadonlyArray<string> = Object.keys(POLICIES)

export const isPolicy = (name: string): name is PolicyName => Object.hasOwn(POLICIES, name)

/** What the pool's policy takes; `undefined` only of nothing. */
export const pick = (scored: ReadonlyArray<Scored>, evidence: Evidence, random: number): Scored | undefined => {
  const { policy } = evidence.pool
  return scored.length === 0 ? undefined : POLICIES[isPolicy(policy) ? policy : "score"](scored, evidence, random)
}
