/**
 * Version 2: what the care of the file needs. The new column is at the end of the row and 0 in every old one, so no row
 * is rewritten, however long the log.
 */
export const UPKEEP = `
-- Attempts before the last redrive: they do not count against the budget of attempts.
alter table messages add column attempts_before integer not null default 0;

-- Messages that retention has deleted and whose steps, chunks and other records are still being deleted, in small steps.
create table pruned (message_id text primary key) without rowid;

-- What is known of the file itself: one row for each thing that was found out, the latest.
create table upkeep (
  name text primary key,            -- open: 'running' while an owner has the file, else 'closed'; synchronous; integrity
  value text not null,
  detail text,
  at_ms integer not null
) without rowid;
`
