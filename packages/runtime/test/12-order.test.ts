/** In which order messages run, and that one which cannot be run keeps nobody behind it from it. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, makePool } from "@pontoon/runtime"
import { Effect, Logger, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { Gate, makeWorker, RetryableTrouble } from "./support/actors.ts"
import { makeWorld, rows, turns, type World } from "./support/World.ts"

/** Remembers what it took, in the order in which it took effect. `fails` attempts of every third message go wrong. */
const makeBook = (name: string, strict: boolean, fails: number) =>
  Actor.make(name, {
    protocol: [Rpc.make("Note", { payload: { n: Schema.Number } })],
    state: Schema.Array(Schema.Number),
    initialState: [],
    mailbox: { strict },
    retry: { attemptsMax: 50, backoff: { baseMs: 20, factor: 1, maxMs: 20, jitter: 0.5 } },
    handlers: {
      Note: ({ n }, actor) =>
        Effect.gen(function* () {
          yield* Effect.yieldNow
          if (n % 3 === 0 && actor.message.attempt <= fails) return yield* new RetryableTrouble({ message: "not yet" })
          actor.setState([...actor.state, n])
        }),
    },
  })
const Plain = makeBook("plain", false, 0)
const Flaky = makeBook("flaky", false, 2)
const Strict = makeBook("strict", true, 2)

const noted = (world: World, key: string): ReadonlyArray<number> => {
  const state = world.log.actors.get(key)?.state
  return state == null ? [] : JSON.parse(state)
}

describe("1 messages of the same priority", () => {
  const action = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant("send" as const),
        to: fc.constantFrom("plain/a", "plain/b", "flaky/a", "strict/a"),
        priority: fc.constantFrom(0, 0, 0, 2),
        waits: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("turns" as const), count: fc.nat(6) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.nat(60) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("die" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("backwards" as const) }) },
  )
  it("1.1 take effect in the order of their acceptance, each once, over random loads, deaths and clocks", () =>
    fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 60 }), (actions) =>
        Effect.gen(function* () {
          const world = yield* makeWorld({ actors: [Plain, Flaky, Strict] })
          let sent = 0
          const priorities = new Map<number, number>()
          for (const each of actions) {
            if (each.kind === "die") yield* world.crash
            else if (each.kind === "time") yield* TestClock.adjust(each.ms)
            else if (each.kind === "turns") for (let turn = 0; turn < each.count; turn++) yield* Effect.yieldNow
            else if (each.kind === "backwards") {
              yield* TestClock.setTime(
                yield* Effect.map(
                  Effect.clockWith((clock) => clock.currentTimeMillis),
                  (nowMs) => Math.max(0, nowMs - 500),
                ),
              )
            } else {
              const [type, id] = each.to.split("/")
              const actor = type === "plain" ? Plain : type === "flaky" ? Flaky : Strict
              const n = sent++
              priorities.set(n, each.priority)
              const told = world.system.tell(actor.ref(id ?? ""), "Note", { n }, { priority: each.priority })
              // Whoever does not wait sends the next one before this one is on disk.
              if (each.waits) yield* Effect.ignore(told)
              else yield* Effect.forkDetach(Effect.ignore(told), { startImmediately: true })
            }
          }
          // What was sent last may not be accepted yet.
          yield* turns
          for (let step = 0; step < 200 && (yield* world.system.unfinished) > 0; step++) {
            yield* Effect.andThen(TestClock.adjust(100), turns)
          }
          yield* turns
          expect(yield* world.system.unfinished).toBe(0)
          const log = rows(world)
          for (const key of ["plain/a", "plain/b", "strict/a", "flaky/a"]) {
            const own = log.filter(({ actorId, actorType }) => `${actorType}/${actorId}` === key)
            const accepted = own.map(({ body }): number => JSON.parse(body).n)
            // What is in the log first was sent first.
            expect(accepted).toEqual(accepted.toSorted((a, b) => a - b))
            const done = noted(world, key)
            expect(done.toSorted((a, b) => a - b)).toEqual(accepted)
            for (const priority of [0, 2]) {
              // Only what was put off by its own backoff is passed, where the mailbox is not strict.
              const inOrder = (n: number) => priorities.get(n) === priority && (key !== "flaky/a" || n % 3 !== 0)
              expect(done.filter(inOrder)).toEqual(accepted.filter(inOrder))
            }
          }
        }).pipe(Effect.scoped, Effect.provide([TestClock.layer(), Logger.layer([])]), Effect.runPromise),
      ),
      { numRuns: 40 },
    ))
  it.effect("1.2 that a handler sends come in the order of its sends, behind what was accepted before its seal", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Sender = makeWorker("sender", (n, actor) =>
        Effect.gen(function* () {
          for (let index = 0; index < 3; index++)
            yield* Effect.orDie(actor.send(Plain.ref("a"), "Note", { n: 10 + index }))
          yield* gate.pass
          return n
        }),
      )
      const world = yield* makeWorld({ actors: [Plain, Sender] })
      yield* world.system.tell(Sender.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.system.tell(Plain.ref("a"), "Note", { n: 1 })
      yield* gate.open
      yield* turns
      yield* world.system.tell(Plain.ref("a"), "Note", { n: 2 })
      yield* turns
      expect(noted(world, "plain/a")).toEqual([1, 10, 11, 12, 2])
    }),
  )
  it.effect("1.3 that move within their pool come to their old place among those of the other target", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const ran: Array<string> = []
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.suspend(() => {
          ran.push(`${actor.self.id}${n}`)
          return Effect.as(gate.pass, n)
        }),
      )
      const pool = makePool("workers", { targets: [Worker.ref("a"), Worker.ref("b")] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      for (let n = 0; n < 8; n++) yield* world.system.tell(pool.ref, "Work", { n })
      yield* turns
      yield* world.system.stop({ type: "worker", id: "b" }, "no longer needed")
      yield* turns
      for (let n = 0; n < 8; n++) yield* Effect.andThen(gate.open, turns)
      const ofA = ran.filter((each) => each.startsWith("a")).map((each) => Number(each.slice(1)))
      expect(ofA).toEqual(ofA.toSorted((x, y) => x - y))
      expect(new Set(ran.map((each) => each.slice(1))).size).toBe(8)
    }),
  )
})

describe("2 a poisoned message", () => {
  const poisonous = (how: "retryable" | "throws", strict: boolean) => {
    const ran: Array<number> = []
    const Worker = makeWorker(
      "worker",
      (n) =>
        Effect.suspend(() => {
          ran.push(n)
          if (n !== 0) return Effect.succeed(n)
          return how === "throws" ? Effect.die("poison") : Effect.fail(new RetryableTrouble({ message: "poison" }))
        }),
      {
        mailbox: { strict },
        retry: { attemptsMax: 3, backoff: { baseMs: 1_000, factor: 1, maxMs: 1_000, jitter: 0 } },
        supervision: { restartsMax: 10, backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 } },
      },
    )
    return { Worker, ran }
  }

  for (const how of ["retryable", "throws"] as const) {
    it.effect(`2.1 that is ${how} is passed by those behind it while it is in backoff`, () =>
      Effect.gen(function* () {
        const { Worker, ran } = poisonous(how, false)
        const world = yield* makeWorld({ actors: [Worker] })
        for (const n of [0, 1, 2]) yield* world.system.tell(Worker.ref("a"), "Work", { n })
        yield* turns
        yield* TestClock.adjust(10)
        yield* turns
        expect(ran).toEqual([0, 1, 2])
        for (let step = 0; step < 3; step++) yield* Effect.andThen(TestClock.adjust(1_100), turns)
        expect(rows(world).map(({ attempt, status }) => [status, attempt])).toEqual([
          ["dead", 3],
          ["done", 1],
          ["done", 1],
        ])
      }),
    )
    it.effect(`2.2 that is ${how} holds a strict mailbox until it is dead, and no longer`, () =>
      Effect.gen(function* () {
        const { Worker, ran } = poisonous(how, true)
        const world = yield* makeWorld({ actors: [Worker] })
        for (const n of [0, 1, 2]) yield* world.system.tell(Worker.ref("a"), "Work", { n })
        yield* turns
        yield* TestClock.adjust(500)
        yield* turns
        expect(ran).toEqual([0])
        for (let step = 0; step < 3; step++) yield* Effect.andThen(TestClock.adjust(1_100), turns)
        expect(ran).toEqual([0, 0, 0, 1, 2])
        expect(rows(world).map(({ status }) => status)).toEqual(["dead", "done", "done"])
      }),
    )
  }
  for (const strict of [false, true]) {
    it.effect(`2.3 that kills its process every time is dead after its attempts (strict: ${strict})`, () =>
      Effect.gen(function* () {
        let kills = 0
        const Worker = makeWorker("worker", (n) => (n === 0 ? Effect.never : Effect.succeed(n)), {
          mailbox: { strict },
          retry: { attemptsMax: 3 },
        })
        const world = yield* makeWorld({ actors: [Worker] })
        for (const n of [0, 1, 2]) yield* world.system.tell(Worker.ref("a"), "Work", { n })
        while (rows(world)[0]?.status !== "dead" && kills < 10) {
          yield* turns
          kills++
          yield* world.crash
        }
        yield* turns
        expect(kills).toBe(3)
        expect(rows(world).map(({ status }) => status)).toEqual(["dead", "done", "done"])
      }),
    )
  }
  it.effect("2.4 whose body no handler can read ends at once, and nobody waits", () =>
    Effect.gen(function* () {
      const before = makeWorker("worker", () => Effect.never)
      const world = yield* makeWorld({ actors: [before] })
      for (const n of [0, 1]) yield* world.system.tell(before.ref("a"), "Work", { n })
      const Narrower = Actor.make("worker", {
        protocol: [
          Rpc.make("Work", { payload: { n: Schema.Number.check(Schema.isGreaterThan(0)) }, success: Schema.Number }),
        ],
        handlers: { Work: ({ n }) => Effect.succeed(n) },
      })
      yield* world.crashInto({ actors: [Narrower] })
      yield* turns
      expect(rows(world).map(({ status }) => status)).toEqual(["failed", "done"])
    }),
  )
})
