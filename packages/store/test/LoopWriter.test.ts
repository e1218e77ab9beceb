/** Group commit: what shares a transaction, what bounds it, and what a failing disk or a busy file does to the callers. */
import type { CommitExit, CrashPoint, Write } from "@pontoon/runtime"
import { append, claim, sampleEnvelope, settle } from "@pontoon/runtime/testing"
import Database from "better-sqlite3"
import { Effect, Exit, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { SqliteStore } from "../src/index.ts"
import { makeLoopWriter } from "../src/LoopWriter.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements, type Statements } from "../src/statements.ts"
import type { Writer } from "../src/Writer.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

interface Rig {
  readonly writer: Writer
  readonly statements: Statements
  readonly file: string
  /** Every crash point passed, in order. */
  readonly points: Array<CrashPoint>
  readonly commit: (writes: ReadonlyArray<Write>) => Promise<CommitExit>
  readonly ids: () => Array<string>
}

interface RigOptions {
  readonly writesMax?: number
  readonly applyMsMax?: number
  readonly now?: () => number
  readonly pendingWritesMax?: number
  readonly lockWaitMsMax?: number
  /** Faults, put between the writer and SQLite. */
  readonly wrap?: (statements: Statements) => Statements
}

const makeRig = (options: RigOptions = {}): Effect.Effect<Rig, never, Scope.Scope> =>
  Effect.gen(function* () {
    const file = yield* temporaryFile
    const { database, close } = openDatabase(file)
    yield* Effect.addFinalizer(() => Effect.sync(close))
    const prepared = prepareStatements(database)
    const statements = options.wrap?.(prepared) ?? prepared
    const points: Array<CrashPoint> = []
    const writer = makeLoopWriter(
      {
        statements,
        file,
        limits: { writesMax: options.writesMax ?? 1_000, applyMsMax: options.applyMsMax ?? 1_000_000 },
        now: options.now ?? (() => 0),
        crash: (point) => points.push(point),
      },
      { pendingWritesMax: options.pendingWritesMax ?? 1_000, lockWaitMsMax: options.lockWaitMsMax ?? 1_000 },
    )
    return {
      writer,
      statements: prepared,
      file,
      points,
      commit: (writes) => new Promise((resolve) => writer.submit(writes, resolve)),
      ids: () => prepared.unfinished.all(0, 10_000).map(({ id }) => id),
    }
  })

const transactions = ({ points }: Rig): number => points.filter((point) => point === "commit.done").length

const messages = (count: number): Array<ReadonlyArray<Write>> =>
  Array.from({ length: count }, (_, n) => [append(`m${n}`)])

describe("1 options out of range", () => {
  it.each([
    [{ flushWritesMax: 0 }, "The store option flushWritesMax is 0; give a number from 1 to 65536."],
    [{ flushMsMax: Number.NaN }, "The store option flushMsMax is NaN; give a number from 1 to 1000."],
    [{ pendingWritesMax: -1 }, "The store option pendingWritesMax is -1; give a number from 1 to 10000000."],
    [{ lockWaitMsMax: 1e9 }, "The store option lockWaitMsMax is 1000000000; give a number from 0 to 600000."],
  ])("%j is refused in one sentence", (options, message) =>
    run(
      Effect.gen(function* () {
        const file = yield* temporaryFile
        expect((yield* Effect.flip(SqliteStore.make(file, options))).message).toBe(message)
        yield* SqliteStore.make(file)
      }),
    ),
  )
})

describe("2 one turn of the loop", () => {
  it("commits of one turn share one transaction, whose points come in order", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig()
        yield* Effect.promise(() => Promise.all(messages(100).map(rig.commit)))
        expect(rig.points).toEqual(["commit.begun", "commit.written", "commit.done"])
        yield* Effect.promise(() => rig.commit([append("next")]))
        expect(transactions(rig)).toBe(2)
      }),
    ))

  it("nobody is told before the transaction is committed", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig()
        const done = rig.commit([append("A")]).then(() => [...rig.points])
        expect(rig.points).toEqual([])
        expect(yield* Effect.promise(() => done)).toContain("commit.done")
      }),
    ))

  it("a transaction holds at most writesMax writes; a commit is never split; nothing is left behind", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig({ writesMax: 10 })
        const large = [
          ...messages(25)
            .flat()
            .map((_, n) => append(`large${n}`)),
        ]
        const outcomes = yield* Effect.promise(() =>
          Promise.all([...messages(25), large, [append("last")]].map(rig.commit)),
        )
        expect(outcomes.every(Exit.isSuccess)).toBe(true)
        // 10 + 10 + 5, the large one by itself, the last.
        expect(transactions(rig)).toBe(5)
        expect(rig.ids().length).toBe(51)
      }),
    ))

  it("a transaction ends when it has taken applyMsMax, and holds at least one commit", () =>
    run(
      Effect.gen(function* () {
        let nowMs = 0
        // Each look at the clock is a millisecond later.
        const rig = yield* makeRig({ applyMsMax: 4, now: () => nowMs++ })
        yield* Effect.promise(() => Promise.all(messages(12).map(rig.commit)))
        expect(rig.ids().length).toBe(12)
        // One look for the start, then one before each commit but the first: four commits each.
        expect(transactions(rig)).toBe(3)
        const slow = yield* makeRig({ applyMsMax: 0, now: () => nowMs++ })
        yield* Effect.promise(() => Promise.all(messages(5).map(slow.commit)))
        expect(transactions(slow)).toBe(5)
      }),
    ))

  it("a transaction that took all of its time is told in a turn of its own, before the next; closing tells it too", () =>
    run(
      Effect.gen(function* () {
        let nowMs = 0
        const rig = yield* makeRig({ applyMsMax: 4, now: () => nowMs++ })
        const told: Array<string> = []
        const submit = (id: string) => rig.writer.submit([append(id)], () => told.push(id))
        const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
        const ids = ["A", "B", "C", "D", "E", "F", "G", "H"]
        for (const id of ids) submit(id)
        yield* turn
        const committed = ids.slice(0, 4)
        expect([rig.ids(), told, rig.writer.isIdle()]).toEqual([committed, [], false])
        submit("I")
        yield* turn
        expect([told, transactions(rig)]).toEqual([committed, 1])
        yield* turn
        expect([told, transactions(rig)]).toEqual([committed, 2])
        rig.writer.close()
        expect([told, rig.ids(), rig.writer.isIdle()]).toEqual([[...ids, "I"], [...ids, "I"], true])
      }),
    ))

  it("past pendingWritesMax a commit is refused as busy at once, and the others go on", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig({ pendingWritesMax: 10 })
        const outcomes = yield* Effect.promise(() =>
          Promise.all([...messages(10), [append("over")], []].map(rig.commit)),
        )
        expect(outcomes.map(Exit.isSuccess)).toEqual([...Array.from({ length: 10 }, () => true), false, false])
        expect(JSON.stringify(outcomes[10])).toContain(
          `More than 10 writes wait for ${rig.file}; nothing was written, send more slowly and try again.`,
        )
        expect(Exit.isSuccess(yield* Effect.promise(() => rig.commit([append("later")])))).toBe(true)
        expect(rig.ids().length).toBe(11)
      }),
    ))
})

describe("3 refused commits", () => {
  it("a commit refused at its first write costs no second transaction, one refused later does, once", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig()
        yield* Effect.promise(() => Promise.all([...messages(3), [settle("nobody"), append("x")]].map(rig.commit)))
        expect(rig.points.filter((point) => point === "commit.begun").length).toBe(1)
        const late = [append("x"), claim("nobody")]
        yield* Effect.promise(() => Promise.all([[append("A")], late, [append("B")], late, late].map(rig.commit)))
        expect(rig.points.filter((point) => point === "commit.begun").length).toBe(3)
        expect(rig.ids()).toEqual(["m0", "m1", "m2", "A", "B"])
      }),
    ))

  it("a value that SQLite cannot hold refuses its own commit, in words, and no other", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig()
        const { id, ...rest } = sampleEnvelope("bad")
        // What a caller without types could send.
        const bad: Write = JSON.parse(JSON.stringify({ ...append("bad"), message: { ...rest, id, body: undefined } }))
        const outcomes = yield* Effect.promise(() =>
          Promise.all([[append("A")], [append("gone"), bad], [append("B")]].map(rig.commit)),
        )
        expect(outcomes.map(Exit.isSuccess)).toEqual([true, false, true])
        expect(JSON.stringify(outcomes[1])).toContain("A commit holds a value that")
        expect(rig.ids()).toEqual(["A", "B"])
      }),
    ))
})

/** Fails `run` of one statement with an error of SQLite, as often as there are codes left. */
const failing =
  (name: "commit" | "append", codes: Array<string>) =>
  (statements: Statements): Statements => {
    const original = statements[name]
    const faulty = Object.create(original, {
      run: {
        value: (...parameters: Array<string>) => {
          const code = codes.shift()
          if (code !== undefined) throw new Database.SqliteError(`simulated ${code}`, code)
          return original.run(...parameters)
        },
      },
    })
    return { ...statements, [name]: faulty }
  }

describe("4 failing disks", () => {
  it.each([
    ["SQLITE_IOERR_FSYNC", "io"],
    ["SQLITE_FULL", "full"],
  ])("%s at COMMIT: nothing is applied, each commit is tried alone, and the store goes on", (code, reason) =>
    run(
      Effect.gen(function* () {
        // Together, then each of the three alone; then the disk is well again.
        const rig = yield* makeRig({ wrap: failing("commit", [code, code, code, code]) })
        const outcomes = yield* Effect.promise(() => Promise.all(messages(3).map(rig.commit)))
        for (const outcome of outcomes) expect(JSON.stringify(outcome)).toContain(`"reason":"${reason}"`)
        expect(rig.ids()).toEqual([])
        expect(Exit.isSuccess(yield* Effect.promise(() => rig.commit([append("A")])))).toBe(true)
        expect(rig.ids()).toEqual(["A"])
      }),
    ),
  )

  it("a disk that is full for one large commit takes the small ones", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig()
        const { database } = rig.statements.begin
        database.pragma(`max_page_count = ${Number(database.pragma("page_count", { simple: true })) + 10}`)
        const large = [append("large", { body: "x".repeat(1_000_000) })]
        const outcomes = yield* Effect.promise(() => Promise.all([[append("A")], large, [append("B")]].map(rig.commit)))
        expect(outcomes.map(Exit.isSuccess)).toEqual([true, false, true])
        expect(JSON.stringify(outcomes[1])).toContain('"reason":"full"')
        expect(rig.ids()).toEqual(["A", "B"])
        database.pragma("max_page_count = 1000000")
        expect(Exit.isSuccess(yield* Effect.promise(() => rig.commit(large)))).toBe(true)
      }),
    ))

  it("the tries of one turn are bounded in time, and the rest is not lost", () =>
    run(
      Effect.gen(function* () {
        let nowMs = 0
        // Each look at the clock is a millisecond later, so that few commits fit into a turn; every COMMIT fails 4 times.
        const rig = yield* makeRig({
          applyMsMax: 3,
          now: () => nowMs++,
          wrap: failing("commit", ["SQLITE_IOERR", "SQLITE_IOERR", "SQLITE_IOERR", "SQLITE_IOERR"]),
        })
        const outcomes = yield* Effect.promise(() => Promise.all(messages(20).map(rig.commit)))
        const failed = outcomes.filter(Exit.isFailure).length
        expect(failed > 0 && failed < 4).toBe(true)
        expect(rig.ids().length).toBe(20 - failed)
        expect(rig.ids()).toEqual(outcomes.flatMap((outcome, n) => (Exit.isSuccess(outcome) ? [`m${n}`] : [])))
      }),
    ))

  it("an I/O error in the middle of a batch takes nothing with it that can be written alone", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig({ wrap: failing("append", ["SQLITE_IOERR_WRITE"]) })
        const outcomes = yield* Effect.promise(() => Promise.all(messages(3).map(rig.commit)))
        expect(outcomes.every(Exit.isSuccess)).toBe(true)
        expect(rig.ids()).toEqual(["m0", "m1", "m2"])
      }),
    ))
})

describe("5 a lock in other hands", () => {
  const lock = (file: string): Database.Database => {
    const other = new Database(file)
    other.exec("begin immediate")
    return other
  }

  it("waits for it without stopping the loop, then carries everything out in order", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig()
        const other = lock(rig.file)
        const done = Promise.all(messages(3).map(rig.commit))
        // Turns of the loop pass while the lock is held.
        for (let turn = 0; turn < 10; turn++)
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        expect(rig.ids()).toEqual([])
        other.exec("rollback").close()
        expect((yield* Effect.promise(() => done)).every(Exit.isSuccess)).toBe(true)
        expect(rig.ids()).toEqual(["m0", "m1", "m2"])
      }),
    ))

  it("gives up after lockWaitMsMax: everything that waits is refused as busy, nothing is applied, and it goes on", () =>
    run(
      Effect.gen(function* () {
        let nowMs = 0
        const rig = yield* makeRig({ lockWaitMsMax: 50, now: () => nowMs })
        const other = lock(rig.file)
        const done = Promise.all(messages(3).map(rig.commit))
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        nowMs = 51
        for (const outcome of yield* Effect.promise(() => done)) {
          expect(JSON.stringify(outcome)).toContain(`Another process holds the write lock of ${rig.file}`)
        }
        other.exec("rollback").close()
        expect(Exit.isSuccess(yield* Effect.promise(() => rig.commit([append("A")])))).toBe(true)
        expect(rig.ids()).toEqual(["A"])
      }),
    ))

  it("closing does not wait for it", () =>
    run(
      Effect.gen(function* () {
        const rig = yield* makeRig()
        const other = lock(rig.file)
        const done = rig.commit([append("A")])
        rig.writer.close()
        expect(JSON.stringify(yield* Effect.promise(() => done))).toContain('"reason":"busy"')
        other.exec("rollback").close()
      }),
    ))
})
