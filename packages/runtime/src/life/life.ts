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
import { Effect, Exit } from "effect"
import { isGone, takesMessages } from "../actor/lifecycle.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { CommitReceipt } from "../ports/MessageStore.ts"
import type { Claim, Write } from "../ports/Write.ts"
import { after, alarm } from "./alarm.ts"
import { BusyCount } from "./BusyCount.ts"
import { commitUntilTaken, failureOf, whenDone } from "./commit.ts"
import { countAssigned, countWithdrawn } from "./deliver.ts"
import { Intake, type QueuesBehind } from "./Intake.ts"
import { endOfRun } from "./journal/endOfRun.ts"
import type { Interruption, LiveCell, LiveMessage, PlannedEnd } from "./LiveMessage.ts"
import type { Prepared } from "./prepare.ts"
import { type Queues, Runner } from "./Runner.ts"
import { follow, lose, tell } from "./reply.ts"
import { Senders } from "./Senders.ts"
import type { Supervision } from "./Supervision.ts"
import type { System } from "./System.ts"
import { sealUnstarted } from "./seal.ts"
import { CANCELLED, EXPIRED } from "./verdict.ts"

export class Life implements Queues, QueuesBehind {
  readonly #system: System
  readonly supervision: () => Supervision
  readonly #runner: Runner
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
    this.senders = new Senders(system, this.intake, (messageId) => this.cancel(messageId))
    this.#runner = new Runner(system, this, this.senders, this.#busy)
  }

  readonly sent = (prepared: Prepared): void => this.intake.sent(prepared)
  readonly release = (cell: LiveCell): void => this.intake.release(cell)

  setGoing(message: LiveMessage): void {
    if (message.phase === "waiting") this.enqueue(message)
    else {
      this.#watchDeadline(message)
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
    if (message.ending !== undefined && !isGone(cell.lifecycle.state)) this.#wait(message)
    else if (interruption === "cancelled") this.endWaiting(message, "cancelled", CANCELLED)
    else if (interruption === "expired" || message.isLate(this.#system.now())) {
      this.endWaiting(message, "expired", EXPIRED)
    } else if (isGone(cell.lifecycle.state) && !this.#system.closing) this.supervision().stranded(message)
    else this.#wait(message)
  }

  #wait(message: LiveMessage): void {
    const { cell } = message
    const nowMs = this.#system.now()
    if (cell.mailbox.size === 0) cell.pace(nowMs).begin(nowMs, cell.ended)
    // Due once is due for good, also where the clock is set back while the actor is busy.
    if (message.dueAtMs <= nowMs) message.dueAtMs = 0
    // An actor that is restarted meanwhile gets it again, as after a restart of the process.
    if (message.stashed && takesMessages(cell.lifecycle.state)) cell.mailbox.stash(message)
    else cell.mailbox.push(message, nowMs)
    this.#watchDeadline(message)
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
      const next = this.takeNext(cell)
      if (next === undefined) break
      this.#commit(next, [this.claim(next)], {
        onWritten: () => this.#runner.begin(next),
        onLost: () => countWithdrawn(this.#system, next),
      })
    }
    if (cell.line !== undefined) this.intake.admit(cell)
  }

  /** While the system closes, only what a running handler waits for is still begun. */
  readonly #mayBegin = ({ envelope }: LiveMessage): boolean =>
    !this.#system.closing || (envelope.causationId !== null && this.#system.live.has(envelope.causationId))

  /** The message to run next on a place that is free, or becomes free with the commit that claims it. */
  takeNext(cell: LiveCell): LiveMessage | undefined {
    const nowMs = this.#system.now()
    for (;;) {
      const next = cell.mailbox.take(nowMs, this.#mayBegin)
      if (next === undefined || !next.isLate(nowMs)) return next
      this.endWaiting(next, "expired", EXPIRED)
    }
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
  #commit(
    message: LiveMessage,
    writes: ReadonlyArray<Write>,
    { onLost, onWritten }: { readonly onWritten: (receipt: CommitReceipt) => void; readonly onLost?: () => void },
  ): void {
    this.#busy.enter()
    commitUntilTaken(this.#system, writes, (exit) => {
      if (Exit.isSuccess(exit)) {
        onWritten(exit.value)
        this.#busy.leave()
      } else {
        onLost?.()
        whenDone(this.#system, lose(this.#system, message, failureOf(exit.cause)), () => this.#busy.leave())
      }
    })
  }

  // A life that is cut short.

  /** Takes a message back; false where it has ended, or never was. */
  cancel(messageId: string): boolean {
    const message = this.#system.live.get(messageId)
    if (message === undefined || message.phase === "ending") return false
    this.#interrupt(message, "cancelled")
    return true
  }

  #interrupt(message: LiveMessage, why: Extract<Interruption, "cancelled" | "expired">): void {
    if (message.phase === "waiting") {
      this.endWaiting(message, why, why === "expired" ? EXPIRED : CANCELLED)
      // In a strict mailbox it may have held back all that is behind it.
      this.pump(message.cell)
    } else if (message.phase !== "ending" && !message.undoing && message.ending === undefined) {
      // Where a commit is being written, there may be nobody to interrupt; `enqueue` or `work` looks at it then.
      // That a handler puts it aside, or sleeps, is no reason to let it live.
      if (message.interruption === "stashed" || message.interruption === "asleep") message.interruption = why
      else message.interruption ??= why
      message.fiber?.interruptUnsafe()
    }
  }

  /** Ends a message that waits; one that has run may have to be compensated first. */
  endWaiting(message: LiveMessage, status: PlannedEnd["status"], record: FailureRecord): void {
    message.phase = "ending"
    message.cell.mailbox.remove(message)
    countWithdrawn(this.#system, message)
    if (message.attempt === 0) this.#settleWaiting(message, { status, record })
    else {
      this.#busy.enter()
      const decided = Effect.map(endOfRun(this.#system, message, { status, record }), (found) => {
        if (found._tag === "End") this.#settleWaiting(message, found.end)
        else {
          message.phase = "waiting"
          message.dueAtMs = 0
          countAssigned(this.#system, message.envelope, message.cell.key)
          this.#wait(message)
        }
        this.#busy.leave()
      })
      this.#system.fork(Effect.uninterruptible(decided))
    }
  }

  #settleWaiting(message: LiveMessage, { record, status }: PlannedEnd): void {
    const sealed = sealUnstarted(message, { record, status }, this.#system.now())
    this.#commit(message, sealed.writes, {
      onWritten: (receipt) => {
        follow(this.#system, message, sealed, receipt)
        tell(this.#system, message, sealed)
      },
    })
  }

  #watchDeadline(message: LiveMessage): void {
    const { deadlineAtMs } = message.envelope
    if (deadlineAtMs === null || message.cancelDeadline !== undefined) return
    message.cancelDeadline = alarm(this.#system, deadlineAtMs, () => this.#interrupt(message, "expired"))
  }
}
