/**
 * The boundary to what is known of the file itself, in the table `upkeep`: whether an owner has it open, how it syncs,
 * what its last check found. One row for each; a reader finds there what the owner knows.
 */
import type { Database } from "better-sqlite3"

export interface UpkeepRow {
  readonly name: string
  readonly value: string
  readonly detail: string | null
  readonly atMs: number
}

/** `open`: running | closed. `synchronous`: full | normal. `integrity`: due | ok | corrupt. */
export type UpkeepName = "open" | "synchronous" | "integrity"

/** By SQLite's own clock, as the views do: an operator's command writes it too. */
const NOW_MS = "cast((julianday('now') - 2440587.5) * 86400000 as integer)"

export const UPKEEP = "select name, value, detail, at_ms as atMs from upkeep order by name"

export const putUpkeep = (database: Database, name: UpkeepName, value: string, detail: string | null = null): void => {
  database
    .prepare<[string, string, string | null]>(
      `insert into upkeep (name, value, detail, at_ms) values (?, ?, ?, ${NOW_MS})
       on conflict do update set value = excluded.value, detail = excluded.detail, at_ms = excluded.at_ms`,
    )
    .run(name, value, detail)
}

export const readUpkeep = (database: Database, name: UpkeepName): UpkeepRow | undefined =>
  database
    .prepare<[string], UpkeepRow>("select name, value, detail, at_ms as atMs from upkeep where name = ?")
    .get(name)
