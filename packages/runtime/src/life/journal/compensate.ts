/**
 * The boundary between a message that ends badly and what it did outside: runs the compensations of its recorded steps, the
 * last step's first, before the end is written (sagas; Garcia-Molina and Salem, 1987).
 *
 * Exact under a death at any point, because nothing is decided twice: the end that the message is coming to is recorded
 * before the first compensation (`end`), each compensation when it is done (`undo`), and the end itself is the seal. A later
 * attempt that finds `end` in the journal does not run its handler, but recalls it: the handler gets what is recorded, and
 * at the first act that is not, stops. By then it has said again how its steps are compensated, and what is left is done.
 */
import { Cause, Deferred, Effect, Exit, Fiber, Option, Predicate } from "effect"
import type { FailureRecord } from "../../message/Reply.ts"
import type { StepRow } from "../../ports/MessageStore.ts"
import { backoffMs, RETRY_DEFAULT } from "../../supervision/restartPolicy.ts"
import type { PlannedEnd } from "../LiveMessage.ts"
import { currentJournal, endOf, type Journal, type Undoable } from "./Journal.ts"
import { byPlace, endOrdinal, undoOrdinal } from "./Space.ts"

/** As often as a message: who is not up again after these is for a person to look at. */
const TRIES_MAX = 5
/** One try: what takes longer than this outside is likely lost, and would hold its actor for ever. */
const TRY_MS_MAX = 60_000
/** A handler that is recalled reads its records and no more; one that takes longer is not the one that made them. */
const RECALL_MS_MAX = 10_000

/** A step that was not compensated, and why. */
interface NotUndone {
  readonly step: string
  readonly why: string
}

/** What became of the steps of a message that ended badly. */
interface Outcome {
  /** In the order in which they were compensated. */
  readonly undone: ReadonlyArray<string>
  readonly notUndone: ReadonlyArray<NotUndone>
}

/** The failure of the message, and what became of its steps, for whoever reads the log. */
const withOutcome = (record: FailureRecord, { notUndone, undone }: Outcome): FailureRecord => ({
  ...record,
  message:
    notUndone.length === 0
      ? record.message
      : `${record.message} Not compensated: ${notUndone.map(({ step, why }) => `${step} (${why})`).join(", ")}.`,
  undone,
  ...(notUndone.length === 0 ? {} : { notUndone }),
})

const whyOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  const tag = Predicate.hasProperty(error, "_tag") ? `${String(error._tag)}: ` : ""
  return `${tag}${error instanceof Error ? error.message : String(error)}`
}

/** A failure that another try cannot mend. */
const isTerminal = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(
    Cause.findErrorOption(cause),
    (error) => Predicate.hasProperty(error, "_tag") && String(error._tag).startsWith("Terminal"),
  )

/** Runs one compensation until it succeeds, within its tries; gives why it did not. */
const undoOne = Effect.fnUntraced(function* (journal: Journal, run: Effect.Effect<unknown, unknown>) {
  const bounded = Effect.timeoutOrElse(run, {
    duration: TRY_MS_MAX,
    orElse: () => Effect.fail(new Error(`it did not end within ${TRY_MS_MAX} ms`)),
  })
  for (let tries = 1; ; tries++) {
    const exit = yield* Effect.exit(bounded)
    if (Exit.isSuccess(exit)) return null
    if (tries >= TRIES_MAX || isTerminal(exit.cause)) return whyOf(exit.cause)
    yield* Effect.sleep(backoffMs(RETRY_DEFAULT.backoff, tries, journal.system.random()))
  }
})

/** Gives why the step was not compensated, null where it was; recorded either way, so that it is not tried for ever. */
const undo = Effect.fnUntraced(function* (journal: Journal, { name, ordinal, run }: Undoable) {
  const row = journal.row(undoOrdinal(ordinal))
  if (row !== undefined) return JSON.parse(row.result) as string | null
  if (run === undefined) return "its handler, run again, did not ask for it"
  const why = yield* undoOne(journal, run)
  journal.system.crashPoint("step.before")
  yield* journal.record(undoOrdinal(ordinal), "undo", name, JSON.stringify(why))
  journal.system.crashPoint("step.after")
  return why
})

/** Compensates all, and gives the failure with what became of them. */
const undoAll = Effect.fnUntraced(function* (journal: Journal, { record, status }: PlannedEnd) {
  const { index, message } = journal
  journal.mode = "undo"
  if (journal.row(endOrdinal(index)) === undefined) {
    const end = JSON.stringify({ attempt: message.attempt, status, record })
    yield* journal.record(endOrdinal(index), "end", status, end)
  }
  const undone: Array<string> = []
  const notUndone: Array<NotUndone> = []
  for (const each of journal.undoable.toSorted((a, b) => byPlace(b.ordinal, a.ordinal))) {
    const why = yield* undo(journal, each)
    if (why === null) undone.push(each.name)
    else notUndone.push({ step: each.name, why })
  }
  if (notUndone.length > 0) {
    const steps = notUndone.map(({ step, why }) => `${step} (${why})`).join(", ")
    yield* Effect.logError(`Message ${message.id} of ${message.cell.key} is ${status}, and not compensated: ${steps}.`)
  }
  return withOutcome(record, { undone, notUndone })
})

/**
 * Compensates a message that ends badly; gives the failure to seal it with, or undefined where the system closes first, and
 * the next start goes on.
 *
 * On a fiber of its own: that of the handler may be interrupted already. Nothing but the end of the system interrupts it:
 * a message that is expired or taken back is so for its asker, and what it did must be undone all the same.
 */
export const compensate = Effect.fnUntraced(function* (journal: Journal, planned: PlannedEnd) {
  const { message, system } = journal
  message.undoing = true
  const fiber = system.fork(undoAll(journal, planned))
  message.fiber = fiber
  if (system.closed) fiber.interruptUnsafe()
  const exit = yield* Fiber.await(fiber)
  if (Exit.isSuccess(exit)) return exit.value
  if (system.closed) return undefined
  // The journal cannot be written: the seal will meet the same store, and say so.
  const why = whyOf(exit.cause)
  const notUndone = journal.undoable.map(({ name }) => ({ step: name, why }))
  return withOutcome(planned.record, { undone: [], notUndone })
})

/** The end that an earlier attempt came to, if it did, or that the message was given while it waited. */
export const plannedEnd = (journal: Journal): PlannedEnd | undefined => {
  const row = journal.row(endOrdinal(journal.index))
  return row === undefined ? journal.message.ending : endOf(row)
}

/** Runs a handler up to where its records end, to hear from it how they are compensated. */
export const recall = <R>(journal: Journal, handler: Effect.Effect<unknown, unknown, R>) =>
  Effect.gen(function* () {
    journal.message.undoing = true
    journal.mode = "recall"
    const known = yield* Deferred.make<void>()
    const look = (): void => {
      if (journal.knowsAll) Deferred.doneUnsafe(known, Effect.void)
    }
    journal.onUndoable = look
    look()
    if (!(yield* Deferred.isDone(known))) {
      yield* Effect.raceFirst(
        Effect.raceFirst(Effect.asVoid(Effect.exit(handler)), Deferred.await(known)),
        Effect.sleep(RECALL_MS_MAX),
      )
    }
    journal.onUndoable = undefined
  })

/** The steps of a message that would have to be compensated, by its journal. */
export const openSteps = (rows: ReadonlyArray<StepRow>, attemptsBefore: number): ReadonlyArray<StepRow> => {
  const current = currentJournal(rows, attemptsBefore).rows
  const done = new Set(current.filter(({ kind }) => kind === "undo").map(({ ordinal }) => ordinal))
  return current.filter(({ kind, ordinal }) => kind === "undoable" && !done.has(undoOrdinal(ordinal)))
}

/** Whether the message has done what must be compensated before it may end. */
export const mustCompensate = (rows: ReadonlyArray<StepRow>, attemptsBefore: number): boolean =>
  openSteps(rows, attemptsBefore).length > 0

/** The failure of a message that ends and cannot be run again for its compensations, with the steps that stay as they are. */
export const uncompensated = (
  record: FailureRecord,
  rows: ReadonlyArray<StepRow>,
  attemptsBefore: number,
  why: string,
): FailureRecord => {
  const open = openSteps(rows, attemptsBefore)
  if (open.length === 0) return record
  return withOutcome(record, { undone: [], notUndone: open.map(({ name }) => ({ step: name, why })) })
}

/** The end that is recorded and not sealed yet. */
export const recordedEnd = (rows: ReadonlyArray<StepRow>, attemptsBefore: number): PlannedEnd | undefined => {
  const row = currentJournal(rows, attemptsBefore).rows.find(({ kind }) => kind === "end")
  if (row === undefined) return undefined
  const { record, status } = endOf(row)
  return { record, status }
}

/** The attempt that came to an end which is not sealed yet; undefined where there is none. */
export const endingSince = (rows: ReadonlyArray<StepRow>, attemptsBefore: number): number | undefined => {
  const row = currentJournal(rows, attemptsBefore).rows.find(({ kind }) => kind === "end")
  return row === undefined ? undefined : endOf(row).attempt
}
