/**
 * The boundary between senders and a full mailbox whose policy is to wait: senders stand in line, in order and bounded, and
 * go on as places become free. Nobody who comes later gets past them.
 */
import { Exit } from "effect"
import { type Waiter, WaitingLine } from "../../actor/WaitingLine.ts"
import { RetryableClosing, type RetryableMailboxFull } from "../../message/DeliveryFailure.ts"
import { alarm } from "../alarm.ts"
import type { LiveCell, LiveMessage } from "../LiveMessage.ts"
import type { System } from "../System.ts"
import { canRunNow, hasPlace, mailboxFull, type Times } from "./places.ts"

/**
 * How long a handler waits for a place at most: two actors that fill each other's mailboxes would wait for ever, each of
 * them busy with waiting. Its message is then tried again after its backoff, which makes room.
 */
const HANDLER_WAIT_MS_MAX = 30_000

/** How a wait ends: with room, with why there is none, or because the sender has gone. */
export type Turn = Exit.Exit<void, RetryableMailboxFull | RetryableClosing>

export interface Standing {
  readonly cell: LiveCell
  readonly envelope: Times
  /** The message whose handler sends; undefined for the world outside. */
  readonly parent: LiveMessage | undefined
  /** Which pool chose the actor; undefined where the message needs a place even if the actor is free, as a send does. */
  readonly pool: string | null | undefined
}

interface Stander extends Waiter {
  readonly cell: LiveCell
  readonly isOutside: boolean
  readonly end: (turn: Turn) => void
}

export class Entrance {
  readonly #system: System
  /** By whom they wait for: whoever has joined leaves by the same key. */
  readonly #standing = new Map<object, Stander>()

  constructor(system: System) {
    this.#system = system
  }

  /** Whether a sender who comes now has to wait. */
  mustWait(cell: LiveCell, envelope: Times, pool: Standing["pool"]): boolean {
    if (cell.actor.mailbox.whenFull !== "wait") return false
    return cell.line !== undefined || !this.#fits(cell, envelope, pool)
  }

  #fits(cell: LiveCell, envelope: Times, pool: Standing["pool"]): boolean {
    return hasPlace(cell) || (pool !== undefined && canRunNow(this.#system, cell, envelope, pool))
  }

  /** Stands in line; `then` is called once, with the sender's turn, in the step in which there is room. */
  join(key: object, standing: Standing, then: (turn: Turn) => void): void {
    const { cell, envelope, parent } = standing
    const why = this.#whyNot(standing)
    if (why !== undefined) {
      then(Exit.fail(mailboxFull(this.#system, cell, why)))
      return
    }
    const line = cell.line ?? new WaitingLine()
    cell.line = line
    let cancel = (): void => {}
    const stander: Stander = {
      cell,
      isOutside: parent === undefined,
      fits: () => this.#fits(cell, envelope, standing.pool),
      go: () => stander.end(Exit.void),
      end: (turn) => {
        cancel()
        this.#standing.delete(key)
        line.leave(stander)
        if (line.size === 0) cell.line = undefined
        then(turn)
      },
    }
    line.join(stander)
    this.#standing.set(key, stander)
    const handlerUntilMs = this.#system.now() + HANDLER_WAIT_MS_MAX
    const untilMs =
      parent === undefined ? envelope.deadlineAtMs : Math.min(envelope.deadlineAtMs ?? handlerUntilMs, handlerUntilMs)
    if (untilMs === null) return
    const late = "as many as its mailbox holds, and no place became free in the time that the sender had"
    cancel = alarm(this.#system, untilMs, () => this.#leave(stander, Exit.fail(mailboxFull(this.#system, cell, late))))
  }

  /** Why a sender may not even stand in line; undefined where it may. */
  #whyNot({ cell, parent }: Standing): string | undefined {
    const { waitersMax } = cell.actor.mailbox
    const size = cell.line?.size ?? 0
    if (size >= waitersMax) return `and ${size} senders wait for a place, as many as mailbox.waitersMax allows`
    const isItself = parent?.cell === cell && cell.actor.concurrency === 1
    return isItself ? "as many as its mailbox holds, and cannot wait for itself" : undefined
  }

  #leave(stander: Stander, turn: Turn): void {
    stander.end(turn)
    // Whoever comes next may fit where this one did not.
    this.admit(stander.cell)
  }

  /** The sender has gone; nothing where it has had its turn. */
  leave(key: object): void {
    const stander = this.#standing.get(key)
    if (stander !== undefined) this.#leave(stander, Exit.interrupt())
  }

  /** Lets in whoever fits, in order. */
  admit(cell: LiveCell): void {
    for (let next = cell.line?.first; next?.fits() === true; next = cell.line?.first) next.go()
  }

  /** The system closes: refuses those outside, in the end everybody. */
  turnAway(everybody: boolean): void {
    const message = "The system is closing and takes no new messages; send it again later."
    for (const stander of [...this.#standing.values()]) {
      if (everybody || stander.isOutside) stander.end(Exit.fail(new RetryableClosing({ message })))
    }
  }
}
