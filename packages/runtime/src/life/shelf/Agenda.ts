/**
 * The boundary to what is due much later: such messages are on disk alone, and come to memory shortly before their time.
 * A million of them cost no memory.
 *
 * Times are wall-clock times, and a wall clock jumps. So the clock is looked at in short intervals of elapsed time, and
 * never slept on for long: after a jump forward what is due runs one interval late at most, and after a jump back nothing
 * runs early, and nothing twice.
 */
import { Effect } from "effect"
import type { AnyActor } from "../../actor/Actor.ts"
import type { MessageRow } from "../../message/Envelope.ts"
import type { CensusRow } from "../../ports/MessageStore.ts"
import { CLOCK_LOOK_MS } from "../alarm.ts"
import { commitPatiently } from "../commit.ts"
import { countWithdrawn } from "../deliver.ts"
import type { LiveMessage } from "../LiveMessage.ts"
import { readPatiently } from "../readPatiently.ts"
import { recover } from "../recover.ts"
import { forget } from "../reply.ts"
import type { System } from "../System.ts"
import { ReadAhead } from "./ReadAhead.ts"
import type { LaterShelf } from "./Shelves.ts"

/** What is due within this is in memory; two looks at the clock, so that none is seen too late. */
export const HORIZON_MS = 2 * CLOCK_LOOK_MS
/** Rows read at once; see `Backlog`. */
const PAGE = 500

/**
 * Whether the agenda finds the message, and nobody else has to. Not one of a strict mailbox, which must know of it, as it holds back what is behind
 * it; nor a short backoff, which is a while and no time, and would not be over where the clock was set back.
 */
export const isTimed = (row: CensusRow, { mailbox, retry }: AnyActor): boolean =>
  row.status === "pending" &&
  row.deliverAtMs > row.createdAtMs &&
  !mailbox.strict &&
  (row.attempt === row.attemptsBefore || retry.backoff.maxMs > HORIZON_MS)

export class Agenda implements LaterShelf {
  readonly #system: System
  readonly #enqueue: (message: LiveMessage) => void
  readonly #readAhead: ReadAhead
  readonly #page: number
  /** Being written, by whom they were sent. */
  readonly #expected = new Set<string>()
  /** When the next message on disk is due, as far as is known. */
  #nextMs = Number.NEGATIVE_INFINITY
  #wake: (() => void) | undefined = undefined

  constructor(system: System, enqueue: (message: LiveMessage) => void) {
    this.#system = system
    this.#enqueue = enqueue
    const { readAheadMax } = system.settings
    this.#readAhead = new ReadAhead(readAheadMax)
    this.#page = Math.min(PAGE, readAheadMax)
  }

  expect(messageId: string): void {
    this.#expected.add(messageId)
  }

  expects(messageId: string): boolean {
    return this.#expected.has(messageId)
  }

  arrived(messageId: string, isNew: boolean): void {
    this.#expected.delete(messageId)
    // It may have been passed over just now.
    if (!isNew && !this.#system.live.has(messageId)) this.look()
  }

  look(): void {
    this.#note(Number.NEGATIVE_INFINITY)
  }

  #note(dueAtMs: number): void {
    this.#nextMs = Math.min(this.#nextMs, dueAtMs)
    this.#wake?.()
  }

  keeps(message: LiveMessage, nowMs: number): boolean {
    const { ending, backsOff, cell, dueAtMs, stashed } = message
    const { mailbox, retry } = cell.actor
    if (dueAtMs - nowMs <= HORIZON_MS || mailbox.strict || stashed || ending !== undefined) return false
    if (backsOff && retry.backoff.maxMs <= HORIZON_MS) return false
    forget(this.#system, message)
    countWithdrawn(this.#system, message)
    this.#note(message.dueAtMs)
    return true
  }

  /** Brings back what is due soon, again and again; one fiber, whatever waits. */
  readonly run = Effect.fnUntraced(function* (this: Agenda) {
    const system = this.#system
    while (!system.closing) {
      if (system.now() + HORIZON_MS >= this.#nextMs && !(yield* this.#read())) return
      const isEmpty = this.#nextMs === Number.POSITIVE_INFINITY
      yield* isEmpty ? this.#noted : Effect.raceFirst(this.#noted, Effect.sleep(CLOCK_LOOK_MS))
      // Whoever wakes this is in the middle of a step, and memory behind the log until that is done.
      yield* Effect.yieldNow
    }
  })

  /** Waits until something new is known that is soon enough to be read, or the first thing at all. */
  readonly #noted = Effect.callback<void>((resume) => {
    const isNews = (): boolean => this.#system.now() + HORIZON_MS >= this.#nextMs
    const wasEmpty = this.#nextMs === Number.POSITIVE_INFINITY
    if (isNews()) return resume(Effect.void)
    this.#wake = () => {
      if (wasEmpty || isNews()) resume(Effect.void)
    }
    return Effect.sync(() => {
      this.#wake = undefined
    })
  })

  /** Reads what is due within the horizon, from the first on; false where there is no reading any more. */
  readonly #read = Effect.fnUntraced(function* (this: Agenda) {
    const system = this.#system
    this.#nextMs = Number.POSITIVE_INFINITY
    let [afterMs, afterSeq] = [Number.MIN_SAFE_INTEGER, 0]
    for (;;) {
      if (this.#readAhead.isFull) yield* this.#readAhead.room
      const page = yield* readPatiently(system, system.store.due(afterMs, afterSeq, this.#page))
      if (page === undefined || system.closing) return false
      const untilMs = system.now() + HORIZON_MS
      const near = page.filter(({ deliverAtMs }) => deliverAtMs <= untilMs)
      yield* Effect.ignore(
        recover(
          system,
          near.filter((row) => this.#isMine(row)),
          {
            readAhead: this.#readAhead,
            commit: (writes) => commitPatiently(system, writes),
            enqueue: this.#enqueue,
          },
        ),
      )
      const next = page[near.length]
      if (next !== undefined) this.#nextMs = Math.min(this.#nextMs, next.deliverAtMs)
      if (page.length < this.#page || next !== undefined) return true
      const last = page.at(-1)!
      ;[afterMs, afterSeq] = [last.deliverAtMs, last.seq]
      // Between two pages, others have their turn.
      yield* Effect.yieldNow
    }
  })

  #isMine(row: MessageRow): boolean {
    const { actors, backlog, live, reserved } = this.#system
    const actor = actors.get(row.actorType)
    if (actor === undefined || actor.mailbox.strict || backlog?.holds(row) === true) return false
    return !live.has(row.id) && !reserved.has(row.id) && !this.#expected.has(row.id)
  }
}
