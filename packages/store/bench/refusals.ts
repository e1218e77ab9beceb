/**
 * What it costs to keep a refused commit from its neighbours: batches of 1,000 commits (an append, a settlement, an actor)
 * of which some are refused, by the ways that src/commitBatch.ts speaks of. In processor time, because a disk's is its own.
 *
 *     node packages/store/bench/refusals.ts [FOLDER]
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Write } from "@pontoon/runtime"
import { appendClaimed, claim, putActor, settle } from "@pontoon/runtime/testing"
import { Appends, applyWrites } from "../src/applyWrites.ts"
import { commitBatch } from "../src/commitBatch.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements, type Statements } from "../src/statements.ts"

const COMMITS = 1_000
const BATCHES = 40

/** `first`: the stale write leads its commit, as a sealing commit's does; `last`: everything before it was applied. */
type Refusal = "none" | "first" | "last"

const batchOf = (batch: number, refusal: Refusal): Array<ReadonlyArray<Write>> =>
  Array.from({ length: COMMITS }, (_, n) => {
    const id = `${batch}-${n}`
    const writes = [appendClaimed(id), settle(id), putActor({ type: "barista", id: `${n}` }, "state")]
    if (refusal === "none" || n % 100 !== 50) return writes
    return refusal === "first" ? [claim("nobody"), ...writes] : [...writes, claim("nobody")]
  })

const savepoints = (statements: Statements, batch: ReadonlyArray<ReadonlyArray<Write>>): void => {
  statements.begin.run()
  for (const writes of batch) {
    statements.savepoint.run()
    if (applyWrites(statements, writes, new Appends()) !== undefined) statements.rollbackToSavepoint.run()
    statements.releaseSavepoint.run()
  }
  statements.commit.run()
}

const measure = (folder: string, way: "savepoints" | "as built", refusal: Refusal): number => {
  const file = join(folder, `${way}-${refusal}.db`)
  const { database, close } = openDatabase(file)
  const statements = prepareStatements(database)
  const context = {
    statements,
    file,
    limits: { writesMax: 1_000_000, applyMsMax: 1_000_000 },
    now: () => performance.now(),
    crash: () => {},
  }
  const before = process.cpuUsage()
  for (let batch = 0; batch < BATCHES; batch++) {
    const commits = batchOf(batch, refusal)
    if (way === "savepoints") savepoints(statements, commits)
    else
      commitBatch(
        context,
        commits.map((writes) => ({ writes })),
      )
  }
  const { user, system } = process.cpuUsage(before)
  close()
  return (user + system) / (BATCHES * COMMITS)
}

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), "pontoon-refusals-"))
try {
  for (const refusal of ["none", "first", "last"] as const) {
    for (const way of ["savepoints", "as built"] as const) {
      const rounds = Array.from({ length: 3 }, (_, round) => {
        const place = mkdtempSync(join(folder, `${round}-`))
        return measure(place, way, refusal)
      }).sort((a, b) => a - b)
      console.log(
        `refused: ${refusal.padEnd(5)} ${way.padEnd(10)} ${rounds[1]!.toFixed(2)} us of processor time per commit`,
      )
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
