/**
 * The boundary to sample data: writes with every field filled in, so that a test names only what it is about.
 */
import type { Address } from "../../message/Address.ts"
import type { Envelope, FinalStatus } from "../../message/Envelope.ts"
import type {
  Append,
  AppendChunk,
  Claim,
  Forward,
  LifecycleEvent,
  Postpone,
  PutActor,
  RecordStep,
  Redrive,
  Reroute,
  Retry,
  RouteDecision,
  Settle,
} from "../../ports/Write.ts"

/** The time at which every sample begins: 2026-01-01T00:00:00Z. */
export const START_MS = 1_767_225_600_000

export const BARISTA: Address = { type: "barista", id: "1" }
export const CASHIER: Address = { type: "cashier", id: "1" }

export const sampleEnvelope = (id: string, fields: Partial<Envelope> = {}): Envelope => ({
  id,
  actorType: BARISTA.type,
  actorId: BARISTA.id,
  pool: null,
  task: "brew",
  codec: "json",
  priority: 0,
  createdAtMs: START_MS,
  deliverAtMs: START_MS,
  deadlineAtMs: null,
  sender: null,
  correlationId: id,
  causationId: null,
  idempotencyKey: null,
  traceId: "trace",
  body: "{}",
  ...fields,
})

export const append = (id: string, fields: Partial<Envelope> = {}): Append => ({
  _tag: "Append",
  message: sampleEnvelope(id, fields),
  claimedAtMs: null,
})

export const appendClaimed = (id: string, fields: Partial<Envelope> = {}): Append => ({
  ...append(id, fields),
  claimedAtMs: fields.createdAtMs ?? START_MS,
})

export const claim = (messageId: string, attempt = 1): Claim => ({
  _tag: "Claim",
  messageId,
  attempt,
  atMs: START_MS + 10 * attempt,
})

export const retry = (messageId: string, attempt = 1, target: Address = BARISTA): Retry => ({
  _tag: "Retry",
  messageId,
  attempt,
  deliverAtMs: START_MS + 100 * attempt,
  target,
  error: `{"tag":"Boom","message":"attempt ${attempt}","retry":"retryable"}`,
  atMs: START_MS + 10 * attempt + 5,
})

export const postpone = (messageId: string, attempt = 1): Postpone => ({
  _tag: "Postpone",
  messageId,
  attempt,
  deliverAtMs: START_MS + 5_000 * attempt,
})

export const forward = (
  messageId: string,
  attempt = 1,
  via = '["barista/1"]',
  pool: string | null = null,
): Forward => ({
  _tag: "Forward",
  messageId,
  attempt,
  target: CASHIER,
  pool,
  via,
})

export const reroute = (messageId: string, attempt = 0, target: Address = CASHIER): Reroute => ({
  _tag: "Reroute",
  messageId,
  attempt,
  target,
  deliverAtMs: START_MS + 7,
})

export const redrive = (messageId: string, attempt = 1, target: Address = BARISTA, body?: string): Redrive => ({
  _tag: "Redrive",
  messageId,
  attempt,
  deliverAtMs: START_MS + 1_000,
  target,
  body,
})

const FAILURE = '{"tag":"Boom","message":"no milk","retry":"terminal"}'

export const settle = (messageId: string, attempt = 1, status: FinalStatus = "done"): Settle => ({
  _tag: "Settle",
  messageId,
  attempt,
  status,
  reply: status === "done" ? `"reply ${attempt}"` : null,
  error: status === "done" ? null : FAILURE,
  atMs: START_MS + 50,
})

export const putActor = (
  address: Address,
  state: string | null | undefined,
  fields: Partial<PutActor> = {},
): PutActor => ({
  _tag: "PutActor",
  address,
  lifecycle: "ready",
  state,
  version: 1,
  restarts: 0,
  atMs: START_MS,
  ...fields,
})

export const lifecycleEvent = (from: string, to: string, reason: string | null = null): LifecycleEvent => ({
  _tag: "LifecycleEvent",
  address: BARISTA,
  from,
  to,
  event: "start",
  reason,
  atMs: START_MS,
})

export const routeDecision = (messageId: string, pool = "bar", attempt = 1): RouteDecision => ({
  _tag: "RouteDecision",
  messageId,
  attempt,
  pool,
  chosen: "barista/1",
  reason: "least loaded",
  evidence: '{"queue":[0,1]}',
  atMs: START_MS,
})

export const recordStep = (messageId: string, ordinal: number, attempt = 1, result = `"${ordinal}"`): RecordStep => ({
  _tag: "RecordStep",
  messageId,
  attempt,
  ordinal,
  kind: "step",
  name: `step-${ordinal}`,
  result,
  atMs: START_MS + ordinal,
})

export const appendChunk = (messageId: string, ordinal: number, attempt = 1, data = `"t${ordinal}"`): AppendChunk => ({
  _tag: "AppendChunk",
  messageId,
  attempt,
  ordinal,
  data,
  atMs: START_MS + ordinal,
})
