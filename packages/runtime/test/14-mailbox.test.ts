/** What a mailbox promises, through the whole runtime: order, bounds, what is put aside, and whom nobody holds up. */
import { describe, expect, it } from "@effect/vitest"
import { isFinal } from "@pontoon/runtime"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { Counter, Gate, makeWorker } from "./support/actors.ts"
import { makeWorld, row, rows, turns } from "./support/World.ts"

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
