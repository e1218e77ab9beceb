/** What is broken for good costs what is left of its limits, and not the system, however often the process is restarted. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, makePool } from "@pontoon/runtime"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { Counter, makeWorker, RetryableTrouble } from "./support/actors.ts"
import { lifecycleOf, makeWorld, row, rows, turns, type World } from "./support/World.ts"

const PROCESSES = 10

/** Others are served by every process. */
const servesOthers = (world: World, n: number) =>
  Effect.gen(function* () {
    expect(yield* world.system.ask(Counter.ref("healthy"), "Add", { by: 1 })).toBe(n)
  })

/** Whatever has a time to wait for has waited for it. */
const settle = Effect.gen(function* () {
  for (let step = 0; step < 8; step++) {
    yield* turns
    yield* TestClock.adjust(500)
  }
})

describe("over ten processes", () => {
  const ran: Array<number> = []
  const version = (number: number) =>
    Actor.make("book", {
      protocol: [Rpc.make("Read", { payload: Schema.Int, success: Schema.Int })],
      state: Schema.Struct({ pages: Schema.Int }),
      initialState: { pages: 0 },
      version: number,
      handlers: {
        Read: (n, actor) =>
          Effect.sync(() => {
            ran.push(n)
            return actor.state.pages
          }),
      },
    })
  const address = { type: "book", id: "b" }

  it.effect.each([
    ["that does not fit", '{"pages":"many"}', 1, /^the state of book\/b does not fit its schema: /],
    ["that is no JSON", "{", 1, /^the state of book\/b does not fit its schema: /],
    [
      "of a newer program",
      '{"pages":7}',
      9,
      /^the state of book\/b has version 9, and this program reads up to 1; run the newer program\.$/,
    ],
  ] as const)(
    "1. a state %s is left alone, fails its actor, and each process runs nothing",
    ([, state, stored, reason]) =>
      Effect.gen(function* () {
        ran.length = 0
        const Book = version(1)
        const world = yield* makeWorld({ actors: [Book, Counter] })
        world.log.actors.set("book/b", {
          address,
          lifecycle: "ready",
          state,
          version: stored,
          restarts: 0,
          updatedAtMs: 0,
        })
        for (let n = 1; n <= PROCESSES; n++) {
          // Three that wait when the process dies: a recovery finds them.
          for (let each = 0; each < 3; each++) yield* world.system.tell(Book.ref("b"), "Read", each, { delayMs: 100 })
          yield* world.crash
          yield* settle
          yield* servesOthers(world, n)
          expect(yield* world.system.lifecycle(address)).toBe("failed")
          expect(world.log.actors.get("book/b")).toMatchObject({ state, lifecycle: "failed" })
          expect(world.log.lifecycle.findLast(({ actorId }) => actorId === "b")?.reason).toMatch(reason)
          yield* world.crash
        }
        const books = rows(world).filter(({ actorType }) => actorType === "book")
        expect(books.length).toBe(3 * PROCESSES)
        expect(new Set(books.map(({ status }) => status))).toEqual(new Set(["dead"]))
        expect(lifecycleOf(world, "book/b")).toEqual(Array.from({ length: PROCESSES }, () => "ready GAVE_UP failed"))
        expect(ran).toEqual([])
      }),
  )
  it.effect("2. the program that can read the state goes on with it, and its dead letters can be redriven", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [version(1)] })
      world.log.actors.set("book/b", {
        address,
        lifecycle: "ready",
        state: '{"pages":7}',
        version: 2,
        restarts: 0,
        updatedAtMs: 0,
      })
      expect(yield* Effect.flip(world.system.ask(version(1).ref("b"), "Read", 1))).toMatchObject({
        lastTag: "TerminalActorFailed",
      })
      yield* world.crashInto({ actors: [version(2)] })
      yield* world.system.redrive(row(world).id)
      expect((yield* world.system.outcome(row(world).id)).reply).toBe("7")
    }),
  )
  it.effect("3. a start that throws for ever is begun once a process, as soon as its restarts are used up", () =>
    Effect.gen(function* () {
      let starts = 0
      const Broken = makeWorker<number>("broken", (n) => Effect.succeed(n), {
        start: () =>
          Effect.suspend(() => {
            starts++
            return Effect.fail(new RetryableTrouble({ message: "no GPU" }))
          }),
        supervision: { restartsMax: 3, withinMs: 600_000, backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 } },
      })
      const pool = makePool("pool", { targets: [Broken.ref("a")] })
      const world = yield* makeWorld({ actors: [Broken, Counter], pools: [pool] })
      const perProcess: Array<number> = []
      for (let n = 1; n <= PROCESSES; n++) {
        yield* settle
        yield* servesOthers(world, n)
        expect(yield* world.system.lifecycle({ type: "broken", id: "a" })).toBe("failed")
        perProcess.push(starts)
        starts = 0
        yield* world.crash
      }
      expect(perProcess).toEqual([4, ...Array.from({ length: PROCESSES - 1 }, () => 1)])
      // Out of its window, it has its restarts again.
      yield* settle
      yield* TestClock.adjust(600_000)
      starts = 0
      yield* world.crash
      yield* settle
      expect(starts).toBe(4)
    }),
  )
  it.effect(
    "4. handlers that throw bring their actor down within its limit, also where each process dies in between",
    () =>
      Effect.gen(function* () {
        const Worker = makeWorker(
          "worker",
          () =>
            Effect.sync(() => {
              throw new Error("a mistake")
            }),
          {
            supervision: {
              restartsMax: 3,
              withinMs: 600_000,
              backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 },
            },
            retry: { attemptsMax: 1 },
          },
        )
        const world = yield* makeWorld({ actors: [Worker] })
        const states: Array<string | undefined> = []
        for (let n = 1; n <= 6; n++) {
          yield* Effect.ignore(world.system.ask(Worker.ref("a"), "Work", { n }))
          yield* turns
          yield* TestClock.adjust(10)
          yield* turns
          states.push(yield* world.system.lifecycle({ type: "worker", id: "a" }))
          yield* world.crash
        }
        expect(states).toEqual(["ready", "ready", "ready", "failed", "failed", "failed"])
      }),
  )
  it.effect("5. a message that kills its process is run as often as it may, and then by none", () =>
    Effect.gen(function* () {
      let runs = 0
      const Killer = makeWorker(
        "killer",
        () => {
          runs++
          return Effect.never
        },
        { retry: { attemptsMax: 3 } },
      )
      const world = yield* makeWorld({ actors: [Killer, Counter] })
      yield* world.system.tell(Killer.ref("a"), "Work", { n: 1 })
      for (let n = 1; n <= PROCESSES; n++) {
        yield* settle
        yield* servesOthers(world, n)
        yield* world.crash
      }
      expect([runs, row(world).status]).toEqual([3, "dead"])
      expect(row(world).error).toContain("RetryableProcessDied")
    }),
  )
  it.effect("6. what was brought back by hand goes on, in this process and in the next ones", () =>
    Effect.gen(function* () {
      let isBroken = true
      const Worker = makeWorker(
        "worker",
        (n) =>
          Effect.sync(() => {
            if (isBroken) throw new Error("a mistake")
            return n
          }),
        { supervision: { restartsMax: 0 }, retry: { attemptsMax: 1 } },
      )
      const world = yield* makeWorld({ actors: [Worker] })
      yield* Effect.ignore(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))
      yield* turns
      isBroken = false
      expect(yield* world.system.restart({ type: "worker", id: "a" }, "mended")).toBe(true)
      for (let n = 1; n <= PROCESSES; n++) {
        expect(yield* world.system.ask(Worker.ref("a"), "Work", { n })).toBe(n)
        yield* world.crash
      }
    }),
  )
})
