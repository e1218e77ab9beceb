/** Step 7, and the closing that it makes good: what a system finds when it is opened, and what it leaves behind. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, makePool } from "@pontoon/runtime"
import { FaultyStore } from "@pontoon/runtime/testing"
import { Effect, Fiber, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { Counter, Gate, makeWorker, RetryableTrouble } from "./support/actors.ts"
import { lifecycleOf, makeWorld, row, rows, turns } from "./support/World.ts"

const gatedWorker = (options: Parameters<typeof makeWorker>[2] = {}) => {
  const gate = new Gate()
  const ran: Array<string> = []
  const Worker = makeWorker(
    "worker",
    (n, actor) =>
      Effect.suspend(() => {
        ran.push(`${n}#${actor.message.attempt}`)
        return Effect.as(gate.pass, n)
      }),
    options,
  )
  return { Worker, gate, ran }
}

describe("1 a system that died", () => {
  it.effect("1.1 goes on with what ran, counted as an attempt, and with what waited, in order", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran } = gatedWorker()
      const world = yield* makeWorld({ actors: [Worker] })
      const ids = yield* Effect.forEach([1, 2, 3], (n) => world.system.tell(Worker.ref("a"), "Work", { n }))
      yield* turns
      yield* world.crash
      for (let step = 0; step < 3; step++) {
        yield* turns
        yield* gate.open
      }
      yield* turns
      expect(ran).toEqual(["1#1", "1#2", "2#1", "3#1"])
      expect(rows(world).map(({ id, status }) => [id, status])).toEqual(ids.map((id) => [id, "done"]))
      const [died] = world.log.attempts.get(ids[0] ?? "") ?? []
      expect(JSON.parse(died?.error ?? "")).toMatchObject({ tag: "RetryableProcessDied", retry: "retryable" })
    }),
  )
  it.effect("1.2 makes a dead letter of a message that kills it every time", () =>
    Effect.gen(function* () {
      const { Worker, ran } = gatedWorker({ retry: { attemptsMax: 3 } })
      const world = yield* makeWorld({ actors: [Worker] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* world.system.tell(Worker.ref("a"), "Work", { n: 2 })
      for (let death = 0; death < 3; death++) {
        yield* turns
        yield* world.crash
      }
      yield* turns
      expect(ran).toEqual(["1#1", "1#2", "1#3", "2#1"])
      expect(row(world)).toMatchObject({ status: "dead", attempt: 3 })
      expect(JSON.parse(row(world).error ?? "").tag).toBe("RetryableProcessDied")
      expect(world.log.attempts.get(id)?.length).toBe(3)
    }),
  )
  it.effect("1.3 leaves messages of actors that it does not have where they are, and takes them when it has them", () =>
    Effect.gen(function* () {
      const { Worker, gate } = gatedWorker()
      const world = yield* makeWorld({ actors: [Worker, Counter] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.crashInto({ actors: [Counter] })
      yield* turns
      expect(row(world)).toMatchObject({ status: "running", attempt: 1 })
      expect(yield* Effect.flip(world.system.outcome(id))).toMatchObject({
        _tag: "TerminalInvalidMessage",
        message: `Message ${id} waits for an actor worker, which this system does not have.`,
      })
      expect(yield* world.system.unfinished).toBe(0)
      yield* world.crashInto({ actors: [Worker, Counter] })
      yield* turns
      yield* gate.open
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "1" })
    }),
  )
  it.effect("1.4 keeps delays and backoffs", () =>
    Effect.gen(function* () {
      const at: Array<number> = []
      const Worker = makeWorker(
        "worker",
        (n, actor) =>
          Effect.suspend(() => {
            at.push(actor.nowMs)
            return n === 2 && actor.message.attempt === 1
              ? Effect.fail(new RetryableTrouble({ message: "later" }))
              : Effect.succeed(n)
          }),
        { retry: { backoff: { baseMs: 500, factor: 1, maxMs: 500, jitter: 0 } } },
      )
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 }, { delayMs: 1_000 })
      yield* world.system.tell(Worker.ref("a"), "Work", { n: 2 })
      yield* turns
      yield* TestClock.adjust(100)
      yield* world.crash
      yield* TestClock.adjust(1_000)
      yield* turns
      expect(at).toEqual([0, 500, 1_000])
    }),
  )
  it.effect("1.5 finds a message that is in the log although its sender was never told", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({
        actors: [Counter],
        wrap: (store) => FaultyStore.wrap(store, (nth) => (nth === 1 ? { _tag: "silent" } : undefined)).store,
      })
      const add = { by: 1 }
      const key = { idempotencyKey: "k" }
      // Detached: who waits for a store that never answers cannot be interrupted.
      yield* Effect.forkDetach(world.system.ask(Counter.ref("a"), "Add", add, key))
      yield* turns
      yield* world.crashInto({ actors: [Counter] })
      expect(yield* world.system.ask(Counter.ref("a"), "Add", add, key)).toBe(1)
      expect(yield* world.system.ask(Counter.ref("a"), "Read", undefined)).toBe(1)
    }),
  )
  it.effect("1.6 pages through more unfinished messages than one read gives", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran } = gatedWorker({ concurrency: 3_000 })
      // All of them at once: with less, the rest would follow as the first end.
      const world = yield* makeWorld({ actors: [Worker], readAheadMax: 3_000 })
      const tell = (n: number) => world.system.tell(Worker.ref("a"), "Work", { n })
      yield* Effect.forEach(
        Array.from({ length: 2_001 }, (_, n) => n),
        tell,
        { concurrency: "unbounded" },
      )
      yield* turns
      yield* world.crash
      yield* turns
      expect(ran.length).toBe(4_002)
      expect(ran.slice(2_001)).toEqual(Array.from({ length: 2_001 }, (_, n) => `${n}#2`))
      yield* gate.open
      yield* turns
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
})

describe("2 a state", () => {
  const versioned = (version: number, state: Schema.Codec<unknown, unknown>) =>
    Actor.make("counter", {
      protocol: [Rpc.make("Read", { success: Schema.Unknown })],
      state,
      initialState: 0,
      version,
      handlers: { Read: (_, actor) => Effect.succeed(actor.state) },
    })
  const cases = [
    [
      "2.1 of a newer version",
      versioned(1, Schema.Unknown),
      "has version 2, and this program reads up to 1; run the newer program.",
    ],
    ["2.2 that does not fit its schema", versioned(2, Schema.String), "does not fit its schema"],
  ] as const
  for (const [name, Older, reason] of cases) {
    it.effect(`${name} fails its actor, which says why, and is left as it is`, () =>
      Effect.gen(function* () {
        const Newer = Actor.make("counter", {
          protocol: [Rpc.make("Set", { payload: Schema.Number, success: Schema.Void })],
          state: Schema.Number,
          initialState: 0,
          version: 2,
          handlers: { Set: (n, actor) => Effect.sync(() => actor.setState(n)) },
        })
        const world = yield* makeWorld({ actors: [Newer] })
        yield* world.system.ask(Newer.ref("a"), "Set", 7)
        yield* world.crashInto({ actors: [Older] })
        const asks = [1, 2].map(() => Effect.flip(world.system.ask(Older.ref("a"), "Read", undefined)))
        const errors = yield* Effect.all(asks, { concurrency: 2 })
        for (const error of errors) {
          expect(error).toMatchObject({ _tag: "TerminalDeadLetter", lastTag: "TerminalActorFailed" })
          expect(error.message).toContain(reason)
        }
        expect(yield* Effect.flip(world.system.ask(Older.ref("a"), "Read", undefined))).toMatchObject({
          _tag: "TerminalActorFailed",
          message: expect.stringContaining(reason),
        })
        yield* turns
        expect(lifecycleOf(world, "counter/a").at(-1)).toBe("ready GAVE_UP failed")
        expect(world.log.lifecycle.at(-1)?.reason).toContain(reason)
        expect(world.log.actors.get("counter/a")).toMatchObject({ state: "7", lifecycle: "failed" })
        // Another actor of the type is not concerned; nor is this one in the program that can read it.
        expect(yield* world.system.ask(Older.ref("b"), "Read", undefined)).toBe(0)
        yield* world.crashInto({ actors: [Newer] })
        yield* world.system.ask(Newer.ref("a"), "Set", 8)
        expect(lifecycleOf(world, "counter/a").at(-1)).toBe("failed STARTED ready")
        expect(world.log.actors.get("counter/a")).toMatchObject({ state: "8", lifecycle: "ready" })
      }),
    )
  }
})

describe("3 closing", () => {
  it.effect("3.1 lets running handlers end, serves what they ask for, and leaves the rest for the next start", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.gen(function* () {
          yield* gate.pass
          return n + (yield* Effect.orDie(actor.ask(Counter.ref("a"), "Add", { by: 1 })))
        }),
      )
      const world = yield* makeWorld({ actors: [Worker, Counter] })
      const ask = (n: number) =>
        Effect.forkChild(Effect.result(world.system.ask(Worker.ref("a"), "Work", { n })), { startImmediately: true })
      const [running, waiting] = [yield* ask(1), yield* ask(2)]
      yield* turns
      const system = world.system
      const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
      yield* turns
      expect(yield* Effect.flip(system.ask(Worker.ref("a"), "Work", { n: 3 }))).toMatchObject({
        _tag: "RetryableClosing",
        message: "The system is closing and takes no new messages; send it again later.",
      })
      yield* gate.open
      yield* turns
      yield* Fiber.join(closing)
      expect(yield* Fiber.join(running)).toMatchObject({ _tag: "Success", success: 2 })
      const { id } = row(world, 1)
      expect(yield* Fiber.join(waiting)).toMatchObject({
        _tag: "Failure",
        failure: { _tag: "RetryableClosing", messageId: id },
      })
      expect(rows(world).map(({ status }) => status)).toEqual(["done", "pending", "done"])
      yield* world.crash
      yield* turns
      yield* gate.open
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "4" })
    }),
  )
  it.effect("3.2 interrupts what has not ended after drainMsMax, which is run again on the next start", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran } = gatedWorker()
      const world = yield* makeWorld({ actors: [Worker], drainMsMax: 5_000 })
      const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 })))
      yield* turns
      const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
      yield* turns
      yield* TestClock.adjust(4_999)
      expect(gate.interrupted).toBe(0)
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      expect(yield* Fiber.join(ask)).toMatchObject({ _tag: "RetryableClosing", messageId: row(world).id })
      expect(row(world)).toMatchObject({ status: "running", attempt: 1 })
      yield* world.crash
      yield* turns
      yield* gate.open
      yield* turns
      expect(row(world)).toMatchObject({ status: "done", attempt: 2 })
      expect(ran).toEqual(["1#1", "1#2"])
    }),
  )
  it.effect(
    "3.3 does not wait for ever for a handler that cannot be interrupted, nor for a resource that does not let go",
    () =>
      Effect.gen(function* () {
        const Stuck = makeWorker("stuck", () => Effect.uninterruptible(Effect.never), {
          start: () => Effect.acquireRelease(Effect.succeed(1), () => Effect.never),
        })
        const world = yield* makeWorld({ actors: [Stuck] })
        yield* world.system.tell(Stuck.ref("a"), "Work", { n: 1 })
        yield* turns
        const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
        for (let step = 0; step < 10; step++) yield* TestClock.adjust(2_000)
        expect(closing.pollUnsafe()?._tag).toBe("Success")
      }),
  )
  it.effect("3.4 waits for an append that is being written, and runs what it accepts", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({
        actors: [Counter],
        wrap: (store) =>
          FaultyStore.wrap(store, (nth) => (nth === 1 ? { _tag: "late", delayMs: 100 } : undefined)).store,
      })
      const ask = yield* Effect.forkChild(world.system.ask(Counter.ref("a"), "Add", { by: 1 }), {
        startImmediately: true,
      })
      yield* turns
      const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
      yield* turns
      expect(closing.pollUnsafe()).toBe(undefined)
      yield* TestClock.adjust(100)
      yield* Fiber.join(closing)
      expect(yield* Fiber.join(ask)).toBe(1)
    }),
  )
  it.effect("3.5 does not count an unbegun message of a pool against it", () =>
    Effect.gen(function* () {
      const { Worker, gate } = gatedWorker()
      const pool = makePool("workers", { targets: [Worker.ref("a")] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      for (const n of [1, 2]) yield* world.system.tell(pool.ref, "Work", { n })
      yield* turns
      const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
      yield* turns
      yield* gate.open
      yield* Fiber.join(closing)
      expect(rows(world).map(({ attempt, status }) => [status, attempt])).toEqual([
        ["done", 1],
        ["pending", 0],
      ])
    }),
  )
})
