/** What a mailbox promises, through the whole runtime: order, bounds, what is put aside, and whom nobody holds up. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, isFinal } from "@pontoon/runtime"
import { FaultyStore } from "@pontoon/runtime/testing"
import { Effect, Fiber, Logger, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { Counter, Gate, gated, makeTalker, makeWorker } from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

describe("1 a message that waits", () => {
  it.effect("1.1 is worth one level more for each ageingMs, and no sooner; a restart changes nothing", () =>
    Effect.gen(function* () {
      for (const restarts of [false, true]) {
        const { Worker, gate, ran, ref } = gated({ mailbox: { ageingMs: 100 } })
        const world = yield* makeWorld({ actors: [Worker] })
        const tell = (n: number, priority: number) => world.system.tell(ref, "Work", { n }, { priority })
        yield* tell(0, 0)
        yield* tell(1, 0)
        yield* TestClock.adjust(99)
        yield* tell(2, 1)
        yield* TestClock.adjust(1)
        // As old in rank as 1, which was accepted first.
        yield* tell(3, 1)
        yield* tell(4, 2)
        yield* tell(5, -1)
        if (restarts) yield* world.crash
        for (let n = 0; n < 6; n++) {
          yield* turns
          yield* gate.open
        }
        expect(ran).toEqual(restarts ? [0, 0, 4, 2, 1, 3, 5] : [0, 4, 2, 1, 3, 5])
      }
    }),
  )
  it.effect("1.2 that was put off by its sender ages from when it is due", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { ageingMs: 100 } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 0 })
      yield* world.system.tell(ref, "Work", { n: 1 }, { delayMs: 1_000 })
      yield* TestClock.adjust(1_000)
      yield* world.system.tell(ref, "Work", { n: 2 }, { priority: 1 })
      yield* world.system.tell(ref, "Work", { n: 3 })
      for (let n = 0; n < 4; n++) {
        yield* turns
        yield* gate.open
      }
      expect(ran).toEqual([0, 2, 1, 3])
    }),
  )
})

describe("2 an idempotency key", () => {
  it.effect("2.1 is refused a window that is none", () =>
    Effect.gen(function* () {
      for (const keyWindowMs of [999, 31_536_000_001, 1_000.5, Number.NaN]) {
        const exit = yield* Effect.exit(Effect.scoped(makeWorld({ actors: [Counter], keyWindowMs })))
        expect(String(exit)).toContain(
          `keyWindowMs must be a whole number from 1000 to 31536000000, and is ${keyWindowMs}`,
        )
      }
    }),
  )
  it.effect("2.2 answers for its window, and is free after it; the first message keeps its history", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Counter], keyWindowMs: 1_000 })
      const add = (by: number) => world.system.ask(Counter.ref("a"), "Add", { by }, { idempotencyKey: "k" })
      expect(yield* add(1)).toBe(1)
      yield* TestClock.adjust(1_000)
      expect(yield* add(1)).toBe(1)
      expect(yield* Effect.flip(add(2))).toMatchObject({
        _tag: "TerminalIdempotencyConflict",
        messageId: row(world).id,
      })
      yield* TestClock.adjust(1)
      expect(yield* add(2)).toBe(3)
      yield* world.crash
      // The window of the second began with its own acceptance.
      yield* TestClock.adjust(1_000)
      expect(yield* add(2)).toBe(3)
      expect(rows(world).map(({ body, idempotencyKey, reply }) => [body, idempotencyKey, reply])).toEqual([
        ['{"by":1}', "k", "1"],
        ['{"by":2}', "k", "3"],
      ])
    }),
  )
  it.effect("2.3 answers for seven days where nothing else is said, and of a handler's send too", () =>
    Effect.gen(function* () {
      const Sender = makeWorker("sender", (n, actor) =>
        Effect.as(actor.send(Counter.ref("a"), "Add", { by: n }, { idempotencyKey: "k" }), n),
      )
      const world = yield* makeWorld({ actors: [Counter, Sender] })
      const send = world.system.ask(Sender.ref("a"), "Work", { n: 1 })
      const read = Effect.andThen(turns, world.system.ask(Counter.ref("a"), "Read", undefined))
      yield* send
      yield* TestClock.adjust(7 * 86_400_000)
      yield* send
      expect(yield* read).toBe(1)
      yield* TestClock.adjust(1)
      yield* send
      expect(yield* read).toBe(2)
    }),
  )
  it.effect("2.4 is not free while its message has not ended, however long that takes", () =>
    Effect.gen(function* () {
      const { Worker, gate, ref, ran } = gated()
      const world = yield* makeWorld({ actors: [Worker], keyWindowMs: 1_000 })
      const tell = world.system.tell(ref, "Work", { n: 1 }, { idempotencyKey: "k" })
      const id = yield* tell
      yield* TestClock.adjust(10_000)
      expect(yield* tell).toBe(id)
      yield* gate.open
      yield* turns
      expect(yield* tell).not.toBe(id)
      yield* turns
      expect(ran).toEqual([1, 1])
    }),
  )

  const action = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("send" as const),
        key: fc.nat(2),
        body: fc.nat(1),
        to: fc.constantFrom("a", "b"),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.integer({ min: 0, max: 1_500 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("finish" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("die" as const) }) },
  )
  it("2.5 does what a plain map would do, over random keys, bodies, times and deaths", () =>
    fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 50 }), (actions) =>
        Effect.gen(function* () {
          const { Worker, gate } = gated({ concurrency: 8 })
          const world = yield* makeWorld({ actors: [Worker], keyWindowMs: 1_000 })
          const holders = new Map<string, { readonly id: string; readonly body: number; readonly atMs: number }>()
          let nowMs = 0
          let accepted = 0
          const hasEnded = (id: string) => rows(world).some((each) => each.id === id && isFinal(each.status))
          for (const each of actions) {
            if (each.kind === "finish") yield* Effect.andThen(gate.open, turns)
            else if (each.kind === "die") yield* Effect.andThen(world.crash, turns)
            else if (each.kind === "time") {
              nowMs += each.ms
              yield* TestClock.adjust(each.ms)
            } else {
              const { body, key, to } = each
              const sent = yield* Effect.result(
                world.system.tell(Worker.ref(to), "Work", { n: body }, { idempotencyKey: `${key}` }),
              )
              yield* turns
              const holder = holders.get(`${to}/${key}`)
              const holds = holder !== undefined && !(hasEnded(holder.id) && holder.atMs < nowMs - 1_000)
              if (!holds) {
                accepted++
                if (sent._tag === "Failure") throw new Error(`a free key was refused: ${sent.failure.message}`)
                expect(sent.success).toBe(rows(world).at(-1)?.id)
                holders.set(`${to}/${key}`, { id: sent.success, body, atMs: nowMs })
              } else if (holder.body === body) expect(sent).toMatchObject({ _tag: "Success", success: holder.id })
              else {
                const failure = { _tag: "TerminalIdempotencyConflict", messageId: holder.id }
                expect(sent).toMatchObject({ _tag: "Failure", failure })
              }
            }
            expect(rows(world).length).toBe(accepted)
          }
        }).pipe(Effect.scoped, Effect.provide([TestClock.layer(), Logger.layer([])]), Effect.runPromise),
      ),
      { numRuns: 60 },
    ))
})

describe("3 a message that is put aside", () => {
  /** Takes nothing until it is opened: 0 opens it, 99 closes it, 98 would open it and fails. */
  const Door = makeWorker(
    "door",
    (n, actor) =>
      Effect.gen(function* () {
        if (n === 0 || n === 98) {
          actor.setState(1)
          yield* actor.unstashAll
          if (n === 98) return yield* Effect.fail({ _tag: "TerminalTrouble" as const, message: "no" })
        } else if (n === 99) actor.setState(0)
        else if (actor.state === 0) {
          actor.setState(7)
          yield* Effect.orDie(actor.send(Counter.ref("sent"), "Add", { by: 1 }))
          return yield* actor.stash
        }
        return n * 10
      }),
    { mailbox: { capacity: 3 }, retry: { attemptsMax: 2 } },
  )
  const tell = (world: World, n: number, options = {}) => world.system.tell(Door.ref("a"), "Work", { n }, options)
  const statuses = (world: World) => rows(world).map(({ status }) => status)

  it.effect("3.1 runs again at its old place, as if it had never run: no failure, no attempt, no state, no sends", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Door, Counter] })
      const first = yield* Effect.forkChild(world.system.ask(Door.ref("a"), "Work", { n: 1 }))
      yield* turns
      yield* tell(world, 2)
      yield* turns
      expect(statuses(world)).toEqual(["pending", "pending"])
      expect(row(world)).toMatchObject({ attempt: 1, attemptsBefore: 1, startedAtMs: null, error: null })
      yield* TestClock.adjust(100_000)
      expect(statuses(world)).toEqual(["pending", "pending"])
      yield* tell(world, 0)
      yield* tell(world, 3)
      yield* turns
      expect(yield* Fiber.join(first)).toBe(10)
      expect(rows(world).map(({ attempt, attemptsBefore, status }) => [status, attempt, attemptsBefore])).toEqual([
        ["done", 2, 1],
        ["done", 2, 1],
        ["done", 1, 0],
        ["done", 1, 0],
      ])
      expect(world.log.attempts.size).toBe(0)
    }),
  )
  it.effect("3.2 runs before what was accepted after it, however long that has waited", () =>
    Effect.gen(function* () {
      const ran: Array<number> = []
      const gate = new Gate()
      let open = false
      const Keeper = makeWorker("keeper", (n, actor) =>
        Effect.gen(function* () {
          if (n < 3 && !open) return yield* actor.stash
          if (n === 0) return 0
          if (n === 10) {
            yield* gate.pass
            open = true
            yield* actor.unstashAll
          }
          ran.push(n)
          return n
        }),
      )
      const world = yield* makeWorld({ actors: [Keeper] })
      for (const n of [1, 2, 10, 11, 12]) yield* world.system.tell(Keeper.ref("a"), "Work", { n })
      yield* turns
      yield* gate.open
      yield* turns
      expect(ran).toEqual([10, 1, 2, 11, 12])
    }),
  )
  it.effect("3.3 comes back only with a seal: not from a handler that asks for it and fails", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Door, Counter] })
      yield* tell(world, 1)
      yield* tell(world, 98)
      yield* turns
      expect(statuses(world)).toEqual(["pending", "failed"])
      yield* tell(world, 0)
      yield* turns
      expect(statuses(world)).toEqual(["done", "failed", "done"])
    }),
  )
  it.effect("3.4 counts against the capacity, and is ended by its deadline and by a cancel", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Door, Counter] })
      yield* tell(world, 1, { timeoutMs: 1_000 })
      yield* turns
      const second = yield* tell(world, 2)
      yield* turns
      yield* tell(world, 3)
      yield* turns
      // The actor is free, so that this one runs at once, and is put aside past the bound.
      yield* tell(world, 4)
      yield* turns
      expect(statuses(world)).toEqual(["pending", "pending", "pending", "pending"])
      const delayed = { delayMs: 10 }
      expect(yield* Effect.flip(tell(world, 5, delayed))).toMatchObject({ _tag: "RetryableMailboxFull", depth: 4 })
      expect(yield* world.system.cancel(second)).toBe(true)
      yield* TestClock.adjust(1_000)
      yield* turns
      expect(statuses(world)).toEqual(["expired", "cancelled", "pending", "pending"])
      yield* tell(world, 5, { delayMs: 1_000 })
      yield* tell(world, 0)
      yield* turns
      expect(statuses(world)).toEqual(["expired", "cancelled", "done", "done", "pending", "done"])
    }),
  )
  it.effect("3.5 can be put aside any number of times, on a budget of two attempts", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Door, Counter] })
      yield* tell(world, 1)
      yield* turns
      const Closer = { priority: 50 }
      for (let round = 1; round <= 5; round++) {
        // Both are there before 1 comes back: the door is closed again by then.
        yield* Effect.all([tell(world, 0), tell(world, 99, Closer)], { concurrency: 2 })
        yield* turns
        expect(row(world)).toMatchObject({ status: "pending", attempt: 1 + round, attemptsBefore: 1 + round })
      }
      yield* tell(world, 0)
      yield* turns
      expect(row(world)).toMatchObject({ status: "done", reply: "10", attempt: 7, attemptsBefore: 6 })
      expect(world.log.attempts.size).toBe(0)
    }),
  )
  it.effect("3.6 keeps its actor in memory, and is delivered again after a restart", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Door, Counter], residentMax: 1 })
      yield* tell(world, 1)
      yield* turns
      // Others come and go past the limit.
      for (let n = 0; n < 40; n++) yield* world.system.ask(Counter.ref(`${n}`), "Add", { by: 1 })
      expect(yield* world.system.lifecycle({ type: "door", id: "a" })).toBe("ready")
      expect(row(world)).toMatchObject({ status: "pending", attempt: 1 })
      yield* world.crash
      yield* turns
      // Delivered, and put aside again.
      expect(row(world)).toMatchObject({ status: "pending", attempt: 2, attemptsBefore: 2 })
      yield* tell(world, 0)
      yield* turns
      expect(row(world)).toMatchObject({ status: "done", attempt: 3, attemptsBefore: 2 })
    }),
  )
  it.effect("3.7 comes back when its actor is restarted, and dies with one that is stopped", () =>
    Effect.gen(function* () {
      const Fragile = makeWorker("fragile", (n, actor) => {
        if (n === 2) return Effect.die("broken")
        return n === 1 && actor.message.attempt === 1 ? actor.stash : Effect.succeed(n)
      })
      const world = yield* makeWorld({ actors: [Fragile] })
      yield* world.system.tell(Fragile.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(row(world).status).toBe("pending")
      yield* world.system.tell(Fragile.ref("a"), "Work", { n: 2 })
      yield* turns
      yield* TestClock.adjust(60_000)
      yield* turns
      expect(row(world)).toMatchObject({ status: "done", attempt: 2, attemptsBefore: 1 })
      yield* world.system.tell(Fragile.ref("b"), "Work", { n: 1 })
      yield* turns
      yield* world.system.stop({ type: "fragile", id: "b" }, "no longer needed")
      yield* turns
      expect(rows(world).at(-1)).toMatchObject({ status: "dead", attempt: 1 })
    }),
  )
  it.effect("3.8 is put aside whatever its handler makes of it, unless it is taken back in that moment", () =>
    Effect.gen(function* () {
      const cleaning = new Gate()
      const Stubborn = makeWorker("stubborn", (n, actor) =>
        n === 1 ? Effect.catchCause(actor.stash, () => Effect.succeed(n)) : Effect.ensuring(actor.stash, cleaning.pass),
      )
      const world = yield* makeWorld({ actors: [Stubborn] })
      yield* world.system.tell(Stubborn.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(row(world)).toMatchObject({ status: "pending", attempt: 1 })
      const id = yield* world.system.tell(Stubborn.ref("b"), "Work", { n: 2 })
      yield* turns
      // It is taken back once its handler has cleaned up.
      const cancelled = yield* Effect.forkChild(world.system.cancel(id), { startImmediately: true })
      yield* cleaning.open
      yield* turns
      expect(yield* Fiber.join(cancelled)).toBe(true)
      expect(row(world, 1)).toMatchObject({ status: "cancelled", attempt: 1 })
    }),
  )
})

describe("3b what is put aside", () => {
  it.effect("3b.1 takes effect once, before what came after it, whenever its process dies", () =>
    Effect.gen(function* () {
      const Till = Actor.make("till", {
        protocol: [Rpc.make("Open"), Rpc.make("Sell", { payload: { cents: Schema.Number } })],
        state: Schema.Struct({ isOpen: Schema.Boolean, sold: Schema.Array(Schema.Number) }),
        initialState: { isOpen: false, sold: [] },
        handlers: {
          Open: (_, actor) =>
            Effect.gen(function* () {
              actor.setState({ ...actor.state, isOpen: true })
              yield* actor.unstashAll
            }),
          Sell: ({ cents }, actor) =>
            Effect.gen(function* () {
              if (!actor.state.isOpen) return yield* actor.stash
              actor.setState({ ...actor.state, sold: [...actor.state.sold, cents] })
            }),
        },
      })
      const ref = Till.ref("1")
      const died = yield* everyCommit({
        actors: [Till],
        lastsMs: 100,
        drive: ({ system }) =>
          Effect.gen(function* () {
            const sell = (cents: number) =>
              system.ask(ref, "Sell", { cents }, { idempotencyKey: `sale ${cents}`, delayMs: 0 })
            const sales = yield* Effect.forkDetach(Effect.all([sell(1), sell(2)], { concurrency: 2 }))
            yield* Effect.sleep(50)
            yield* system.ask(ref, "Open", undefined, { idempotencyKey: "open" })
            yield* sell(3)
            yield* Fiber.join(sales)
          }),
        check: (world, last) =>
          Effect.sync(() => {
            const state = world.log.actors.get("till/1")?.state
            const tags = [...world.log.attempts.values()].flat().map(({ error }) => JSON.parse(error).tag)
            expect([last, new Set(tags).has("Stashed"), state == null ? undefined : JSON.parse(state).sold]).toEqual([
              last,
              false,
              [1, 2, 3],
            ])
            expect(rows(world).every(({ status }) => status === "done")).toBe(true)
          }),
      })
      expect(died).toBeGreaterThan(5)
    }),
  )
})

describe("4 a full mailbox", () => {
  const tellAll = (world: World, ref: ReturnType<typeof gated>["ref"], count: number) =>
    Effect.forEach(
      Array.from({ length: count }, (_, n) => n),
      (n) => world.system.tell(ref, "Work", { n }),
    )

  it.effect("4.1 is refused where it is not defined well", () =>
    Effect.gen(function* () {
      const define = (mailbox: object) => () => makeWorker("worker", (n) => Effect.succeed(n), { mailbox })
      expect(define({ whenFull: "later" })).toThrow(
        "mailbox.whenFull must be one of reject, wait, dropOldest, and is later",
      )
      expect(define({ waitersMax: 0 })).toThrow("mailbox.waitersMax must be a whole number, 1 or more, and is 0")
      const exit = yield* Effect.exit(Effect.scoped(makeWorld({ actors: [Counter], waitingMax: 0 })))
      expect(String(exit)).toContain("waitingMax must be a whole number, 1 or more, and is 0")
    }),
  )
  it.effect("4.2 says when to come back by how fast its actor has been lately, within bounds", () =>
    Effect.gen(function* () {
      let takesMs = 300
      const Worker = makeWorker("worker", (n) => Effect.as(Effect.sleep(takesMs), n), { mailbox: { capacity: 20 } })
      const ref = Worker.ref("a")
      const world = yield* makeWorld({ actors: [Worker] })
      const fill = Effect.gen(function* () {
        for (let n = 0; n < 50; n++) {
          const sent = yield* Effect.result(world.system.tell(ref, "Work", { n }))
          if (sent._tag === "Failure" && sent.failure._tag === "RetryableMailboxFull") return sent.failure
        }
        throw new Error("it was never full")
      })
      const pass = (ms: number) =>
        Effect.gen(function* () {
          for (let leftMs = ms; leftMs > 0; leftMs -= 100) yield* Effect.andThen(TestClock.adjust(100), turns)
        })
      // Nothing has ended yet.
      expect((yield* fill).retryAfterMs).toBe(1_000)
      yield* pass(3_000)
      // A tenth of the twenty that wait, at 300 ms each.
      const refused = yield* fill
      expect(refused).toMatchObject({ retryAfterMs: 600, depth: 20 })
      expect(refused.message).toContain("send again in about 600 ms.")
      takesMs = 3_000
      for (let round = 0; round < 3; round++) {
        yield* pass(30_000)
        yield* fill
      }
      yield* pass(30_000)
      expect((yield* fill).retryAfterMs).toBe(6_000)
      takesMs = 10_000_000
      for (let round = 0; round < 3; round++) yield* pass(30_000)
      const stuck = (yield* fill).retryAfterMs
      expect(stuck).toBeGreaterThan(6_000)
      expect(stuck).toBeLessThanOrEqual(60_000)
    }),
  )
  it.effect("4.3 that waits lets senders in one by one, in order, and nobody past them", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 2, whenFull: "wait" } })
      const world = yield* makeWorld({ actors: [Worker] })
      const told: Array<number> = []
      const send = (n: number) =>
        Effect.forkChild(
          Effect.tap(world.system.tell(ref, "Work", { n }), () => Effect.sync(() => told.push(n))),
          {
            startImmediately: true,
          },
        )
      for (let n = 0; n < 6; n++) yield* send(n)
      yield* turns
      // One runs, two wait inside, three outside.
      expect(told).toEqual([0, 1, 2])
      expect(rows(world).length).toBe(3)
      for (let n = 6; n < 8; n++) {
        yield* gate.open
        yield* turns
        yield* send(n)
        yield* turns
      }
      expect(told).toEqual([0, 1, 2, 3, 4])
      for (let n = 0; n < 6; n++) yield* Effect.andThen(gate.open, turns)
      expect(told).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
      expect(ran).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
  it.effect("4.3b has one that stood in line start when it was let in, and not when it was sent", () =>
    Effect.gen(function* () {
      const { Worker, gate, ref } = gated({ mailbox: { capacity: 1, whenFull: "wait" } })
      const world = yield* makeWorld({ actors: [Worker] })
      const send = (n: number, options = {}) =>
        Effect.forkChild(world.system.tell(ref, "Work", { n }, options), { startImmediately: true })
      yield* send(0)
      // It has the only place, and leaves the actor free.
      yield* send(1, { delayMs: 10_000 })
      yield* send(2)
      yield* turns
      yield* TestClock.adjust(500)
      yield* Effect.andThen(gate.open, turns)
      expect(rows(world).map(({ status }) => status)).toEqual(["done", "pending", "running"])
      expect(row(world, 2)).toMatchObject({ createdAtMs: 0, startedAtMs: 500, attempt: 1 })
      yield* gate.open
    }),
  )
  it.effect("4.4 is left by whoever is interrupted, or has no more time; what they sent was never accepted", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 1, whenFull: "wait" } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* tellAll(world, ref, 2)
      const send = (n: number, options = {}) =>
        Effect.forkChild(world.system.ask(ref, "Work", { n }, options), { startImmediately: true })
      const first = yield* send(2)
      const second = yield* Effect.forkChild(Effect.flip(world.system.ask(ref, "Work", { n: 3 }, { timeoutMs: 100 })), {
        startImmediately: true,
      })
      const third = yield* send(4)
      const told = yield* Effect.forkChild(world.system.tell(ref, "Work", { n: 5 }), { startImmediately: true })
      yield* turns
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(told)
      yield* TestClock.adjust(100)
      const failure = yield* Fiber.join(second)
      expect(failure).toMatchObject({ _tag: "RetryableMailboxFull", depth: 1 })
      expect(failure.message).toContain("no place became free in the time that the sender had")
      expect(rows(world).length).toBe(2)
      for (let n = 0; n < 3; n++) yield* Effect.andThen(gate.open, turns)
      expect(yield* Fiber.join(third)).toBe(40)
      expect(ran).toEqual([0, 1, 4])
      expect(rows(world).length).toBe(3)
    }),
  )
  it.effect("4.4b has a reader of a stream wait as any sender, and leave", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Talker = makeTalker(
        "talker",
        (n, actor) => Effect.andThen(gate.pass, Effect.as(Effect.orDie(actor.emit(`${n}`)), "whole")),
        { mailbox: { capacity: 1, whenFull: "wait" } },
      )
      const world = yield* makeWorld({ actors: [Talker] })
      const read = (n: number) =>
        Effect.forkChild(Stream.runCollect(world.system.stream(Talker.ref("a"), "Talk", { n })), {
          startImmediately: true,
        })
      const readers = [yield* read(1), yield* read(2), yield* read(3), yield* read(4)]
      yield* turns
      expect(rows(world).length).toBe(2)
      yield* Fiber.interrupt(readers[2]!)
      for (let n = 0; n < 3; n++) yield* Effect.andThen(gate.open, turns)
      expect(yield* Fiber.join(readers[3]!)).toEqual(["4"])
      expect(rows(world).map(({ body, status }) => [body, status])).toEqual([
        ['{"n":1}', "done"],
        ['{"n":2}', "done"],
        ['{"n":4}', "done"],
      ])
    }),
  )
  it.effect("4.5 has no more senders wait than it says, and none once the system closes", () =>
    Effect.gen(function* () {
      const { Worker, ref } = gated({ mailbox: { capacity: 1, whenFull: "wait", waitersMax: 2 } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* tellAll(world, ref, 2)
      const send = (n: number) =>
        Effect.forkChild(Effect.flip(world.system.tell(ref, "Work", { n })), { startImmediately: true })
      const waiting = [yield* send(2), yield* send(3)]
      const refused = yield* Fiber.join(yield* send(4))
      expect(refused).toMatchObject({ _tag: "RetryableMailboxFull" })
      expect(refused.message).toContain("and 2 senders wait for a place, as many as mailbox.waitersMax allows")
      const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
      for (const fiber of waiting) expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "RetryableClosing" })
      yield* TestClock.adjust(20_000)
      yield* Fiber.join(closing)
      expect(rows(world).length).toBe(2)
    }),
  )
  it.effect("4.6 that waits has a handler's send wait too, before its seal, and never for itself", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 1, whenFull: "wait" } })
      const Sender = makeWorker("sender", (n, actor) =>
        Effect.gen(function* () {
          for (let index = 0; index < n; index++) yield* Effect.orDie(actor.send(ref, "Work", { n: 10 + index }))
          return n
        }),
      )
      const Selfish: ReturnType<typeof makeWorker> = makeWorker(
        "selfish",
        (n, actor) =>
          n === 0
            ? Effect.succeed(0)
            : Effect.as(
                Effect.orDie(
                  Effect.andThen(
                    actor.send(Selfish.ref("a"), "Work", { n: 0 }),
                    actor.send(Selfish.ref("a"), "Work", { n: 0 }),
                  ),
                ),
                n,
              ),
        { mailbox: { capacity: 1, whenFull: "wait" }, retry: { attemptsMax: 1 } },
      )
      const world = yield* makeWorld({ actors: [Worker, Sender, Selfish] })
      yield* tellAll(world, ref, 2)
      const sent = yield* Effect.forkChild(world.system.ask(Sender.ref("a"), "Work", { n: 1 }), {
        startImmediately: true,
      })
      yield* turns
      expect(rows(world).find(({ actorType }) => actorType === "sender")?.status).toBe("running")
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(sent)).toBe(1)
      for (let n = 0; n < 2; n++) yield* Effect.andThen(gate.open, turns)
      expect(ran).toEqual([0, 1, 10])
      const failure = yield* Effect.flip(world.system.ask(Selfish.ref("a"), "Work", { n: 1 }))
      expect(failure).toMatchObject({ _tag: "TerminalDeadLetter" })
      expect(failure.message).toContain("cannot wait for itself")
    }),
  )
  it.effect("4.7 lets two actors that fill each other go on: a handler waits for half a minute at most", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const options = { mailbox: { capacity: 1, whenFull: "wait" as const } }
      /** Sends two to where there is one place. */
      const make = (name: string, other: () => ReturnType<typeof makeWorker>): ReturnType<typeof makeWorker> =>
        makeWorker(
          name,
          (n, actor) => {
            if (n === 0) return Effect.succeed(0)
            const send = actor.send(other().ref("a"), "Work", { n: 0 }).pipe(
              // What a handler may fail with is what its schema declares, or says who tries again.
              Effect.catchIf((failure) => failure._tag !== "RetryableMailboxFull", Effect.die),
            )
            return Effect.as(Effect.andThen(gate.pass, Effect.andThen(send, send)), n)
          },
          options,
        )
      const Left = make("left", () => Right)
      const Right = make("right", () => Left)
      const world = yield* makeWorld({ actors: [Left, Right] })
      for (const actor of [Left, Right]) yield* world.system.tell(actor.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* gate.open
      yield* turns
      // Each has a place of the other's in its hand, and waits for another.
      yield* TestClock.adjust(29_999)
      yield* turns
      expect(rows(world).map(({ attempt, status }) => [status, attempt])).toEqual([
        ["running", 1],
        ["running", 1],
      ])
      yield* TestClock.adjust(1)
      yield* turns
      const tags = [...world.log.attempts.values()].flat().map(({ error }) => JSON.parse(error).tag)
      expect(tags).toContain("RetryableMailboxFull")
      // Whose places were given back has room again.
      expect(rows(world).map(({ attempt, status }) => [status, attempt])).not.toEqual([
        ["running", 1],
        ["running", 1],
      ])
    }),
  )
  it.effect("4.8 that drops the oldest ends one of the same task and of no higher priority, and tells its asker", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 3, whenFull: "dropOldest" } })
      const world = yield* makeWorld({ actors: [Worker] })
      const tell = (n: number, options = {}) => world.system.tell(ref, "Work", { n }, options)
      yield* tell(0)
      yield* tell(1, { priority: 3 })
      const asked = yield* Effect.forkChild(Effect.flip(world.system.ask(ref, "Work", { n: 2 })), {
        startImmediately: true,
      })
      yield* turns
      yield* tell(3)
      // 1 is older, and of a higher priority.
      yield* tell(4)
      yield* turns
      const failure = yield* Fiber.join(asked)
      expect(failure).toMatchObject({ _tag: "TerminalDropped", messageId: row(world, 2).id })
      expect(failure.message).toBe(
        "The message waited in the full mailbox of worker/a and was dropped for a newer Work (mailbox.whenFull is dropOldest).",
      )
      expect(row(world, 2)).toMatchObject({ status: "cancelled", attempt: 0 })
      expect(JSON.parse(row(world, 2).error ?? "")).toMatchObject({ tag: "TerminalDropped" })
      // Now it may go.
      yield* tell(5, { priority: 9 })
      yield* turns
      // Nothing that waits is of so low a priority.
      expect(yield* Effect.flip(tell(6, { priority: -1 }))).toMatchObject({ _tag: "RetryableMailboxFull", depth: 3 })
      expect(rows(world).map(({ status }) => status)).toEqual([
        "running",
        "cancelled",
        "cancelled",
        "pending",
        "pending",
        "pending",
      ])
      for (let n = 0; n < 4; n++) yield* Effect.andThen(gate.open, turns)
      expect(ran).toEqual([0, 5, 3, 4])
    }),
  )
  it.effect("4.9 drops nothing for a message that is not accepted in the end", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 2, whenFull: "dropOldest" } })
      let refuses = false
      const world = yield* makeWorld({
        actors: [Worker],
        wrap: (store) =>
          FaultyStore.wrap(store, () => (refuses ? { _tag: "refuse", reason: "full" } : undefined)).store,
      })
      const tell = (n: number, idempotencyKey = `${n}`) => world.system.tell(ref, "Work", { n }, { idempotencyKey })
      for (const n of [0, 1, 2]) yield* tell(n)
      refuses = true
      expect(yield* Effect.flip(tell(3))).toMatchObject({ _tag: "RetryableStoreFailure" })
      refuses = false
      // A repeated one, and one whose key was used for another.
      yield* tell(1)
      expect(yield* Effect.flip(tell(9, "1"))).toMatchObject({ _tag: "TerminalIdempotencyConflict" })
      yield* turns
      expect(rows(world).map(({ status }) => status)).toEqual(["running", "pending", "pending"])
      for (let n = 0; n < 3; n++) yield* Effect.andThen(gate.open, turns)
      expect(ran).toEqual([0, 1, 2])
    }),
  )
  it.effect("4.10 holds its bound against many at once, each of which has another go", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 3, whenFull: "dropOldest" } })
      const world = yield* makeWorld({ actors: [Worker] })
      const sends = Array.from({ length: 20 }, (_, n) => Effect.exit(world.system.tell(ref, "Work", { n })))
      const exits = yield* Effect.all(sends, { concurrency: "unbounded" })
      yield* turns
      const accepted = exits.filter(({ _tag }) => _tag === "Success").length
      // Those on their way count as if they waited: one runs, three have places, and each of them is passed once at a time.
      expect(accepted).toBeGreaterThan(4)
      const waiting = rows(world).filter(({ status }) => status === "pending")
      expect(waiting.length).toBe(3)
      const droppedOnes = rows(world).filter(({ status }) => status === "cancelled").length
      expect(1 + waiting.length + droppedOnes).toBe(accepted)
      for (let n = 0; n < 4; n++) yield* Effect.andThen(gate.open, turns)
      expect(ran.length).toBe(4)
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
  it.effect("4.11 drops for what a handler sends only once that is sealed", () =>
    Effect.gen(function* () {
      const { Worker, ref } = gated({ mailbox: { capacity: 1, whenFull: "dropOldest" } })
      const gate = new Gate()
      const Sender = makeWorker("sender", (n, actor) =>
        Effect.gen(function* () {
          yield* Effect.orDie(actor.send(ref, "Work", { n: 10 + n }))
          yield* gate.pass
          if (n === 1) return yield* Effect.fail({ _tag: "TerminalTrouble" as const, message: "no" })
          return n
        }),
      )
      const world = yield* makeWorld({ actors: [Worker, Sender] })
      yield* tellAll(world, ref, 2)
      yield* world.system.tell(Sender.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* gate.open
      yield* turns
      expect(row(world, 1).status).toBe("pending")
      yield* world.system.tell(Sender.ref("a"), "Work", { n: 2 })
      yield* turns
      expect(row(world, 1).status).toBe("pending")
      yield* gate.open
      yield* turns
      expect(row(world, 1)).toMatchObject({ status: "cancelled" })
      expect(rows(world).at(-1)).toMatchObject({ actorType: "worker", status: "pending", body: '{"n":12}' })
    }),
  )
  it.effect("4.12 may be of the whole system: refused by name, whatever the mailbox would do, and free again", () =>
    Effect.gen(function* () {
      for (const whenFull of ["reject", "wait", "dropOldest"] as const) {
        const { Worker, gate } = gated({ mailbox: { whenFull } })
        const world = yield* makeWorld({ actors: [Worker], waitingMax: 3 })
        const tell = (id: string, n: number) => world.system.tell(Worker.ref(id), "Work", { n })
        for (let round = 0; round < 3; round++) {
          for (const id of ["a", "b"]) yield* Effect.andThen(tell(id, 1), tell(id, 2))
          const late = yield* world.system.tell(Worker.ref("c"), "Work", { n: 3 }, { delayMs: 1_000 })
          const refused = yield* Effect.flip(tell("a", 4))
          expect(refused).toMatchObject({ _tag: "RetryableSystemFull", waiting: 3, limit: 3, retryAfterMs: 1_000 })
          expect(refused.message).toBe(
            "The actor system has 3 messages waiting in memory, as many as waitingMax allows; send again in about 1000 ms, or open the system with a higher waitingMax.",
          )
          // What need not wait is run.
          yield* tell("d", 5)
          yield* world.system.cancel(late)
          for (let n = 0; n < 3; n++) yield* Effect.andThen(gate.open, turns)
          expect(yield* world.system.unfinished).toBe(0)
        }
      }
    }),
  )
  it.effect("4.13 takes back what was accepted, past every bound: recovery, and what is tried again", () =>
    Effect.gen(function* () {
      const roomy = gated()
      const world = yield* makeWorld({ actors: [roomy.Worker] })
      yield* tellAll(world, roomy.ref, 10)
      yield* turns
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 2 } })
      yield* world.crashInto({ actors: [Worker], waitingMax: 2 })
      yield* turns
      expect(yield* Effect.flip(world.system.tell(ref, "Work", { n: 99 }))).toMatchObject({ limit: 2, waiting: 9 })
      for (let n = 0; n < 10; n++) yield* Effect.andThen(gate.open, turns)
      expect(ran).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      yield* world.system.tell(ref, "Work", { n: 10 })
    }),
  )
  it.effect("4.14 lets in those who wait when its actor ends, and they are dead letters like all others", () =>
    Effect.gen(function* () {
      const { Worker, ref } = gated({ mailbox: { capacity: 1, whenFull: "wait" } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* tellAll(world, ref, 2)
      const waiting = yield* Effect.forkChild(Effect.flip(world.system.ask(ref, "Work", { n: 2 })), {
        startImmediately: true,
      })
      yield* turns
      yield* world.system.stop({ type: "worker", id: "a" }, "no longer needed")
      yield* turns
      expect(yield* Fiber.join(waiting)).toMatchObject({ _tag: "TerminalDeadLetter" })
    }),
  )

  const act = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("send" as const),
        priority: fc.integer({ min: -1, max: 1 }),
        timeoutMs: fc.option(fc.integer({ min: 1, max: 50 }), { freq: 3 }),
        delayMs: fc.option(fc.integer({ min: 1, max: 20 }), { freq: 5 }),
        leaves: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("finish" as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), index: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), index: fc.nat(20) }) },
  )
  it("4.15 holds its bound under every policy, loses nobody, and is free again at the end", () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom("reject" as const, "wait" as const, "dropOldest" as const),
        fc.array(act, { maxLength: 60 }),
        (whenFull, acts) =>
          Effect.gen(function* () {
            const { Worker, gate, ref } = gated({ mailbox: { capacity: 3, whenFull, waitersMax: 4 } })
            const world = yield* makeWorld({ actors: [Worker] })
            const senders: Array<Fiber.Fiber<unknown, unknown>> = []
            for (const each of acts) {
              if (each.kind === "finish") yield* gate.open
              else if (each.kind === "turn") yield* Effect.yieldNow
              else if (each.kind === "time") yield* TestClock.adjust(each.ms)
              else if (each.kind === "cancel") {
                // It may wait for a message that is on its way into memory.
                yield* Effect.forkDetach(world.system.cancel(rows(world)[each.index]?.id ?? ""), {
                  startImmediately: true,
                })
              } else if (each.kind === "leave") senders[each.index]?.interruptUnsafe()
              else {
                const { delayMs, leaves, priority, timeoutMs } = each
                const options = {
                  priority,
                  ...(timeoutMs === null ? {} : { timeoutMs }),
                  ...(delayMs === null ? {} : { delayMs }),
                }
                const n = senders.length
                const send = leaves
                  ? world.system.ask(ref, "Work", { n }, options)
                  : world.system.tell(ref, "Work", { n }, options)
                senders.push(yield* Effect.forkDetach(send, { startImmediately: true }))
              }
              // What goes for another waits until that is written, and then until its own end is.
              if (whenFull === "dropOldest") yield* turns
              const pending = rows(world).filter(({ status }) => status === "pending").length
              expect(pending).toBeLessThanOrEqual(3)
            }
            for (let n = 0; n < 70; n++) yield* Effect.andThen(gate.open, TestClock.adjust(10))
            for (const sender of senders) expect(sender.pollUnsafe()).not.toBe(undefined)
            expect(rows(world).filter(({ status }) => status === "pending" || status === "running")).toEqual([])
            expect(yield* world.system.unfinished).toBe(0)
            // As many places as at first: one runs, three wait.
            yield* tellAll(world, ref, 4)
            expect(
              rows(world)
                .slice(-4)
                .map(({ status }) => status),
            ).toEqual(["running", "pending", "pending", "pending"])
          }).pipe(Effect.scoped, Effect.provide([TestClock.layer(), Logger.layer([])]), Effect.runPromise),
      ),
      { numRuns: 60 },
    ))
})
