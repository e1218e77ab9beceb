/**
 * Version 1: the log as README.md documents it. SQLite keeps this text, comments included, so `sqlite3 FILE .schema`
 * explains itself.
 *
 * Tried and left out, in processor time per ask of bench/plainLoop.ts (64 callers; 20.5 us as it stands):
 *  - an index on (actor_type, actor_id, seq): +16 %, and 5.8 in place of 3.7 KB written, because every actor's end of it
 *    is on another page. Listing one actor's messages scans from the newest instead; mailboxes do not need it.
 *  - every message in the conversation index, roots too: +7 %.
 *  - a check constraint on status: +9 %. No SQL but this package's writes it, from a closed type.
 *  - STRICT tables refuse a fractional millisecond, and with it a whole commit.
 *  - without autoincrement: -2 %, but a log emptied by hand would count from 1 again under everybody who follows it.
 *  - pages of 8 or 16 KB: the same time; 1.25 and 1.7 times the bytes at 64 callers.
 */
export const LOG = `
create table messages (
  seq integer primary key autoincrement, -- the order of acceptance; never used twice, so readers can follow it
  id text not null unique,          -- a ULID; a child's is its parent's with an ordinal
  actor_type text not null,         -- the target; a reroute changes it
  actor_id text not null,
  pool text,                        -- the pool that chose the target
  task text not null,
  codec text not null,              -- json | text: how body and reply are written
  status text not null,             -- pending, running, done, failed, dead, expired, cancelled
  priority integer not null,        -- higher runs earlier
  attempt integer not null,         -- how often it was claimed; the fence
  created_at_ms integer not null,
  deliver_at_ms integer not null,   -- not run before
  deadline_at_ms integer,           -- never started after
  started_at_ms integer,            -- of the current attempt
  finished_at_ms integer,
  sender text,                      -- the sending actor as type/id; null for the world outside
  correlation_id text not null,     -- the message that began the conversation
  causation_id text,                -- the message whose handler sent this one
  idempotency_key text,
  idempotency_scope text,           -- what the key is unique in: 'actor type/id' or 'pool name'; fixed at acceptance
  trace_id text not null,
  body text not null,
  reply text,
  error text                        -- a failure record as JSON
);

-- Recovery and mailboxes: the only index that a message enters and leaves. On seq alone, because a planner that is
-- asked for "unfinished, by seq" scans the table past an index on (actor, seq).
create index messages_unfinished on messages (seq) where status in ('pending', 'running');
-- Duplicates. Only messages with a key are in it.
create unique index messages_idempotency on messages (idempotency_scope, task, idempotency_key)
  where idempotency_key is not null;
-- A conversation, but for its root, which is found by its id: a message that starts a conversation costs no entry.
create index messages_conversation on messages (correlation_id, seq) where correlation_id <> id;
-- What ended badly, for the operator who looks for it among ten million rows.
create index messages_unanswered on messages (status, seq) where status in ('failed', 'dead', 'expired', 'cancelled');

create table attempts (
  message_id text not null,
  attempt integer not null,
  actor_type text not null,         -- the target of this attempt
  actor_id text not null,
  started_at_ms integer,
  finished_at_ms integer not null,
  error text not null,              -- a failure record as JSON
  primary key (message_id, attempt)
) without rowid;

create table actors (
  actor_type text not null,
  actor_id text not null,
  lifecycle text not null,          -- starting, ready, degraded, draining, suspended, restarting, failed, stopped
  state text,
  version integer not null,         -- of the definition that wrote the state
  restarts integer not null,
  updated_at_ms integer not null,
  primary key (actor_type, actor_id)
) without rowid;

create table lifecycle_events (
  seq integer primary key,
  actor_type text not null,
  actor_id text not null,
  from_state text not null,
  to_state text not null,
  event text not null,
  reason text,
  at_ms integer not null
);

create table routes (
  seq integer primary key,
  message_id text not null,
  attempt integer not null,
  pool text not null,
  chosen text not null,             -- the chosen target as type/id
  reason text not null,
  evidence text not null,           -- JSON: what the decision saw, the pool's configuration included
  at_ms integer not null
);
create index routes_message on routes (message_id);
create index routes_pool on routes (pool);

create table steps (
  message_id text not null,
  ordinal integer not null,
  name text not null,
  result text not null,
  at_ms integer not null,
  primary key (message_id, ordinal)
) without rowid;

create table chunks (
  message_id text not null,
  attempt integer not null,
  ordinal integer not null,         -- unique over all attempts
  data text not null,
  at_ms integer not null,
  primary key (message_id, ordinal)
) without rowid;

create table feedback (
  seq integer primary key,
  message_id text not null,
  score real not null,              -- from -1 (useless) to 1 (just right)
  label text,
  source text not null,
  at_ms integer not null
);
create index feedback_message on feedback (message_id);
`
