/**
 * The boundary of forgetting: deletes, in steps of bounded size, what retention allows, and gives the room back.
 *
 * A conversation goes as a whole: no message of it while one is unfinished, too young, in a status that is kept, or
 * answers for an idempotency key. So a trace is never half there, and a dead letter that is redriven finds what its
 * children answered. It follows that a conversation which never ends, such as an actor that always sends itself the next
 * message, is never pruned.
 */
import type { Database, Statement } from "better-sqlite3"
import type { RetentionLimits } from "./RetentionOptions.ts"

export interface StepLimits {
  /** Rows looked at or deleted in one step; a step may end one message's few rows later. */
  readonly rowsMax: number
  /** Milliseconds after which a step ends. */
  readonly stepMsMax: number
}

/** As long as one flush may take by default; the rows bound it where the clock stands still. */
export const STEP_LIMITS: StepLimits = { rowsMax: 500, stepMsMax: 4 }

/** Pages given back to the file system in one step: 1 MB of WAL, if each had to be moved. */
const VACUUM_PAGES = 256

/** Free pages that are kept, 4 MB: new messages would take them again at once. */
export const FREE_PAGES_KEPT = 1_000

export type Step =
  /** There is more to do. */
  | "more"
  /** Nothing more is to be deleted or given back now. */
  | "rest"
  /** As `rest`, but the log is still larger than `bytesMax`: all that is left must be kept. */
  | "over"

interface Candidate {
  readonly seq: number
  readonly id: string
  readonly correlationId: string
  readonly createdAtMs: number
}

/** Records of a message, by table; each has a primary key or an index that begins with the message. */
const RECORDS: ReadonlyArray<readonly [table: string, key: string]> = [
  ["chunks", "ordinal"],
  ["steps", "ordinal"],
  ["attempts", "attempt"],
  ["routes", "seq"],
  ["feedback", "seq"],
]

/** Messages read at once: about what one step gets to. */
const PAGE = 50

/** Why a message keeps its conversation. The statuses are of a closed list; as JSON they cost as much as all the rest. */
const keeps = (statuses: ReadonlyArray<string>): string => `(finished_at_ms is null or finished_at_ms > :endedBeforeMs
    or status not in (${statuses.map((status) => `'${status}'`).join(", ")})
    or (idempotency_key is not null and created_at_ms > :keyBeforeMs))`

interface Terms {
  readonly correlationId: string
  readonly endedBeforeMs: number
  readonly keyBeforeMs: number
}

export class Pruner {
  readonly #database: Database
  readonly #limits: RetentionLimits
  readonly #stepLimits: StepLimits
  /** Milliseconds that never step back. */
  readonly #now: () => number
  readonly #candidates: Statement<[number, number], Candidate>
  readonly #keeper: Statement<[Terms], { readonly 1: number }>
  readonly #deleteMessage: Statement<[number]>
  readonly #records: ReadonlyArray<Statement<[{ readonly id: string; readonly limit: number }]>>
  readonly #hasRecords: Statement<[string, string, string, string, string], number>
  readonly #leftover: Statement<[], { readonly id: string }>
  readonly #remember: Statement<[string]>
  readonly #forget: Statement<[string]>
  /** The last message looked at in this pass. */
  #cursor = 0

  constructor(database: Database, limits: RetentionLimits, now: () => number, stepLimits: StepLimits = STEP_LIMITS) {
    this.#database = database
    this.#limits = limits
    this.#now = now
    this.#stepLimits = stepLimits
    this.#candidates = database.prepare(
      `select seq, id, correlation_id as correlationId, created_at_ms as createdAtMs from messages
       where seq > ? order by seq limit ?`,
    )
    const kept = keeps(limits.statuses)
    // The newest first: what keeps a conversation is nearly always at its end.
    this.#keeper = database.prepare(
      `select 1 from messages where id = :correlationId and ${kept}
       union all
       select 1 from (select * from messages where correlation_id = :correlationId and correlation_id <> id
         and ${kept} order by seq desc limit 1)
       limit 1`,
    )
    this.#deleteMessage = database.prepare("delete from messages where seq = ?")
    this.#records = RECORDS.map(([table, key]) =>
      database.prepare(
        `delete from ${table} where message_id = :id and ${key} in
         (select ${key} from ${table} where message_id = :id limit :limit)`,
      ),
    )
    // Most messages have none or few; five deletions that find nothing cost 50 us, this question a tenth of it.
    const questions = RECORDS.map(([table]) => `exists (select 1 from ${table} where message_id = ?)`)
    this.#hasRecords = database
      .prepare<[string, string, string, string, string], number>(`select ${questions.join(" or ")}`)
      .pluck()
    this.#leftover = database.prepare("select message_id as id from pruned limit 1")
    this.#remember = database.prepare("insert into pruned (message_id) values (?) on conflict do nothing")
    this.#forget = database.prepare("delete from pruned where message_id = ?")
  }

  /**
   * One transaction of at most `rowsMax` rows and `stepMsMax` milliseconds.
   *
   * @param wallMs the time now, in milliseconds since 1970
   * @throws an error of SQLite, with nothing of the step done
   */
  step(wallMs: number): Step {
    const isOver = this.#usedBytes() > this.#limits.bytesMax
    const state = this.#database.transaction(() => this.#prune(wallMs, isOver)).immediate()
    if (state === "more") return "more"
    this.#cursor = 0
    if (this.#giveBack()) return "more"
    return this.#usedBytes() > this.#limits.bytesMax ? "over" : "rest"
  }

  #pragma(name: string): number {
    return Number(this.#database.pragma(name, { simple: true }))
  }

  #usedBytes(): number {
    if (this.#limits.bytesMax === Number.POSITIVE_INFINITY) return 0
    return (this.#pragma("page_count") - this.#pragma("freelist_count")) * this.#pragma("page_size")
  }

  #prune(wallMs: number, isOver: boolean): "more" | "done" {
    const endMs = this.#now() + this.#stepLimits.stepMsMax
    let rowsLeft = this.#deleteLeftovers(endMs)
    const endedBeforeMs = isOver ? Number.MAX_SAFE_INTEGER : wallMs - this.#limits.ageMsMax
    // Without an age, and within the size, nothing is to be deleted.
    if (endedBeforeMs === Number.NEGATIVE_INFINITY) return rowsLeft > 0 ? "done" : "more"
    const kept = new Map<string, boolean>()
    for (;;) {
      const page = this.#candidates.all(this.#cursor, PAGE)
      // With no row left for them, records of the last message may be.
      if (page.length === 0) return rowsLeft > 0 ? "done" : "more"
      for (const each of page) {
        if (rowsLeft <= 0 || this.#now() >= endMs) return "more"
        // Later ones are younger still, and end no earlier than they begin.
        if (each.createdAtMs > endedBeforeMs) return "done"
        this.#cursor = each.seq
        rowsLeft--
        const { correlationId } = each
        const isKept = kept.get(correlationId) ?? this.#isKept(correlationId, wallMs, endedBeforeMs)
        kept.set(correlationId, isKept)
        if (!isKept) rowsLeft -= this.#delete(each, Math.max(1, rowsLeft))
      }
    }
  }

  #isKept(correlationId: string, wallMs: number, endedBeforeMs: number): boolean {
    const keyBeforeMs = wallMs - this.#limits.keyMsMin
    return this.#keeper.get({ correlationId, endedBeforeMs, keyBeforeMs }) !== undefined
  }

  /** The message is gone at once; those of its records that are too many for this step are remembered for the next. */
  #delete({ seq, id }: Candidate, rowsMax: number): number {
    this.#deleteMessage.run(seq)
    const rows = this.#deleteRecords(id, rowsMax)
    if (rows >= rowsMax) this.#remember.run(id)
    return rows
  }

  #deleteRecords(id: string, rowsMax: number): number {
    if (this.#hasRecords.get(id, id, id, id, id) === 0) return 0
    let rows = 0
    for (const table of this.#records) {
      if (rows >= rowsMax) break
      rows += table.run({ id, limit: rowsMax - rows }).changes
    }
    return rows
  }

  /** Gives how many rows the step may still touch. */
  #deleteLeftovers(endMs: number): number {
    let rowsLeft = this.#stepLimits.rowsMax
    while (rowsLeft > 0 && this.#now() < endMs) {
      const next = this.#leftover.get()
      if (next === undefined) return rowsLeft
      const rows = this.#deleteRecords(next.id, rowsLeft)
      if (rows < rowsLeft) this.#forget.run(next.id)
      rowsLeft -= Math.max(1, rows)
    }
    return 0
  }

  /** True where there may be more to give back. */
  #giveBack(): boolean {
    const spare = this.#pragma("freelist_count") - FREE_PAGES_KEPT
    if (spare <= 0 || this.#pragma("auto_vacuum") !== 2) return false
    this.#database.pragma(`incremental_vacuum(${Math.min(spare, VACUUM_PAGES)})`)
    return true
  }
}
