/** Equal requests that share one run: misuse first, then who gets what, then that a death at any commit changes none of it. */
import { describe, expect, it } from "@effect/vitest"
import { type Actor, type CoalescerOptions, makeCoalescer, makePool } from "@pontoon/runtime"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import {
  Declared,
  Gate,
  makeTalker,
  makeWorker,
  RetryableTrouble,
  Talk,
  TerminalTrouble,
  Work,
} from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, rows, turns, type World } from "./support/World.ts"

/** Counts its runs, and waits at the gate in each. */
const makeModel = () => {
  const gate = new Gate()
  const Model = makeWorker(
    "model",
    (n) =>
      Effect.andThen(gate.pass, (): Effect.Effect<number, Declared | TerminalTrouble> => {
        if (n === -1) return Effect.fail(new Declared({ message: "no" }))
        if (n === -2) return Effect.fail(new TerminalTrouble({ message: "broken" }))
        return Effect.succeed(n * 2)
      }),
    { concurrency: 8 },
  )
  return { gate, Model }
}

const shared = (options: Partial<CoalescerOptions<Work, Work>> = {}) => {
  const { gate, Model } = makeModel()
  const Shared = makeCoalescer("shared", { task: Work, to: Model.ref("m"), ...options })
  return { gate, Model, Shared, actors: [Model, ...Shared.actors] as ReadonlyArray<Actor.AnyActor> }
}

const runsOf = (world: World) => rows(world).filter(({ actorType }) => actorType === "model")
const ask = (world: World, ref: Actor.Ref<Work>, n: number, options = {}) =>
  Effect.forkChild(Effect.exit(world.system.ask(ref, "Work", { n }, options)), { startImmediately: true })
const replies = <A, E>(fibers: ReadonlyArray<Fiber.Fiber<Exit.Exit<A, E>>>) => Effect.forEach(fibers, Fiber.join)

describe("1 a coalescer", () => {
  it("1.1 that cannot work is refused where it is written", () => {
    const { Model } = makeModel()
    const make = (options: object) => () => makeCoalescer("shared", { task: Work, to: Model.ref("m"), ...options })
    const is = "The coalescer shared is not defined well: "
    expect(make({ ttlMs: -1 })).toThrow(`${is}ttlMs must be a whole number from 0 to 86400000, and is -1.`)
    expect(make({ slots: 0 })).toThrow(`${is}slots must be a whole number from 1 to 1000000, and is 0.`)
    expect(make({ waitersMax: 1.5 })).toThrow(`${is}waitersMax must be a whole number from 1 to 100000, and is 1.5.`)
    const Talker = makeTalker("talker", () => Effect.succeed(""))
    expect(() => makeCoalescer("shared", { task: Talk, to: Talker.ref("t") })).toThrow(
      `${is}Talk streams, and a stream has no one answer to share.`,
    )
  })
  it.effect("1.2 runs once what is asked at the same time, and anew what is asked after it", () =>
    Effect.gen(function* () {
      const { Shared, actors, gate } = shared()
      const world = yield* makeWorld({ actors })
      const same = yield* Effect.forEach([1, 1, 1, 1], (n) => ask(world, Shared.ref, n))
      const other = yield* ask(world, Shared.ref, 5)
      yield* turns
      expect(gate.waiting).toBe(2)
      yield* gate.open
      yield* turns
      expect(yield* replies([...same, other])).toEqual([2, 2, 2, 2, 10].map(Exit.succeed))
      yield* TestClock.adjust(1)
      const after = yield* ask(world, Shared.ref, 1)
      yield* turns
      expect(gate.waiting).toBe(1)
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(after)).toEqual(Exit.succeed(2))
      expect(runsOf(world).length).toBe(3)
    }),
  )
  it.effect("1.3 shares the error that the task declares, and says what else a run ended with", () =>
    Effect.gen(function* () {
      const { Shared, actors, gate } = shared({ ttlMs: 1_000 })
      const world = yield* makeWorld({ actors })
      const declared = yield* Effect.forEach([-1, -1], (n) => ask(world, Shared.ref, n))
      const broken = yield* Effect.forEach([-2, -2], (n) => ask(world, Shared.ref, n))
      yield* turns
      yield* gate.open
      yield* turns
      expect(yield* replies(declared)).toEqual([1, 2].map(() => Exit.fail(new Declared({ message: "no" }))))
      for (const exit of yield* replies(broken)) {
        expect(yield* Effect.flip(exit)).toMatchObject({
          _tag: "TerminalMessageFailed",
          tag: "TerminalSharedRun",
          message: "broken",
        })
      }
      expect(runsOf(world).length).toBe(2)
      // No error is kept.
      yield* TestClock.adjust(1)
      yield* ask(world, Shared.ref, -1)
      yield* turns
      expect(runsOf(world).length).toBe(3)
      yield* gate.open
      yield* turns
    }),
  )
  it.effect(
    "1.4 answers from what it has for as long as it is told to keep it, by the key of the payload, over a restart",
    () =>
      Effect.gen(function* () {
        const { Shared, actors, gate } = shared({ ttlMs: 1_000, by: ({ n }) => `${n % 2}` })
        const world = yield* makeWorld({ actors })
        const first = yield* ask(world, Shared.ref, 1)
        yield* turns
        yield* gate.open
        yield* turns
        expect(yield* Fiber.join(first)).toEqual(Exit.succeed(2))
        yield* world.crash
        yield* TestClock.adjust(999)
        // The key is the same, and so the answer.
        expect(yield* world.system.ask(Shared.ref, "Work", { n: 3 })).toBe(2)
        yield* TestClock.adjust(1)
        const late = yield* ask(world, Shared.ref, 3)
        yield* turns
        yield* gate.open
        yield* turns
        expect(yield* Fiber.join(late)).toEqual(Exit.succeed(6))
      }),
  )
  it.effect("1.5 runs on when who began it leaves; begins anew when his deadline took the run away", () =>
    Effect.gen(function* () {
      const { Shared, actors, gate } = shared()
      const world = yield* makeWorld({ actors })
      const first = yield* ask(world, Shared.ref, 1)
      const second = yield* ask(world, Shared.ref, 1)
      yield* turns
      yield* Fiber.interrupt(first)
      yield* turns
      expect([gate.waiting, gate.interrupted]).toEqual([1, 0])
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(second)).toEqual(Exit.succeed(2))
      expect(runsOf(world).length).toBe(1)
      const brief = yield* ask(world, Shared.ref, 7, { timeoutMs: 100 })
      const patient = yield* ask(world, Shared.ref, 7)
      yield* turns
      yield* TestClock.adjust(100)
      yield* turns
      expect(yield* Effect.flip(yield* Fiber.join(brief))).toMatchObject({ _tag: "TerminalExpired" })
      expect(gate.waiting).toBe(1)
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(patient)).toEqual(Exit.succeed(14))
      expect(runsOf(world).map(({ status }) => status)).toEqual(["done", "expired", "done"])
    }),
  )
  it.effect("1.6 keeps few results a slot, and no more than its waiters wait", () =>
    Effect.gen(function* () {
      const { Shared, actors, gate } = shared({ ttlMs: 60_000, slots: 1, waitersMax: 6 })
      const world = yield* makeWorld({ actors })
      const fibers = yield* Effect.forEach(
        Array.from({ length: 12 }, (_, n) => n),
        (n) => ask(world, Shared.ref, n),
      )
      yield* turns
      // One slot: they take turns. The front has six, the others wait in its mailbox.
      expect(gate.waiting).toBe(1)
      expect(rows(world).filter(({ actorType, status }) => actorType === "shared" && status === "running").length).toBe(
        6,
      )
      for (let n = 0; n < 12; n++) {
        yield* gate.open
        yield* turns
      }
      expect(yield* replies(fibers)).toEqual(fibers.map((_, n) => Exit.succeed(n * 2)))
      const state = JSON.parse(world.log.actors.get("shared-runs/0")?.state ?? "{}")
      expect(state.runs).toBe(12)
      expect(state.results.length).toBe(4)
    }),
  )
  it.effect("1.7 may answer for a pool, and tries again while that cannot take a request", () =>
    Effect.gen(function* () {
      let tries = 0
      const Flaky = makeWorker("flaky", (n) =>
        tries++ < 2 ? Effect.fail(new RetryableTrouble({ message: "not now" })) : Effect.succeed(n),
      )
      const pool = makePool("models", { targets: [Flaky.ref("a"), Flaky.ref("b"), Flaky.ref("c")] })
      const Shared = makeCoalescer("shared", { task: Work, to: pool.ref })
      const world = yield* makeWorld({
        actors: [Flaky, ...Shared.actors] as ReadonlyArray<Actor.AnyActor>,
        pools: [pool],
      })
      const fibers = yield* Effect.forEach([4, 4], (n) => ask(world, Shared.ref, n))
      yield* turns
      yield* TestClock.adjust(10_000)
      yield* turns
      expect(yield* replies(fibers)).toEqual([4, 4].map(Exit.succeed))
      expect(tries).toBe(3)
    }),
  )
  it.effect("1.8 gives all who asked the one answer, wherever it dies", () =>
    Effect.gen(function* () {
      const Model = makeWorker("model", (n) => Effect.succeed(n * 2))
      const Shared = makeCoalescer("shared", { task: Work, to: Model.ref("m"), ttlMs: 1_000_000 })
      const deaths = yield* everyCommit({
        actors: [Model, ...Shared.actors] as ReadonlyArray<Actor.AnyActor>,
        drive: ({ system }) =>
          Effect.all(
            ["a", "b", "c"].map((idempotencyKey) => system.ask(Shared.ref, "Work", { n: 3 }, { idempotencyKey })),
            { concurrency: "unbounded" },
          ),
        check: (world, died) =>
          Effect.gen(function* () {
            const asked = rows(world).filter(({ actorType }) => actorType === "shared")
            // A death before they were accepted leaves fewer of them.
            expect([died, new Set(asked.map(({ reply }) => reply))]).toEqual([
              died,
              asked.length === 0 ? new Set() : new Set(["6"]),
            ])
            expect(runsOf(world).length).toBe(Math.min(1, asked.length))
            expect(yield* world.system.unfinished).toBe(0)
          }),
      })
      expect(deaths).toBeGreaterThan(5)
    }),
  )
})
