/** What a mailbox promises, through the whole runtime: order, bounds, what is put aside, and whom nobody holds up. */
import { describe, expect, it } from "@effect/vitest"
import { isFinal } from "@pontoon/runtime"
import { Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { Counter, Gate, makeWorker } from "./support/actors.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

/** A worker that writes down what it runs, and stops at a gate. */
const gated = (options: Parameters<typeof makeWorker>[2] = {}) => {
  const gate = new Gate()
  const ran: Array<number> = []
  const Worker = makeWorker(
    "worker",
    (n) =>
      Effect.suspend(() => {
        ran.push(n)
        return Effect.as(gate.pass, n * 10)
      }),
    options,
  )
  return { Worker, gate, ran, ref: Worker.ref("a") }
}

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
      yield* world.system.cancel(id)
      yield* cleaning.open
      yield* turns
      expect(row(world, 1)).toMatchObject({ status: "cancelled", attempt: 1 })
    }),
  )
})
