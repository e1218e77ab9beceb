/**
 * The boundary between a message and those who end it before its handler does: whoever takes it back, its deadline, the
 * end of its actor. What is said to have ended is on disk.
 */
import { Effect } from "effect"
import type { FailureRecord } from "../../message/Reply.ts"
import type { CommitReceipt } from "../../ports/MessageStore.ts"
import type { Write } from "../../ports/Write.ts"
import { alarm } from "../alarm.ts"
import type { BusyCount } from "../BusyCount.ts"
import { countAssigned, countWithdrawn, poolOf } from "../deliver.ts"
import { endOfRun } from "../journal/endOfRun.ts"
import type { Interruption, LiveCell, LiveMessage, PlannedEnd } from "../LiveMessage.ts"
import { follow, tell } from "../reply.ts"
import type { System } from "../System.ts"
import { sealUnstarted } from "../seal.ts"
import { cancelStored } from "../shelf/cancelStored.ts"
import { CANCELLED, EXPIRED } from "../verdict.ts"

/** What follows a commit about a message: when it stands, or when it never will. */
export interface Followed {
  readonly onWritten: (receipt: CommitReceipt) => void
  readonly onLost?: () => void
}

/** What an early end needs of the queues around it. */
export interface WaitingLife {
  readonly enqueue: (message: LiveMessage) => void
  /** Puts a message into its actor's queue, whatever has been asked of it. */
  readonly wait: (message: LiveMessage) => void
  /** Runs what the actor has room for. */
  readonly pump: (cell: LiveCell) => void
  readonly commit: (message: LiveMessage, writes: ReadonlyArray<Write>, followed: Followed) => void
}

/** Whether a handler that is interrupted for this will be run again. */
export const comesBack = (why: Interruption | undefined): boolean =>
  why === "closing" || why === "restarted" || why === "stashed" || why === "asleep"

export class CutShort {
  readonly #system: System
  readonly #queues: WaitingLife
  readonly #busy: BusyCount

  constructor(system: System, queues: WaitingLife, busy: BusyCount) {
    this.#system = system
    this.#queues = queues
    this.#busy = busy
  }

  /**
   * Takes a message back, in memory or on disk; true once that is its end, and on disk. False where it has ended, ends
   * otherwise, or never was, and where the system is closed first.
   */
  readonly cancel = (messageId: string): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const message = this.#system.live.get(messageId)
      if (message === undefined)
        return cancelStored(this.#system, messageId, {
          cancel: this.cancel,
          enqueue: (each) => this.#queues.enqueue(each),
          pump: (cell) => this.#queues.pump(cell),
        })
      return Effect.callback<boolean>((resume) => {
        const stop = this.#system.askers.wait(messageId, (end) =>
          resume(Effect.succeed(end._tag === "Replied" && end.reply.status === "cancelled")),
        )
        if (this.#system.closed) resume(Effect.succeed(false))
        this.#interrupt(message, "cancelled")
        return Effect.sync(stop)
      })
    })

  /** Nobody waits for the message any more: takes it back, and tells nobody. */
  leave(messageId: string): void {
    const message = this.#system.live.get(messageId)
    if (message !== undefined) this.#interrupt(message, "cancelled")
    else this.#system.fork(this.cancel(messageId))
  }

  #interrupt(message: LiveMessage, why: Extract<Interruption, "cancelled" | "expired">): void {
    if (message.phase === "waiting") this.endWaiting(message, why, why === "expired" ? EXPIRED : CANCELLED)
    else if (message.phase !== "ending" && !message.undoing && message.ending === undefined) {
      // Where a commit is being written, there may be nobody to interrupt; `enqueue` or `work` looks at it then.
      // That it would come back is no reason to let it live.
      const { interruption } = message
      if (interruption === undefined || (comesBack(interruption) && interruption !== "closing"))
        message.interruption = why
      message.fiber?.interruptUnsafe()
    }
  }

  /**
   * Ends a message that waits; one that has run may have to be compensated first. Until its end is on disk, a serial actor
   * runs nothing that was behind it: a death would bring it back behind that.
   */
  endWaiting(message: LiveMessage, status: PlannedEnd["status"], record: FailureRecord): void {
    const { cell } = message
    message.phase = "ending"
    cell.mailbox.remove(message)
    countWithdrawn(this.#system, message)
    if (status === "expired") poolOf(this.#system, message.envelope)?.memory.settled(message.id, false)
    if (cell.actor.concurrency === 1) cell.ending++
    if (message.attempt === 0) this.#settleWaiting(message, { status, record })
    else {
      this.#busy.enter()
      const decided = Effect.map(endOfRun(this.#system, message, { status, record }), (found) => {
        if (found._tag === "End") this.#settleWaiting(message, found.end)
        else {
          message.phase = "waiting"
          message.dueAtMs = 0
          countAssigned(this.#system, message.envelope, cell.key)
          if (cell.actor.concurrency === 1) cell.ending--
          this.#queues.wait(message)
        }
        this.#busy.leave()
      })
      this.#system.fork(Effect.uninterruptible(decided))
    }
    // In a strict mailbox it may have held back all that is behind it.
    this.#queues.pump(cell)
  }

  #settleWaiting(message: LiveMessage, { record, status }: PlannedEnd): void {
    const { cell } = message
    const sealed = sealUnstarted(message, { record, status }, this.#system.now())
    const over = (): void => {
      if (cell.actor.concurrency === 1) cell.ending--
      this.#queues.pump(cell)
    }
    this.#queues.commit(message, sealed.writes, {
      onWritten: (receipt) => {
        follow(this.#system, message, sealed, receipt)
        tell(this.#system, message, sealed)
        over()
      },
      onLost: over,
    })
  }

  watchDeadline(message: LiveMessage): void {
    const { deadlineAtMs } = message.envelope
    if (deadlineAtMs === null || message.cancelDeadline !== undefined) return
    message.cancelDeadline = alarm(this.#system, deadlineAtMs, () => this.#interrupt(message, "expired"))
  }
}
