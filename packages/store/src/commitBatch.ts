/**
 * The boundary of one transaction: many commits of one turn of the event loop, applied and made durable together, each
 * still all-or-nothing for itself.
 *
 * A refused commit must not take its neighbours along. Three ways, for 1,000 commits of three writes in a batch, in
 * processor time per commit (bench/refusals.ts, nothing refused; one in a hundred refused at its end):
 *  - a savepoint around every commit: 15.5 us; 25.5 us. Paid by every commit whether any is refused or not.
 *  - check all fences before writing: a commit's fences depend on its own writes and on its neighbours', so the check is
 *    a second implementation of every write. Not built.
 *  - what is done here, 14.0 us; 23.4 us: apply without savepoints; a commit refused at its first write has changed
 *    nothing and is left out; one refused later rolls the batch back, which is then applied again with savepoints.
 */
import {
  type CommitExit,
  type CommitFailure,
  type CommitReceipt,
  type CrashPointHook,
  type MessageRow,
  TerminalStoreFailure,
  type Write,
} from "@pontoon/runtime"
import { Exit } from "effect"
import { Appends, applyWrites, NONE } from "./applyWrites.ts"
import { primaryCode, toStoreTrouble } from "./sqliteFailure.ts"
import type { Statements } from "./statements.ts"

export interface BatchLimits {
  /** Writes in one transaction; a single commit is never split and may hold more. */
  readonly writesMax: number
  /** Milliseconds spent applying; the commit that crosses it is the last. */
  readonly applyMsMax: number
}

export interface BatchContext {
  readonly statements: Statements
  /** For messages. */
  readonly file: string
  readonly limits: BatchLimits
  /** A clock in milliseconds that never steps back. */
  readonly now: () => number
  readonly crash: CrashPointHook
}

type Batch = ReadonlyArray<{ readonly writes: ReadonlyArray<Write> }>

/** After these the transaction, not one commit, has failed. */
const TRANSACTION_CODES = new Set([
  "SQLITE_FULL",
  "SQLITE_IOERR",
  "SQLITE_NOMEM",
  "SQLITE_BUSY",
  "SQLITE_LOCKED",
  "SQLITE_INTERRUPT",
  "SQLITE_CORRUPT",
  "SQLITE_NOTADB",
  "SQLITE_READONLY",
  "SQLITE_CANTOPEN",
  "SQLITE_PROTOCOL",
])

interface Applied {
  readonly exit: CommitExit
  /** Refused after some of its writes were applied. */
  readonly isDirty: boolean
}

const unstorable = (file: string, error: unknown): TerminalStoreFailure =>
  new TerminalStoreFailure({
    reason: "other",
    message: `A commit holds a value that ${file} cannot store (${error instanceof Error ? error.message : String(error)}).`,
    cause: error,
  })

const receiptOf = (duplicates: ReadonlyArray<MessageRow>): CommitExit => Exit.succeed<CommitReceipt>({ duplicates })

/** How nearly every commit is applied; one for all. */
const PLAINLY: Applied = { exit: receiptOf(NONE), isDirty: false }

const applyCommit = ({ statements, file }: BatchContext, writes: ReadonlyArray<Write>): Applied => {
  const appends = new Appends()
  try {
    const stale = applyWrites(statements, writes, appends)
    if (stale === undefined) {
      return appends.duplicates === NONE ? PLAINLY : { exit: receiptOf(appends.duplicates), isDirty: false }
    }
    return { exit: Exit.fail<CommitFailure>(stale.failure), isDirty: stale.index > 0 }
  } catch (error) {
    if (TRANSACTION_CODES.has(primaryCode(error) ?? "")) throw error
    return { exit: Exit.fail<CommitFailure>(unstorable(file, error)), isDirty: true }
  }
}

/** Applies the batch up to its limits; undefined where a commit must be taken back and no savepoint was kept. */
const applyBatch = (context: BatchContext, batch: Batch, withSavepoints: boolean): Array<CommitExit> | undefined => {
  const { statements, limits, now } = context
  const exits: Array<CommitExit> = []
  const endMs = now() + limits.applyMsMax
  let writes = 0
  for (const commit of batch) {
    writes += commit.writes.length
    if (exits.length > 0 && (writes > limits.writesMax || now() >= endMs)) break
    if (withSavepoints) statements.savepoint.run()
    const { exit, isDirty } = applyCommit(context, commit.writes)
    if (isDirty && !withSavepoints) return undefined
    if (isDirty) statements.rollbackToSavepoint.run()
    if (withSavepoints) statements.releaseSavepoint.run()
    exits.push(exit)
  }
  return exits
}

const transact = (context: BatchContext, batch: Batch, withSavepoints: boolean): Array<CommitExit> | undefined => {
  const { statements, crash } = context
  // Only where a rollback failed before; it may work now.
  if (statements.begin.database.inTransaction) statements.rollback.run()
  statements.begin.run()
  let exits: Array<CommitExit> | undefined
  try {
    crash("commit.begun")
    exits = applyBatch(context, batch, withSavepoints)
    if (exits !== undefined) {
      crash("commit.written")
      statements.commit.run()
    }
  } finally {
    // Some errors end the transaction by themselves. After a failed COMMIT it is rolled back in the WAL's index: what
    // was written past the last commit is not read by anybody, and the next commit is written over it. Should the
    // process die before that next commit, recovery may find these frames whole and take them; the caller was told to
    // try again, and ids, keys and fences make the second try harmless then.
    if (statements.begin.database.inTransaction) statements.rollback.run()
  }
  return exits
}

/** One transaction, made again with savepoints where a commit must be taken out of its middle. */
const commitTogether = (context: BatchContext, batch: Batch): Array<CommitExit> => {
  const exits = transact(context, batch, false) ?? transact(context, batch, true) ?? []
  context.crash("commit.done")
  return exits
}

/** `busy`: another process holds the write lock, nothing was tried. */
export type BatchOutcome =
  | { readonly _tag: "applied"; readonly exits: ReadonlyArray<CommitExit> }
  | { readonly _tag: "busy"; readonly failure: CommitFailure }

/**
 * Commits as many of the batch as the limits allow, at least one; `exits` are theirs, in order.
 *
 * Where the whole transaction fails (a full disk, an I/O error), each commit is tried in one of its own: one that asks for
 * more than there is room does not fail the others, and each that fails has applied nothing.
 */
export const commitBatch = (context: BatchContext, batch: Batch): BatchOutcome => {
  try {
    return { _tag: "applied", exits: commitTogether(context, batch) }
  } catch (error) {
    const failure = toStoreTrouble(context.file, error)
    if (primaryCode(error) === "SQLITE_BUSY") return { _tag: "busy", failure }
    if (batch.length === 1) return { _tag: "applied", exits: [Exit.fail(failure)] }
  }
  const exits: Array<CommitExit> = []
  const endMs = context.now() + context.limits.applyMsMax
  for (const commit of batch) {
    // Each has a sync of its own; what does not fit into this turn of the loop is tried together again in the next.
    if (exits.length > 0 && context.now() >= endMs) break
    const outcome = commitBatch(context, [commit])
    if (outcome._tag === "busy") return exits.length === 0 ? outcome : { _tag: "applied", exits }
    exits.push(...outcome.exits)
  }
  return { _tag: "applied", exits }
}
