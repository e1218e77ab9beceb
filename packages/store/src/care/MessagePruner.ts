/**
 * The boundary of forgetting messages: which may go, and all that goes with them.
 *
 * A conversation goes as a whole: no message of it while one is unfinished, too young, in a status that is kept, or
 * answers for an idempotency key. So a trace is never half there, and a dead letter that is redriven finds what its
 * children answered. Of a conversation that goes on for longer than `conversationMsMax`, such as that of an actor which
 * sends itself the next message for ever, the old members go one by one, once no handler that may run again could ask for
 * them: that of their cause has ended, and is no dead letter.
 */
import type { Database, Statement } from "better-sqlite3"
import type { RetentionLimits } from "./RetentionOptions.ts"
import { type StepBudget, TableWalk } from "./TableWalk.ts"

interface Candidate {
  readonly seq: number
  readonly id: string
  readonly correlationId: string
  readonly causationId: string | null
  readonly createdAtMs: number
  readonly finishedAtMs: number | null
}

/** Records of a message, by table; each has a primary key or an index that begins with the message. */
const RECORDS: ReadonlyArray<readonly [table: string, key: string]> = [
  ["chunks", "ordinal"],
  ["steps", "ordinal"],
  ["attempts", "attempt"],
  ["routes", "seq"],
  ["feedback", "seq"],
]

/**
 * Why a message keeps its conversation. The statuses are of a closed list; as JSON they cost as much as all the rest. A
 * message whose key has passed to a later one has no scope, and answers for nothing.
 */
const keeps = (statuses: ReadonlyArray<string>): string => `(finished_at_ms is null or finished_at_ms > :endedBeforeMs
    or status not in (${statuses.map((status) => `'${status}'`).join(", ")})
    or (idempotency_scope is not null and created_at_ms > :keyBeforeMs))`

interface Terms {
  readonly endedBeforeMs: number
  readonly keyBeforeMs: number
}

export class MessagePruner {
  readonly #limits: RetentionLimits
  readonly #walk: TableWalk<Candidate>
  readonly #keeper: Statement<[Terms & { readonly correlationId: string }], { readonly 1: number }>
  readonly #isAlone: Statement<
    [Terms & { readonly id: string; readonly causationId: string | null }],
    { readonly 1: number }
  >
  readonly #deleteMessage: Statement<[number]>
  readonly #records: ReadonlyArray<Statement<[{ readonly id: string; readonly limit: number }]>>
  readonly #hasRecords: Statement<[string, string, string, string, string], number>
  readonly #leftover: Statement<[], { readonly id: string }>
  readonly #remember: Statement<[string]>
  readonly #forget: Statement<[string]>

  /** @param againMax messages that are looked at again in one pass */
  constructor(database: Database, limits: RetentionLimits, againMax: number) {
    this.#limits = limits
    const candidates = database.prepare<[number, number], Candidate>(
      `select seq, id, correlation_id as correlationId, causation_id as causationId, created_at_ms as createdAtMs,
         finished_at_ms as finishedAtMs
       from messages where seq > ? order by seq limit ?`,
    )
    this.#walk = new TableWalk((afterSeq, limit) => candidates.all(afterSeq, limit), againMax)
    const kept = keeps(limits.statuses)
    // The newest first: what keeps a conversation is nearly always at its end.
    this.#keeper = database.prepare(
      `select 1 from messages where id = :correlationId and ${kept}
       union all
       select 1 from (select * from messages where correlation_id = :correlationId and correlation_id <> id
         and ${kept} order by seq desc limit 1)
       limit 1`,
    )
    this.#isAlone = database.prepare(
      `select 1 from messages where id = :id and not ${kept} and not exists (
         select 1 from messages where id = :causationId and status in ('pending', 'running', 'dead'))`,
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

  endPass(): void {
    this.#walk.endPass()
  }

  /** @param beforeMs what ended earlier may go; infinite where the log is too large, and without any bound where nothing may */
  prune(budget: StepBudget, wallMs: number, beforeMs: number): "more" | "done" {
    this.#deleteLeftovers(budget)
    if (budget.rowsLeft <= 0) return "more"
    if (beforeMs === Number.NEGATIVE_INFINITY) return "done"
    const terms: Terms = {
      endedBeforeMs: Number.isFinite(beforeMs) ? beforeMs : Number.MAX_SAFE_INTEGER,
      keyBeforeMs: wallMs - this.#limits.keyMsMin,
    }
    const aloneBeforeMs = Math.min(terms.endedBeforeMs, wallMs - this.#limits.conversationMsMax)
    const kept = new Map<string, boolean>()
    return this.#walk.go(
      budget,
      // Later ones are younger still, and end no earlier than they begin.
      ({ createdAtMs }) => createdAtMs > terms.endedBeforeMs,
      (message) => {
        const { correlationId } = message
        const isKept = kept.get(correlationId) ?? this.#keeper.get({ correlationId, ...terms }) !== undefined
        kept.set(correlationId, isKept)
        if (isKept && !this.#mayGoAlone(message, terms, aloneBeforeMs)) return 0
        return this.#delete(message, Math.max(1, budget.rowsLeft - 1))
      },
    )
  }

  #mayGoAlone({ causationId, finishedAtMs, id }: Candidate, terms: Terms, beforeMs: number): boolean {
    if (finishedAtMs === null || finishedAtMs > beforeMs) return false
    return this.#isAlone.get({ id, causationId, ...terms }) !== undefined
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

  #deleteLeftovers(budget: StepBudget): void {
    while (!budget.isSpent()) {
      const next = this.#leftover.get()
      if (next === undefined) return
      const rows = this.#deleteRecords(next.id, budget.rowsLeft)
      if (rows < budget.rowsLeft) this.#forget.run(next.id)
      budget.rowsLeft -= Math.max(1, rows)
    }
  }
}
