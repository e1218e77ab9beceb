/** Steps 5 and 6: the one commit that ends a message, the store's troubles with it, and what is said of the answer. */
import { describe, expect, it } from "@effect/vitest"
import type { Write } from "@pontoon/runtime"
import { type Fault, FaultyStore } from "@pontoon/runtime/testing"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Counter, Gate, makeWorker } from "./support/actors.ts"
import { makeWorld, row, rows, turns } from "./support/World.ts"

const has = (writes: ReadonlyArray<Write>, tag: Write["_tag"]) => writes.some(({ _tag }) => _tag === tag)

/** Faults for the next commits that hold a write of this kind. */
const faulty = (tag: Write["_tag"], faults: Array<Fault>) => ({
  wrap: (store: Parameters<typeof FaultyStore.wrap>[0]) =>
    FaultyStore.wrap(store, (_, writes) => (has(writes, tag) ? faults.shift() : undefined)).store,
})

describe("1 the seal", () => {
  it.effect("1.1 holds the reply, the state and the sends of a message, and the claim of the next", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const commits: Array<ReadonlyArray<string>> = []
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.gen(function* () {
          yield* gate.pass
          actor.setState(n)
          yield* actor.send(Counter.ref("a"), "Add", { by: n })
          return n
        }),
      )
      const world = yield* makeWorld({
        actors: [Worker, Counter],
        wrap: (store) =>
          FaultyStore.wrap(store, (_, writes) => {
            commits.push(writes.map((write) => write._tag))
            return undefined
          }).store,
      })
      for (const n of [1, 2]) yield* world.system.tell(Worker.ref("a"), "Work", { n })
      yield* turns
      yield* gate.open
      yield* turns
      expect(commits).toEqual([
        ["Append"],
        ["Append"],
        ["Settle", "PutActor", "Append", "Claim", "PutActor", "LifecycleEvent"],
        ["Claim"],
        ["Settle", "PutActor", "PutActor", "LifecycleEvent"],
      ])
    }),
  )
  it.effect("1.2 is tried again for as long as the disk is full, nothing is lost and nothing runs twice", () =>
    Effect.gen(function* () {
      const faults: Array<Fault> = ["full", "busy", "io", "full", "full", "full", "full", "full"].map((reason) => ({
        _tag: "refuse",
        reason: reason as "full",
      }))
      let runs = 0
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.sync(() => {
          runs++
          actor.setState(actor.state + n)
          return actor.state
        }),
      )
      const world = yield* makeWorld({ actors: [Worker], ...faulty("Settle", faults) })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [1, 2, 3].map((n) => world.system.ask(Worker.ref("a"), "Work", { n })),
          { concurrency: 3 },
        ),
        { startImmediately: true },
      )
      yield* turns
      // The actor holds on to what it did, and takes nothing new.
      expect([runs, rows(world).map(({ status }) => status)]).toEqual([1, ["running", "pending", "pending"]])
      for (let step = 0; step < 20; step++) yield* TestClock.adjust(1_000)
      expect(yield* Fiber.join(asks)).toEqual([1, 3, 6])
      expect([runs, faults.length]).toEqual([3, 0])
      expect(world.log.actors.get("worker/a")?.state).toBe("6")
    }),
  )
  it.effect(
    "1.3 that is written and never confirmed is not written again, and the answer is there after a restart",
    () =>
      Effect.gen(function* () {
        let runs = 0
        const Worker = makeWorker("worker", (n) =>
          Effect.sync(() => {
            runs++
            return n
          }),
        )
        const world = yield* makeWorld({ actors: [Worker], ...faulty("Settle", [{ _tag: "silent" }]) })
        yield* Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n: 7 }, { idempotencyKey: "k" }))
        yield* turns
        yield* world.crash
        expect(yield* world.system.ask(Worker.ref("a"), "Work", { n: 7 }, { idempotencyKey: "k" })).toBe(7)
        expect(runs).toBe(1)
      }),
  )
  it.effect("1.4 of an attempt that the log has left behind changes nothing; the asker is told what the log says", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.gen(function* () {
          yield* gate.pass
          actor.setState(n)
          return n
        }),
      )
      let store: Parameters<typeof FaultyStore.wrap>[0] | undefined
      const world = yield* makeWorld({
        actors: [Worker],
        wrap: (wrapped) => {
          store = wrapped
          return wrapped
        },
      })
      const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 })))
      const next = yield* Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n: 2 }))
      yield* turns
      const error = JSON.stringify({ tag: "TerminalCancelled", message: "by hand", retry: "terminal" })
      const { id } = row(world)
      yield* store?.commit([
        { _tag: "Settle", messageId: id, attempt: 1, status: "cancelled", reply: null, error, atMs: 5 },
      ]) ?? Effect.void
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(ask)).toMatchObject({ _tag: "TerminalCancelled", message: "by hand" })
      expect(world.log.actors.get("worker/a")?.state ?? null).toBe(null)
      // The next one had been claimed in that commit; it is run all the same.
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(next)).toBe(2)
      expect(row(world, 1)).toMatchObject({ status: "done", attempt: 1 })
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
  it.effect("1.5 is refused for good by a store that is gone, and everybody who waits is told", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Worker = makeWorker("worker", (n) => Effect.as(gate.pass, n))
      const world = yield* makeWorld({ actors: [Worker] })
      const dying = world.system
      const asks = yield* Effect.forkChild(
        Effect.all(
          [1, 2, 3].map((n) => Effect.flip(dying.ask(Worker.ref("a"), "Work", { n }))),
          { concurrency: 3 },
        ),
        { startImmediately: true },
      )
      yield* turns
      yield* world.crashInto({ actors: [] })
      yield* gate.open
      yield* turns
      expect((yield* Fiber.join(asks)).map(({ _tag }) => _tag)).toEqual(Array(3).fill("TerminalStoreFailure"))
      expect(yield* Effect.flip(dying.ask(Worker.ref("a"), "Work", { n: 4 }))).toMatchObject({
        _tag: "TerminalStoreFailure",
        reason: "closed",
      })
      expect(yield* dying.unfinished).toBe(0)
    }),
  )
})

describe("2 memory", () => {
  it.effect("2.1 is empty when everything has ended, and idle actors are dropped beyond residentMax", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Counter], residentMax: 10 })
      for (let round = 1; round <= 3; round++) {
        const asks = Array.from({ length: 50 }, (_, index) =>
          world.system.ask(Counter.ref(`${index}`), "Add", { by: 1 }),
        )
        expect(new Set(yield* Effect.all(asks, { concurrency: 7 }))).toEqual(new Set([round]))
      }
      yield* turns
      expect(yield* world.system.unfinished).toBe(0)
      const resident = yield* Effect.filter(
        Array.from({ length: 50 }, (_, index) => `${index}`),
        (id) => Effect.map(world.system.lifecycle({ type: "counter", id }), (state) => state !== undefined),
      )
      expect(resident.length).toBe(10)
    }),
  )
  it.effect("2.2 holds more actors than residentMax while they are all busy, and never two of one address", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      let running = 0
      const Worker = makeWorker("worker", (n) =>
        Effect.gen(function* () {
          expect(++running).toBeLessThanOrEqual(20)
          yield* gate.pass
          running--
          return n
        }),
      )
      const world = yield* makeWorld({ actors: [Worker], residentMax: 1 })
      const ask = (n: number) => world.system.ask(Worker.ref(`${n % 20}`), "Work", { n })
      const asks = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 60 }, (_, n) => ask(n)),
          { concurrency: "unbounded" },
        ),
        { startImmediately: true },
      )
      for (let round = 0; round < 3; round++) {
        yield* turns
        expect(gate.waiting).toBe(20)
        yield* gate.open
      }
      expect((yield* Fiber.join(asks)).length).toBe(60)
    }),
  )
})

describe("3 feedback", () => {
  it.effect("3.1 is refused where it scores nothing, or by no number between -1 and 1", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Counter] })
      const id = yield* world.system.tell(Counter.ref("a"), "Add", { by: 1 })
      const refused = (messageId: string, score: number) =>
        Effect.map(Effect.flip(world.system.feedback(messageId, { score, source: "user" })), ({ message }) => message)
      expect(yield* refused(id, 1.01)).toBe(
        `The feedback on message ${id} is not valid: score must lie between -1 and 1, and is 1.01.`,
      )
      expect(yield* refused(id, Number.NaN)).toContain("and is NaN")
      expect(yield* refused("none", 1)).toContain("there is no such message in the log")
      expect(world.log.feedback).toEqual([])
    }),
  )
  it.effect("3.2 is in the log with its source", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Counter] })
      const id = yield* world.system.tell(Counter.ref("a"), "Add", { by: 1 })
      yield* TestClock.adjust(5)
      yield* world.system.feedback(id, { score: -1, label: "wrong", source: "user" })
      yield* world.system.feedback(id, { score: 1, source: "rule" })
      expect(world.log.feedback).toMatchObject([
        { messageId: id, score: -1, label: "wrong", source: "user", atMs: 5 },
        { messageId: id, score: 1, label: null, source: "rule", atMs: 5 },
      ])
    }),
  )
})
