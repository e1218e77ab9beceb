/**
 * The boundary between Effect Cluster's own storage and SQLite: an `effect/sql` client on node:sqlite, at full durability.
 *
 * `@effect/sql-sqlite-node` would be it, but its newest prerelease for Effect 4 (4.0.0-beta.102) imports
 * `effect/unstable/sql`, which 4.1.0 does not have. This is its way: prepared statements are kept, one connection, a
 * semaphore around it (MIT, https://github.com/Effect-TS/effect).
 */
import { DatabaseSync, type StatementSync } from "node:sqlite"
import { Context, Effect, Layer, Scope, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"

type Value = null | number | bigint | string | Uint8Array

const asValues = (params: ReadonlyArray<unknown> | undefined): Array<Value> => [...((params ?? []) as Array<Value>)]

const connect = (file: string): SqlConnection.Connection & { readonly close: () => void } => {
  const database = new DatabaseSync(file)
  database.exec("pragma journal_mode = wal")
  database.exec("pragma synchronous = full")
  const prepared = new Map<string, StatementSync>()
  const statementOf = (sql: string): StatementSync => {
    const known = prepared.get(sql) ?? database.prepare(sql)
    prepared.set(sql, known)
    return known
  }
  const attempt = <A>(operation: string, evaluate: () => A) =>
    Effect.try({
      try: evaluate,
      catch: (cause) =>
        new SqlError.SqlError({ reason: SqlError.classifySqliteError(cause, { message: operation, operation }) }),
    })
  const run = (sql: string, params: ReadonlyArray<unknown> | undefined, isRaw: boolean) =>
    attempt("execute", (): ReadonlyArray<object> => {
      const statement = statementOf(sql)
      if (statement.columns().length > 0) return statement.all(...asValues(params))
      const result = statement.run(...asValues(params))
      return isRaw ? [result] : []
    })
  const values = (sql: string, params: ReadonlyArray<unknown>) =>
    attempt("execute", () => {
      const statement = statementOf(sql)
      if (statement.columns().length > 0) return statement.all(...asValues(params)).map((row) => Object.values(row))
      statement.run(...asValues(params))
      return []
    })
  return {
    execute: (sql, params, transform) => Effect.map(run(sql, params, false), (rows) => transform?.(rows) ?? rows),
    executeUnprepared: (sql, params, transform) =>
      Effect.map(run(sql, params, false), (rows) => transform?.(rows) ?? rows),
    executeRaw: (sql, params) => run(sql, params, true),
    executeValues: values,
    executeValuesUnprepared: values,
    executeStream: () => Stream.die("not needed here"),
    close: () => database.close(),
  }
}

/** An `SqlClient` on `file`, as long as the layer lives. */
export const nodeSqliteLayer = (file: string): Layer.Layer<SqlClient.SqlClient> =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.gen(function* () {
      const connection = yield* Effect.acquireRelease(
        Effect.sync(() => connect(file)),
        ({ close }) => Effect.sync(close),
      )
      const semaphore = yield* Semaphore.make(1)
      return yield* SqlClient.make({
        acquirer: semaphore.withPermits(1)(Effect.succeed(connection)),
        driver: "sqlite",
        compiler: Statement.makeCompilerSqlite(),
        transactionAcquirer: Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const scope = Context.getUnsafe(yield* Effect.context<never>(), Scope.Scope)
            yield* restore(semaphore.take(1))
            yield* Scope.addFinalizer(scope, semaphore.release(1))
            return connection
          }),
        ),
        spanAttributes: [],
      })
    }),
  ).pipe(Layer.provide(Reactivity.layer))
