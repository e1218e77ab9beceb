/**
 * The life of a message. Read this file first.
 *
 *     compose   task + data + codec  ->  a validated envelope
 *     route     address or pool      ->  a target actor, the choice written down
 *     deliver   one durable append   ->  only now is the sender told "accepted"
 *     process   decode, state, execute, encode
 *     reply     ONE commit           ->  state, sends, reply, acknowledgement, lifecycle: all or nothing
 *     feedback  a score on a reply
 *     recover   on start: every unfinished life goes on where its last commit left it
 *
 * Each step is a file of that name; none of them calls another. Control flow is here: what follows what, who runs next,
 * what an interruption means. Up to the acceptance it is in `Senders.ts` and `Intake.ts`, from the claim to the seal in
 * `Runner.ts`.
 */
import { type Effect, Exit } from "effect"
import { isGone, takesMessages } from "../actor/lifecycle.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { Claim, Write } from "../ports/Write.ts"
import { after, alarm } from "./alarm.ts"
import { BusyCount } from "./BusyCount.ts"
import { commitUntilTaken, failureOf, whenDone } from "./commit.ts"
import { countWithdrawn } from "./deliver.ts"
import type { LiveCell, LiveMessage, PlannedEnd } from "./LiveMessage.ts"
import type { Prepared } from "./prepare.ts"
import { type Queues, Runner } from "./Runner.ts"
import { lose } from "./reply.ts"
import { Senders } from "./Senders.ts"
import type { Supervision } from "./Supervision.ts"
import type { System } from "./System.ts"
import { CANCELLED, EXPIRED } from "./verdict.ts"
import { CutShort, type Followed } from "./waiting/CutShort.ts"
import { Intake, type QueuesBehind } from "./waiting/Intake.ts"

export class Life implements Queues, QueuesBehind {
  readonly #system: System
  readonly supervision: () => Supervision
  readonly #runner: Runner
  readonly #cutShort: CutShort
  readonly #busy = new BusyCount()
  readonly intake: Intake
  /** Steps 1 to 3: from a call to an accepted message, and to its answer. */
  readonly senders: Senders
  /** Resolves when no handler runs, and no commit of a message is being written. */
  readonly quiet = this.#busy.quiet

  constructor(system: System, supervision: () => Supervision) {
    this.#system = system
    this.supervision = supervision
    this.intake = new Intake(system, this, this.#busy)
    this.#cutShort = new CutShort(system, this, this.#busy)
    this.senders = new Senders(system, this.intake, this.#cutShort)
    this.#runner = new Runner(system, this, this.senders, this.#busy)
  }

  readonly sent = (prepared: Prepared): void => this.intake.sent(prepared)
  readonly release = (cell: LiveCell): void => this.intake.release(cell)

  setGoing(message: LiveMessage): void {
    if (message.phase === "waiting") this.enqueue(message)
    else {
      this.#cutShort.watchDeadline(message)
      this.#runner.begin(message)
    }
  }

  // Between the steps: who waits, and who runs next.

  /** Puts an accepted message into its actor's queue. */
  enqueue(message: LiveMessage): void {
    const { cell, interruption } = message
    message.interruption = undefined
    message.phase = "waiting"
    // It waits for its compensations; nobody can take it back or have it expire any more.
    if (message.ending !== undefined && !isGone(cell.lifecycle.state)) this.wait(message)
    else if (interruption === "cancelled") this.endWaiting(message, "cancelled", CANCELLED)
    else if (interruption === "expired" || message.isLate(this.#system.now())) {
      this.endWaiting(message, "expired", EXPIRED)
    } else if (isGone(cell.lifecycle.state) && !this.#system.closing) this.supervision().stranded(message)
    else this.wait(message)
  }

  /** Puts a message into its actor's queue, whatever has been asked of it. */
  wait(message: LiveMessage): void {
    const { cell } = message
    const nowMs = this.#system.now()
    if (cell.mailbox.size === 0) cell.pace(nowMs).begin(nowMs, cell.ended)
    // Due once is due for good, also where the clock is set back while the actor is busy.
    if (message.dueAtMs <= nowMs) message.dueAtMs = 0
    else if (this.#system.agenda?.keeps(message, nowMs) === true) return
    // An actor that is restarted meanwhile gets it again, as after a restart of the process.
    if (message.stashed && takesMessages(cell.lifecycle.state)) cell.mailbox.stash(message)
    else cell.mailbox.push(message, nowMs)
    this.#cutShort.watchDeadline(message)
    message.cancelDue?.()
    if (message.dueAtMs > nowMs) {
      const leftMs = message.dueAtMs - nowMs
      const due = () => {
        message.dueAtMs = 0
        message.cell.mailbox.due(message)
        this.pump(message.cell)
      }
      // A backoff is a while, what a sender wants, and a handler that sleeps, is a time.
      message.cancelDue = message.backsOff
        ? after(this.#system, Math.min(leftMs, cell.actor.retry.backoff.maxMs), due)
        : alarm(this.#system, message.dueAtMs, due)
    }
    this.supervision().wanted(cell)
    this.pump(cell)
  }

  /** Runs what the actor has room for. */
  pump(cell: LiveCell): void {
    while (cell.freeSlots > 0) {
      const next = this.takeNext(cell, () => cell.freeSlots > 0)
      if (next === undefined) break
      this.commit(next, [this.claim(next)], {
        onWritten: () => this.#runner.begin(next),
        onLost: () => countWithdrawn(this.#system, next),
      })
    }
    if (cell.line !== undefined) this.intake.admit(cell)
  }

  /** While the system closes, only what a running handler waits for is still begun; nothing overtakes what is unread. */
  readonly #mayBegin = ({ cell, envelope, order }: LiveMessage): boolean => {
    const { backlog, closing, live } = this.#system
    if (closing) return envelope.causationId !== null && live.has(envelope.causationId)
    // What was read back is in its turn, and over a pool's targets there is none.
    return backlog === undefined || order < 0 || envelope.pool !== null || !backlog.hides(cell)
  }

  /**
   * The message to run next on a place that is free, or becomes free with the commit that claims it.
   *
   * @param isFree whether the place is still there: what has expired, and is recalled to be compensated, takes it at once
   */
  takeNext(cell: LiveCell, isFree: () => boolean = () => true): LiveMessage | undefined {
    const nowMs = this.#system.now()
    while (isFree()) {
      const next = cell.mailbox.take(nowMs, this.#mayBegin)
      if (next === undefined) return undefined
      if (next.isLate(nowMs)) this.endWaiting(next, "expired", EXPIRED)
      else if (cell.ending === 0) return next
      else {
        // What was before it has not ended on disk yet.
        cell.mailbox.push(next, nowMs)
        return undefined
      }
    }
    return undefined
  }

  /** Takes a place for the message; it runs once the claim is written. */
  claim(message: LiveMessage): Claim {
    const atMs = this.#system.now()
    message.attempt++
    message.phase = "running"
    message.claimedAtMs = atMs
    message.cell.running.add(message)
    return { _tag: "Claim", messageId: message.id, attempt: message.attempt, atMs }
  }

  /** The claim was not written. */
  unclaim(message: LiveMessage): void {
    message.attempt--
    message.cell.running.delete(message)
    this.enqueue(message)
  }

  /** A commit about one message, and what follows when it stands. */
  commit(message: LiveMessage, writes: ReadonlyArray<Write>, followed: Followed): void {
    this.#busy.enter()
    commitUntilTaken(this.#system, writes, (exit) => {
      if (Exit.isSuccess(exit)) {
        followed.onWritten(exit.value)
        this.#busy.leave()
      } else {
        followed.onLost?.()
        whenDone(this.#system, lose(this.#system, message, failureOf(exit.cause)), () => this.#busy.leave())
      }
    })
  }

  // A life that is cut short.

  readonly cancel = (messageId: string): Effect.Effect<boolean> => this.#cutShort.cancel(messageId)

  /** Ends a message that waits. */
  endWaiting(message: LiveMessage, status: PlannedEnd["status"], record: FailureRecord): void {
    this.#cutShort.endWaiting(message, status, record)
  }
}
