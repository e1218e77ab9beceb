/**
 * The boundary between the runtime's store port and one SQLite file that this process owns.
 *
 * A commit resolves when it is in the write-ahead log and the log is synced to the disk. Start reading at `LoopWriter`
 * (when), `commitBatch` (how much at once), `applyWrites` (what).
 */
import {
  type CommitFailure,
  type CommitReceipt,
  CrashPoints,
  checkReadLimit,
  type LogReader,
  MessageStore,
  type ReadFailure,
  type TerminalStoreFailure,
} from "@pontoon/runtime"
import { Clock, type Context, Effect, Layer, type Scope } from "effect"
import { makeCheckpointer, noCheckpointer } from "./Checkpointer.ts"
import { type Caretaker, makeCaretaker, noCaretaker } from "./care/Caretaker.ts"
import { Pruner } from "./care/Pruner.ts"
import { makeLoopWriter } from "./LoopWriter.ts"
import { MIGRATIONS } from "./migrations/migrations.ts"
import { type OpenDatabase, openDatabase } from "./openDatabase.ts"
import { OperatorSocket } from "./operator/OperatorSocket.ts"
import { SqliteLogReader } from "./SqliteLogReader.ts"
import { readStoreOptions, type StoreLimits, type StoreOptions } from "./StoreOptions.ts"
import { closedFailure, toOpenFailure, toStoreTrouble } from "./sqliteFailure.ts"
import { prepareStatements, toActorRow } from "./statements.ts"

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

/** Deletes what may be forgotten, while the store is open. */
const careFor = (
  { database, file, limits }: OpenDatabase & { readonly limits: StoreLimits },
  isIdle: () => boolean,
  wallMs: () => number,
  warn: (message: string) => void,
): Caretaker => {
  const { retention } = limits
  if (retention === undefined) return noCaretaker
  const now = () => performance.now()
  const pruner = new Pruner(database, retention, now)
  return makeCaretaker({
    step: () => pruner.step(wallMs()),
    isIdle: () => database.open && isIdle(),
    now,
    later: (then, delayMs) => {
      const timer = setTimeout(then, delayMs).unref()
      return () => clearTimeout(timer)
    },
    failed: (error) => {
      const { reason, message } = toStoreTrouble(file, error)
      // Somebody writes by hand; they will have finished by the next pass.
      if (reason !== "busy") warn(`Old messages could not be deleted now: ${message} Trying again in a minute.`)
    },
    isOver: () =>
      warn(
        `${file} uses more than the ${retention.bytesMax} bytes of retention.bytesMax, and everything left must be kept: unfinished conversations, kept statuses, idempotency keys within their time.`,
      ),
  })
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
  const opened = yield* open(path, options)
  const { database, file, close, limits } = opened
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const warn = (message: string): void => Effect.runSyncWith(context)(Effect.logWarning(message))
  const statements = prepareStatements(database)
  const checkpointer = limits.checkpoint === "thread" ? makeCheckpointer(database, file) : noCheckpointer
  const writer = makeLoopWriter(
    {
      statements,
      file,
      limits: { writesMax: limits.flushWritesMax, applyMsMax: limits.flushMsMax },
      now: () => performance.now(),
      crash,
    },
    limits,
    () => {
      checkpointer.flushed()
      caretaker.flushed()
    },
  )
  const caretaker = careFor(opened, writer.isIdle, () => clock.currentTimeMillisUnsafe(), warn)
  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      // Before the last commits, which must not find the lock in the checkpointer's hands.
      await checkpointer.stop()
      caretaker.stop()
      writer.close()
      close()
    }),
  )

  const read = <A>(evaluate: () => A): Effect.Effect<A, ReadFailure> =>
    Effect.suspend(() =>
      database.open
        ? Effect.try({ try: evaluate, catch: (error) => toStoreTrouble(file, error) })
        : Effect.fail(closedFailure(file)),
    )

  return MessageStore.of({
    // No way to take it back: an interrupted caller leaves its commit in the queue.
    commit: (writes) =>
      Effect.callback<CommitReceipt, CommitFailure>((resume) => {
        writer.submit(writes, resume)
      }),
    message: (id) => read(() => statements.messageById.get(id)),
    actor: ({ type, id }) =>
      read(() => {
        const row = statements.actor.get(type, id)
        return row === undefined ? undefined : toActorRow(row)
      }),
    steps: (messageId) => read(() => statements.steps.all(messageId)),
    chunks: (messageId, fromOrdinal, limit) =>
      Effect.andThen(
        checkReadLimit(limit),
        read(() => statements.chunks.all(messageId, fromOrdinal, limit)),
      ),
    unfinished: (afterSeq, limit) =>
      Effect.andThen(
        checkReadLimit(limit),
        read(() => statements.unfinished.all(afterSeq, limit)),
      ),
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
