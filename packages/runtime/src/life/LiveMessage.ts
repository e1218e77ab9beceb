/**
 * The boundary between a row and a life: what memory holds of a message from its acceptance to its end. Everything here
 * can be rebuilt from the log.
 */
import type { Fiber } from "effect"
import type { Cell } from "../actor/Cell.ts"
import type { Envelope } from "../message/Envelope.ts"

/** Why a handler is interrupted from outside; it decides what becomes of its message. */
export type Interruption =
  /** Its sender, or an operator, took the message back. */
  | "cancelled"
  /** Its deadline passed. */
  | "expired"
  /** Its actor is restarted, and the message with it. */
  | "restarted"
  /** The system closes; the message stays as it is and is recovered on the next start. */
  | "closing"

export class LiveMessage {
  /** The target changes when the message is rerouted; nothing else does. */
  envelope: Envelope
  cell: Cell
  attempt: number
  running: boolean
  /** The order of acceptance in this process; a recovered message keeps its place before every new one. */
  readonly order: number
  /** Not run before this time; later than the envelope's own while the message is in backoff. */
  dueAtMs: number
  claimedAtMs = 0
  fiber: Fiber.Fiber<unknown, unknown> | undefined = undefined
  interruption: Interruption | undefined = undefined
  /** Its end is being written although it does not run. */
  ending = false
  /** Targets of its pool that failed it. */
  readonly triedTargets = new Set<string>()
  /** Takes back its timers. */
  cancelDeadline: (() => void) | undefined = undefined
  cancelDue: (() => void) | undefined = undefined

  constructor(envelope: Envelope, cell: Cell, attempt: number, running: boolean, order: number) {
    this.envelope = envelope
    this.cell = cell
    this.attempt = attempt
    this.running = running
    this.order = order
    this.dueAtMs = envelope.deliverAtMs
  }

  get id(): string {
    return this.envelope.id
  }
}
