/**
 * The boundary between a row and a life: what memory holds of a message from its acceptance to its end. Everything here
 * can be rebuilt from the log.
 */
import type { Fiber } from "effect"
import type { Cell } from "../actor/Cell.ts"
import type { Envelope, FinalStatus } from "../message/Envelope.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { ReadAhead } from "./shelf/ReadAhead.ts"

/** Why a handler is interrupted from outside; it decides what becomes of its message. */
export type Interruption =
  /** Its sender, or an operator, took the message back. */
  | "cancelled"
  /** Its deadline passed. */
  | "expired"
  /** Its actor is restarted, and the message with it. */
  | "restarted"
  /** Its handler puts it aside. */
  | "stashed"
  /** Its handler sleeps for longer than it holds its place; it waits in its mailbox until then. */
  | "asleep"
  /** The system closes; the message stays as it is and is recovered on the next start. */
  | "closing"

/** An end that a message comes to once its steps are compensated. */
export interface PlannedEnd {
  readonly status: Exclude<FinalStatus, "done">
  readonly record: FailureRecord
}

/** Where a message is, in memory. Exactly one thing is responsible for it in each. */
export type Phase =
  /** In its actor's mailbox. */
  | "waiting"
  /** A commit that gives it to another actor is being written; no mailbox holds it. */
  | "moving"
  /** Claimed, or its claim or its seal is being written; its actor's `running` holds it. */
  | "running"
  /** Its end is being written although it does not run. */
  | "ending"

/** An actor in memory, with the messages that it really has. */
export type LiveCell = Cell<LiveMessage>

/** One for all, because nearly no message has failed anywhere. */
export const NONE_TRIED: ReadonlySet<string> = new Set()

export class LiveMessage {
  /** The target changes when the message is rerouted; nothing else does. */
  envelope: Envelope
  cell: LiveCell
  attempt: number
  /** Attempts that do not count against the budget: all before its last redrive, and each that was put off. */
  attemptsBefore: number
  phase: Phase
  /** The order of acceptance: from 0 on in this process; below that, what was read back from the log, which was before. */
  readonly order: number
  /**
   * Not run before this time; later than the envelope's own while the message is in backoff. 0 for what was not put off:
   * it waits for no clock, which may have been set back since it was accepted.
   */
  dueAtMs: number
  /** Whether it waits for a backoff: for a while, where what its sender or its handler wants is a time. */
  backsOff = false
  claimedAtMs = 0
  /** When its handler's sleep ends, where it is put off for one. */
  wakeAtMs = 0
  /** The end it comes to as soon as what it did is compensated; set where that was decided while it waited. */
  ending: PlannedEnd | undefined = undefined
  /** Its steps are being compensated: nothing but the end of the system interrupts that. */
  undoing = false
  fiber: Fiber.Fiber<unknown, unknown> | undefined = undefined
  /** Set once an attempt; what comes while a commit is being written is looked at when it is. */
  interruption: Interruption | undefined = undefined
  /** Whether it is to go for a newer one that is being accepted, should it still wait then. */
  doomed = false
  /** Whether it is to be put aside in its mailbox in place of being queued. */
  stashed = false
  /** Whether its seal brings back what its actor has put aside. */
  unstashes = false
  /** Targets of its pool that failed it. */
  triedTargets: ReadonlySet<string> = NONE_TRIED
  /** Counts it until it ends, where it was read back from the log. */
  readAhead: ReadAhead | undefined = undefined
  /** Takes back its timers. */
  cancelDeadline: (() => void) | undefined = undefined
  cancelDue: (() => void) | undefined = undefined

  constructor(envelope: Envelope, cell: LiveCell, attempt: number, phase: Phase, order: number, attemptsBefore = 0) {
    this.envelope = envelope
    this.cell = cell
    this.attempt = attempt
    this.attemptsBefore = attemptsBefore
    this.phase = phase
    this.order = order
    this.dueAtMs = envelope.deliverAtMs > envelope.createdAtMs ? envelope.deliverAtMs : 0
  }

  get id(): string {
    return this.envelope.id
  }

  /** What the log says of when it is due. */
  get deliverAtMs(): number {
    return Math.max(this.dueAtMs, this.envelope.deliverAtMs)
  }

  /** Attempts that count against the budget. */
  get tries(): number {
    return this.attempt - this.attemptsBefore
  }

  /** Whether its deadline has passed. */
  isLate(nowMs: number): boolean {
    const { deadlineAtMs } = this.envelope
    return deadlineAtMs !== null && deadlineAtMs <= nowMs && this.ending === undefined
  }
}
