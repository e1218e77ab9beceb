/**
 * The boundary to everything that travels: one envelope is one message, M = (task, data, codec), with its address and
 * the terms on which it is carried. It is also the row of the message log; there is one row per message for its whole
 * life, whatever happens to it.
 */

import { formatAddress } from "./Address.ts"

/**
 * Where a message is in its life:
 *
 *     pending ──claim──▶ running ──seal──▶ done | failed
 *        ▲                  │
 *        └ retry, put off, ─┤──▶ dead        (attempts used up, or its actor failed for good)
 *          forward          │
 *     pending | running ────┴──▶ expired     (its deadline passed)
 *                           └──▶ cancelled   (its sender, or an operator, took it back)
 *     dead ──redrive──▶ pending                (an operator has it run again)
 */
export type MessageStatus = "pending" | "running" | "done" | "failed" | "dead" | "expired" | "cancelled"

/** How a message can end. Exactly one of them is written, once; only a dead letter can be brought back from it. */
export type FinalStatus = Exclude<MessageStatus, "pending" | "running">

export const isFinal = (status: MessageStatus): status is FinalStatus => status !== "pending" && status !== "running"

/** How `body` and `reply` are written: JSON through the task's schemas, or bare text. */
export type Codec = "json" | "text"

/** What the sender fixed; nothing of it but the target (and with it `pool` and `via`) changes afterwards. */
export interface Envelope {
  /** Time-ordered, unique; a child's id is its parent's with an ordinal. */
  readonly id: string
  readonly actorType: string
  readonly actorId: string
  /** The pool that chose the target, where the message was addressed to one; a reroute stays within it. */
  readonly pool: string | null
  readonly task: string
  readonly codec: Codec
  /** Higher runs earlier; 0 is the default. From -100 to 100: a mailbox has a lane for each that waits in it. */
  readonly priority: number
  readonly createdAtMs: number
  /** Not run before this time. */
  readonly deliverAtMs: number
  /** Never started after this time, and interrupted at it. */
  readonly deadlineAtMs: number | null
  /** The sending actor's address in written form; null for the world outside. */
  readonly sender: string | null
  /** The id of the message that began the conversation: the root of the causal tree. */
  readonly correlationId: string
  /** The id of the message whose handler sent this one. */
  readonly causationId: string | null
  /** With (actor, task): a second message under the same key is not accepted but answered with the first's reply. */
  readonly idempotencyKey: string | null
  readonly traceId: string
  /**
   * Whom it was sent to before each time that it was handed on, oldest first: a JSON array of `type/id`, or `pool NAME`.
   * Absent or null for a message that nobody has handed on.
   */
  readonly via?: string | null
  readonly body: string
}

/** A message as the log holds it. */
export interface MessageRow extends Envelope {
  /** The order of acceptance, over all actors; given by the store. */
  readonly seq: number
  readonly status: MessageStatus
  /** How often it was claimed. It is the fence: what an older attempt still does is refused. */
  readonly attempt: number
  /** Attempts that do not count against the budget: all before its last redrive or forward, and each that was put off. */
  readonly attemptsBefore: number
  readonly startedAtMs: number | null
  readonly finishedAtMs: number | null
  readonly reply: string | null
  /** A `FailureRecord` as JSON. */
  readonly error: string | null
}

/** Whom a message is sent to: an actor as `type/id`, or `pool NAME`. */
export const addresseeOf = ({ actorId, actorType, pool }: Pick<Envelope, "actorId" | "actorType" | "pool">): string =>
  pool === null ? formatAddress({ type: actorType, id: actorId }) : `pool ${pool}`

/** Whom a message was sent to before each time that it was handed on, oldest first. */
export const handedOnFrom = ({ via }: Pick<Envelope, "via">): ReadonlyArray<string> =>
  // The runtime wrote it.
  via === undefined || via === null ? [] : (JSON.parse(via) as ReadonlyArray<string>)

/** Whom its sender sent a message to, wherever it is now. */
export const firstAddresseeOf = (message: Envelope): string => handedOnFrom(message)[0] ?? addresseeOf(message)
