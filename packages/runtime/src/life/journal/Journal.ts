/**
 * The boundary between a handler that runs and the record of what it has done: the journal of one message, during one
 * attempt. It numbers the handler's acts, gives recorded ones back, refuses a handler that asks for something else than it
 * did before, and bounds what one message may record.
 *
 * Made with the first act that needs it: a handler without steps has none, except in a later attempt, which must look.
 */
import { Effect, type Fiber } from "effect"
import { TerminalReplayMismatch } from "../../message/DeliveryFailure.ts"
import { childMessageId } from "../../message/MessageId.ts"
import { TerminalInvalidStep, TerminalJournalFull } from "../../message/StepFailure.ts"
import type { StepRow } from "../../ports/MessageStore.ts"
import type { CommitFailure } from "../../ports/StoreFailure.ts"
import type { StepKind } from "../../ports/Write.ts"
import { commitPatiently } from "../commit.ts"
import type { LiveMessage, PlannedEnd } from "../LiveMessage.ts"
import { readUntilItCan } from "../readPatiently.ts"
import type { System } from "../System.ts"
import { CurrentSpace, journalOf, pathOf, Space, undoOrdinal } from "./Space.ts"

/** What a handler asks for. */
export interface Act {
  readonly kind: StepKind | "all" | "child"
  /** Of the record; what the handler asks for now must have the same. */
  readonly name: string
  /** For people: `the step pay`. */
  readonly what: string
}

/** What an act is done with. */
export interface Turn {
  readonly ordinal: number
  readonly space: Space
  /** Of an earlier attempt. */
  readonly row: StepRow | undefined
}

/** The result of the record `end`. */
interface EndResult extends PlannedEnd {
  /** The attempt that came to the end. */
  readonly attempt: number
}

/** A recorded step with its compensation. */
export interface Undoable {
  readonly ordinal: number
  readonly name: string
  /** Undefined where its handler has not asked for the step in this attempt. */
  readonly run: Effect.Effect<unknown, unknown> | undefined
}

/** What a handler may do: everything; only what is recorded, to learn its compensations; only compensate. */
type Mode = "forward" | "recall" | "undo"

/** What a record is, for people. */
const whatWas = ({ kind, name }: StepRow): string =>
  kind === "step" || kind === "undoable" ? `the step ${name}` : `a ${name}`

/** Whether the record may be that of `act`: a compensation may be added to a step later, and taken away. */
const isOf = (row: StepRow, { kind, name }: Act): boolean => {
  const plain = (each: string) => (each === "undoable" ? "step" : each)
  return plain(row.kind) === plain(kind) && row.name === name
}

export const endOf = (row: StepRow): EndResult => JSON.parse(row.result) as EndResult

/** The journals of the message that are closed: compensated, and the message redriven since. */
const closedIn = (rows: ReadonlyArray<StepRow>, attemptsBefore: number): number =>
  rows.filter((row) => row.kind === "end" && endOf(row).attempt <= attemptsBefore).length

/** The journal that the message is at. A message that was compensated and is redriven begins a new one, with new keys. */
export const currentJournal = (rows: ReadonlyArray<StepRow>, attemptsBefore: number) => {
  const index = closedIn(rows, attemptsBefore)
  return { index, rows: rows.filter(({ ordinal }) => journalOf(ordinal) === index) }
}

export class Journal {
  readonly system: System
  readonly message: LiveMessage
  /** Which of the message's journals it is. */
  index = 0
  mode: Mode = "forward"
  #root: Space
  #rows: ReadonlyMap<number, StepRow> = new Map()
  readonly #asked = new Set<number>()
  /** Ranges of numbers that this attempt need not ask for. */
  readonly #passedOver: Array<readonly [from: number, to: number]> = []
  readonly #undoable = new Map<number, Undoable>()
  /** Whether it knows what earlier attempts recorded. */
  isLoaded: boolean
  #steps = 0
  #bytes = 0
  /** Called with each compensation that becomes known. */
  onUndoable: (() => void) | undefined = undefined

  /** @param taken how many numbers of the root are taken already */
  constructor(system: System, message: LiveMessage, taken: number) {
    this.system = system
    this.message = message
    this.#root = Space.root(0, taken)
    this.isLoaded = message.attempt === 1
  }

  /** Reads what earlier attempts recorded; before the handler runs. */
  readonly load = Effect.gen({ self: this }, function* () {
    // What cannot be read now is no failure of the message.
    const all = yield* readUntilItCan(this.system, this.system.store.steps(this.message.id))
    const { index, rows } = currentJournal(all, this.message.attemptsBefore)
    this.index = index
    this.#root = Space.root(index)
    this.#rows = new Map(rows.map((row) => [row.ordinal, row]))
    for (const row of rows) {
      this.#count(row.name, row.result)
      if (row.kind === "undoable") {
        this.#undoable.set(row.ordinal, { ordinal: row.ordinal, name: row.name, run: undefined })
      }
    }
    this.isLoaded = true
  })

  row(ordinal: number): StepRow | undefined {
    return this.#rows.get(ordinal)
  }

  get root(): Space {
    return this.#root
  }

  /** Recorded steps that have a compensation, compensated or not. */
  get undoable(): ReadonlyArray<Undoable> {
    return [...this.#undoable.values()]
  }

  /** Whether the handler has said of every such step how it is compensated, as far as that is still to be done. */
  get knowsAll(): boolean {
    const isOpen = ({ ordinal, run }: Undoable) => run === undefined && !this.#rows.has(undoOrdinal(ordinal))
    return this.isLoaded && !this.undoable.some(isOpen)
  }

  /** A step is recorded, and can be compensated. */
  addUndoable(undoable: Undoable): void {
    this.#undoable.set(undoable.ordinal, undoable)
    this.onUndoable?.()
  }

  /** The numbers of `ordinal`'s block are not asked for: their step is recorded, or their branch lost. */
  passOver(space: Space, ordinal: number): void {
    const range = space.range(ordinal)
    if (range !== undefined) this.#passedOver.push(range)
  }

  /**
   * Does one act: numbers it, finds its record, checks that it is the one. An act that is `alone` keeps its space busy: what
   * is asked for beside it would be numbered by chance, and is refused.
   */
  act<A, E, R>(act: Act, alone: boolean, run: (turn: Turn) => Effect.Effect<A, E, R>) {
    return Effect.withFiber<A, E | TerminalReplayMismatch | TerminalInvalidStep, R>((fiber) => {
      const space = this.#spaceOf(fiber)
      if (space.busy !== undefined) return Effect.fail(this.#beside(act, space.busy))
      const ordinal = space.take()
      if (ordinal === undefined)
        return Effect.fail(this.invalid(act.name, `${act.what} is one act too many for its place`))
      const row = this.#rows.get(ordinal)
      if (row !== undefined && !isOf(row, act)) return Effect.fail(this.#differs(act, ordinal, whatWas(row)))
      this.#asked.add(ordinal)
      if (!alone) return run({ ordinal, space, row })
      space.busy = act.what
      return Effect.onExit(run({ ordinal, space, row }), () =>
        Effect.sync(() => {
          space.busy = undefined
        }),
      )
    })
  }

  /** The numbers of `count` branches, from the first on. */
  reserve(count: number) {
    return Effect.withFiber<{ readonly first: number; readonly space: Space }, TerminalInvalidStep>((fiber) => {
      const space = this.#spaceOf(fiber)
      const first = space.take(count)
      return first !== undefined && space.range(first + count - 1) !== undefined
        ? Effect.succeed({ first, space })
        : Effect.fail(this.invalid("branches", `${count} branches have no room there: too many, or too deep`))
    })
  }

  #spaceOf(fiber: Fiber.Fiber<unknown, unknown>): Space {
    return fiber.getRef(CurrentSpace) ?? this.#root
  }

  /**
   * Refuses an act whose number is that of a message which the handler sent before. Only in a later attempt, where nothing
   * is recorded under the number: a message leaves no record in the journal.
   */
  checkChild(act: Act, ordinal: number) {
    if (this.message.attempt === 1) return Effect.void
    const read = this.system.store.message(childMessageId(this.message.id, ordinal))
    return Effect.flatMap(readUntilItCan(this.system, read), (child) =>
      child === undefined
        ? Effect.void
        : Effect.fail(this.#differs(act, ordinal, `the message ${child.task} to ${child.actorType}/${child.actorId}`)),
    )
  }

  /** Refuses one step more than a journal holds, before its effect is run. */
  checkSteps(name: string) {
    const { journalStepsMax } = this.system.settings
    return this.#steps < journalStepsMax
      ? Effect.void
      : Effect.fail(this.#full(name, "steps", this.#steps + 1, journalStepsMax))
  }

  /** Records the result of an act, durable when it succeeds. */
  record(ordinal: number, kind: StepKind, name: string, result: string) {
    return Effect.suspend((): Effect.Effect<unknown, TerminalJournalFull | CommitFailure> => {
      const { message, system } = this
      const { journalBytesMax } = system.settings
      this.#count(name, result)
      if (this.#bytes > journalBytesMax) return Effect.fail(this.#full(name, "bytes", this.#bytes, journalBytesMax))
      const warned = this.#warnAtHalf()
      const write = { _tag: "RecordStep", messageId: message.id, attempt: message.attempt } as const
      const commit = commitPatiently(system, [{ ...write, ordinal, kind, name, result, atMs: system.now() }])
      return warned === undefined ? commit : Effect.andThen(warned, commit)
    })
  }

  #count(name: string, result: string): void {
    this.#steps++
    this.#bytes += Buffer.byteLength(result) + Buffer.byteLength(name)
  }

  /** Long before a message is refused, and once an actor: a journal that grows has time to be looked at. */
  #warnAtHalf(): Effect.Effect<void> | undefined {
    const { cell, id } = this.message
    const { journalBytesMax, journalStepsMax } = this.system.settings
    const half = (size: number, limit: number) => size * 2 > limit
    if (!half(this.#bytes, journalBytesMax) && !half(this.#steps, journalStepsMax)) return undefined
    if (cell.warnedOfJournal) return undefined
    cell.warnedOfJournal = true
    return Effect.logWarning(
      `The journal of message ${id} of ${cell.key} has ${this.#steps} steps of ${journalStepsMax} and ${this.#bytes} bytes of ${journalBytesMax}; record less, or use more messages.`,
    )
  }

  #full(name: string, unit: "steps" | "bytes", size: number, limit: number): TerminalJournalFull {
    const { cell, id } = this.message
    const message = `${cell.key} cannot record the step ${name} of message ${id}: its journal would have ${size} ${unit}, and the limit is ${limit}; record less, or raise ${unit === "steps" ? "journalStepsMax" : "journalBytesMax"}.`
    return new TerminalJournalFull({ actor: cell.key, messageId: id, unit, size, limit, message })
  }

  invalid(step: string, why: string): TerminalInvalidStep {
    const { cell, id } = this.message
    return new TerminalInvalidStep({
      messageId: id,
      step,
      message: `The handler of message ${id} of ${cell.key} is mistaken: ${why}.`,
    })
  }

  #beside({ name, what }: Act, busy: string): TerminalInvalidStep {
    return this.invalid(
      name,
      `it asks for ${what} beside ${busy}, so that their order is left to chance; use actor.all or actor.race`,
    )
  }

  mismatch(ordinal: number, what: string): TerminalReplayMismatch {
    const { id } = this.message
    return new TerminalReplayMismatch({ messageId: id, ordinal, message: `Message ${id} ${what}` })
  }

  #differs({ what }: Act, ordinal: number, before: string): TerminalReplayMismatch {
    const asks = `now asks for ${what} at place ${pathOf(ordinal).join("/")}, where it recorded ${before}`
    return this.mismatch(
      ordinal,
      `${asks}; a handler must ask for the same steps in the same order when it is run again.`,
    )
  }

  /**
   * Records that a handler which is done never asked for. A failure, and not a warning: what it did in its earlier attempt is
   * done, and the state and the reply that would be sealed now know nothing of it. Who wants it so gives the message's steps
   * another order on purpose, and can redrive the dead work under a new message.
   */
  get unasked(): TerminalReplayMismatch | undefined {
    const unasked = [...this.#rows.values()].filter(
      ({ kind, ordinal }) =>
        kind !== "undo" &&
        kind !== "end" &&
        !this.#asked.has(ordinal) &&
        !this.#passedOver.some(([from, to]) => ordinal >= from && ordinal < to),
    )
    const [first] = unasked
    if (first === undefined) return undefined
    const all = unasked.map((row) => `${whatWas(row)} at place ${pathOf(row.ordinal).join("/")}`)
    const more = all.length > 3 ? ` and ${all.length - 3} more` : ""
    const what = `recorded ${all.slice(0, 3).join(", ")}${more}, and its handler, run again, was done without asking for it`
    return this.mismatch(
      first.ordinal,
      `${what}; a handler must ask for the same steps in the same order when it is run again.`,
    )
  }
}
