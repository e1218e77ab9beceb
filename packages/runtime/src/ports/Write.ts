/**
 * The boundary of what can be made durable: a commit is an array of these, and they are data: no closure, no
 * transaction handle and nothing of a particular database crosses the port.
 */
import type { Address } from "../message/Address.ts"
import type { Envelope, FinalStatus } from "../message/Envelope.ts"
import type { Feedback } from "../message/Feedback.ts"

/**
 * Accepts a message. With `claimedAtMs` it enters as running at attempt 1, started then, so that one whose actor is free
 * costs a single commit; else as pending at attempt 0.
 *
 * Where a message with the same id, or with the same idempotency key for the same (actorType, actorId, task) exists,
 * nothing is appended, the earlier message is returned in the receipt's `duplicates`, and the rest of the commit is
 * applied all the same. (A message that was addressed to a pool is compared by (pool, task, key).)
 * What a key is compared with is fixed here: a message that is rerouted later still answers for its first address.
 *
 * With `keysSinceMs` an earlier message under the key that was accepted before it (`createdAtMs`) and has ended does not
 * stand in the way: in this commit the key passes to the new message, and the earlier one keeps its row, key included, but
 * answers for it no more, whatever becomes of it. One that has not ended never loses its key.
 */
export interface Append {
  readonly _tag: "Append"
  readonly message: Envelope
  /** Milliseconds since the epoch; null where it waits. Not its `createdAtMs`: its sender may have stood in line for a place. */
  readonly claimedAtMs: number | null
  /** Milliseconds since the epoch; left out, a key answers for as long as its message is in the log. */
  readonly keysSinceMs?: number
}

/** pending → running; `attempt` is the new attempt, one more than the row's. Fenced: the row must be pending at `attempt - 1`. */
export interface Claim {
  readonly _tag: "Claim"
  readonly messageId: string
  readonly attempt: number
  readonly atMs: number
}

/**
 * running → pending, to be delivered again at `deliverAtMs`, to `target` where it changes. Records the failed attempt.
 * Fenced: the row must be running at `attempt`.
 */
export interface Retry {
  readonly _tag: "Retry"
  readonly messageId: string
  readonly attempt: number
  readonly deliverAtMs: number
  readonly target: Address
  /** A `FailureRecord` as JSON. */
  readonly error: string
  readonly atMs: number
}

/**
 * running → pending, to be delivered again at `deliverAtMs`, on the same target: nothing failed, so no attempt is recorded,
 * and this one does not count against the budget (`attemptsBefore` + 1). Fenced: the row must be running at `attempt`.
 */
export interface Postpone {
  readonly _tag: "Postpone"
  readonly messageId: string
  readonly attempt: number
  readonly deliverAtMs: number
}

/**
 * running → pending on another target, by the will of its handler: the same message, with whoever waits for it, and the key
 * and the deadline that it has. Nothing failed, so no attempt is recorded, and the target has a budget of its own
 * (`attemptsBefore` becomes `attempt`). It is due at once: `deliverAtMs` becomes `createdAtMs`, so that it waits for no
 * clock. Fenced: the row must be running at `attempt`.
 */
export interface Forward {
  readonly _tag: "Forward"
  readonly messageId: string
  readonly attempt: number
  readonly target: Address
  /** The pool that chose the target. */
  readonly pool: string | null
  /** The row's `via` from now on. */
  readonly via: string
}

/** pending → pending on another target, for a message that has not been claimed there. Fenced: pending at `attempt`. */
export interface Reroute {
  readonly _tag: "Reroute"
  readonly messageId: string
  readonly attempt: number
  readonly target: Address
  readonly deliverAtMs: number
}

/**
 * The end of a message. Records the attempt where it was running and `error` is given. Fenced: the row must be running at `attempt`, or pending
 * at `attempt` (one that expires, is cancelled or dies unstarted).
 */
export interface Settle {
  readonly _tag: "Settle"
  readonly messageId: string
  readonly attempt: number
  readonly status: FinalStatus
  readonly reply: string | null
  /** A `FailureRecord` as JSON. */
  readonly error: string | null
  readonly atMs: number
}

/**
 * dead → pending: a dead letter is run again, at the same id and on `target`, with a fresh budget of attempts. Its number
 * of attempts goes on, and what is recorded of the earlier ones stays; `attemptsBefore` becomes `attempt`. Its end, its
 * error and its deadline are taken from the row: somebody wants it run now. Fenced: the row must be dead at `attempt`.
 */
export interface Redrive {
  readonly _tag: "Redrive"
  readonly messageId: string
  readonly attempt: number
  readonly deliverAtMs: number
  readonly target: Address
  /** In place of the message's own; undefined leaves that alone. */
  readonly body: string | undefined
}

/** Upserts an actor. `state: undefined` leaves the stored state alone, and the version that wrote it. */
export interface PutActor {
  readonly _tag: "PutActor"
  readonly address: Address
  readonly lifecycle: string
  readonly state: string | null | undefined
  /** The version of the actor's definition that wrote the state. */
  readonly version: number
  readonly restarts: number
  readonly atMs: number
}

/** One line of an actor's life story. */
export interface LifecycleEvent {
  readonly _tag: "LifecycleEvent"
  readonly address: Address
  readonly from: string
  readonly to: string
  readonly event: string
  readonly reason: string | null
  readonly atMs: number
}

/**
 * Why a message went where it went. Dropped where the same commit's `Append` of the message appended nothing: a message
 * that is sent twice is routed once.
 *
 * `evidence` is JSON: what the decision saw, the pool's configuration included.
 */
export interface RouteDecision {
  readonly _tag: "RouteDecision"
  readonly messageId: string
  readonly attempt: number
  readonly pool: string
  /** The chosen address in written form. */
  readonly chosen: string
  readonly reason: string
  readonly evidence: string
  readonly atMs: number
}

/**
 * What a row of a handler's journal is: the result of a step; that of one which has a compensation; when a sleep ends; who
 * won a race; that a step was compensated, or could not be; the end that the message comes to once it is compensated.
 */
export type StepKind = "step" | "undoable" | "sleep" | "race" | "undo" | "end"

/** The recorded result of one step. Fenced: running at `attempt`. An existing (messageId, ordinal) is kept as it is. */
export interface RecordStep {
  readonly _tag: "RecordStep"
  readonly messageId: string
  readonly attempt: number
  readonly ordinal: number
  readonly kind: StepKind
  readonly name: string
  readonly result: string
  readonly atMs: number
}

/**
 * One chunk of a streamed reply. Fenced: running at `attempt`. (messageId, ordinal) is unique over all attempts: an
 * existing one is kept as it is, so an attempt that goes over its predecessor's tokens again shows no reader one twice.
 */
export interface AppendChunk {
  readonly _tag: "AppendChunk"
  readonly messageId: string
  readonly attempt: number
  readonly ordinal: number
  readonly data: string
  readonly atMs: number
}

export interface PutFeedback extends Feedback {
  readonly _tag: "PutFeedback"
}

/**
 * The watcher is told when the watched actor ends; with `linked` it is restarted, or ends, with it. Watching again changes
 * nothing but that a watch may become a link.
 */
export interface PutWatch {
  readonly _tag: "PutWatch"
  readonly watched: Address
  readonly watcher: Address
  readonly linked: boolean
  readonly atMs: number
}

/** One watch of `watcher`, or all of them where `watched` is undefined. What is not there is dropped already. */
export interface DropWatch {
  readonly _tag: "DropWatch"
  readonly watched: Address | undefined
  readonly watcher: Address
}

export type Write =
  | Append
  | Claim
  | Retry
  | Postpone
  | Forward
  | Reroute
  | Settle
  | Redrive
  | PutActor
  | LifecycleEvent
  | RouteDecision
  | RecordStep
  | AppendChunk
  | PutFeedback
  | PutWatch
  | DropWatch
