/** What retention deletes beside whole conversations: of those that never end, of actors; and how little it looks at. */
import type { FinalStatus, Write } from "@pontoon/runtime"
import { append, appendClaimed, putActor, START_MS, settle } from "@pontoon/runtime/testing"
import type Database from "better-sqlite3"
import { Effect, type Scope } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Appends, applyWrites } from "../src/applyWrites.ts"
import { ACTORS_IN_PASS, ACTORS_MS_MIN, EVENTS_KEPT } from "../src/care/ActorPruner.ts"
import { Pruner, STEP_LIMITS, type StepLimits } from "../src/care/Pruner.ts"
import { type RetentionOptions, readRetention } from "../src/care/RetentionOptions.ts"
import { TableWalk } from "../src/care/TableWalk.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements } from "../src/statements.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => Effect.runPromise(Effect.scoped(effect))

const DAY_MS = ACTORS_MS_MIN

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
  return { database, write }
})

const prunerOf = (database: Database.Database, options: RetentionOptions, limits: Partial<StepLimits> = {}) =>
  new Pruner(database, readRetention(options)!, () => 0, { ...STEP_LIMITS, ...limits })

/** A pass; gives how many steps it took. */
const pass = (pruner: Pruner, wallMs: number): number => {
  for (let steps = 1; steps < 10_000; steps++) if (pruner.step(wallMs) !== "more") return steps
  throw new Error("it never rests")
}

const ids = (database: Database.Database): ReadonlyArray<string> =>
  database.prepare<[], string>("select id from messages order by seq").pluck().all()

describe("1 a conversation that never ends", () => {
  const tick = (n: number, fields: Parameters<typeof append>[1] = {}): Write =>
    appendClaimed(`T${n}`, {
      correlationId: "T0",
      causationId: n === 0 ? null : `T${n - 1}`,
      createdAtMs: START_MS + n * DAY_MS,
      ...fields,
    })
  const end = (n: number, status: "done" | "dead" = "done"): Write => ({
    ...settle(`T${n}`, 1, status),
    atMs: START_MS + n * DAY_MS + 1,
  })

  it("loses its old members one by one, after conversationMsMax, and not those that a handler may ask for again", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        for (let n = 0; n < 10; n++) write(tick(n), end(n))
        write(tick(10))
        const options = { ageMsMax: DAY_MS, conversationMsMax: 5 * DAY_MS }
        // Older than the age, and its conversation goes on: nothing for five days.
        pass(prunerOf(database, options), START_MS + 5 * DAY_MS)
        expect(ids(database)[0]).toBe("T0")
        pass(prunerOf(database, options), START_MS + 10 * DAY_MS)
        expect(ids(database)).toEqual(["T5", "T6", "T7", "T8", "T9", "T10"])
        // The one that runs may ask for its child again; the child stays, however old.
        write(append("T10.0", { correlationId: "T0", causationId: "T10" }), settle("T10.0", 0, "cancelled"))
        pass(prunerOf(database, options), START_MS + 100 * DAY_MS)
        expect(ids(database)).toEqual(["T10", "T10.0"])
        write(end(10))
        pass(prunerOf(database, options), START_MS + 100 * DAY_MS)
        expect(ids(database)).toEqual([])
      }),
    ))

  it("keeps what is dead, what a dead one may ask for again, and what answers for a key", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        write(tick(0), end(0), tick(1), end(1, "dead"), tick(2), end(2))
        write(tick(3, { idempotencyKey: "k", createdAtMs: START_MS + 39 * DAY_MS }), end(3), tick(4), end(4), tick(5))
        pass(prunerOf(database, { ageMsMax: DAY_MS }), START_MS + 40 * DAY_MS)
        expect(ids(database)).toEqual(["T1", "T2", "T3", "T5"])
        // A key that has passed to a later message answers no more.
        database.prepare("update messages set idempotency_scope = null where id = 'T3'").run()
        pass(prunerOf(database, { ageMsMax: DAY_MS }), START_MS + 40 * DAY_MS)
        expect(ids(database)).toEqual(["T1", "T2", "T5"])
      }),
    ))
})

describe("2 actors", () => {
  const actor = (id: string) => ({ type: "barista", id })
  const event = (id: string, atMs: number): Write => ({
    _tag: "LifecycleEvent",
    address: actor(id),
    ...{ from: "ready", to: "ready", event: "E", reason: null, atMs },
  })
  const events = (database: Database.Database, id: string): number =>
    database.prepare<[string], number>("select count(*) from lifecycle_events where actor_id = ?").pluck().get(id)!

  it("keep the newest changes of their lifecycle whatever their age, and lose older ones past it, not before a day", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        write(...Array.from({ length: EVENTS_KEPT + 10 }, (_, n) => event("often", START_MS + n)))
        write(event("once", START_MS))
        pass(prunerOf(database, { ageMsMax: 0 }), START_MS + DAY_MS - 1)
        expect(events(database, "often")).toBe(EVENTS_KEPT + 10)
        pass(prunerOf(database, { ageMsMax: 0 }), START_MS + DAY_MS + 5)
        expect(events(database, "often")).toBe(EVENTS_KEPT + 4)
        pass(prunerOf(database, { ageMsMax: 0 }), START_MS + 100 * DAY_MS)
        expect([events(database, "often"), events(database, "once")]).toEqual([EVENTS_KEPT, 1])
        const newest = database.prepare("select min(at_ms) from lifecycle_events where actor_id = 'often'").pluck()
        expect(newest.get()).toBe(START_MS + 10)
        // A log that is too large keeps the last change alone.
        const body = "x".repeat(1_000_000)
        write(append("large", { body }), append("larger", { body }))
        expect(prunerOf(database, { bytesMax: 1024 * 1024 }).step(START_MS + 100 * DAY_MS)).toBe("over")
        expect([events(database, "often"), events(database, "once")]).toEqual([1, 1])
      }),
    ))

  it("lose their row when it is old and holds nothing: no state, no hold, no watch", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        const put = (id: string, state: string | null, lifecycle: string, atMs = START_MS): Write =>
          putActor(actor(id), state, { lifecycle, atMs })
        write(put("stopped", null, "stopped"), put("failed", null, "failed"), put("ready", null, "ready"))
        write(put("state", "{}", "stopped"), put("held", null, "suspended"))
        write(
          put("watched", null, "stopped"),
          put("watcher", null, "ready"),
          put("young", null, "failed", START_MS + 9),
        )
        database.prepare("insert into watches values ('barista', 'watched', 'barista', 'watcher', 0, ?)").run(START_MS)
        pass(prunerOf(database, { ageMsMax: 0 }), START_MS + DAY_MS + 8)
        expect(database.prepare("select actor_id from actors order by actor_id").pluck().all()).toEqual([
          ...["held", "state", "watched", "watcher", "young"],
        ])
      }),
    ))

  it("are looked at so many a pass, from where the last one ended", () =>
    run(
      Effect.gen(function* () {
        const { database } = yield* opened
        database
          .prepare(
            `with recursive n (n) as (select 1 union all select n + 1 from n where n < ?)
             insert into actors select 'barista', printf('%06d', n), 'ready', null, 1, 0, 0 from n`,
          )
          .run(ACTORS_IN_PASS + 500)
        const left = (): number => database.prepare<[], number>("select count(*) from actors").pluck().get()!
        const pruner = prunerOf(database, { ageMsMax: 0 }, { rowsMax: 1_000 })
        // A row that is deleted counts twice: looked at, and deleted.
        expect(pass(pruner, START_MS)).toBe((2 * ACTORS_IN_PASS) / 1_000)
        expect(left()).toBe(500)
        pass(pruner, START_MS)
        expect(left()).toBe(0)
      }),
    ))
})

describe("3 how little is looked at", () => {
  it("what was kept is looked at again in small parts, and found when nothing keeps it any more", () =>
    run(
      Effect.gen(function* () {
        const { database, write } = yield* opened
        const keyed = (n: number) => [appendClaimed(`k${n}`, { idempotencyKey: `${n}` }), settle(`k${n}`)]
        write(...Array.from({ length: 1_000 }, (_, n) => keyed(n)).flat())
        const pruner = prunerOf(database, { ageMsMax: 0 }, { rowsMax: 50, againMax: 100 })
        // Each once, by the first pass; then no more than a hundred a pass, and what has come since.
        expect(pass(pruner, START_MS + 1_000) >= 20).toBe(true)
        expect(pass(pruner, START_MS + 1_000) <= 3).toBe(true)
        write(appendClaimed("new"), settle("new"))
        expect(pass(pruner, START_MS + 1_000) <= 4).toBe(true)
        expect(ids(database).length).toBe(1_000)
        // A week later the keys answer no more: ten passes find all of them, and ten more what the first had passed by.
        for (let n = 0; n < 11; n++) pass(pruner, START_MS + 8 * DAY_MS)
        expect(ids(database)).toEqual([])
      }),
    ))

  it("a walk sees every new row once, the old ones again in rounds, and none twice in a pass", () => {
    let rows = Array.from({ length: 230 }, (_, n) => ({ seq: n + 1 }))
    const walk = new TableWalk((afterSeq, limit) => rows.filter(({ seq }) => seq > afterSeq).slice(0, limit), 70)
    let young = 1_000
    const seen = (rowsLeft = 10_000): Array<number> => {
      const found: Array<number> = []
      const budget = { rowsLeft, isSpent: () => budget.rowsLeft <= 0 }
      const visit = ({ seq }: { readonly seq: number }) => {
        found.push(seq)
        return 0
      }
      if (walk.go(budget, ({ seq }) => seq > young, visit) === "done") walk.endPass()
      return found
    }
    const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n)
    young = 200
    expect(seen()).toEqual(range(1, 200))
    young = 1_000
    expect(seen()).toEqual([...range(201, 230), ...range(1, 70)])
    // A pass in two steps.
    expect([...seen(30), ...seen()]).toEqual(range(71, 140))
    expect(seen()).toEqual(range(141, 210))
    expect(seen()).toEqual(range(211, 230))
    rows = rows.filter(({ seq }) => seq > 50)
    expect(seen()).toEqual(range(51, 120))
    rows = []
    expect(seen()).toEqual([])
  })
})

describe("4 against a list", () => {
  /** One message: in which conversation, when accepted (after the one before), how long it took, how it ended, whether keyed. */
  const message = fc.record({
    conversation: fc.integer({ min: 0, max: 5 }),
    afterDays: fc.integer({ min: 0, max: 3 }),
    tookDays: fc.integer({ min: 0, max: 4 }),
    status: fc.constantFrom("done", "done", "done", "failed", "dead", "expired", "pending", "running"),
    isKeyed: fc.boolean(),
  })
  const options = fc.record({
    ageMsMax: fc.integer({ min: 0, max: 20 }).map((days) => days * DAY_MS),
    keyMsMin: fc.integer({ min: 0, max: 20 }).map((days) => days * DAY_MS),
    conversationMsMax: fc.integer({ min: 0, max: 40 }).map((days) => days * DAY_MS),
    statuses: fc.constantFrom<ReadonlyArray<FinalStatus>>(["done"], ["done", "failed", "expired"], ["done", "dead"]),
  })

  interface Row {
    readonly id: string
    readonly correlationId: string
    readonly causationId: string | null
    readonly status: string
    readonly createdAtMs: number
    readonly finishedAtMs: number | null
    readonly isKeyed: boolean
  }

  /** What docs/retention.md says, in the fewest words. */
  const keptOf = (rows: ReadonlyArray<Row>, limits: Required<Omit<RetentionOptions, "bytesMax">>, wallMs: number) => {
    const isNeeded = ({ createdAtMs, finishedAtMs, isKeyed, status }: Row): boolean =>
      finishedAtMs === null ||
      finishedAtMs > wallMs - limits.ageMsMax ||
      !limits.statuses.some((each) => each === status) ||
      (isKeyed && createdAtMs > wallMs - limits.keyMsMin)
    const left = new Map(rows.map((row) => [row.id, row]))
    for (const row of rows) {
      const goesOn = [...left.values()].some((each) => each.correlationId === row.correlationId && isNeeded(each))
      const cause = left.get(row.causationId ?? "")
      const goesAlone =
        !isNeeded(row) &&
        (row.finishedAtMs ?? 0) <= wallMs - limits.conversationMsMax &&
        !["pending", "running", "dead"].includes(cause?.status ?? "")
      if (!goesOn || goesAlone) left.delete(row.id)
    }
    return [...left.keys()]
  }

  it("a pass leaves what the rules leave, whatever the steps", () =>
    run(
      Effect.gen(function* () {
        const { database } = yield* opened
        const insert = database.prepare(
          `insert into messages (id, actor_type, actor_id, task, codec, status, priority, attempt, created_at_ms, deliver_at_ms,
             finished_at_ms, correlation_id, causation_id, idempotency_key, idempotency_scope, trace_id, body)
           values (?, 'barista', '1', 'brew', 'json', ?, 0, 1, ?, 0, ?, ?, ?, ?, ?, 't', '{}')`,
        )
        fc.assert(
          fc.property(
            fc.array(message, { minLength: 1, maxLength: 40 }),
            options,
            fc.integer({ min: 1, max: 20 }),
            (drawn, limits, rowsMax) => {
              let atMs = START_MS
              const last = new Map<number, string>()
              const roots = new Map<number, string>()
              const rows = drawn.map(({ afterDays, conversation, isKeyed, status, tookDays }, n): Row => {
                atMs += afterDays * DAY_MS
                const id = `m${n}`
                const before = last.get(conversation)
                if (before === undefined) roots.set(conversation, id)
                last.set(conversation, id)
                const isOver = status !== "pending" && status !== "running"
                return {
                  ...{ id, status, isKeyed, createdAtMs: atMs },
                  finishedAtMs: isOver ? atMs + tookDays * DAY_MS : null,
                  correlationId: roots.get(conversation) ?? id,
                  causationId: before ?? null,
                }
              })
              const wallMs = atMs + 10 * DAY_MS
              database.transaction(() => {
                database.exec("delete from messages")
                for (const { causationId, correlationId, createdAtMs, finishedAtMs, id, isKeyed, status } of rows) {
                  const key = isKeyed ? [id, "actor barista/1"] : [null, null]
                  insert.run(id, status, createdAtMs, finishedAtMs, correlationId, causationId, ...key)
                }
              })()
              pass(prunerOf(database, limits, { rowsMax }), wallMs)
              expect(ids(database)).toEqual(keptOf(rows, limits, wallMs))
            },
          ),
          { numRuns: 100, seed: Number(process.env.PONTOON_SEED ?? 7) },
        )
      }),
    ))
})
