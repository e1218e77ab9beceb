/** The examples of README.md's "Care of the file", and the options that belong to it. */
import { readFileSync } from "node:fs"
import { append } from "@pontoon/runtime/testing"
import { Effect, Result, type Scope } from "effect"
import { expect, it } from "vitest"
import { SqliteStore, type StoreOptions } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { runPontoon } from "./support/runPontoon.ts"
import { SAMPLE_WRITES } from "./support/sampleLog.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")

it("redrive prints what README.md shows", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      yield* Effect.scoped(Effect.flatMap(SqliteStore.make(file), ({ commit }) => commit(SAMPLE_WRITES)))
      const [, shown = ""] = /\$ pontoon redrive --error Boom\n((?: {4}.*\n)+)/.exec(readme) ?? []
      const { out, err } = yield* runPontoon("redrive", "--error", "Boom", "--db", file)
      expect([out, err]).toEqual([shown.replaceAll(/^ {4}/gm, ""), ""])
    }),
  ))

it("every example of options is one that the store takes", () =>
  run(
    Effect.gen(function* () {
      const [, retention = ""] = /SqliteStore\.layer\("pontoon\.db", \{ (retention: .*) \}\)/.exec(readme) ?? []
      expect(retention).toBe("retention: { ageMsMax: DAY_MS, bytesMax: 10 * 1024 ** 3 }")
      const DAY_MS = 86_400_000
      yield* SqliteStore.make(yield* temporaryFile, { retention: { ageMsMax: DAY_MS, bytesMax: 10 * 1024 ** 3 } })
    }),
  ))

it("synchronous: normal is in force from the first write on, and pontoon stats says so; the next owner may choose anew", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const synchronous = (options: StoreOptions) =>
        Effect.scoped(
          Effect.gen(function* () {
            const store = yield* SqliteStore.make(file, options)
            yield* store.commit([append(`m${JSON.stringify(options)}`)])
            const { out } = yield* runPontoon("stats", "--db", file)
            return /\nsynchronous\t(\w+)\t/.exec(out)?.[1]
          }),
        )
      expect(yield* synchronous({ synchronous: "normal" })).toBe("normal")
      expect(yield* synchronous({})).toBe("full")
      const opened = openDatabase(file, undefined, { synchronous: "normal" })
      expect(opened.database.pragma("synchronous", { simple: true })).toBe(1)
      opened.close()
      // As a program without types would pass it.
      const wrong: StoreOptions = JSON.parse('{"synchronous":"off"}')
      const refused = yield* Effect.result(SqliteStore.make(file, wrong))
      expect(Result.isFailure(refused) && refused.failure.message).toBe(
        "The store option synchronous is off; give full or normal.",
      )
    }),
  ))

it("a new file can give back its free pages", () =>
  run(
    Effect.gen(function* () {
      const opened = openDatabase(yield* temporaryFile)
      expect(opened.database.pragma("auto_vacuum", { simple: true })).toBe(2)
      opened.close()
    }),
  ))
