/**
 * The boundary between a prepared message and its actor's queue: it comes in as the actor's mailbox has it (at once, after
 * a wait for a place, in place of another), or its sender is told why not.
 */
import { Effect, Exit } from "effect"
import type { SendFailure } from "../../message/DeliveryFailure.ts"
import type { FailureRecord } from "../../message/Reply.ts"
import type { BusyCount } from "../BusyCount.ts"
import { type Delivered, type DeliverFailure, deliver } from "../deliver.ts"
import type { LiveCell, LiveMessage } from "../LiveMessage.ts"
import type { Prepared } from "../prepare.ts"
import type { System } from "../System.ts"
import { Entrance } from "./Entrance.ts"
import { acquit, dropped, holdPlace, holdPlaceOf, releasePlace, type Victim, victimFor } from "./places.ts"

/** What the intake needs of the queues behind it. */
export interface QueuesBehind {
  /** Sets an accepted message going: queued, or run where its claim was written with it. */
  readonly setGoing: (message: LiveMessage) => void
  readonly pump: (cell: LiveCell) => void
  readonly endWaiting: (message: LiveMessage, status: "cancelled", record: FailureRecord) => void
}

export class Intake {
  readonly #system: System
  readonly #queues: QueuesBehind
  readonly #busy: BusyCount
  readonly #entrance: Entrance

  constructor(system: System, queues: QueuesBehind, busy: BusyCount) {
    this.#system = system
    this.#queues = queues
    this.#busy = busy
    this.#entrance = new Entrance(system)
  }

  /**
   * Delivers, and sets going what was accepted.
   *
   * @param parent the message whose handler sends
   * @param key by which a sender that has to wait leaves again
   */
  place(
    parent: LiveMessage | undefined,
    prepared: Prepared,
    key: object,
    then: (exit: Exit.Exit<Delivered, DeliverFailure>) => void,
  ): void {
    const cell = this.#system.registry.keep(prepared.to.cell)
    const { envelope } = prepared.draft
    const { pool } = prepared.to
    if (!this.#entrance.mustWait(cell, envelope, pool)) this.#deliver(prepared, cell, then)
    else {
      this.#entrance.join(key, { cell, envelope, parent, pool }, (turn) => {
        if (Exit.isSuccess(turn)) this.#deliver(prepared, cell, then)
        else then(Exit.failCause(turn.cause))
      })
    }
  }

  #deliver(prepared: Prepared, cell: LiveCell, then: (exit: Exit.Exit<Delivered, DeliverFailure>) => void): void {
    this.#busy.enter()
    deliver(this.#system, prepared, cell, (exit) => {
      if (Exit.isSuccess(exit) && exit.value._tag === "Accepted") {
        this.#queues.setGoing(exit.value.message)
        if (exit.value.victim !== undefined) this.#drop(exit.value.victim, exit.value.message, cell)
      }
      this.#queues.pump(cell)
      this.#busy.leave()
      then(exit)
    })
  }

  /**
   * Holds a place for what a handler sends, until it is written; waits for one here, and not at the seal: a commit that
   * waited for another actor's mailbox would hold up more than this handler.
   */
  hold(
    parent: LiveMessage | undefined,
    prepared: Prepared,
    outgoing: Array<Prepared>,
  ): Effect.Effect<string, SendFailure> {
    const cell = this.#system.registry.keep(prepared.to.cell)
    const { envelope } = prepared.draft
    if (!this.#entrance.mustWait(cell, envelope, undefined)) return this.#hold(prepared, cell, outgoing)
    return Effect.callback((resume) => {
      this.#entrance.join(prepared, { cell, envelope, parent, pool: undefined }, (turn) =>
        resume(Exit.isSuccess(turn) ? this.#hold(prepared, cell, outgoing) : Exit.failCause(turn.cause)),
      )
      return Effect.sync(() => this.#entrance.leave(prepared))
    })
  }

  #hold(prepared: Prepared, cell: LiveCell, outgoing: Array<Prepared>): Exit.Exit<string, SendFailure> {
    const { envelope } = prepared.draft
    const full = holdPlace(this.#system, cell)
    const victim = full?._tag === "RetryableMailboxFull" ? holdPlaceOf(this.#system, cell, envelope) : undefined
    if (full !== undefined && victim === undefined) return Exit.fail(full)
    // In the same step: a handler that is interrupted here must not leave a held place behind that nobody knows.
    outgoing.push({ ...prepared, to: { ...prepared.to, cell }, victim })
    return Exit.succeed(envelope.id)
  }

  /** What a handler sent is in the mailbox, or was never written. */
  sent({ draft, to: { cell }, victim }: Prepared): void {
    if (victim !== undefined) {
      acquit(cell, victim)
      const message = this.#system.live.get(draft.envelope.id)
      if (message !== undefined) this.#drop(victim, message, cell)
    }
    this.release(cell)
  }

  /** Gives up a place that was held at the actor, whose message is in its mailbox by now or was never written. */
  release(cell: LiveCell): void {
    releasePlace(this.#system, cell)
    if (cell.line !== undefined) this.#queues.pump(cell)
  }

  /** Ends a message for a newer one, if it still waits where that one has come. */
  #drop(victim: Victim, message: LiveMessage, cell: LiveCell): void {
    const found = victimFor(cell, message, victim)
    if (found !== undefined) this.#queues.endWaiting(found, "cancelled", dropped(cell, found))
  }

  /** Lets in, in order, those who wait and for whom there is room now. */
  admit(cell: LiveCell): void {
    this.#entrance.admit(cell)
  }

  /** The sender has gone; nothing where its message is being written, or it never had to wait. */
  leave(key: object): void {
    this.#entrance.leave(key)
  }

  /** The system closes: refuses those outside who wait, in the end handlers too. */
  turnAway(everybody: boolean): void {
    this.#entrance.turnAway(everybody)
  }
}
