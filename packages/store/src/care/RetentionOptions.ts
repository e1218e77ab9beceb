/** The boundary to the operator's wish: what the log may forget, and when. */
import { type FinalStatus, TerminalStoreFailure } from "@pontoon/runtime"

export interface RetentionOptions {
  /**
   * Milliseconds after its end for which a message is kept at least. Default none: age alone deletes nothing. From 0 to
   * 100 years. Raising it keeps more history and a larger file.
   */
  readonly ageMsMax?: number
  /**
   * Bytes that the log may use, free pages not counted. Past it the oldest messages are deleted whatever their age,
   * until it fits. Default none. From 1 MiB up. Raising it keeps more history.
   */
  readonly bytesMax?: number
  /**
   * How messages must have ended to be deleted. Default done, failed, expired and cancelled: a dead letter is a question
   * to an operator, and stays until it is redriven, or named here.
   */
  readonly statuses?: ReadonlyArray<FinalStatus>
  /**
   * Milliseconds for which an idempotency key is answered at least, from the acceptance of its message. Default 7 days,
   * from 0 to 100 years. The whole message is kept for it, not the key alone: the body says whether a second message is
   * the same, and the reply (of a streamed one, the chunks) is what it is answered with. Raising it keeps more. Below the
   * system's `keyWindowMs` it shortens that window: a key whose message is gone is a new one.
   */
  readonly keyMsMin?: number
  /**
   * Milliseconds after its end for which a message is kept whose conversation goes on. Default 30 days, from 0 to 100
   * years. Past it such a message goes alone, before its conversation, unless its cause is unfinished or dead. Raising it
   * keeps longer traces, and lets a conversation that never ends, such as a timer's, take more room.
   */
  readonly conversationMsMax?: number
}

export interface RetentionLimits {
  readonly ageMsMax: number
  readonly bytesMax: number
  readonly statuses: ReadonlyArray<FinalStatus>
  readonly keyMsMin: number
  readonly conversationMsMax: number
}

const DAY_MS = 86_400_000
const CENTURY_MS = 36_525 * DAY_MS
/** Less holds hardly more than the empty tables and their indexes. */
const BYTES_MIN = 1024 * 1024

const FINAL: ReadonlyArray<FinalStatus> = ["done", "failed", "dead", "expired", "cancelled"]
const STATUSES_DEFAULT: ReadonlyArray<FinalStatus> = ["done", "failed", "expired", "cancelled"]

const refuse = (name: string, what: string): TerminalStoreFailure =>
  new TerminalStoreFailure({
    reason: "other",
    message: `The store option retention.${name} ${what}.`,
    cause: undefined,
  })

const inRange = (name: string, value: number, min: number, max: number): number => {
  if (value >= min && value <= max) return value
  throw refuse(name, `is ${value}; give a number from ${min} to ${max}`)
}

/** Fills in the defaults; undefined where nothing is to be deleted. @throws TerminalStoreFailure naming the option */
export const readRetention = (options: RetentionOptions | undefined): RetentionLimits | undefined => {
  if (options === undefined) return undefined
  const { ageMsMax, bytesMax, statuses = STATUSES_DEFAULT } = options
  const { conversationMsMax = 30 * DAY_MS, keyMsMin = 7 * DAY_MS } = options
  if (ageMsMax === undefined && bytesMax === undefined) throw refuse("ageMsMax", "or bytesMax is missing; give one")
  const unknown = statuses.find((status) => !FINAL.includes(status))
  if (unknown !== undefined) throw refuse("statuses", `has ${unknown}; give some of ${FINAL.join(", ")}`)
  if (statuses.length === 0) throw refuse("statuses", `is empty; give some of ${FINAL.join(", ")}`)
  return {
    ageMsMax: ageMsMax === undefined ? Number.POSITIVE_INFINITY : inRange("ageMsMax", ageMsMax, 0, CENTURY_MS),
    bytesMax:
      bytesMax === undefined
        ? Number.POSITIVE_INFINITY
        : inRange("bytesMax", bytesMax, BYTES_MIN, Number.MAX_SAFE_INTEGER),
    statuses,
    keyMsMin: inRange("keyMsMin", keyMsMin, 0, CENTURY_MS),
    conversationMsMax: inRange("conversationMsMax", conversationMsMax, 0, CENTURY_MS),
  }
}
