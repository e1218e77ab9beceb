/**
 * The boundary between an operator's decision and the log: the commits of a redrive and of a cancellation, the same
 * whether the owner of the log writes them or, where it has none, the operator's own command.
 */
import { type Address, formatAddress } from "../../message/Address.ts"
import { isFinal, type MessageRow } from "../../message/Envelope.ts"
import type { StepRow } from "../../ports/MessageStore.ts"
import type { Write } from "../../ports/Write.ts"
import { openSteps } from "../journal/compensate.ts"
import { CANCELLED } from "../verdict.ts"

export interface RedriveTerms {
  readonly target: Address
  /** In place of the message's own. */
  readonly body: string | undefined
  readonly atMs: number
}

/**
 * The commit that has a dead letter run again. What the row loses (why it died, and the body where that is replaced) goes
 * into `routes`, as a decision of the pool `operator`.
 */
export const redriveWrites = (row: MessageRow, { target, body, atMs }: RedriveTerms): ReadonlyArray<Write> => [
  { _tag: "Redrive", messageId: row.id, attempt: row.attempt, deliverAtMs: atMs, target, body },
  {
    _tag: "RouteDecision",
    messageId: row.id,
    attempt: row.attempt + 1,
    pool: "operator",
    chosen: formatAddress(target),
    reason: body === undefined ? "redriven" : "redriven with another body",
    evidence: JSON.stringify({
      diedOf: row.error,
      finishedAtMs: row.finishedAtMs,
      ...(body === undefined ? {} : { body: row.body }),
    }),
    atMs,
  },
]

/** The end of an unfinished message that nobody runs. @param record why, and what of it was not compensated */
export const cancelWrites = (row: MessageRow, atMs: number, record = CANCELLED): ReadonlyArray<Write> => [
  {
    _tag: "Settle",
    messageId: row.id,
    attempt: row.attempt,
    status: "cancelled",
    reply: null,
    error: JSON.stringify(record),
    atMs,
  },
]

/** Why the message cannot be redriven, in one sentence; undefined where it can. */
export const whyNotRedriven = (messageId: string, row: MessageRow | undefined): string | undefined => {
  if (row === undefined) return `There is no message ${messageId} in the log.`
  if (row.status === "dead") return undefined
  return `Message ${messageId} is ${row.status}; only a dead letter can be redriven.`
}

/**
 * Why the message cannot be cancelled where nobody runs its actor, in one sentence; undefined where it can. Only its own
 * handler knows how what it did is taken back.
 *
 * @param steps of the message
 */
export const whyNotCancelled = (
  messageId: string,
  row: MessageRow | undefined,
  steps: ReadonlyArray<StepRow>,
): string | undefined => {
  if (row === undefined) return `There is no message ${messageId} in the log.`
  if (isFinal(row.status)) return `Message ${messageId} is ${row.status}; only what has not ended can be cancelled.`
  const open = openSteps(steps, row.attemptsBefore).map(({ name }) => name)
  if (open.length === 0) return undefined
  return `Message ${messageId} has done what must be compensated (${open.join(", ")}), and only its actor can; open the system over the log, and cancel it then.`
}
