/**
 * The SQL of everybody who only looks. Every query is bounded, and every one but a filter on an actor or on `done` finds
 * its rows through an index (test/queryPlans.test.ts).
 */
import type { MessageFilter } from "@pontoon/runtime"
import { MESSAGE_COLUMNS } from "./messages.ts"
import { ACTOR_COLUMNS } from "./records.ts"

export interface Query {
  readonly sql: string
  readonly parameters: ReadonlyArray<string | number>
}

/** The terms that let the planner use a partial index; a bound status does not. */
const statusTerm = (status: string): string => {
  if (status === "pending" || status === "running") return "status in ('pending', 'running') and status = ?"
  if (status === "done") return "status = ?"
  return "status in ('failed', 'dead', 'expired', 'cancelled') and status = ?"
}

/** A conversation is its root, found by id, and the rest, found by the partial index. */
const CONVERSATION_TERM = `seq in (
    select seq from messages where correlation_id = ? and correlation_id <> id
    union all select seq from messages where id = ? and correlation_id = id)`

export const messagesQuery = (filter: MessageFilter): Query => {
  const terms: Array<string> = []
  const parameters: Array<string | number> = []
  const add = (term: string, ...values: ReadonlyArray<string | number>): void => {
    terms.push(term)
    parameters.push(...values)
  }
  if (filter.afterSeq !== undefined) add("seq > ?", filter.afterSeq)
  if (filter.beforeSeq !== undefined) add("seq < ?", filter.beforeSeq)
  if (filter.status !== undefined) add(statusTerm(filter.status), filter.status)
  if (filter.actorType !== undefined) add("actor_type = ?", filter.actorType)
  if (filter.actorId !== undefined) add("actor_id = ?", filter.actorId)
  if (filter.correlationId !== undefined) add(CONVERSATION_TERM, filter.correlationId, filter.correlationId)
  const where = terms.length === 0 ? "" : `where ${terms.join(" and ")}`
  const order = filter.newest === true ? "desc" : "asc"
  return {
    sql: `select ${MESSAGE_COLUMNS} from messages ${where} order by seq ${order} limit ?`,
    parameters: [...parameters, filter.limit],
  }
}

const ROUTE_COLUMNS = `seq, message_id as messageId, attempt, pool, chosen, reason, evidence, at_ms as atMs`

/** The newest first. */
export const routesQuery = (filter: { readonly messageId?: string; readonly pool?: string }, limit: number): Query => {
  const terms: Array<string> = []
  const parameters: Array<string | number> = []
  if (filter.messageId !== undefined) {
    terms.push("message_id = ?")
    parameters.push(filter.messageId)
  }
  if (filter.pool !== undefined) {
    terms.push("pool = ?")
    parameters.push(filter.pool)
  }
  const where = terms.length === 0 ? "" : `where ${terms.join(" and ")}`
  return {
    sql: `select ${ROUTE_COLUMNS} from routes ${where} order by seq desc limit ?`,
    parameters: [...parameters, limit],
  }
}

/** The newest first. Scans the actors, of which there are as many as were ever named; it is a list for people. */
export const ACTORS = `select ${ACTOR_COLUMNS} from actors order by updated_at_ms desc limit ?`

const LIFECYCLE_COLUMNS = `seq, actor_type as actorType, actor_id as actorId, from_state as "from", to_state as "to",
  event, reason, at_ms as atMs`

export const LIFECYCLE = `select ${LIFECYCLE_COLUMNS} from lifecycle_events where seq > ? order by seq limit ?`

/** The newest first. */
export const LIFECYCLE_OF = `select ${LIFECYCLE_COLUMNS} from lifecycle_events
  where actor_type = ? and actor_id = ? and at_ms <= ? order by at_ms desc, seq desc limit ?`

export const ATTEMPTS = `select message_id as messageId, attempt, actor_type as actorType, actor_id as actorId,
    started_at_ms as startedAtMs, finished_at_ms as finishedAtMs, error
  from attempts where message_id = ? order by attempt`

/** The longest wait first. */
export const MAILBOX = `select actor_type as actorType, actor_id as actorId, pending, running, oldest_at_ms as oldestAtMs
  from mailbox order by oldest_at_ms limit ?`

export const LATENCY = `select actor_type as actorType, task, count, p50_ms as p50Ms, p95_ms as p95Ms, p99_ms as p99Ms
  from latency order by actor_type || '/' || task`

/**
 * Messages by status. Those that are not done are in small indexes, and done is what remains of all: a count over the
 * index of ids, about 60 ms for a million rows. `max(seq)` in its place is free and wrong: a message that repeats an
 * idempotency key uses up a number and adds no row.
 */
export const STATUS_COUNTS = `with other (status, count) as (
    select status, count(*) from messages where status in ('pending', 'running') group by status
    union all
    select status, count(*) from messages where status in ('failed', 'dead', 'expired', 'cancelled') group by status)
  select 'done' as status, (select count(*) from messages) - ifnull((select sum(count) from other), 0) as count
  union all
  select status, count from other`
