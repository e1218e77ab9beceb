/**
 * Steps 4 and 5 of a message's life, in sequence: from a claim that stands to the seal, and to whatever that seal sets
 * going. The boundary between queues, which `life.ts` holds, and fibers: one message runs on one fiber, which is
 * interrupted nowhere else than in its handler.
 */
import { Effect, Exit } from "effect"
import { takesMessages } from "../actor/lifecycle.ts"
import type { CommitReceipt } from "../ports/MessageStore.ts"
import type { CommitExit } from "../ports/Submission.ts"
import type { AppendChunk, Claim } from "../ports/Write.ts"
import type { BusyCount } from "./BusyCount.ts"
import { commitUntilTaken, failureOf, whenDone } from "./commit.ts"
import { isPutOff, poolOf } from "./deliver.ts"
import { compensate } from "./journal/compensate.ts"
import { endOfRun } from "./journal/endOfRun.ts"
import type { Journal } from "./journal/Journal.ts"
import type { LiveCell, LiveMessage, PlannedEnd } from "./LiveMessage.ts"
import { type Dispatch, makeContext } from "./makeContext.ts"
import type { Prepared } from "./prepare.ts"
import { type Attempt, loadState, type Processed, process } from "./process.ts"
import { abandon, follow, lose, noteSignals, tell } from "./reply.ts"
import type { Supervision } from "./Supervision.ts"
import type { System } from "./System.ts"
import { putActor, type Seal, seal, sealEnd, sealRecalled, withWatching } from "./seal.ts"
import { ChunkWriter } from "./streams/emit.ts"
import { failedAsExpired, unjudged, type Verdict, verdict } from "./verdict.ts"

const endsBadly = ({ outcome }: Seal): boolean => outcome._tag === "Ended" && outcome.reply.status !== "done"

/**
 * The seal of a message that ends badly, with its steps compensated; undefined where the system closes before that. One
 * whose handler was cut off before it had said how is put back, to be recalled.
 */
const sealCompensated = Effect.fnUntraced(function* (
  system: System,
  message: LiveMessage,
  journal: Journal | undefined,
  sealed: Seal,
  chunks: ReadonlyArray<AppendChunk>,
) {
  const { outcome } = sealed
  if (outcome._tag !== "Ended" || outcome.reply.status === "done" || outcome.reply.error === null) return sealed
  const planned: PlannedEnd = { status: outcome.reply.status, record: outcome.reply.error }
  if (journal !== undefined && (journal.knowsAll || message.undoing)) {
    const record = yield* compensate(journal, planned)
    return record === undefined ? undefined : sealEnd(message, { ...planned, record }, chunks, system.now())
  }
  const found = yield* endOfRun(system, message, planned)
  return found._tag === "End"
    ? sealEnd(message, found.end, chunks, system.now())
    : sealRecalled(message, found, chunks, system.now())
})

/** Whether a commit has appended the message, and not met an earlier one of its id. */
const isNew = (messageId: string, exit: CommitExit): boolean =>
  Exit.isSuccess(exit) && !exit.value.duplicates.some(({ id }) => id === messageId)

/** What a run needs of the queues around it. */
export interface Queues {
  /** Puts an accepted message into its actor's queue. */
  readonly enqueue: (message: LiveMessage) => void
  /** Runs what the actor has room for. */
  readonly pump: (cell: LiveCell) => void
  /** The message to run next on a place that is free, or becomes free with the commit that claims it. */
  readonly takeNext: (cell: LiveCell) => LiveMessage | undefined
  /** Takes a place for the message; it runs once the claim is written. */
  readonly claim: (message: LiveMessage) => Claim
  /** The claim was not written. */
  readonly unclaim: (message: LiveMessage) => void
  /** Gives up the place that was held for what a handler sent; it is in the mailbox by now, or was never written. */
  readonly sent: (prepared: Prepared) => void
  /** Gives up a place that was held at the actor. */
  readonly release: (cell: LiveCell) => void
  readonly supervision: () => Supervision
}

export class Runner {
  readonly #system: System
  readonly #queues: Queues
  readonly #dispatch: Dispatch
  readonly #busy: BusyCount

  /**
   * @param dispatch what handlers do to other actors
   * @param busy counts what runs, so that closing can wait for it
   */
  constructor(system: System, queues: Queues, dispatch: Dispatch, busy: BusyCount) {
    this.#system = system
    this.#queues = queues
    this.#dispatch = dispatch
    this.#busy = busy
  }

  /** The claim stands: run it. */
  begin(message: LiveMessage): void {
    const { cell } = message
    const nowMs = this.#system.now()
    // Of a later attempt nobody knows since when it waits there.
    const waitedMs = message.attempt > 1 ? 0 : Math.max(0, nowMs - message.envelope.createdAtMs)
    poolOf(this.#system, message.envelope)?.memory.began(cell.key, message.id, nowMs, waitedMs)
    const { state } = cell.lifecycle
    if (this.#system.closed) message.interruption ??= "closing"
    // The actor crashed while the claim was written.
    else if (!takesMessages(state) && state !== "draining" && state !== "suspended")
      message.interruption ??= "restarted"
    // The commit took longer than the message had; its alarm rings too late to keep the handler from starting.
    else if (message.isLate(this.#system.now())) message.interruption ??= "expired"
    this.#busy.enter()
    this.#run(message)
  }

  /** Runs the handler on a fiber of its own, which ends with it, and nearly always before this returns. */
  #run(message: LiveMessage): void {
    const system = this.#system
    const { cell } = message
    const codec = cell.actor.tasks.get(message.envelope.task)
    const writer = codec?.streaming === true ? new ChunkWriter(system, message, codec) : undefined
    const outgoing: Array<Prepared> = []
    let attempt: Attempt | undefined
    const ended = (exit: Exit.Exit<Processed, unknown>): void => {
      if (failedAsExpired(exit) && message.isLate(system.now())) message.interruption ??= "expired"
      whenDone(system, verdict(exit, message.id, message.interruption, codec), (found) =>
        this.#judged(message, found, writer, outgoing, attempt),
      )
    }
    // A message that was taken back while its claim was written has no fiber to interrupt.
    if (message.interruption !== undefined) {
      ended(Exit.interrupt())
      return
    }
    const handle = () => {
      attempt = makeContext(system, this.#dispatch, message, writer, outgoing)
      return process(system, message, attempt)
    }
    const fiber = system.fork(cell.loaded ? Effect.suspend(handle) : Effect.flatMap(loadState(system, cell), handle))
    message.fiber = fiber
    // Up to its first wait the handler has run already, and may have crashed its own actor.
    if (message.interruption !== undefined) fiber.interruptUnsafe()
    fiber.addObserver(ended)
  }

  /** Seals what the handler did. */
  #judged(
    message: LiveMessage,
    judged: Exit.Exit<Verdict>,
    writer: ChunkWriter | undefined,
    outgoing: ReadonlyArray<Prepared>,
    attempt: Attempt | undefined,
  ): void {
    const system = this.#system
    const found: Verdict = Exit.isSuccess(judged) ? judged.value : unjudged(judged.cause)
    // What interrupts from here on comes too late for this attempt; `enqueue` looks at it for the next.
    message.interruption = undefined
    system.crashPoint("seal.before")
    noteSignals(system, message, found)
    const over = (): void => {
      for (const sent of outgoing) this.#queues.sent(sent)
      if (attempt?.handOver !== undefined) this.#queues.release(attempt.handOver.over.to.cell)
      if (attempt?.watching !== undefined) system.watches.release(attempt.watching)
      this.#busy.leave()
    }
    if (found._tag === "Abandoned") {
      abandon(system, message, undefined)
      over()
    } else if (writer === undefined) {
      this.#settle(message, found, [], outgoing, attempt, over)
    } else {
      whenDone(system, writer.drain, (drained) => {
        this.#settle(message, found, Exit.isSuccess(drained) ? drained.value : [], outgoing, attempt, over)
      })
    }
  }

  /** Seals the message, at once or when its steps are compensated. */
  #settle(
    message: LiveMessage,
    found: Exclude<Verdict, { readonly _tag: "Abandoned" }>,
    chunks: ReadonlyArray<AppendChunk>,
    outgoing: ReadonlyArray<Prepared>,
    attempt: Attempt | undefined,
    over: () => void,
  ): void {
    const system = this.#system
    const plain = seal(system, message, found, chunks, outgoing)
    const watching = attempt?.watching
    const sealed = watching === undefined || found._tag !== "Done" ? plain : withWatching(plain, watching)
    const journal = attempt?.openJournal
    const nothingDone =
      journal === undefined ? message.attempt === 1 : journal.isLoaded && journal.undoable.length === 0
    if (nothingDone || !endsBadly(sealed)) {
      this.#finish(message, found, sealed, over)
      return
    }
    whenDone(system, sealCompensated(system, message, journal, sealed, chunks), (exit) => {
      const ended = Exit.isSuccess(exit) ? exit.value : sealed
      if (ended !== undefined) this.#finish(message, found, ended, over)
      else {
        // The system closes; the next start goes on with the compensations.
        abandon(system, message, undefined)
        over()
      }
    })
  }

  /** The sealing commit, and what follows from it. */
  #finish(
    message: LiveMessage,
    found: Exclude<Verdict, { readonly _tag: "Abandoned" }>,
    sealed: Seal,
    over: () => void,
  ): void {
    const system = this.#system
    const { cell } = message
    const broken = found._tag === "ActorFailed" || (found._tag === "Retry" && found.defect)
    // The successor's claim rides in this commit, on the place that this message gives up.
    // Not where the seal brings back what was put aside, which is older than what waits; nor past one that comes back to a
    // strict mailbox.
    const holdsBack = message.unstashes || (cell.actor.mailbox.strict && sealed.outcome._tag === "Again")
    const takes = !broken && !holdsBack && takesMessages(cell.lifecycle.state)
    const next = takes ? this.#queues.takeNext(cell) : undefined
    if (next !== undefined) sealed.writes.push(this.#queues.claim(next))
    if (cell.migrated !== undefined) {
      // Before what the handler set, which is of this version too.
      sealed.writes.unshift(putActor(cell, cell.migrated, system.now()))
      cell.migrated = undefined
    }
    if (cell.unwritten.length > 0) {
      sealed.writes.push(putActor(cell, undefined, system.now()), ...cell.unwritten)
      cell.unwritten = []
    }
    const given = sealed.outcome._tag === "HandedOn" ? sealed.outcome.over.to.cell : undefined
    for (const { cell: target, envelope } of sealed.sent) {
      target.arriving++
      if (isPutOff(envelope)) system.agenda?.expect(envelope.id)
    }
    if (given !== undefined) given.arriving++
    commitUntilTaken(system, sealed.writes, (exit) => {
      for (const { cell: target, envelope } of sealed.sent) {
        target.arriving--
        if (isPutOff(envelope)) system.agenda?.arrived(envelope.id, isNew(envelope.id, exit))
      }
      if (given !== undefined) given.arriving--
      if (Exit.isSuccess(exit)) {
        this.#sealed(message, found, sealed, exit.value, next)
        this.#rest(cell, over)
      } else {
        // Memory may now be ahead of the log, or behind it: read it anew.
        cell.loaded = false
        whenDone(system, lose(system, message, failureOf(exit.cause)), () => {
          if (next !== undefined) this.#queues.unclaim(next)
          this.#rest(cell, over)
        })
      }
    })
  }

  /** The seal stands. */
  #sealed(
    message: LiveMessage,
    found: Verdict,
    sealed: Seal,
    receipt: CommitReceipt,
    next: LiveMessage | undefined,
  ): void {
    const system = this.#system
    const { cell } = message
    system.crashPoint("seal.after")
    const waiting = follow(system, message, sealed, receipt)
    if (sealed.watching !== undefined) {
      const watched = sealed.watching.writes.filter(({ _tag }) => _tag === "PutWatch")
      this.#queues
        .supervision()
        .watched(watched.flatMap((write) => (write.watched === undefined ? [] : [write.watched])))
    }
    if (found._tag === "ActorFailed") this.#queues.supervision().gaveUp(cell, found.record.message)
    else if (found._tag === "Retry" && found.defect) {
      const { message: why, tag } = found.record
      this.#queues.supervision().crashed(cell, { from: "handler", tag, message: why })
    }
    // All of it before anybody is told: what the next handler or the asker sends now must come after these.
    for (const each of waiting) this.#queues.enqueue(each)
    if (next !== undefined) this.begin(next)
    tell(system, message, sealed)
  }

  #rest(cell: LiveCell, over: () => void): void {
    this.#queues.supervision().rested(cell)
    this.#queues.pump(cell)
    over()
  }
}
