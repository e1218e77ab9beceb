/**
 * The boundary to what a former process left behind: unfinished messages lie on disk, in the order of their acceptance, and
 * are read a page at a time, as those before them end. Opening a system reads one page, however many there are.
 *
 * A new message must not overtake an older one of its actor that has not been read. So, while there is a backlog, it waits
 * in its actor's mailbox until none can be left: a census counts the unread messages by actor, by a hash of its address in
 * 4 MB, beside the work. Two actors of the same hash wait for each other's backlog, too, which is late and never wrong.
 *
 * Rejected: an index on (actor, seq) of what is unfinished; every message of every day would enter and leave it, 16 % of
 * a message's time (store's migrations/0001-log.ts), for the minute after a crash.
 *
 * Messages that were put off are the agenda's.
 */
import { Effect, Exit } from "effect"
import type { MessageRow } from "../../message/Envelope.ts"
import type { CensusRow } from "../../ports/MessageStore.ts"
import { commitPatiently } from "../commit.ts"
import type { LiveCell, LiveMessage } from "../LiveMessage.ts"
import { readPatiently } from "../readPatiently.ts"
import { recover } from "../recover.ts"
import type { System } from "../System.ts"
import { isTimed } from "./Agenda.ts"
import { ReadAhead } from "./ReadAhead.ts"
import type { UnreadShelf } from "./Shelves.ts"

/** Rows read at once: half a megabyte of ordinary messages, some 3 ms of the loop. */
const PAGE = 500
/** Rows counted at once, some 5 ms of the loop. */
const CENSUS_PAGE = 5_000
/** Of a million actors, more than half share a hash with another. Four bytes each. */
const BUCKETS = 2 ** 20

/** FNV-1a. */
const bucketOf = (key: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  return (hash >>> 0) % BUCKETS
}

/** What the backlog sets going. */
export interface BacklogLife {
  readonly enqueue: (message: LiveMessage) => void
  /** Runs what the actor has room for. */
  readonly pump: (cell: LiveCell) => void
}

export class Backlog implements UnreadShelf {
  readonly #system: System
  readonly #life: BacklogLife
  readonly #readAhead: ReadAhead
  readonly #page: number
  /** The last message of the former process. */
  readonly #lastSeq: number
  /** Read up to here. */
  #readSeq = -1
  /** Counted up to here. */
  #countedSeq = -1
  /** Unread messages by the hash of their actor; made when there is more than a page. */
  #unread: Uint32Array | undefined = undefined
  #size = 0
  /** Actors whose new messages wait, by hash. */
  readonly #held = new Map<number, Set<LiveCell>>()
  /** Unfinished messages by actor types that this system does not have. */
  readonly #unknown = new Map<string, number>()

  constructor(system: System, life: BacklogLife, lastSeq: number) {
    this.#system = system
    this.#life = life
    this.#lastSeq = lastSeq
    const { readAheadMax } = system.settings
    this.#readAhead = new ReadAhead(readAheadMax)
    this.#page = Math.min(PAGE, readAheadMax)
  }

  get size(): number {
    return Math.max(1, this.#size)
  }

  get #isCounted(): boolean {
    return this.#countedSeq >= this.#lastSeq
  }

  hides(cell: LiveCell): boolean {
    const bucket = bucketOf(cell.key)
    if (this.#isCounted && this.#unread?.[bucket] === 0) return false
    const held = this.#held.get(bucket)
    if (held === undefined) this.#held.set(bucket, new Set([cell]))
    else held.add(cell)
    return true
  }

  /** The first page, before the system serves. Where it is the only one, there is no backlog from then on. */
  readonly begin = Effect.fnUntraced(function* (this: Backlog) {
    const page = yield* this.#system.store.unfinished(this.#readSeq, this.#page)
    yield* this.#take(page, this.#system.store.commit)
  })

  /** Reads the rest, beside the work, until the system closes; what is left then is left to the next start. */
  readonly goOn = Effect.suspend(() =>
    Effect.ensuring(
      this.#readAll(),
      Effect.sync(() => this.#letAllGo()),
    ),
  )

  readonly #readAll = Effect.fnUntraced(function* (this: Backlog) {
    const system = this.#system
    while (system.backlog === this && !system.closing) {
      // Between two pages, others have their turn.
      yield* Effect.yieldNow
      if (!this.#isCounted && !(yield* this.#count())) return
      if (this.#readAhead.isFull) {
        if (!this.#isCounted) continue
        yield* this.#readAhead.room
      }
      const page = yield* readPatiently(system, system.store.unfinished(this.#readSeq, this.#page))
      if (page === undefined || system.closing) return
      const taken = this.#take(page, (writes) => commitPatiently(system, writes))
      // A page that can never be written stays for the next start, and so does what is behind it.
      if (Exit.isFailure(yield* Effect.exit(taken))) return
    }
  })

  readonly #take = Effect.fnUntraced(function* (
    this: Backlog,
    page: ReadonlyArray<MessageRow>,
    commit: System["store"]["commit"],
  ) {
    const rows = page.filter((row) => this.#isMine(row) && !this.#system.reserved.has(row.id))
    for (const { actorType, seq } of page) {
      if (seq > this.#lastSeq || this.#system.actors.has(actorType)) continue
      this.#unknown.set(actorType, (this.#unknown.get(actorType) ?? 0) + 1)
    }
    const readAhead = this.#readAhead
    const enqueue = (message: LiveMessage): void => this.#life.enqueue(message)
    yield* recover(this.#system, rows, { readAhead, commit, enqueue })
    this.#release(rows)
    this.#readSeq = page.at(-1)?.seq ?? this.#lastSeq
    if (page.length < this.#page || this.#readSeq >= this.#lastSeq) this.#finish()
    if (this.#system.backlog !== this) yield* this.#warn
  })

  holds(row: CensusRow): boolean {
    return row.seq > this.#readSeq && this.#isMine(row)
  }

  #isMine(row: CensusRow): boolean {
    const { actors, live } = this.#system
    const actor = actors.get(row.actorType)
    // What the agenda has brought to memory may run by now; a dead letter that was redriven is here again.
    return actor !== undefined && row.seq <= this.#lastSeq && !isTimed(row, actor) && !live.has(row.id)
  }

  /** What was read is not unread any more; who waited for the last of an actor's goes on. */
  #release(rows: ReadonlyArray<MessageRow>): void {
    const unread = this.#unread
    if (unread === undefined) return
    for (const { actorId, actorType, seq } of rows) {
      if (seq > this.#countedSeq) continue
      const bucket = bucketOf(`${actorType}/${actorId}`)
      this.#size--
      unread[bucket]!--
      if (unread[bucket] === 0 && this.#isCounted) this.#letGo(bucket)
    }
  }

  #letGo(bucket: number): void {
    const cells = this.#held.get(bucket)
    this.#held.delete(bucket)
    if (cells !== undefined) for (const cell of cells) this.#life.pump(cell)
  }

  /** Counts some more of what is unread; false where the log cannot be read any more. */
  readonly #count = Effect.fnUntraced(function* (this: Backlog) {
    const { store } = this.#system
    const afterSeq = Math.max(this.#countedSeq, this.#readSeq)
    const page = yield* readPatiently(this.#system, store.census(afterSeq, CENSUS_PAGE))
    if (page === undefined) return false
    this.#unread ??= new Uint32Array(BUCKETS)
    const unread = this.#unread
    for (const row of page) {
      if (!this.#isMine(row)) continue
      unread[bucketOf(`${row.actorType}/${row.actorId}`)]!++
      this.#size++
    }
    this.#countedSeq = page.length < CENSUS_PAGE ? this.#lastSeq : page.at(-1)!.seq
    if (!this.#isCounted) return true
    for (const bucket of [...this.#held.keys()]) if (unread[bucket] === 0) this.#letGo(bucket)
    return true
  })

  #letAllGo(): void {
    for (const bucket of [...this.#held.keys()]) this.#letGo(bucket)
  }

  #finish(): void {
    this.#system.backlog = undefined
    // What was left to this is the agenda's from now on.
    this.#system.agenda?.look()
    this.#letAllGo()
  }

  readonly #warn = Effect.suspend(() =>
    Effect.forEach(this.#unknown, ([type, count]) =>
      Effect.logWarning(
        `${count} unfinished messages wait for actors of type ${type}, which this system does not have; they stay in the log.`,
      ),
    ),
  )
}
