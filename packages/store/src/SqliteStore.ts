/**
 * The boundary between the runtime's store port and one SQLite file that this process owns.
 *
 * A commit resolves when it is in the write-ahead log and the log is synced to the disk. Start reading at `LoopWriter`
 * (when), `commitBatch` (how much at once), `applyWrites` (what).
 */
import {
  type Address,
  CrashPoints,
  checkReadLimit,
  type LogReader,
  MessageStore,
  type ReadFailure,
  Submission,
  type TerminalStoreFailure,
  type WatchFilter,
} from "@pontoon/runtime"
import { Clock, type Context, Effect, Layer, type Scope } from "effect"
import { careForFile } from "./care/careForFile.ts"
import { makeLoopWriter } from "./LoopWriter.ts"
import { MIGRATIONS } from "./migrations/migrations.ts"
import { type OpenDatabase, openDatabase } from "./openDatabase.ts"
import { OperatorSocket } from "./operator/OperatorSocket.ts"
import { SqliteLogReader } from "./SqliteLogReader.ts"
import { readStoreOptions, type StoreLimits, type StoreOptions } from "./StoreOptions.ts"
import { closedFailure, toOpenFailure, toStoreTrouble } from "./sqliteFailure.ts"
import { prepareStatements, type Statements, toActorRow, toWatchRow, type WatchColumns } from "./statements.ts"

const open = (
  path: string,
  options: StoreOptions,
): Effect.Effect<OpenDatabase & { readonly limits: StoreLimits }, TerminalStoreFailure> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const announce = (message: string): void => Effect.runSyncWith(context)(Effect.logInfo(message))
    return Effect.try({
      try: () => {
        const limits = readStoreOptions(options)
        return { ...openDatabase(path, MIGRATIONS, { synchronous: limits.synchronous, announce }), limits }
      },
      catch: (error) => toOpenFailure(path, error),
    })
  })

const readWatches = (statements: Statements, filter: WatchFilter, limit: number): ReadonlyArray<WatchColumns> => {
  if ("ended" in filter) return statements.endedWatches.all(limit)
  return "watched" in filter
    ? statements.watchers.all(filter.watched.type, filter.watched.id, limit)
    : statements.watchesOf.all(filter.watcher.type, filter.watcher.id, limit)
}

/** What the runtime asks of the file, on the owner's own connection. */
const readsOf = ({ database, file }: OpenDatabase, statements: Statements) => {
  const read = <A>(evaluate: () => A): Effect.Effect<A, ReadFailure> =>
    Effect.suspend(() =>
      database.open
        ? Effect.try({ try: evaluate, catch: (error) => toStoreTrouble(file, error) })
        : Effect.fail(closedFailure(file)),
    )
  const list = <A>(limit: number, evaluate: () => A) => Effect.andThen(checkReadLimit(limit), read(evaluate))
  return {
    message: (id: string) => read(() => statements.messageById.get(id)),
    actor: ({ type, id }: Address) =>
      read(() => {
        const row = statements.actor.get(type, id)
        return row === undefined ? undefined : toActorRow(row)
      }),
    steps: (messageId: string) => read(() => statements.steps.all(messageId)),
    chunks: (messageId: string, fromOrdinal: number, limit: number) =>
      list(limit, () => statements.chunks.all(messageId, fromOrdinal, limit)),
    watches: (filter: WatchFilter, limit: number) =>
      list(limit, () => readWatches(statements, filter, limit).map(toWatchRow)),
    // Nothing sorts before two empty names.
    suspended: (after: Address | undefined, limit: number) =>
      list(limit, () => statements.suspended.all(after?.type ?? "", after?.id ?? "", limit).map(toActorRow)),
    crashes: ({ type, id }: Address, afterMs: number, limit: number) =>
      list(limit, () =>
        statements.crashes
          .all(type, id, afterMs, limit)
          .map(({ atMs }) => atMs)
          .reverse(),
      ),
    census: (afterSeq: number, limit: number) => list(limit, () => statements.census.all(afterSeq, limit)),
    lastSeq: read(() => statements.lastSeq.get()?.seq ?? 0),
    due: (afterMs: number, afterSeq: number, limit: number) =>
      list(limit, () => {
        const rows = statements.dueAt.all(afterMs, afterSeq, limit)
        return rows.length === limit ? rows : [...rows, ...statements.dueAfter.all(afterMs, limit - rows.length)]
      }),
    unfinished: (afterSeq: number, limit: number) => list(limit, () => statements.unfinished.all(afterSeq, limit)),
    deadLetters: (afterSeq: number, limit: number) => list(limit, () => statements.deadLetters.all(afterSeq, limit)),
  } satisfies Partial<MessageStore["Service"]>
}

/**
 * Opens `file` (created with mode 0600 where it does not exist) as its one owner, until the scope closes; closing
 * carries out the commits that wait.
 *
 * @fails TerminalStoreFailure `locked`, `corrupt`, `newer`, `read-only`, `missing`, `full` or `other`
 */
const make = Effect.fnUntraced(function* (
  path: string,
  options: StoreOptions = {},
): Effect.fn.Return<MessageStore["Service"], TerminalStoreFailure, Scope.Scope> {
  const crash = yield* CrashPoints
  const clock = yield* Clock.Clock
  const runSync = Effect.runSyncWith(yield* Effect.context<never>())
  const opened = yield* open(path, options)
  const { database, file, close, limits } = opened
  const statements = prepareStatements(database)
  const writer = makeLoopWriter(
    {
      statements,
      file,
      limits: { writesMax: limits.flushWritesMax, applyMsMax: limits.flushMsMax },
      now: () => performance.now(),
      crash,
    },
    limits,
    () => care.flushed(),
  )
  const care = careForFile({
    opened,
    limits,
    isIdle: writer.isIdle,
    wallMs: () => clock.currentTimeMillisUnsafe(),
    say: runSync,
  })
  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      // Before the last commits, which must not find the lock in the checkpointer's hands.
      await care.stop()
      writer.close()
      close()
    }),
  )

  return MessageStore.of({
    commit: (writes) => new Submission((done) => writer.submit(writes, done)),
    ...readsOf(opened, statements),
    location: file,
  })
})

/**
 * `MessageStore` on `file`, owned for the layer's life, and a `LogReader` of the same file. A system that is opened over
 * it can be reached by `pontoon redrive`, `cancel` and `stop`.
 */
const layer = (file: string, options: StoreOptions = {}): Layer.Layer<MessageStore | LogReader, TerminalStoreFailure> =>
  Layer.mergeAll(SqliteLogReader.layer(file), OperatorSocket.layer).pipe(
    Layer.provideMerge(Layer.effect(MessageStore, make(file, options))),
  )

export const SqliteStore = { make, layer }
