/** The store keeps the contract that every store keeps; what is SQLite's own is in the other files. */

import { LogReader, MessageStore } from "@pontoon/runtime"
import { append, messageStoreSuite, type StoreUnderTest } from "@pontoon/runtime/testing"
import { Effect, Exit, Scope } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteLogReader, SqliteStore } from "../src/index.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const openFile = (file: string): Effect.Effect<StoreUnderTest, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const store = yield* Scope.provide(SqliteStore.make(file), scope)
    const reader = yield* Scope.provide(SqliteLogReader.make(file), scope)
    const reopen = Effect.andThen(
      Scope.close(scope, Exit.void),
      Effect.suspend(() => openFile(file)),
    )
    return { store, reader, reopen }
  })

messageStoreSuite({ describe, expect, it }, "SqliteStore", Effect.flatMap(temporaryFile, openFile))

it("as a layer it gives a store and a reader of the same file, and closes both", () =>
  Effect.gen(function* () {
    const file = yield* temporaryFile
    for (let opening = 0; opening < 2; opening++) {
      const seen = yield* Effect.gen(function* () {
        const store = yield* MessageStore
        const reader = yield* LogReader
        yield* store.commit([append(`m${opening}`)])
        expect(store.location).toBe(file)
        return yield* reader.messages({ limit: 10 })
      }).pipe(Effect.provide(SqliteStore.layer(file)))
      expect(seen.length).toBe(opening + 1)
    }
  }).pipe(Effect.scoped, Effect.runPromise))
