/**
 * The boundary between a row of `routes` and a decision that is made again: reads what a pool's decision saw, and says what
 * another policy would have made of it.
 */
import { Option, Schema } from "effect"
import { decide } from "./decide.ts"
import type { Decision, Evidence } from "./Evidence.ts"
import type { PolicyName } from "./policies.ts"

const Lifecycle = Schema.Literals([
  "starting",
  "ready",
  "degraded",
  "draining",
  "suspended",
  "restarting",
  "failed",
  "stopped",
])

const CandidateSchema = Schema.Struct({
  target: Schema.String,
  lifecycle: Lifecycle,
  health: Schema.Literals(["healthy", "suspect", "ejected", "probing", "warming"]),
  tier: Schema.Number,
  slots: Schema.Number,
  outstanding: Schema.Number,
  serviceMs: Schema.Number,
  spread: Schema.Number,
  success: Schema.Number,
  oldestRunningMs: Schema.Number,
  tried: Schema.Boolean,
  nextFreeMs: Schema.optionalKey(Schema.Number),
  queueMs: Schema.optionalKey(Schema.Number),
  firstTokenMs: Schema.optionalKey(Schema.Number),
  perTokenMs: Schema.optionalKey(Schema.Number),
  costPerMessage: Schema.optionalKey(Schema.Number),
  quality: Schema.optionalKey(Schema.Number),
})

const EvidenceSchema = Schema.Struct({
  nowMs: Schema.Number,
  pool: Schema.Struct({
    name: Schema.String,
    policy: Schema.String,
    tierPenaltyMs: Schema.Number,
    retriesLeft: Schema.Number,
    hedgesLeft: Schema.Number,
    admitShare: Schema.Number,
    turn: Schema.Number,
  }),
  message: Schema.Struct({
    phase: Schema.Literals(["new", "promised", "failed", "waiting", "running"]),
    leftMs: Schema.NullOr(Schema.Number),
    priority: Schema.Number,
    outsideEffects: Schema.Boolean,
    attempts: Schema.Number,
    on: Schema.optionalKey(Schema.String),
    ageMs: Schema.optionalKey(Schema.Number),
    hedged: Schema.optionalKey(Schema.Boolean),
    key: Schema.optionalKey(Schema.String),
  }),
  candidates: Schema.Array(CandidateSchema),
})

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(EvidenceSchema))

/** What a pool's decision saw; `undefined` of a row that is no pool's, or of an older version. */
export const readEvidence = (text: string): Evidence | undefined => Option.getOrUndefined(decode(text))

/** What the policy would have decided on the same evidence. Chance is not in the log: among equals it takes the middle one. */
export const replay = (evidence: Evidence, policy: PolicyName): Decision | undefined =>
  decide({ ...evidence, pool: { ...evidence.pool, policy } }, 0.5)
