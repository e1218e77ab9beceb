/**
 * The views of the log, for `sqlite3` and for the inspector. They hold no data, so every migration drops and makes them
 * again from here, and only tables have a history.
 *
 * They keep to what SQLite 3.37 (2021) understands, because the operator's sqlite3 is older than the one in here.
 */
export const VIEWS: ReadonlyArray<{ readonly name: string; readonly sql: string }> = [
  {
    name: "mailbox",
    sql: `
create view mailbox as
-- Depth and age of every mailbox that is not empty.
select actor_type, actor_id,
       sum(status = 'pending') as pending,
       sum(status = 'running') as running,
       min(created_at_ms) as oldest_at_ms,
       max(cast((julianday('now') - 2440587.5) * 86400000 as integer) - min(created_at_ms), 0) as age_ms
from messages
where status in ('pending', 'running')
group by actor_type, actor_id`,
  },
  {
    name: "dead_letters",
    sql: `
create view dead_letters as
-- What died, and why: the last error, and every failed attempt as a JSON array, with what its actor was when it began
-- (the last change of its lifecycle before). lifecycle is what the actor is now, ready where no change was ever written.
-- pontoon dead ID says what it comes to.
select m.seq, m.id, m.actor_type, m.actor_id, m.pool, m.task, m.attempt, m.created_at_ms, m.finished_at_ms,
       ifnull((select e.to_state from lifecycle_events e where e.actor_type = m.actor_type and e.actor_id = m.actor_id
               order by e.at_ms desc, e.seq desc limit 1), 'ready') as lifecycle,
       (select count(*) from routes r where r.message_id = m.id and r.pool = 'operator') as redrives,
       case when json_valid(m.error) then json_extract(m.error, '$.tag') end as error_tag,
       case when json_valid(m.error) then json_extract(m.error, '$.message') end as error_message,
       m.error, m.body,
       (select json_group_array(json_object(
                 'attempt', a.attempt, 'actor', a.actor_type || '/' || a.actor_id,
                 'started_at_ms', a.started_at_ms, 'finished_at_ms', a.finished_at_ms,
                 'lifecycle', ifnull((
                   select e.to_state from lifecycle_events e
                   where e.actor_type = a.actor_type and e.actor_id = a.actor_id
                     and e.at_ms <= ifnull(a.started_at_ms, a.finished_at_ms)
                     -- Of that very millisecond, only what let the attempt begin: it may have crashed its actor at once.
                     and (e.at_ms < ifnull(a.started_at_ms, a.finished_at_ms) or e.to_state in ('ready', 'degraded'))
                   order by e.at_ms desc, e.seq desc limit 1), 'ready'),
                 'error', case when json_valid(a.error) then json(a.error) else a.error end))
        from attempts a where a.message_id = m.id) as history
from messages m
where m.status = 'dead' and m.status in ('failed', 'dead', 'expired', 'cancelled')`,
  },
  {
    name: "conversation",
    sql: `
create view conversation as
-- A causal tree. Ask for one: where correlation_id = '...' order by path.
-- depth counts the causes up to the root, path sorts a message behind its cause, both over at most 1000 generations.
with member (correlation_id, seq, id) as (
  select correlation_id, seq, id from messages where correlation_id <> id
  union all
  select id, seq, id from messages where correlation_id = id
)
select c.correlation_id, m.seq, m.id, m.causation_id,
       (with recursive up (cause, depth) as (
          select m.causation_id, 0
          union all
          select p.causation_id, up.depth + 1 from up join messages p on p.id = up.cause where up.depth < 1000)
        select max(depth) from up) as depth,
       (with recursive up (cause, path, depth) as (
          select m.causation_id, printf('%012d', m.seq), 0
          union all
          select p.causation_id, printf('%012d', p.seq) || '/' || up.path, up.depth + 1
          from up join messages p on p.id = up.cause where up.depth < 1000)
        select path from up order by depth desc limit 1) as path,
       m.sender, m.actor_type, m.actor_id, m.task, m.status, m.attempt,
       m.created_at_ms, m.finished_at_ms - m.created_at_ms as duration_ms,
       m.body, m.reply, m.error
from member c join messages m on m.seq = c.seq`,
  },
  {
    name: "latency",
    sql: `
create view latency as
-- From acceptance to the answer, per actor type and task, by nearest rank, over the newest 100,000 messages: the view
-- of a log of ten million rows must come back before its reader has gone.
with answered (actor_type, task, duration_ms) as (
  select actor_type, task, finished_at_ms - created_at_ms
  from messages
  where seq > (select max(seq) from messages) - 100000 and status in ('done', 'failed')
), ranked as (
  select actor_type, task, duration_ms,
         row_number() over (partition by actor_type, task order by duration_ms) as place,
         count(*) over (partition by actor_type, task) as total
  from answered
)
select actor_type, task, total as count,
       min(case when place * 100 >= total * 50 then duration_ms end) as p50_ms,
       min(case when place * 100 >= total * 95 then duration_ms end) as p95_ms,
       min(case when place * 100 >= total * 99 then duration_ms end) as p99_ms
from ranked
group by actor_type, task, total`,
  },
]
