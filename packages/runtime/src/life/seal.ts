/**
 * Step 5 of a message's life, prepared: the boundary between what a handler did and the one commit that makes it so.
 * State, sends, reply, acknowledgement, route and lifecycle go into it together, and the claim of the message that runs
 * next; all of it becomes true, or none of it.
 */
import type { Envelope, FinalStatus } from "../message/Envelope.ts"
import type { FailureRecord, Reply } from "../message/Reply.ts"
import type { AppendChunk, RecordStep, Write } from "../ports/Write.ts"
import { backoffMs } from "../supervision/restartPolicy.ts"
import { appendWrite, dispatchWrite, poolOf } from "./deliver.ts"
import { type HandOver, handOnWrites } from "./handOn.ts"
import type { LiveCell, LiveMessage, PlannedEnd } from "./LiveMessage.ts"
import type { Prepared } from "./prepare.ts"
import { factsOf, routeWithin } from "./route.ts"
import type { System } from "./System.ts"
import type { Verdict } from "./verdict.ts"
import type { Watching } from "./Watches.ts"

/** The commit, and what is to be done in memory once it stands. */
export interface Seal {
  readonly writes: Array<Write>
  readonly outcome:
    | { readonly _tag: "Ended"; readonly reply: Reply; readonly state: { readonly value: unknown } | undefined }
    /** `putOff`: nothing failed, and the attempt does not count. */
    | { readonly _tag: "Again"; readonly cell: LiveCell; readonly dueAtMs: number; readonly putOff: boolean }
    | { readonly _tag: "Stashed" }
    | { readonly _tag: "HandedOn"; readonly over: HandOver; readonly state: { readonly value: unknown } | undefined }
  /** Whom the handler watches from now on; absent where nobody. */
  readonly watching?: Watching
  /** Messages that the handler sent, now in the log. */
  readonly sent: ReadonlyArray<{ readonly envelope: Envelope; readonly cell: LiveCell }>
}

const settle = (
  message: LiveMessage,
  status: FinalStatus,
  reply: string | null,
  error: FailureRecord | null,
  atMs: number,
): Write => ({
  _tag: "Settle",
  messageId: message.id,
  attempt: message.attempt,
  status,
  reply,
  error: error === null ? null : JSON.stringify(error),
  atMs,
})

/** The actor's row, with its state or without. */
export const putActor = (cell: LiveCell, state: string | undefined, atMs: number): Write => ({
  _tag: "PutActor",
  address: cell.address,
  lifecycle: cell.lifecycle.state,
  state,
  version: cell.actor.version,
  restarts: cell.restarts,
  atMs,
})

const endWith = (
  message: LiveMessage,
  status: FinalStatus,
  reply: string | null,
  error: FailureRecord | null,
  nowMs: number,
): Seal => ({
  writes: [settle(message, status, reply, error, nowMs)],
  outcome: { _tag: "Ended", reply: { messageId: message.id, status, reply, error }, state: undefined },
  sent: [],
})

const sendWrites = (
  system: System,
  prepared: Prepared,
): { readonly writes: Array<Write>; readonly envelope: Envelope } => {
  const { draft, to, note } = prepared
  const { type, id } = to.cell.address
  const envelope: Envelope = { ...draft.envelope, actorType: type, actorId: id, pool: to.pool }
  const writes: Array<Write> = [appendWrite(system, envelope, null)]
  if (note !== undefined) writes.push(dispatchWrite(envelope, note))
  if (to.decision !== undefined) writes.push({ ...to.decision, messageId: envelope.id, attempt: 1 })
  return { writes, envelope }
}

const sealDone = (
  system: System,
  message: LiveMessage,
  verdict: Extract<Verdict, { readonly _tag: "Done" }>,
  chunks: ReadonlyArray<AppendChunk>,
  outgoing: ReadonlyArray<Prepared>,
  nowMs: number,
): Seal => {
  const { handOver, reply, state } = verdict.processed
  const { cell } = message
  const sends = outgoing.map((each) => ({ ...sendWrites(system, each), cell: each.to.cell }))
  const writes: Array<Write> =
    handOver === undefined
      ? [...chunks, settle(message, "done", reply, null, nowMs)]
      : handOnWrites(message, handOver.over, handOver.journal, nowMs)
  if (state !== undefined) writes.push(putActor(cell, state.text, nowMs))
  for (const send of sends) writes.push(...send.writes)
  if (handOver !== undefined) return { writes, outcome: { _tag: "HandedOn", over: handOver.over, state }, sent: sends }
  return {
    writes,
    outcome: { _tag: "Ended", reply: { messageId: message.id, status: "done", reply, error: null }, state },
    sent: sends,
  }
}

const earlier = (atMs: number, deadlineAtMs: number | null): number => Math.min(atMs, deadlineAtMs ?? atMs)

/** The attempt has failed, and the message waits for its next one. */
const tryAgain = (
  message: LiveMessage,
  cell: LiveCell,
  dueAtMs: number,
  record: FailureRecord,
  nowMs: number,
): Seal => ({
  writes: [
    {
      _tag: "Retry",
      messageId: message.id,
      attempt: message.attempt,
      deliverAtMs: dueAtMs,
      target: cell.address,
      error: JSON.stringify(record),
      atMs: nowMs,
    },
  ],
  outcome: { _tag: "Again", cell, dueAtMs, putOff: false },
  sent: [],
})

/** Where the next attempt runs, and when: another target of the pool at once, the same actor after a backoff. */
const nextTry = (system: System, message: LiveMessage, record: FailureRecord): Seal | undefined => {
  const nowMs = system.now()
  const { retry } = message.cell.actor
  if (message.tries >= retry.attemptsMax) return undefined
  const pool = poolOf(system, message.envelope)
  const facts = factsOf(system, message, "failed")
  const found = pool === undefined ? undefined : routeWithin(system, pool, facts, message.triedTargets)
  if (pool !== undefined && found === undefined) return undefined
  const to = found?._tag === "Routed" ? found : undefined
  const cell = to?.cell ?? message.cell
  const moved = cell !== message.cell
  if (moved) pool?.memory.retried()
  const waitMs = backoffMs(retry.backoff, message.tries, system.random())
  const backoff = moved ? 0 : found?._tag === "Later" ? Math.max(found.waitMs, waitMs) : waitMs
  const dueAtMs = earlier(nowMs + backoff, message.envelope.deadlineAtMs)
  const again = tryAgain(message, cell, dueAtMs, record, nowMs)
  if (to?.decision !== undefined) {
    const reason = `${record.tag} on ${message.cell.key}; ${to.decision.reason}`
    again.writes.push({ ...to.decision, reason, messageId: message.id, attempt: message.attempt + 1 })
  }
  return again
}

/** The message waits as it did before, and this attempt does not count. */
const sealStashed = ({ attempt, deliverAtMs, id }: LiveMessage): Seal => ({
  writes: [{ _tag: "Postpone", messageId: id, attempt, deliverAtMs }],
  outcome: { _tag: "Stashed" },
  sent: [],
})

/** The message waits in its mailbox until `dueAtMs`, as if it had not been run. */
const putOff = (message: LiveMessage, dueAtMs: number): Seal => ({
  writes: [{ _tag: "Postpone", messageId: message.id, attempt: message.attempt, deliverAtMs: dueAtMs }],
  outcome: { _tag: "Again", cell: message.cell, dueAtMs, putOff: true },
  sent: [],
})

/** The end of a message whose steps have been compensated. */
export const sealEnd = (
  message: LiveMessage,
  { record, status }: PlannedEnd,
  chunks: ReadonlyArray<AppendChunk>,
  nowMs: number,
): Seal => withChunks(chunks, endWith(message, status, null, record, nowMs))

/**
 * The message waits to be run once more, for the compensations of its steps. This attempt does not count, and `record` says
 * what the message comes to, as of the next one. Where an earlier attempt has recorded that, this one counts: put off, it
 * would close that attempt's journal (`closedIn`), and what is in it would never be compensated.
 */
export const sealRecalled = (
  message: LiveMessage,
  { end, record }: { readonly end: PlannedEnd; readonly record: RecordStep | undefined },
  chunks: ReadonlyArray<AppendChunk>,
  nowMs: number,
): Seal => {
  if (record === undefined) return withChunks(chunks, tryAgain(message, message.cell, nowMs, end.record, nowMs))
  const seal = putOff(message, nowMs)
  return withChunks(chunks, { ...seal, writes: [record, ...seal.writes] })
}

/** Turns a verdict into the sealing commit. */
export const seal = (
  system: System,
  message: LiveMessage,
  verdict: Exclude<Verdict, { readonly _tag: "Abandoned" }>,
  chunks: ReadonlyArray<AppendChunk>,
  outgoing: ReadonlyArray<Prepared>,
): Seal => {
  const nowMs = system.now()
  switch (verdict._tag) {
    case "Done":
      return sealDone(system, message, verdict, chunks, outgoing, nowMs)
    case "Failed":
      return withChunks(chunks, endWith(message, "failed", null, verdict.record, nowMs))
    case "Retry": {
      const again = nextTry(system, message, verdict.record)
      return withChunks(chunks, again ?? endWith(message, "dead", null, verdict.record, nowMs))
    }
    case "ActorFailed":
      return withChunks(chunks, endWith(message, "dead", null, verdict.record, nowMs))
    case "Stashed":
      return withChunks(chunks, sealStashed(message))
    case "Asleep":
      // One that would sleep past its deadline is looked at then.
      return withChunks(chunks, putOff(message, earlier(message.wakeAtMs, message.envelope.deadlineAtMs)))
    case "Ending":
      return withChunks(chunks, endWith(message, verdict.end.status, null, verdict.end.record, nowMs))
    case "Expired":
      return withChunks(chunks, endWith(message, "expired", null, verdict.record, nowMs))
    case "Cancelled":
      return withChunks(chunks, endWith(message, "cancelled", null, verdict.record, nowMs))
  }
}

/** Whom the handler watches is written with its seal, where that is one of success. */
export const withWatching = (sealed: Seal, watching: Watching): Seal => ({
  ...sealed,
  writes: [...sealed.writes, ...watching.writes],
  watching,
})

/** Chunks come first: they are fenced by the attempt that the end of the message closes. */
const withChunks = (chunks: ReadonlyArray<AppendChunk>, seal: Seal): Seal => ({
  ...seal,
  writes: [...chunks, ...seal.writes],
})

/** The end of a message that never ran, or does not run now. */
export const sealUnstarted = (message: LiveMessage, { record, status }: PlannedEnd, nowMs: number): Seal =>
  endWith(message, status, null, record, nowMs)
