/**
 * The boundary to an operator who means many messages at once: which ones, and at most how many. Pure, and the same for
 * whoever goes through a log: the system, and the command where no system runs.
 */
import type { MessageRow } from "../message/Envelope.ts"
import { readError } from "../message/RecordedError.ts"
import { READ_LIMIT_MAX } from "./readLimit.ts"

export interface MessageSelection {
  readonly actorType?: string
  /** With `actorType`. */
  readonly actorId?: string
  readonly task?: string
  /** The tag of the message's error. */
  readonly errorTag?: string
  /** Died at this time or later; of what has not ended, accepted. Milliseconds since the epoch. */
  readonly sinceMs?: number
  /** At most so many are acted on, the oldest first. Default 1,000, from 1 to 10,000. */
  readonly limit?: number
  /** Counts, and changes nothing. */
  readonly dryRun?: boolean
}

/** Large enough for a bad hour, small enough to be looked at. */
export const SELECTION_LIMIT = 1_000

/** What is wrong with it, in one sentence. */
export const mistakeInSelection = ({ actorId, actorType, limit, sinceMs }: MessageSelection): string | undefined => {
  if (actorId !== undefined && actorType === undefined) return "An actor's id was given without its type; give both."
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= READ_LIMIT_MAX)) {
    return `The limit is ${limit}; give a whole number from 1 to ${READ_LIMIT_MAX}.`
  }
  return sinceMs === undefined || Number.isFinite(sinceMs) ? undefined : `The time ${sinceMs} is none.`
}

/** Whether the selection means this message. */
export const isSelected = (row: MessageRow, selection: MessageSelection): boolean => {
  const { actorId, actorType, errorTag, sinceMs, task } = selection
  return (
    (actorType === undefined || row.actorType === actorType) &&
    (actorId === undefined || row.actorId === actorId) &&
    (task === undefined || row.task === task) &&
    (sinceMs === undefined || (row.finishedAtMs ?? row.createdAtMs) >= sinceMs) &&
    (errorTag === undefined || (row.error !== null && readError(row.error).tag === errorTag))
  )
}
