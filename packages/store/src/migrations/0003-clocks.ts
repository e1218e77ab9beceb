/**
 * Version 3: what waits for a time, and what waits for an end. Neither costs a message that does neither: the index has
 * only messages that were put off, the table only actors that are watched. And the life story of one actor, found.
 */
export const CLOCKS = `
-- Messages that were put off: by their sender, or by a backoff. What is far off is not in memory, and is found here.
create index messages_due on messages (deliver_at_ms) where status = 'pending' and deliver_at_ms > created_at_ms;

-- What an actor was at a time: of a dead letter, and what retention keeps of it. Written when a lifecycle changes.
create index lifecycle_events_actor on lifecycle_events (actor_type, actor_id, at_ms);

-- Who is told when an actor ends.
create table watches (
  watched_type text not null,
  watched_id text not null,
  watcher_type text not null,
  watcher_id text not null,
  linked integer not null,          -- 1: the watcher is restarted, or ends, with the watched
  at_ms integer not null,
  primary key (watched_type, watched_id, watcher_type, watcher_id)
) without rowid;
create index watches_watcher on watches (watcher_type, watcher_id);

-- What an operator has put on hold; read when a system is opened.
create index actors_suspended on actors (actor_type, actor_id) where lifecycle = 'suspended';

-- What a row of a handler's journal is: step, undoable, sleep, race, undo, end.
alter table steps add column kind text not null default 'step';

-- Whom the message was sent to before each time that it was handed on: a JSON array of 'type/id' and 'pool name'.
alter table messages add column via text;
`
