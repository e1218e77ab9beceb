/**
 * The boundary to the past: how a file of every earlier version becomes one of this version, one step each, forward
 * only.
 *
 * The SQL is embedded in modules, not kept in .sql files beside them: a service that is bundled into one file has no
 * folder beside it to read them from, and the sources and the published build would need two ways to find it.
 */
import { LOG } from "./0001-log.ts"
import { UPKEEP } from "./0002-upkeep.ts"
import { CLOCKS } from "./0003-clocks.ts"

/** `PONT` in ASCII: how `file` and this package know a log from any other SQLite database. */
export const APPLICATION_ID = 0x504f_4e54

export interface Migration {
  /** The `user_version` that it leads to; ascending by one from 1. */
  readonly version: number
  readonly sql: string
}

export const MIGRATIONS: ReadonlyArray<Migration> = [
  { version: 1, sql: LOG },
  { version: 2, sql: UPKEEP },
  { version: 3, sql: CLOCKS },
]
