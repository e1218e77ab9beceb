/** What the log forgets, when, and how little at a time; misuse first. */
import { MessageStore, type Write } from "@pontoon/runtime"
import {
  append,
  appendChunk,
  appendClaimed,
  recordStep,
  redrive,
  retry,
  routeDecision,
  START_MS,
  settle,
} from "@pontoon/runtime/testing"
import type Database from "better-sqlite3"
import { Effect, Result, type Scope } from "effect"
import { describe, expect, it } from "vitest"
import { Appends, applyWrites } from "../src/applyWrites.ts"
import { type CaretakerPorts, makeCaretaker, PASS_EVERY_MS, PUT_OFF_MS_MAX } from "../src/care/Caretaker.ts"
import { FREE_PAGES_KEPT, Pruner, STEP_LIMITS, type Step } from "../src/care/Pruner.ts"
import { type RetentionOptions, readRetention } from "../src/care/RetentionOptions.ts"
import { SqliteStore } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements } from "../src/statements.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const HOUR_MS = 3_600_000
/** Every sample ends within a second of START_MS. */
const TWO_HOURS_LATER = START_MS + 2 * HOUR_MS

const opened = Effect.gen(function* () {
  const file = yield* temporaryFile
  const { database } = yield* Effect.acquireRelease(
    Effect.sync(() => openDatabase(file)),
    ({ close }) => Effect.sync(close),
  )
  const statements = prepareStatements(database)
  const write = (...writes: ReadonlyArray<Write>): void => {
    database.transaction(() => expect(applyWrites(statements, writes, new Appends())).toBe(undefined))()
  }
  return { file, database, write }
})

const prunerOf = (database: Database.Database, options: RetentionOptions, limits = STEP_LIMITS, now = () => 0) =>
  new Pruner(database, readRetention(options)!, now, limits)

/** Steps until there is nothing more to do; gives how many there were, and how the last ended. */
const exhaust = (pruner: Pruner, wallMs: number): readonly [number, Step] => {
  for (let steps = 1; steps < 10_000; steps++) {
    const state = pruner.step(wallMs)
    if (state !== "more") return [steps, state]
  }
  throw new Error("it never rests")
}

const ids = (database: Database.Database): ReadonlyArray<string> =>
  database.prepare<[], string>("select id from messages order by seq").pluck().all()

const count = (database: Database.Database, table: string): number =>
  database.prepare<[], number>(`select count(*) from ${table}`).pluck().get()!

const done = (id: string, fields: Parameters<typeof append>[1] = {}): ReadonlyArray<Write> => [
  appendClaimed(id, fields),
  settle(id),
]

describe("1 misuse", () => {
  it.each<[RetentionOptions, string]>([
    [{}, "The store option retention.ageMsMax or bytesMax is missing; give one."],
    [{ ageMsMax: -1 }, "The store option retention.ageMsMax is -1; give a number from 0 to 3155760000000."],
    [{ ageMsMax: Number.NaN }, "The store option retention.ageMsMax is NaN; give a number from 0 to 3155760000000."],
    [
      { bytesMax: 1_048_575 },
      "The store option retention.bytesMax is 1048575; give a number from 1048576 to 9007199254740991.",
    ],
    [
      { ageMsMax: 1, keyMsMin: -1 },
      "The store option retention.keyMsMin is -1; give a number from 0 to 3155760000000.",
    ],
    [
      { ageMsMax: 1, statuses: [] },
      "The store option retention.statuses is empty; give some of done, failed, dead, expired, cancelled.",
    ],
  ])("%o is refused", (retention, message) =>
    run(
      Effect.gen(function* () {
        const refused = yield* Effect.result(SqliteStore.make(yield* temporaryFile, { retention }))
        expect(Result.isFailure(refused) && refused.failure.message).toBe(message)
      }),
    ),
  )
})

describe("2 what is deleted", () => {
  it("a message past its age, with all that belongs to it, and nothing younger", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        write(appendClaimed("old"), recordStep("old", 0), appendChunk("old", 0), routeDecision("old"), retry("old"))
        write({ _tag: "Claim", messageId: "old", attempt: 2, atMs: START_MS }, settle("old", 2))
        write({ _tag: "PutFeedback", messageId: "old", score: 1, label: null, source: "user", atMs: START_MS })
        write(...done("young", { createdAtMs: START_MS + HOUR_MS }))
        database.prepare("update messages set finished_at_ms = ? where id = 'young'").run(START_MS + 1.5 * HOUR_MS)
        // A minute too early, nothing is old.
        expect(exhaust(prunerOf(database, { ageMsMax: HOUR_MS }), START_MS + HOUR_MS)).toEqual([1, "rest"])
        expect(ids(database)).toEqual(["old", "young"])
        expect(exhaust(prunerOf(database, { ageMsMax: HOUR_MS }), TWO_HOURS_LATER)).toEqual([1, "rest"])
        expect(ids(database)).toEqual(["young"])
        for (const table of ["steps", "chunks", "routes", "attempts", "feedback", "pruned"]) {
          expect([table, count(database, table)]).toEqual([table, 0])
        }
      }),
    ))

  it("a conversation as a whole, and none with a member that is unfinished, dead or young", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        const child = (root: string, id = `${root}.1`) => appendClaimed(id, { correlationId: root, causationId: root })
        write(...done("over"), child("over"), settle("over.1"))
        write(...done("waits"), child("waits"), settle("waits.1"), append("waits.2", { correlationId: "waits" }))
        write(...done("died"), child("died"), settle("died.1", 1, "dead"))
        write(...done("young"), child("young"), { ...settle("young.1"), atMs: TWO_HOURS_LATER })
        write(appendClaimed("runs"), child("runs"), settle("runs.1"))
        const kept = ids(database).filter((id) => !id.startsWith("over"))
        exhaust(prunerOf(database, { ageMsMax: HOUR_MS }), TWO_HOURS_LATER)
        expect(ids(database)).toEqual(kept)
        // The size is no reason either.
        const pruner = prunerOf(database, { ageMsMax: HOUR_MS, statuses: ["done", "dead"] })
        exhaust(pruner, TWO_HOURS_LATER)
        expect(ids(database)).toEqual(kept.filter((id) => !id.startsWith("died")))
        // Once the last of it has ended long ago, it goes.
        write(settle("waits.2", 0, "cancelled"))
        exhaust(prunerOf(database, { ageMsMax: HOUR_MS }), TWO_HOURS_LATER)
        expect(ids(database)).toEqual(["young", "young.1", "runs", "runs.1"])
      }),
    ))

  it("no message whose idempotency key must still answer; after its time the key is free", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        write(...done("keyed", { idempotencyKey: "k" }), ...done("plain"))
        exhaust(prunerOf(database, { ageMsMax: 0 }), START_MS + 7 * 24 * HOUR_MS - 1)
        expect(ids(database)).toEqual(["keyed"])
        const met = new Appends()
        applyWrites(prepareStatements(database), [append("again", { idempotencyKey: "k" })], met)
        expect(met.duplicates).toMatchObject([{ id: "keyed", reply: '"reply 1"' }])
        exhaust(prunerOf(database, { ageMsMax: 0 }), START_MS + 7 * 24 * HOUR_MS)
        expect(ids(database)).toEqual([])
        write(append("again", { idempotencyKey: "k" }))
        expect(ids(database)).toEqual(["again"])
      }),
    ))

  it("a redriven dead letter not: it is unfinished again", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        write(appendClaimed("A"), settle("A", 1, "dead"), redrive("A"))
        exhaust(prunerOf(database, { ageMsMax: 0, statuses: ["dead"] }), TWO_HOURS_LATER)
        expect(ids(database)).toEqual(["A"])
      }),
    ))

  it("the oldest first until the log fits, and it says where that is not possible", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        const body = "x".repeat(1_000)
        write(...Array.from({ length: 3_000 }, (_, n) => done(`m${n}`, { body })).flat())
        const bytesMax = 2 * 1024 * 1024
        const used = () =>
          (Number(database.pragma("page_count", { simple: true })) -
            Number(database.pragma("freelist_count", { simple: true }))) *
          4_096
        expect(used() > bytesMax).toBe(true)
        // Not by age: all of it is new.
        expect(exhaust(prunerOf(database, { bytesMax, ageMsMax: HOUR_MS }), START_MS + 60)[1]).toBe("rest")
        expect(used() <= bytesMax).toBe(true)
        const left = ids(database)
        expect(left.length > 500).toBe(true)
        expect(left).toEqual(Array.from({ length: left.length }, (_, n) => `m${3_000 - left.length + n}`))

        write(...Array.from({ length: 2_000 }, (_, n) => append(`u${n}`, { body })))
        expect(exhaust(prunerOf(database, { bytesMax }), TWO_HOURS_LATER)[1]).toBe("over")
        expect(ids(database)[0]).toBe("u0")
        expect(count(database, "messages")).toBe(2_000)
      }),
    ))
})

describe("3 how much at a time", () => {
  it("no more rows than the limit, and no longer than the time allows", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        write(...Array.from({ length: 60 }, (_, n) => done(`m${n}`)).flat())
        const limits = { ...STEP_LIMITS, rowsMax: 25 }
        const pruner = prunerOf(database, { ageMsMax: 0 }, limits)
        const left = [60]
        while (pruner.step(TWO_HOURS_LATER) === "more") left.push(count(database, "messages"))
        expect(left).toEqual([60, 35, 10])
        expect(count(database, "messages")).toBe(0)

        for (let n = 0; n < 10; n++) write(...done(`n${n}`))
        let ms = 0
        // Every look at the clock takes a millisecond: the end of the step is at the fifth.
        const slow = prunerOf(database, { ageMsMax: 0 }, limits, () => ms++)
        expect(slow.step(TWO_HOURS_LATER)).toBe("more")
        expect(count(database, "messages") > 5).toBe(true)
      }),
    ))

  it("a message with more records than a step holds is gone at once, and they go in the next, over a restart too", () =>
    run(
      Effect.gen(function* () {
        const { database, write, file } = yield* opened
        write(appendClaimed("A"), ...Array.from({ length: 60 }, (_, n) => appendChunk("A", n)), settle("A"))
        const limits = { ...STEP_LIMITS, rowsMax: 25 }
        expect(prunerOf(database, { ageMsMax: 0 }, limits).step(TWO_HOURS_LATER)).toBe("more")
        expect([ids(database), count(database, "chunks"), count(database, "pruned")]).toEqual([[], 36, 1])
        // Another pruner, as after a restart.
        const again = prunerOf(database, { bytesMax: 1024 ** 3 }, limits)
        expect(again.step(TWO_HOURS_LATER)).toBe("more")
        expect(count(database, "chunks")).toBe(11)
        expect(again.step(TWO_HOURS_LATER)).toBe("rest")
        expect([count(database, "chunks"), count(database, "pruned")]).toEqual([0, 0])
        expect(file).not.toBe("")
      }),
    ))

  it("free pages go back to the file system, 256 in a step, but for those that new messages would take at once", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        const body = "x".repeat(4_000)
        write(...Array.from({ length: 2_000 }, (_, n) => done(`m${n}`, { body })).flat())
        const pages = () => Number(database.pragma("page_count", { simple: true }))
        const before = pages()
        expect(before > FREE_PAGES_KEPT + 512).toBe(true)
        const pruner = prunerOf(database, { ageMsMax: 0 })
        let last = before
        while (pruner.step(TWO_HOURS_LATER) === "more") {
          expect(last - pages() <= 257).toBe(true)
          last = pages()
        }
        expect(database.pragma("freelist_count", { simple: true })).toBe(FREE_PAGES_KEPT)
        expect(pages() < before - 512).toBe(true)
        expect(database.pragma("integrity_check", { simple: true })).toBe("ok")
      }),
    ))
})

/** A caretaker whose clock and timers are the test's. */
const makeHand = (states: Array<Step | Error>) => {
  let ms = 0
  let isIdle = true
  let waiting: { readonly then: () => void; readonly atMs: number } | undefined
  const taken: Array<number> = []
  const said: Array<string> = []
  const ports: CaretakerPorts = {
    step: () => {
      taken.push(ms)
      ms += 4
      const state = states.shift() ?? "rest"
      if (state instanceof Error) throw state
      return state
    },
    isIdle: () => isIdle,
    now: () => ms,
    later: (then, delayMs) => {
      waiting = { then, atMs: ms + delayMs }
      return () => {
        waiting = undefined
      }
    },
    failed: (error) => said.push(String(error)),
    isOver: () => said.push("over"),
  }
  const caretaker = makeCaretaker(ports)
  return {
    caretaker,
    taken,
    said,
    setIdle: (value: boolean) => {
      isIdle = value
    },
    /** Lets time pass, and timers ring. */
    pass: (untilMs: number) => {
      while (waiting !== undefined && waiting.atMs <= untilMs) {
        ms = Math.max(ms, waiting.atMs)
        const { then } = waiting
        waiting = undefined
        then()
      }
      ms = Math.max(ms, untilMs)
    },
  }
}

describe("4 when", () => {
  it("a step rests three times as long as it took, and a pass a minute", () => {
    const hand = makeHand(["more", "more", "rest"])
    hand.pass(1_000)
    expect(hand.taken).toEqual([0, 16, 32])
    hand.pass(PASS_EVERY_MS + 1_000)
    expect(hand.taken.at(-1)).toBe(36 + PASS_EVERY_MS)
  })

  it("not in front of a commit that waits, but after a flush that left none", () => {
    const hand = makeHand(["more", "more", "rest"])
    hand.setIdle(false)
    hand.pass(PUT_OFF_MS_MAX - 1)
    hand.caretaker.flushed()
    expect(hand.taken).toEqual([])
    hand.setIdle(true)
    hand.caretaker.flushed()
    expect(hand.taken).toEqual([PUT_OFF_MS_MAX - 1])
    // It has just taken one.
    hand.caretaker.flushed()
    expect(hand.taken).toEqual([PUT_OFF_MS_MAX - 1])
  })

  it("past the bound on how long it is put off, in front of commits too, and seldom", () => {
    const hand = makeHand(["more", "more", "rest"])
    hand.setIdle(false)
    hand.pass(PUT_OFF_MS_MAX - 1)
    expect(hand.taken).toEqual([])
    hand.pass(200)
    // 4 ms of work, 12 of rest, and 50 put off.
    expect(hand.taken).toEqual([50, 116, 182])
  })

  it("tells once that the log stays too large, goes on after a failure, and stops for good", () => {
    const hand = makeHand(["over", "over", new Error("disk"), "over", "rest", "over"])
    hand.pass(6 * PASS_EVERY_MS)
    expect(hand.said).toEqual(["over", "Error: disk", "over"])
    hand.caretaker.stop()
    const steps = hand.taken.length
    hand.pass(20 * PASS_EVERY_MS)
    hand.caretaker.flushed()
    expect(hand.taken.length).toBe(steps)
  })
})

it("5 callers that never pause do not keep it from its work, nor it them from theirs", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const old = Array.from({ length: 2_000 }, (_, n) => `old-${n}`)
      yield* Effect.scoped(
        Effect.flatMap(SqliteStore.make(file), ({ commit }) => commit(old.flatMap((id) => done(id)))),
      )
      const store = yield* SqliteStore.make(file, { retention: { ageMsMax: HOUR_MS } })
      const createdAtMs = Date.now()
      let isOver = false
      let written = 0
      yield* Effect.forEach(
        Array.from({ length: 64 }, (_, caller) => caller),
        (caller) =>
          Effect.gen(function* () {
            for (let n = 0; !isOver; n++) {
              yield* store.commit([append(`${caller}-${n}`, { createdAtMs })])
              written++
              if (caller === 0) isOver = (yield* store.message("old-1999")) === undefined
            }
          }),
        { concurrency: "unbounded", discard: true },
      )
      expect(yield* store.message("old-0")).toBe(undefined)
      let unfinished = 0
      for (let afterSeq = 0; ; ) {
        const page = yield* store.unfinished(afterSeq, 10_000)
        unfinished += page.length
        afterSeq = page.at(-1)?.seq ?? afterSeq
        if (page.length < 10_000) break
      }
      expect(unfinished).toBe(written)
    }),
  ))

it("6 the example of README.md: done messages go after a day, beside the traffic", () =>
  run(
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const DAY_MS = 86_400_000
      yield* Effect.gen(function* () {
        const store = yield* MessageStore
        // START_MS is long past.
        yield* store.commit([...done("old"), append("unfinished")])
        while ((yield* store.message("old")) !== undefined) yield* Effect.promise(() => new Promise(setImmediate))
        expect((yield* store.message("unfinished"))?.status).toBe("pending")
      }).pipe(Effect.provide(SqliteStore.layer(file, { retention: { ageMsMax: DAY_MS, bytesMax: 10 * 1024 ** 3 } })))
    }),
  ))
