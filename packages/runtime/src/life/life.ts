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
 * what an interruption means. From the claim to the seal it is in `Runner.ts`.
 */
import { Effect, Exit, Stream } from "effect"
import type { DispatchNote } from "../actor/ActorContext.ts"
import { isGone, takesMessages } from "../actor/lifecycle.ts"
import type { AskFailure } from "../message/DeliveryFailure.ts"
import type { MessageStatus } from "../message/Envelope.ts"
import type { FailureRecord } from "../message/Reply.ts"
import type { CommitReceipt } from "../ports/MessageStore.ts"
import type { Claim, Write } from "../ports/Write.ts"
import { after, alarm } from "./alarm.ts"
import { whenAnswered } from "./answer.ts"
import { BusyCount } from "./BusyCount.ts"
import { commitUntilTaken, failureOf, whenDone } from "./commit.ts"
import type { Request } from "./compose.ts"
import { countAssigned, countWithdrawn, type DeliverFailure } from "./deliver.ts"
import { Intake, type QueuesBehind } from "./Intake.ts"
import { endOfRun } from "./journal/endOfRun.ts"
import type { Interruption, LiveCell, LiveMessage, PlannedEnd } from "./LiveMessage.ts"
import type { Dispatch } from "./makeContext.ts"
import { type Prepared, type PrepareFailure, prepare } from "./prepare.ts"
import { type Queues, Runner } from "./Runner.ts"
import { streamAccepted } from "./readChunks.ts"
import { follow, lose, tell } from "./reply.ts"
import type { Supervision } from "./Supervision.ts"
import type { System } from "./System.ts"
import { sealUnstarted } from "./seal.ts"
import { CANCELLED, EXPIRED } from "./verdict.ts"
import { WaitGraph } from "./WaitGraph.ts"

/** An accepted message, or the earlier one that it repeats. */
export interface Accepted {
  readonly id: string
  readonly codec: Prepared["draft"]["codec"]
  /** Whether a caller who leaves may come back for the answer, so that the message goes on without it. */
  readonly kept: boolean
}

type AcceptFailure = PrepareFailure | DeliverFailure

/** Ends without an answer: a handler that runs again may ask anew. */
const unanswered = (status: MessageStatus): boolean =>
  status === "cancelled" || status === "expired" || status === "dead"

/** Tells the id to a sender who wants to know it; what he makes of it must not break the store that calls back. */
const accepted = ({ options }: Request, each: Accepted): Exit.Exit<Accepted> => {
  if (options.onAccepted === undefined) return Exit.succeed(each)
  try {
    options.onAccepted(each.id)
    return Exit.succeed(each)
  } catch (error) {
    return Exit.die(error)
  }
}

/** Whether a handler that is interrupted for this will be run again. */
const comesBack = (why: Interruption | undefined): boolean =>
  why === "closing" || why === "restarted" || why === "stashed" || why === "asleep"

export class Life implements Dispatch, Queues, QueuesBehind {
  readonly #system: System
  readonly supervision: () => Supervision
  readonly #runner: Runner
  readonly #busy = new BusyCount()
  readonly #waits: WaitGraph
  readonly intake: Intake
  /** Resolves when no handler runs, and no commit of a message is being written. */
  readonly quiet = this.#busy.quiet

  constructor(system: System, supervision: () => Supervision) {
    this.#system = system
    this.supervision = supervision
    this.#waits = new WaitGraph(system.live)
    this.intake = new Intake(system, this, this.#busy)
    this.#runner = new Runner(system, this, this, this.#busy)
  }

  // Steps 1 to 3: from a call to an accepted message, and to its answer.

  /**
   * Accepts a message; gives its id, and how to read its answer. Interrupted while it waits for a place, it leaves the line;
   * later it is not: what is on disk is known to memory.
   *
   * @param noted called with what was accepted, also where the sender does not hear of it any more
   */
  accept(
    request: Request,
    note?: DispatchNote,
    noted?: (accepted: Accepted) => void,
  ): Effect.Effect<Accepted, AcceptFailure> {
    return Effect.callback((resume) => {
      let over: (() => void) | undefined
      let isOver = false
      const told = (exit: Exit.Exit<Accepted, AcceptFailure>): void => {
        isOver = true
        if (Exit.isSuccess(exit)) noted?.(exit.value)
        resume(exit)
        over?.()
      }
      this.#accept(request, note, told)
      return Effect.callback<void>((left) => {
        over = () => left(Effect.void)
        if (isOver) left(Effect.void)
        else this.intake.leave(told)
      })
    })
  }

  #accept(
    request: Request,
    note: DispatchNote | undefined,
    then: (exit: Exit.Exit<Accepted, AcceptFailure>) => void,
    again = 0,
  ): void {
    const { parent } = request
    const asked = again === 0 || parent === undefined ? request : { ...request, parent: { ...parent, again } }
    whenDone(this.#system, prepare(this.#system, asked, note, this.#waits), (prepared) => {
      if (Exit.isFailure(prepared)) return then(Exit.failCause(prepared.cause))
      const { codec, envelope } = prepared.value.draft
      request.attach?.(envelope.id)
      this.intake.place(parent?.message, prepared.value, then, (delivered) => {
        if (Exit.isFailure(delivered)) return then(Exit.failCause(delivered.cause))
        if (delivered.value._tag === "Accepted") {
          return then(accepted(request, { id: envelope.id, codec, kept: envelope.idempotencyKey !== null }))
        }
        const { row } = delivered.value
        // An earlier attempt of the handler asked, and nobody answered: ask anew. There was one ask an attempt at most.
        const stale = parent !== undefined && unanswered(row.status) && again < parent.message.attempt - 1
        if (stale) this.#accept(request, note, then, again + 1)
        else {
          // Another message gives the answer: the earlier one of its key.
          if (parent?.wait !== undefined) parent.wait.childId = row.id
          request.attach?.(row.id)
          // The handler's own, from an earlier attempt, is nobody else's.
          const kept = row.id !== envelope.id || envelope.idempotencyKey !== null
          then(accepted(request, { id: row.id, codec, kept }))
        }
      })
    })
  }

  /** One wait from the call to the answer; what comes between them, the acceptance, wakes nobody. */
  readonly ask = <A, E>(request: Request, note?: DispatchNote): Effect.Effect<A, E | AskFailure> => {
    const { parent } = request
    if (parent !== undefined && parent.wait === undefined) {
      return Effect.acquireUseRelease(
        Effect.sync(() => this.#waits.begin(parent.message)),
        (wait) => this.ask<A, E>({ ...request, parent: { ...parent, wait } }, note),
        (wait) => Effect.sync(() => this.#waits.end(wait)),
      )
    }
    const asked = Effect.callback<unknown, unknown>((resume) => {
      let accepted: Exit.Exit<Accepted, unknown> | undefined
      let stop = (): void => {}
      let whenAccepted = (): void => {}
      const told = (exit: Exit.Exit<Accepted, AcceptFailure>): void => {
        accepted = exit
        if (Exit.isFailure(exit)) resume(exit)
        else stop = whenAnswered(this.#system, exit.value.codec, exit.value.id, resume)
        whenAccepted()
      }
      this.#accept(request, note, told)
      const leave = (): void => {
        stop()
        if (accepted !== undefined && Exit.isSuccess(accepted)) this.#leave(request, accepted.value)
      }
      // An asker that is interrupted while its message is being accepted takes it back once it is.
      return Effect.callback<void>((left) => {
        whenAccepted = () => {
          leave()
          left(Effect.void)
        }
        if (accepted !== undefined) whenAccepted()
        else this.intake.leave(told)
      })
    })
    // The codec that decodes the reply is the one of the task that says `A` and `E`.
    return asked as Effect.Effect<A, E | AskFailure>
  }

  readonly stream = <A, E>(request: Request, note?: DispatchNote): Stream.Stream<A, E | AskFailure> => {
    const { parent } = request
    if (parent !== undefined && parent.wait === undefined) {
      const opened = Effect.acquireRelease(
        Effect.sync(() => this.#waits.begin(parent.message)),
        (wait) => Effect.sync(() => this.#waits.end(wait)),
      )
      return Stream.unwrap(
        Effect.map(opened, (wait) => this.stream<A, E>({ ...request, parent: { ...parent, wait } }, note)),
      )
    }
    const streamed = streamAccepted<Accepted, AcceptFailure>(
      this.#system,
      request.options,
      (attach, noted) => this.accept({ ...request, attach }, note, noted),
      (accepted) => this.#leave(request, accepted),
    )
    return streamed as Stream.Stream<A, E | AskFailure>
  }

  readonly prepareSend = (request: Request, note: DispatchNote | undefined, outgoing: Array<Prepared>) =>
    Effect.flatMap(prepare(this.#system, request, note, undefined), (prepared) =>
      this.intake.hold(request.parent?.message, prepared, outgoing),
    )

  readonly sent = (prepared: Prepared): void => this.intake.sent(prepared)
  readonly release = (cell: LiveCell): void => this.intake.release(cell)

  setGoing(message: LiveMessage): void {
    if (message.phase === "waiting") this.enqueue(message)
    else {
      this.#watchDeadline(message)
      this.#runner.begin(message)
    }
  }

  /** The asker has left: nobody waits for the message any more, unless it may be asked for again. */
  #leave(request: Request, accepted: Accepted): void {
    const interruption = request.parent?.message.interruption
    // A handler that runs again finds the answer.
    if (this.#system.closed || comesBack(interruption)) return
    if (accepted.kept || this.#system.askers.has(accepted.id)) return
    this.cancel(accepted.id)
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

  readonly takeBack = (messageId: string): Effect.Effect<boolean> => Effect.sync(() => this.cancel(messageId))

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
