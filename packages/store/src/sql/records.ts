/** The SQL of what messages and actors leave behind: state, lifecycle, routes, steps, chunks, feedback. */

export const PUT_ACTOR = `insert into actors (actor_type, actor_id, lifecycle, state, version, restarts, updated_at_ms)
  values (?, ?, ?, ?, ?, ?, ?)
  on conflict do update set lifecycle = excluded.lifecycle, state = excluded.state, version = excluded.version,
    restarts = excluded.restarts, updated_at_ms = excluded.updated_at_ms`

export const PUT_ACTOR_KEEPING_STATE = `insert into actors
    (actor_type, actor_id, lifecycle, version, restarts, updated_at_ms)
  values (?, ?, ?, ?, ?, ?)
  on conflict do update set lifecycle = excluded.lifecycle, restarts = excluded.restarts, updated_at_ms = excluded.updated_at_ms`

export const ACTOR_COLUMNS = `actor_type as actorType, actor_id as actorId, lifecycle, state, version, restarts,
  updated_at_ms as updatedAtMs`

export const ACTOR = `select ${ACTOR_COLUMNS} from actors where actor_type = ? and actor_id = ?`

export const SUSPENDED = `select ${ACTOR_COLUMNS} from actors
  where lifecycle = 'suspended' and (actor_type, actor_id) > (?, ?) order by actor_type, actor_id limit ?`

/** The latest first. */
export const CRASHES = `select at_ms as atMs from lifecycle_events
  where event = 'CRASHED' and actor_type = ? and actor_id = ? and at_ms > ? order by at_ms desc limit ?`

export const PUT_WATCH = `insert into watches (watched_type, watched_id, watcher_type, watcher_id, linked, at_ms)
  values (?, ?, ?, ?, ?, ?)
  on conflict do update set linked = max(linked, excluded.linked)`

export const DROP_WATCH = `delete from watches
  where watched_type = ? and watched_id = ? and watcher_type = ? and watcher_id = ?`

export const DROP_WATCHES_OF = "delete from watches where watcher_type = ? and watcher_id = ?"

const WATCH_COLUMNS = `watched_type as watchedType, watched_id as watchedId, watcher_type as watcherType,
  watcher_id as watcherId, linked, at_ms as atMs`
const WATCH_ORDER = "watched_type, watched_id, watcher_type, watcher_id"

export const WATCHERS = `select ${WATCH_COLUMNS} from watches
  where watched_type = ? and watched_id = ? order by ${WATCH_ORDER} limit ?`

export const WATCHES_OF = `select ${WATCH_COLUMNS} from watches
  where watcher_type = ? and watcher_id = ? order by ${WATCH_ORDER} limit ?`

/** Walks the watches, which are few, and looks each watched actor up. */
export const ENDED_WATCHES = `select ${WATCH_COLUMNS} from watches
  where exists (select 1 from actors where actor_type = watched_type and actor_id = watched_id
    and lifecycle in ('failed', 'stopped'))
  order by ${WATCH_ORDER} limit ?`

export const LIFECYCLE_EVENT = `insert into lifecycle_events
    (actor_type, actor_id, from_state, to_state, event, reason, at_ms)
  values (?, ?, ?, ?, ?, ?, ?)`

export const ROUTE_DECISION = `insert into routes (message_id, attempt, pool, chosen, reason, evidence, at_ms)
  values (?, ?, ?, ?, ?, ?, ?)`

export const RECORD_STEP = `insert into steps (message_id, ordinal, kind, name, result, at_ms) values (?, ?, ?, ?, ?, ?)
  on conflict do nothing`

export const STEPS = `select message_id as messageId, ordinal, kind, name, result, at_ms as atMs from steps
  where message_id = ? order by ordinal`

export const APPEND_CHUNK = `insert into chunks (message_id, attempt, ordinal, data, at_ms) values (?, ?, ?, ?, ?)
  on conflict do nothing`

export const CHUNKS = `select message_id as messageId, attempt, ordinal, data, at_ms as atMs from chunks
  where message_id = ? and ordinal >= ? order by ordinal limit ?`

export const PUT_FEEDBACK = "insert into feedback (message_id, score, label, source, at_ms) values (?, ?, ?, ?, ?)"
