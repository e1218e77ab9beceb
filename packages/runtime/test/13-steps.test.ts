/** What a handler records: its steps, how often they are tried, how long it sleeps, and what runs side by side. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, makePool, type StepRow } from "@pontoon/runtime"
import { seededRandom } from "@pontoon/runtime/testing"
import { Effect, Fiber, Logger, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { Counter, Gate, makeWorker, RetryableTrouble, TerminalTrouble, type WorkHandler } from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

const stepsOf = (world: World): ReadonlyArray<StepRow> => world.log.steps.get(row(world).id) ?? []
const named = (world: World) => stepsOf(world).map(({ kind, name, ordinal }) => `${ordinal} ${kind} ${name}`)

/** A worker whose every failure is its message's, and which is run once. */
const makeOnce = (run: (actor: Parameters<WorkHandler>[1]) => Effect.Effect<number, unknown>, attemptsMax = 1) =>
  makeWorker("worker", (_, actor) => run(actor) as Effect.Effect<number, never>, { retry: { attemptsMax } })
const Worker = makeOnce(() => Effect.never)
const work = (world: World) => world.system.ask(Worker.ref("a"), "Work", { n: 1 })
const failure = (world: World) => Effect.map(Effect.flip(work(world)), ({ message }) => message)

/** Sends, crashes when everything rests, and gives the end. */
const dieOnce = (world: World) =>
  Effect.gen(function* () {
    const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
    yield* turns
    yield* world.crash
    yield* turns
    return yield* world.system.outcome(id)
  })

describe("1 a step", () => {
  const cases: ReadonlyArray<readonly [string, object, string, string?]> = [
    ["no name", {}, "the name of a step must have 1 to 200 characters, and has 0", ""],
    ["a name too long", {}, "the name of a step must have 1 to 200 characters, and has 201", "x".repeat(201)],
    ["no try", { retry: { attemptsMax: 0 } }, "retry.attemptsMax of the step s must be a whole number from 1 to 1000"],
    ["endless tries", { retry: { attemptsMax: 1_001 } }, "and is 1001"],
    [
      "no time",
      { timeoutMs: 0 },
      "timeoutMs of the step s must be above 0 and finite, and is 0; leave it out for none",
    ],
    ["endless time", { totalTimeoutMs: Number.POSITIVE_INFINITY }, "totalTimeoutMs of the step s must be above 0"],
  ]
  for (const [what, options, says, name = "s"] of cases) {
    it.effect(`1.1 with ${what} is refused`, () =>
      Effect.gen(function* () {
        const Once = makeOnce((actor) => actor.step(name, Schema.Number, Effect.succeed(1), options))
        const world = yield* makeWorld({ actors: [Once] })
        expect(yield* failure(world)).toContain(says)
        expect(JSON.parse(row(world).error ?? "").tag).toBe("TerminalInvalidStep")
      }),
    )
  }
  it.effect("1.2 is tried again while it fails in a way that may be better, as often as it says", () =>
    Effect.gen(function* () {
      const at: Array<number> = []
      const Once = makeOnce((actor) =>
        actor.step(
          "flaky",
          Schema.Number,
          Effect.clockWith((clock) =>
            Effect.suspend(() => {
              at.push(clock.currentTimeMillisUnsafe())
              return at.length < 4 ? Effect.fail(new RetryableTrouble({ message: "flaky" })) : Effect.succeed(at.length)
            }),
          ),
          { retry: { attemptsMax: 4, backoff: { baseMs: 100, maxMs: 200, jitter: 0 } } },
        ),
      )
      const world = yield* makeWorld({ actors: [Once] })
      const ask = yield* Effect.forkChild(work(world), { startImmediately: true })
      yield* turns
      for (const ms of [100, 200, 200]) {
        yield* TestClock.adjust(ms)
        yield* turns
      }
      expect(yield* Fiber.join(ask)).toBe(4)
      expect(at).toEqual([0, 100, 300, 500])
      expect([row(world).attempt, named(world)]).toEqual([1, ["0 step flaky"]])
    }),
  )
  it.effect(
    "1.3 gives its own failure when its tries are used up, or may not be tried again, and is never tried after a defect",
    () =>
      Effect.gen(function* () {
        const tries: Record<string, number> = {}
        const count = (name: string) =>
          Effect.sync(() => {
            tries[name] = (tries[name] ?? 0) + 1
          })
        const backoff = { baseMs: 1, jitter: 0 }
        const failing = (name: string, error: RetryableTrouble | TerminalTrouble) =>
          Effect.andThen(count(name), Effect.fail(error))
        const Once = makeOnce((actor) =>
          Effect.gen(function* () {
            const trouble = new RetryableTrouble({ message: "always" })
            const terminal = new TerminalTrouble({ message: "no" })
            const step = (name: string, error: RetryableTrouble | TerminalTrouble, retry: object) =>
              Effect.flip(actor.step(name, Schema.Number, failing(name, error), { retry: { backoff, ...retry } }))
            expect(yield* step("default", trouble, {})).toBe(trouble)
            expect(yield* step("terminal", terminal, {})).toBe(terminal)
            expect(yield* step("when", terminal, { when: () => true, attemptsMax: 5 })).toBe(terminal)
            const dying = Effect.andThen(count("defect"), Effect.die("broken"))
            yield* Effect.exit(actor.step("defect", Schema.Number, dying, { retry: {} }))
            return 1
          }),
        )
        const world = yield* makeWorld({ actors: [Once] })
        const ask = yield* Effect.forkChild(work(world), { startImmediately: true })
        for (let turn = 0; turn < 10; turn++) {
          yield* turns
          yield* TestClock.adjust(20)
        }
        yield* Fiber.join(ask)
        expect(tries).toEqual({ default: 3, terminal: 1, when: 5, defect: 1 })
        expect(named(world)).toEqual([])
      }),
  )
  it.effect("1.4 that takes too long fails as one that may be tried, and over all its tries as one that may not", () =>
    Effect.gen(function* () {
      let runs = 0
      const never = Effect.andThen(
        Effect.sync(() => runs++),
        Effect.never,
      )
      const found: Array<unknown> = []
      const Once = makeOnce((actor) =>
        Effect.gen(function* () {
          const backoff = { baseMs: 10, maxMs: 10, jitter: 0 }
          found.push(yield* Effect.flip(actor.step("one", Schema.Number, never, { timeoutMs: 100 })))
          const all = { timeoutMs: 100, totalTimeoutMs: 250, retry: { attemptsMax: 9, backoff } }
          found.push(yield* Effect.flip(actor.step("all", Schema.Number, never, all)))
          return 1
        }),
      )
      const world = yield* makeWorld({ actors: [Once] })
      const ask = yield* Effect.forkChild(work(world), { startImmediately: true })
      for (let turn = 0; turn < 40; turn++) {
        yield* turns
        yield* TestClock.adjust(10)
      }
      yield* Fiber.join(ask)
      const { id } = row(world)
      expect(found).toMatchObject([
        {
          _tag: "RetryableStepTimeout",
          step: "one",
          limitMs: 100,
          message: `The step one of message ${id} did not end within 100 ms.`,
        },
        {
          _tag: "TerminalStepTimeout",
          step: "all",
          limitMs: 250,
          message: `The step all of message ${id} had, over all its tries, no success within 250 ms.`,
        },
      ])
      expect(runs).toBe(1 + 3)
    }),
  )
  it.effect("1.5 begins its tries anew when its handler runs again: they are not in the log", () =>
    Effect.gen(function* () {
      let runs = 0
      const Again = makeOnce(
        (actor) =>
          actor.step(
            "flaky",
            Schema.Number,
            Effect.suspend(() =>
              ++runs < 4 ? Effect.fail(new RetryableTrouble({ message: "flaky" })) : Effect.succeed(runs),
            ),
            { retry: { attemptsMax: 3, backoff: { baseMs: 1_000, jitter: 0 } } },
          ),
        2,
      )
      const world = yield* makeWorld({ actors: [Again] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* TestClock.adjust(1_000)
      yield* turns
      expect(runs).toBe(2)
      yield* world.crash
      yield* turns
      yield* TestClock.adjust(1_000)
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "4" })
    }),
  )
  it.effect("1.6 may ask and take steps within, which nobody asks for again once it is recorded", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Outer = makeOnce(
        (actor) =>
          Effect.gen(function* () {
            const inner = Effect.gen(function* () {
              const one = yield* actor.step("inner", Schema.Number, Effect.succeed(1))
              return one + (yield* actor.ask(Counter.ref("c"), "Add", { by: 1 }))
            })
            const two = yield* actor.step("outer", Schema.Number, inner)
            const three = two + (yield* actor.step("after", Schema.Number, Effect.succeed(1)))
            if (actor.message.attempt === 1) yield* gate.pass
            return three + (yield* actor.ask(Counter.ref("c"), "Add", { by: 1 }))
          }),
        2,
      )
      const world = yield* makeWorld({ actors: [Outer, Counter] })
      expect(yield* dieOnce(world)).toMatchObject({ status: "done", reply: "5" })
      expect(named(world)).toEqual(["1000000000 step inner", "0 step outer", "1 step after"])
      expect(rows(world).map(({ id }) => id.slice(row(world).id.length))).toEqual(["", ".1000000001", ".2"])
    }),
  )
})

describe("2 a handler that is run again", () => {
  const first = makeOnce(
    (actor) =>
      Effect.gen(function* () {
        yield* actor.step("pay", Schema.Number, Effect.succeed(1))
        yield* actor.sleep(10)
        yield* actor.race([Effect.succeed(1), Effect.never])
        yield* actor.ask(Counter.ref("c"), "Add", { by: 1 })
        return yield* Effect.never
      }),
    2,
  )
  type Context = Parameters<WorkHandler>[1]
  const pay = (actor: Context) => actor.step("pay", Schema.Number, Effect.succeed(1))
  const cases: ReadonlyArray<readonly [string, (actor: Context) => Effect.Effect<unknown, unknown>, string]> = [
    [
      "another step",
      (actor) => actor.step("book", Schema.Number, Effect.succeed(1)),
      "now asks for the step book at place 0, where it recorded the step pay",
    ],
    [
      "a sleep for a step",
      (actor) => actor.sleep(1),
      "now asks for a sleep at place 0, where it recorded the step pay",
    ],
    [
      "a race for a step",
      (actor) => actor.race([Effect.void, Effect.void]),
      "now asks for a race of 2 at place 0, where it recorded the step pay",
    ],
    [
      "branches for a step",
      (actor) => actor.all([Effect.void]),
      "now asks for 1 branches at place 0, where it recorded the step pay",
    ],
    [
      "a message for a step",
      (actor) => actor.ask(Counter.ref("c"), "Add", { by: 1 }),
      "now asks for the message Add to counter/c at place 0, where it recorded the step pay",
    ],
    [
      "a step for a sleep",
      (actor) => Effect.andThen(pay(actor), pay(actor)),
      "now asks for the step pay at place 1, where it recorded a sleep",
    ],
    [
      "a step for a race",
      (actor) => Effect.all([pay(actor), actor.sleep(10), pay(actor)]),
      "now asks for the step pay at place 2, where it recorded a race of 2",
    ],
    [
      "a smaller race",
      (actor) => Effect.all([pay(actor), actor.sleep(10), actor.race([Effect.void])]),
      "now asks for a race of 1 at place 2, where it recorded a race of 2",
    ],
    [
      "a step for a message",
      (actor) => Effect.all([pay(actor), actor.sleep(10), actor.race([Effect.void, Effect.void]), pay(actor)]),
      "now asks for the step pay at place 5, where it recorded the message Add to counter/c",
    ],
    [
      "nothing",
      () => Effect.void,
      "recorded the step pay at place 0, a sleep at place 1, a race of 2 at place 2, and its handler, run again, was done without asking for it",
    ],
    [
      "less",
      pay,
      "recorded a sleep at place 1, a race of 2 at place 2, and its handler, run again, was done without asking for it",
    ],
  ]
  for (const [what, run, says] of cases) {
    it.effect(`2.1 and asks for ${what} is refused, with what it did before and what it does now`, () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ actors: [first, Counter] })
        const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
        yield* turns
        yield* TestClock.adjust(10)
        yield* turns
        expect(named(world).length).toBe(3)
        const other = makeOnce((actor) => Effect.as(run(actor), 1), 2)
        yield* world.crashInto({ actors: [other, Counter] })
        yield* turns
        const { error, status } = yield* world.system.outcome(id)
        expect([status, error?.tag]).toEqual(["failed", "TerminalReplayMismatch"])
        expect(error?.message).toBe(
          `Message ${id} ${says}; a handler must ask for the same steps in the same order when it is run again.`,
        )
      }),
    )
  }
  it.effect("2.3 on another type of its pool is not held to what that type never asked for", () =>
    Effect.gen(function* () {
      const Failing = makeWorker("failing", (_, actor) =>
        Effect.andThen(Effect.orDie(pay(actor)), Effect.fail(new RetryableTrouble({ message: "no" }))),
      )
      const Plain = makeWorker("plain", (n) => Effect.succeed(n))
      const pool = makePool("mixed", { targets: [Failing.ref("a"), { ref: Plain.ref("b"), tier: 1 }] })
      const world = yield* makeWorld({ actors: [Failing, Plain], pools: [pool] })
      expect(yield* world.system.ask(pool.ref, "Work", { n: 7 })).toBe(7)
      expect([row(world).attempt, named(world)]).toEqual([2, ["0 step pay"]])
    }),
  )
  it.effect("2.2 may ask for steps beside each other only in branches: chance would number them", () =>
    Effect.gen(function* () {
      const Both = makeOnce((actor) =>
        Effect.map(
          Effect.all([pay(actor), actor.step("book", Schema.Number, Effect.succeed(2))], { concurrency: 2 }),
          ([one]) => one,
        ),
      )
      const world = yield* makeWorld({ actors: [Both] })
      expect(yield* failure(world)).toContain(
        "it asks for the step book beside the step pay, so that their order is left to chance; use actor.all or actor.race",
      )
      expect(stepsOf(world).some(({ name }) => name === "book")).toBe(false)
    }),
  )
})

describe("3 a sleep", () => {
  it.effect("3.1 of no length that can be slept is refused", () =>
    Effect.gen(function* () {
      for (const duration of ["Infinity", "soon", "36501 days"]) {
        const Once = makeOnce((actor) => Effect.as(actor.sleep(duration as never), 1))
        const world = yield* makeWorld({ actors: [Once] })
        expect(yield* failure(world)).toContain(`a sleep must last from 0 to 100 years, and this is ${duration}`)
      }
    }),
  )
  it.effect("3.2 up to a second holds its place, and a restart sleeps only what is left", () =>
    Effect.gen(function* () {
      const woke: Array<string> = []
      const Sleeper = makeOnce(
        (actor) =>
          Effect.andThen(
            actor.sleep("1 second"),
            Effect.clockWith((clock) =>
              Effect.sync(() => woke.push(`${actor.message.attempt}@${clock.currentTimeMillisUnsafe()}`)),
            ),
          ),
        2,
      )
      const world = yield* makeWorld({ actors: [Sleeper] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* TestClock.adjust(400)
      expect(row(world)).toMatchObject({ status: "running", attempt: 1 })
      yield* world.crash
      yield* turns
      yield* TestClock.adjust(599)
      expect(woke).toEqual([])
      yield* TestClock.adjust(1)
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done" })
      // The first one is dead, and does not know it.
      expect(woke.toSorted()).toEqual(["1@1000", "2@1000"])
    }),
  )
  it.effect(
    "3.3 of a day gives its place up, counts for no attempt, lets others pass, and survives any number of restarts",
    () =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const Sleeper = makeWorker(
          "worker",
          (n, actor) =>
            Effect.gen(function* () {
              if (n === 2) return 2
              yield* actor.step(
                "before",
                Schema.Number,
                Effect.sync(() => seen.push("before")),
              )
              yield* actor.sleep("1 day")
              yield* actor.step(
                "between",
                Schema.Number,
                Effect.sync(() => seen.push("between")),
              )
              yield* actor.sleep("1 day")
              actor.setState(actor.state + 1)
              return actor.message.attempt
            }).pipe(Effect.orDie),
          { retry: { attemptsMax: 1 } },
        )
        const world = yield* makeWorld({ actors: [Sleeper] })
        const id = yield* world.system.tell(Sleeper.ref("a"), "Work", { n: 1 })
        yield* turns
        const day = 86_400_000
        expect(row(world)).toMatchObject({
          status: "pending",
          attempt: 1,
          attemptsBefore: 1,
          deliverAtMs: day,
          error: null,
        })
        expect(yield* world.system.ask(Sleeper.ref("a"), "Work", { n: 2 })).toBe(2)
        for (const part of [0.5, 0.25]) {
          yield* world.crash
          yield* turns
          yield* TestClock.adjust(day * part)
          yield* turns
          expect(row(world)).toMatchObject({ status: "pending", attempt: 1 })
        }
        yield* TestClock.adjust(day * 0.25)
        yield* turns
        expect(row(world)).toMatchObject({ status: "pending", attempt: 2, deliverAtMs: 2 * day })
        yield* TestClock.adjust(day)
        expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "3" })
        expect(seen).toEqual(["before", "between"])
        expect(world.log.attempts.get(id)).toBe(undefined)
      }),
  )
  it.effect("3.4 can be taken back and can expire, and what it asked before is answered when it wakes", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Leaf = makeWorker("leaf", (n) => Effect.as(gate.pass, n))
      const Sleeper = makeWorker("worker", (n, actor) =>
        Effect.orDie(
          Effect.map(
            Effect.all([actor.ask(Leaf.ref(`${n}`), "Work", { n }), actor.sleep("1 hour")], { concurrency: 2 }),
            ([answer]) => answer,
          ),
        ),
      )
      const world = yield* makeWorld({ actors: [Sleeper, Leaf] })
      const ask = yield* Effect.forkChild(world.system.ask(Sleeper.ref("a"), "Work", { n: 1 }), {
        startImmediately: true,
      })
      yield* turns
      const cancelled = yield* world.system.tell(Sleeper.ref("b"), "Work", { n: 2 })
      const expired = yield* world.system.tell(Sleeper.ref("c"), "Work", { n: 3 }, { timeoutMs: 1_000 })
      yield* turns
      yield* world.system.cancel(cancelled)
      yield* gate.open
      yield* turns
      yield* TestClock.adjust(3_600_000)
      yield* turns
      expect(yield* Fiber.join(ask)).toBe(1)
      expect(rows(world).filter(({ actorType }) => actorType === "leaf").length).toBe(3)
      expect((yield* world.system.outcome(cancelled)).status).toBe("cancelled")
      expect((yield* world.system.outcome(expired)).status).toBe("expired")
    }),
  )
  it.effect("3.6 is no backoff: a restart does not wake it early, and a failure before it does not either", () =>
    Effect.gen(function* () {
      const day = 86_400_000
      let runs = 0
      const Sleeper = makeWorker(
        "worker",
        (_, actor) =>
          Effect.gen(function* () {
            runs++
            if (actor.message.attempt === 1) return yield* new RetryableTrouble({ message: "first" })
            yield* Effect.orDie(actor.sleep("1 day"))
            return runs
          }),
        { retry: { attemptsMax: 2 } },
      )
      const world = yield* makeWorld({ actors: [Sleeper] })
      const id = yield* world.system.tell(Sleeper.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* TestClock.adjust(1_000)
      yield* turns
      expect([row(world).status, row(world).attempt]).toEqual(["pending", 2])
      yield* world.crash
      for (let hour = 0; hour < 23; hour++) {
        yield* TestClock.adjust(day / 24)
        yield* turns
      }
      expect([row(world).attempt, runs]).toEqual([2, 2])
      yield* TestClock.adjust(day / 24)
      yield* turns
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "3" })
    }),
  )
  it.effect("3.5 that is to hold its place holds it", () =>
    Effect.gen(function* () {
      const Sleeper = makeOnce((actor) => Effect.as(actor.sleep("1 hour", { hold: true }), actor.message.attempt))
      const world = yield* makeWorld({ actors: [Sleeper] })
      const ask = yield* Effect.forkChild(work(world), { startImmediately: true })
      yield* turns
      expect(row(world).status).toBe("running")
      yield* TestClock.adjust(3_600_000)
      expect(yield* Fiber.join(ask)).toBe(1)
    }),
  )
})

describe("4 branches", () => {
  const slow = <A>(ms: number, value: A) => Effect.as(Effect.sleep(ms), value)
  it.effect("4.1 of a number that cannot be are refused", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 1_001 }, () => Effect.succeed(1))
      const cases: ReadonlyArray<
        readonly [(actor: Parameters<WorkHandler>[1]) => Effect.Effect<unknown, unknown>, string]
      > = [
        [(actor) => actor.all([]), "it asks for 0 branches, and may ask for 1 to 1000"],
        [(actor) => actor.all(many), "it asks for 1001 branches"],
        [(actor) => actor.race([]), "it asks for 0 branches"],
        [(actor) => actor.branches(many), "it asks for 1001 branches"],
        [
          (actor) => actor.all([Effect.void], { concurrency: 0 }),
          "concurrency must be a whole number from 1 to 1000, and is 0",
        ],
      ]
      for (const [run, says] of cases) {
        const Once = makeOnce((actor) => Effect.as(run(actor), 1))
        const world = yield* makeWorld({ actors: [Once] })
        expect(yield* failure(world)).toContain(says)
      }
    }),
  )
  it.effect("4.2 have numbers of their own, whoever is quicker, and give every result in order", () =>
    Effect.gen(function* () {
      let delays = [30, 10, 20]
      const keys: Array<ReadonlyArray<string>> = []
      const gate = new Gate()
      const All = makeOnce(
        (actor) =>
          Effect.gen(function* () {
            const branch = (index: number) =>
              Effect.gen(function* () {
                const key = yield* actor.step("first", Schema.String, (each) => slow(delays[index] ?? 0, each))
                const more = yield* actor.step("second", Schema.String, Effect.succeed(`${index}`))
                const asked = yield* actor.ask(Counter.ref(`${index}`), "Add", { by: index })
                return [key, more, `${asked}`]
              })
            keys.push((yield* actor.all([branch(0), branch(1), branch(2)])).flat())
            if (actor.message.attempt === 1) yield* gate.pass
            return yield* actor.step("after", Schema.Number, Effect.succeed(7))
          }),
        2,
      )
      const world = yield* makeWorld({ actors: [All, Counter] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      for (let turn = 0; turn < 4; turn++) {
        yield* turns
        yield* TestClock.adjust(10)
      }
      yield* turns
      delays = [0, 0, 0]
      yield* world.crash
      yield* turns
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "7" })
      expect(keys[0]?.map((key) => key.replace(id, ""))).toEqual([
        ...[".2000000000", "0", "0"],
        ...[".3000000000", "1", "1"],
        ...[".4000000000", "2", "2"],
      ])
      expect(keys[1]).toEqual(keys[0])
      expect(rows(world).length).toBe(4)
      expect(named(world).at(-1)).toBe("4 step after")
    }),
  )
  it.effect("4.3 run no more at once than they may, and end with the first failure", () =>
    Effect.gen(function* () {
      let now = 0
      let most = 0
      const ran: Array<number> = []
      const All = makeOnce((actor) =>
        Effect.gen(function* () {
          const branch = (index: number) =>
            actor.step(
              `${index}`,
              Schema.Number,
              Effect.acquireUseRelease(
                Effect.sync(() => (most = Math.max(most, ++now))),
                () =>
                  Effect.andThen(
                    Effect.sync(() => ran.push(index)),
                    index === 12 ? Effect.fail(new TerminalTrouble({ message: "twelve" })) : slow(10, index),
                  ),
                () => Effect.sync(() => now--),
              ),
            )
          yield* actor.all(
            Array.from({ length: 20 }, (_, index) => branch(index)),
            { concurrency: 3 },
          )
          return 1
        }),
      )
      const world = yield* makeWorld({ actors: [All] })
      const ask = yield* Effect.forkChild(failure(world), { startImmediately: true })
      for (let turn = 0; turn < 10; turn++) {
        yield* turns
        yield* TestClock.adjust(10)
      }
      expect(yield* Fiber.join(ask)).toBe("twelve")
      expect([most, now, ran.length]).toEqual([3, 0, 13])
    }),
  )
  it.effect("4.4 that race have one winner, the same after a restart, and the others leave nothing", () =>
    Effect.gen(function* () {
      let delays = [30, 10]
      const gate = new Gate()
      const hold = new Gate()
      const Leaf = makeWorker("leaf", (n) => Effect.as(hold.pass, n))
      const won: Array<string> = []
      const Race = makeOnce(
        (actor) =>
          Effect.gen(function* () {
            const branch = (index: number) =>
              Effect.gen(function* () {
                yield* actor.step("begin", Schema.String, Effect.succeed(`${index}`))
                return yield* actor.step("end", Schema.String, slow(delays[index] ?? 0, `branch ${index}`))
              })
            const asking = Effect.as(actor.ask(Leaf.ref("a"), "Work", { n: 1 }), "asked")
            won.push(yield* actor.race([branch(0), branch(1), asking]))
            if (actor.message.attempt === 1) yield* gate.pass
            return yield* actor.step("after", Schema.Number, Effect.succeed(won.length))
          }),
        2,
      )
      const world = yield* makeWorld({ actors: [Race, Leaf] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* TestClock.adjust(10)
      yield* turns
      expect(rows(world).map(({ actorType, status }) => [actorType, status])).toEqual([
        ["worker", "running"],
        ["leaf", "cancelled"],
      ])
      delays = [0, 10_000]
      yield* world.crash
      yield* turns
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "2" })
      expect(won).toEqual(["branch 1", "branch 1"])
      expect(stepsOf(world).find(({ kind }) => kind === "race")).toMatchObject({
        ordinal: 0,
        name: "race of 3",
        result: "1",
      })
      expect(named(world).at(-1)).toBe("4 step after")
    }),
  )
  it.effect("4.5 that race and all fail, fail; one that fails is no loss while another may win", () =>
    Effect.gen(function* () {
      const trouble = (message: string) => Effect.fail(new TerminalTrouble({ message }))
      const Race = makeOnce((actor) =>
        Effect.gen(function* () {
          expect(yield* actor.race([trouble("a"), slow(10, "won")])).toBe("won")
          const first = yield* actor.race([Effect.as(actor.sleep(100), "late"), slow(50, "early")])
          expect(first).toBe("early")
          return yield* actor.race([trouble("a"), trouble("b")])
        }),
      )
      const world = yield* makeWorld({ actors: [Race] })
      const ask = yield* Effect.forkChild(failure(world), { startImmediately: true })
      for (let turn = 0; turn < 10; turn++) {
        yield* turns
        yield* TestClock.adjust(20)
      }
      expect(["a", "b"]).toContain(yield* Fiber.join(ask))
    }),
  )
  it.effect("4.6 within branches have room three deep, and say so where there is none", () =>
    Effect.gen(function* () {
      const depth = (actor: Parameters<WorkHandler>[1], left: number): Effect.Effect<number, unknown> =>
        left === 0
          ? actor.step("leaf", Schema.Number, Effect.succeed(1))
          : Effect.map(actor.all([depth(actor, left - 1), depth(actor, left - 1)]), ([a, b]) => a + b)
      const three = makeOnce((actor) => depth(actor, 3))
      const world = yield* makeWorld({ actors: [three] })
      expect(yield* work(world)).toBe(8)
      expect(new Set(stepsOf(world).map(({ ordinal }) => ordinal)).size).toBe(8)
      const deeper = yield* makeWorld({ actors: [makeOnce((actor) => depth(actor, 4))] })
      expect(yield* failure(deeper)).toContain("2 branches have no room there: too many, or too deep")
    }),
  )
})

describe("5 a journal", () => {
  const said = () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
    return { lines, layer: Logger.layer([logger]) }
  }
  const steps = (count: number, size: number) =>
    makeOnce((actor) =>
      Effect.gen(function* () {
        for (let index = 0; index < count; index++) {
          yield* actor.step("s", Schema.String, Effect.succeed("x".repeat(size)))
        }
        return count
      }),
    )
  it.effect("5.1 with as many steps as it may have takes no other, and no effect is run for it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [steps(5, 1)], journalStepsMax: 4 })
      const { id } = yield* Effect.map(failure(world), (message) => ({ id: row(world).id, message }))
      expect(JSON.parse(row(world).error ?? "")).toMatchObject({
        tag: "TerminalJournalFull",
        message: `worker/a cannot record the step s of message ${id}: its journal would have 5 steps, and the limit is 4; record less, or raise journalStepsMax.`,
      })
      expect(stepsOf(world).length).toBe(4)
      const enough = yield* makeWorld({ actors: [steps(4, 1)], journalStepsMax: 4 })
      expect(yield* work(enough)).toBe(4)
    }),
  )
  it.effect(
    "5.2 with as many bytes as it may have takes no more, counted in all attempts; at half, its actor is warned of once",
    () =>
      Effect.gen(function* () {
        const { layer, lines } = said()
        // Each result is a text of 97 letters in quotes, and its name.
        const world = yield* Effect.provide(makeWorld({ actors: [steps(12, 97)], journalBytesMax: 1_000 }), layer)
        expect(yield* failure(world)).toContain(
          "its journal would have 1100 bytes, and the limit is 1000; record less, or raise journalBytesMax.",
        )
        yield* failure(world)
        expect(stepsOf(world).length).toBe(10)
        expect(lines.filter((line) => line.includes("The journal of message"))).toEqual([
          `Warn The journal of message ${row(world).id} of worker/a has 6 steps of 10000 and 600 bytes of 1000; record less, or use more messages.`,
        ])
      }),
  )
  it.effect("5.3 a state may have as many bytes as it may, is warned of at half and refused past it", () =>
    Effect.gen(function* () {
      const { layer, lines } = said()
      const Keeper = Actor.make("keeper", {
        protocol: [Rpc.make("Keep", { payload: { text: Schema.String } })],
        state: Schema.String,
        initialState: "",
        handlers: { Keep: ({ text }, actor) => Effect.sync(() => actor.setState(text)) },
      })
      const world = yield* Effect.provide(makeWorld({ actors: [Keeper], stateBytesMax: 100 }), layer)
      const keep = (text: string) => world.system.ask(Keeper.ref("a"), "Keep", { text })
      yield* keep("é".repeat(24))
      expect(lines).toEqual([])
      yield* keep("é".repeat(25))
      yield* keep("é".repeat(49))
      expect(lines).toEqual([
        `Warn The state of keeper/a has 52 bytes after message ${row(world, 1).id}, and the limit is 100; keep less in it before messages are refused.`,
      ])
      expect((yield* Effect.flip(keep("é".repeat(50)))).message).toBe(
        `The state of keeper/a has 102 bytes after message ${row(world, 3).id}, and the limit is 100; keep less in it, or raise stateBytesMax.`,
      )
      expect(world.log.actors.get("keeper/a")?.state?.length).toBe(51)
    }),
  )
})

/** What a handler does: a step, acts one after the other or side by side, a step around others. */
type Tree =
  | { readonly _tag: "Step"; readonly ms: number }
  | { readonly _tag: "Ask" }
  | { readonly _tag: "Sleep"; readonly ms: number }
  | { readonly _tag: "Then" | "All" | "Race"; readonly parts: ReadonlyArray<Tree> }

describe("6 whatever a handler does", () => {
  const drawTree = (random: ReturnType<typeof seededRandom>, depth: number): Tree => {
    const kind = random.below(depth === 0 ? 6 : 10)
    if (kind < 3) return { _tag: "Step", ms: random.below(3) * 10 }
    if (kind < 5) return { _tag: "Ask" }
    if (kind < 6) return { _tag: "Sleep", ms: random.below(2) * 20 }
    const parts = Array.from({ length: 1 + random.below(3) }, () => drawTree(random, depth - 1))
    return { _tag: (["Then", "All", "Race"] as const)[random.below(3)] ?? "Then", parts }
  }
  const perform = (
    actor: Parameters<WorkHandler>[1],
    tree: Tree,
    ran: (key: string) => void,
  ): Effect.Effect<unknown, unknown> => {
    switch (tree._tag) {
      case "Step":
        return actor.step(`step ${tree.ms}`, Schema.String, (key) =>
          Effect.andThen(
            Effect.sync(() => ran(key)),
            Effect.as(Effect.sleep(tree.ms), key),
          ),
        )
      case "Ask":
        return actor.ask(Counter.ref("c"), "Add", { by: 1 })
      case "Sleep":
        return actor.sleep(tree.ms)
      case "Then":
        return Effect.forEach(tree.parts, (part) => perform(actor, part, ran))
      case "All":
        return actor.all(
          tree.parts.map((part) => perform(actor, part, ran)),
          { concurrency: 2 },
        )
      case "Race":
        return actor.race(tree.parts.map((part) => perform(actor, part, ran)))
    }
  }
  const seeds = Array.from({ length: 12 }, (_, index) => index + 1)
  it.effect.each(seeds)("6.1 it comes to the same wherever it dies, and each act has one number (seed %i)", (seed) =>
    Effect.gen(function* () {
      const tree: Tree = {
        _tag: "Then",
        parts: [drawTree(seededRandom(seed), 2), drawTree(seededRandom(seed * 7_919), 2)],
      }
      let keys: Array<string> = []
      const Any = makeOnce(
        (actor) =>
          Effect.as(
            perform(actor, tree, (key) => keys.push(key)),
            1,
          ),
        10,
      )
      yield* everyCommit({
        actors: [Any, Counter],
        drive: ({ system }) => system.ask(Worker.ref("a"), "Work", { n: 1 }, { idempotencyKey: "k" }),
        lastsMs: 400,
        check: (world) =>
          Effect.sync(() => {
            const first = row(world)
            expect([first.status, first.error]).toEqual(["done", null])
            const steps = stepsOf(world).filter(({ kind }) => kind === "step")
            // A step's result is its own key: none got another's number.
            for (const { ordinal, result } of steps) expect(result).toBe(JSON.stringify(`${first.id}.${ordinal}`))
            expect(new Set(stepsOf(world).map(({ ordinal }) => ordinal)).size).toBe(stepsOf(world).length)
            for (const { ordinal } of steps) expect(keys).toContain(`${first.id}.${ordinal}`)
            keys = []
          }),
      })
    }),
  )
})
