/** The boundary to the file under inspection: its reader, and what only a connection can tell. */
import type { LogReader, ReadFailure, TerminalStoreFailure } from "@pontoon/runtime"
import { Effect, type Scope } from "effect"
import { UPKEEP, type UpkeepRow } from "../care/upkeep.ts"
import { logReaderOf } from "../logReaderOf.ts"
import { openReader } from "../openReader.ts"
import { STATUS_COUNTS } from "../sql/reads.ts"
import { toStoreTrouble } from "../sqliteFailure.ts"

export interface StatusCount {
  readonly status: string
  readonly count: number
}

export interface InspectedLog {
  readonly file: string
  readonly reader: LogReader["Service"]
  /** A number that changes when another process commits. Costs a look at shared memory. */
  readonly dataVersion: () => number
  /** Messages by status. */
  readonly statusCounts: Effect.Effect<ReadonlyArray<StatusCount>, ReadFailure>
  /** What is known of the file: who has it open, how it syncs, what its last check found. */
  readonly upkeep: Effect.Effect<ReadonlyArray<UpkeepRow>, ReadFailure>
}

/** Opens `file` for reading until the scope closes. @fails TerminalStoreFailure */
export const openInspectedLog = (file: string): Effect.Effect<InspectedLog, TerminalStoreFailure, Scope.Scope> =>
  Effect.map(openReader(file), (database) => {
    const counts = database.prepare<[], StatusCount>(STATUS_COUNTS)
    const upkeep = database.prepare<[], UpkeepRow>(UPKEEP)
    return {
      file: database.name,
      reader: logReaderOf(database),
      dataVersion: () => Number(database.pragma("data_version", { simple: true })),
      upkeep: Effect.try({ try: () => upkeep.all(), catch: (error) => toStoreTrouble(database.name, error) }),
      statusCounts: Effect.try({ try: () => counts.all(), catch: (error) => toStoreTrouble(database.name, error) }),
    }
  })
