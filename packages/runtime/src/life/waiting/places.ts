/**
 * The boundary of a mailbox's bounds: places are held before a message is written and given up in the step that uses
 * them, so that a thousand senders at once do not all find the last place free.
 */
import { RetryableMailboxFull, RetryableSystemFull } from "../../message/DeliveryFailure.ts"
import type { Envelope } from "../../message/Envelope.ts"
import type { FailureRecord } from "../../message/Reply.ts"
import type { LiveCell, LiveMessage } from "../LiveMessage.ts"
import type { System } from "../System.ts"

/** What the whole system waits for is gone in no time that one actor's pace would tell. */
const SYSTEM_RETRY_AFTER_MS = 1_000

/** What a sender's message waits for. */
export type Times = Pick<Envelope, "createdAtMs" | "deliverAtMs" | "deadlineAtMs">

/**
 * Whether the message can run the moment it is on disk: nothing waits, is on its way, or lies unread on disk, that comes
 * before it. (Over a pool's targets there is no order. One whose parent is late already is to be expired, and not claimed.)
 */
export const canRunNow = (
  { backlog, now }: System,
  cell: LiveCell,
  { createdAtMs, deadlineAtMs, deliverAtMs }: Times,
  pool: string | null,
): boolean => {
  if (cell.freeSlots <= 0 || cell.mailbox.hasQueue || cell.arriving > 0) return false
  // What is put off is its alarm's, also where its time comes before its commit.
  if (deliverAtMs > createdAtMs || (deadlineAtMs !== null && deadlineAtMs <= now())) return false
  return backlog === undefined || pool !== null || !backlog.hides(cell)
}

export const hasPlace = (cell: LiveCell): boolean => cell.mailbox.size + cell.expected < cell.actor.mailbox.capacity

/** Why there is no room at the actor; `what` says what came of it. */
export const mailboxFull = (
  system: System,
  cell: LiveCell,
  what = "as many as its mailbox holds",
): RetryableMailboxFull => {
  const { stashed } = cell.mailbox
  const depth = cell.mailbox.size + cell.expected
  const retryAfterMs = cell.pace(system.now()).retryAfterMs(system.now(), cell.ended, depth)
  const aside = stashed === 0 ? "" : ` (${stashed} of them put aside by it)`
  const message = `${cell.key} has ${depth} messages waiting${aside}, ${what}; send again in about ${retryAfterMs} ms.`
  return new RetryableMailboxFull({ actor: cell.key, depth, retryAfterMs, message })
}

const systemFull = (waiting: number, limit: number): RetryableSystemFull =>
  new RetryableSystemFull({
    waiting,
    limit,
    retryAfterMs: SYSTEM_RETRY_AFTER_MS,
    message: `The actor system has ${waiting} messages waiting in memory, as many as waitingMax allows; send again in about ${SYSTEM_RETRY_AFTER_MS} ms, or open the system with a higher waitingMax.`,
  })

/** Holds a place in a mailbox until `releasePlace`; a failure where there is none. */
export const holdPlace = (system: System, cell: LiveCell): RetryableMailboxFull | RetryableSystemFull | undefined => {
  const { waiting } = system.registry
  const { waitingMax } = system.settings
  if (waiting.count >= waitingMax) return systemFull(waiting.count, waitingMax)
  if (!hasPlace(cell)) return mailboxFull(system, cell)
  occupyPlace(system, cell)
  return undefined
}

/** Holds a place whether or not there is one. */
export const occupyPlace = (system: System, cell: LiveCell): void => {
  cell.expected++
  system.registry.waiting.count++
}

export const releasePlace = (system: System, cell: LiveCell): void => {
  cell.expected--
  system.registry.waiting.count--
}

/**
 * What goes for a message that holds a place past the bound: a message that waits, or, where those that have the places
 * are still on their way, the oldest there is when the new one has come.
 */
export type Victim = LiveMessage | "oldest then"

type Kind = Pick<Envelope, "priority" | "task">

const oldestOf = (cell: LiveCell, { priority, task }: Kind, except?: LiveMessage): LiveMessage | undefined =>
  cell.mailbox.oldest(priority, (other) => other.envelope.task === task && !other.doomed && other !== except)

/**
 * Where the actor's mailbox drops the oldest: holds a place past its bound, and gives what is to go for it once the new one
 * is accepted. Undefined where there is nothing, and then no place is held.
 */
export const holdPlaceOf = (system: System, cell: LiveCell, kind: Kind): Victim | undefined => {
  if (cell.actor.mailbox.whenFull !== "dropOldest") return undefined
  const oldest = oldestOf(cell, kind)
  // For each message on its way one may come past the bound: of two of a kind the older one goes then.
  if (oldest === undefined && cell.arriving <= cell.unpaid) return undefined
  if (oldest === undefined) cell.unpaid++
  else oldest.doomed = true
  occupyPlace(system, cell)
  return oldest ?? "oldest then"
}

/** The new message has come, or never will: its victim is as any other again. */
export const acquit = (cell: LiveCell, victim: Victim): void => {
  if (victim === "oldest then") cell.unpaid--
  else victim.doomed = false
}

/** What is to go for a message that has come past the bound: at worst it goes itself. */
export const victimFor = (cell: LiveCell, message: LiveMessage, victim: Victim): LiveMessage | undefined => {
  const isOver = cell.mailbox.size > cell.actor.mailbox.capacity
  const found =
    victim !== "oldest then" ? victim : isOver ? (oldestOf(cell, message.envelope, message) ?? message) : undefined
  return found?.phase === "waiting" && found.cell === cell && !found.stashed ? found : undefined
}

/** The end of a message that had to go for a newer one. */
export const dropped = (cell: LiveCell, { envelope }: LiveMessage): FailureRecord => ({
  tag: "TerminalDropped",
  message: `The message waited in the full mailbox of ${cell.key} and was dropped for a newer ${envelope.task} (mailbox.whenFull is dropOldest).`,
  retry: "terminal",
})
