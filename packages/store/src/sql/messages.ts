/**
 * The SQL of one message's life: a statement per edge. Every fenced statement carries its fence in its `where`, so that
 * a stale attempt changes no row, and the count of changed rows is the whole check.
 */

/** Every column of `MessageRow`, under its name there. */
export const MESSAGE_COLUMNS = `seq, id, actor_type as actorType, actor_id as actorId, pool, task, codec, status, priority,
  attempt, attempts_before as attemptsBefore, created_at_ms as createdAtMs, deliver_at_ms as deliverAtMs, deadline_at_ms as deadlineAtMs,
  started_at_ms as startedAtMs, finished_at_ms as finishedAtMs, sender, correlation_id as correlationId,
  causation_id as causationId, idempotency_key as idempotencyKey, trace_id as traceId, via, body, reply, error`

/** Nothing is inserted where the id or the key is taken. */
export const APPEND = `insert into messages (id, actor_type, actor_id, pool, task, codec, status, priority, attempt,
    created_at_ms, deliver_at_ms, deadline_at_ms, started_at_ms, sender, correlation_id, causation_id, idempotency_key,
    idempotency_scope, trace_id, body)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  on conflict do nothing`

export const MESSAGE_BY_ID = `select ${MESSAGE_COLUMNS} from messages where id = ?`

export const MESSAGE_BY_KEY = `select ${MESSAGE_COLUMNS} from messages
  where idempotency_scope = ? and task = ? and idempotency_key = ?`

/** The row keeps its key to be read; without a scope it is in the way of nobody. */
export const FREE_KEY = `update messages set idempotency_scope = null
  where idempotency_scope = ? and task = ? and idempotency_key = ? and created_at_ms < ?
    and status not in ('pending', 'running')`

export const CLAIM = `update messages set status = 'running', attempt = ?, started_at_ms = ?
  where id = ? and status = 'pending' and attempt = ?`

export const RETRY = `update messages
  set status = 'pending', deliver_at_ms = ?, actor_type = ?, actor_id = ?, started_at_ms = null
  where id = ? and status = 'running' and attempt = ?`

/** Nothing failed: no attempt is recorded, and this one does not count. */
export const POSTPONE = `update messages
  set status = 'pending', deliver_at_ms = ?, attempts_before = attempts_before + 1, started_at_ms = null
  where id = ? and status = 'running' and attempt = ?`

/** The target has a budget of attempts of its own. */
export const FORWARD = `update messages
  set status = 'pending', actor_type = ?, actor_id = ?, pool = ?, via = ?, attempts_before = attempt, started_at_ms = null,
    deliver_at_ms = created_at_ms
  where id = ? and status = 'running' and attempt = ?`

export const REROUTE = `update messages set deliver_at_ms = ?, actor_type = ?, actor_id = ?
  where id = ? and status = 'pending' and attempt = ?`

export const SETTLE = `update messages set status = ?, reply = ?, error = ?, finished_at_ms = ?
  where id = ? and attempt = ? and status in ('running', 'pending')`

/** The history is in other tables, and stays. */
export const REDRIVE = `update messages
  set status = 'pending', attempts_before = attempt, deliver_at_ms = ?, actor_type = ?, actor_id = ?,
    body = ifnull(?, body), deadline_at_ms = null, started_at_ms = null, finished_at_ms = null, error = null
  where id = ? and status = 'dead' and attempt = ?`

/** Run before the update that ends the attempt; inserts nothing where the fence does not hold. */
export const RECORD_ATTEMPT = `insert into attempts
    (message_id, attempt, actor_type, actor_id, started_at_ms, finished_at_ms, error)
  select id, attempt, actor_type, actor_id, started_at_ms, ?, ? from messages
  where id = ? and status = 'running' and attempt = ?`

export const IS_RUNNING = "select 1 from messages where id = ? and status = 'running' and attempt = ?"

/** Both terms on the status: the first is that of the partial index, which the planner does not see in the second. */
export const DEAD_LETTERS = `select ${MESSAGE_COLUMNS} from messages
  where status in ('failed', 'dead', 'expired', 'cancelled') and status = 'dead' and seq > ? order by seq limit ?`

/** The same rows by the same index, and of each only what lies in front of its body. */
export const CENSUS = `select seq, id, actor_type as actorType, actor_id as actorId, status, attempt,
    attempts_before as attemptsBefore, created_at_ms as createdAtMs, deliver_at_ms as deliverAtMs from messages
  where status in ('pending', 'running') and seq > ? order by seq limit ?`

export const LAST_SEQ = "select ifnull(max(seq), 0) as seq from messages"

/**
 * The rest of one millisecond, and what is after it. As one query, `(deliver_at_ms, seq) > (?, ?)`, SQLite seeks by the
 * time alone, and a page takes 20 ms where 100,000 are due at the same time.
 */
export const DUE_AT = `select ${MESSAGE_COLUMNS} from messages
  where status = 'pending' and deliver_at_ms > created_at_ms and deliver_at_ms = ? and seq > ? order by seq limit ?`
export const DUE_AFTER = `select ${MESSAGE_COLUMNS} from messages
  where status = 'pending' and deliver_at_ms > created_at_ms and deliver_at_ms > ? order by deliver_at_ms, seq limit ?`

export const UNFINISHED = `select ${MESSAGE_COLUMNS} from messages
  where status in ('pending', 'running') and seq > ? order by seq limit ?`
