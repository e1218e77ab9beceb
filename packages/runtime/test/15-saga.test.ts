/** What a message did outside is taken back where it ends badly: in reverse order, each once in the log, wherever it dies. */
import { describe, expect, it } from "@effect/vitest"
import { seededRandom } from "@pontoon/runtime/testing"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import {
  Counter,
  Declared,
  Gate,
  makeWorker,
  RetryableTrouble,
  TerminalTrouble,
  type WorkHandler,
} from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

type Context = Parameters<WorkHandler>[1]
type Saga = (actor: Context, outside: Outside) => Effect.Effect<number, unknown>

/** The world outside: what was done and taken back there, by key, which makes a second try no second deed. */
class Outside {
  readonly done = new Set<string>()
  readonly undone = new Set<string>()
  /** In the order in which they first came. */
  readonly story: Array<string> = []
  /** Compensations that fail, by the step's name, so many times. */
  readonly troubles = new Map<string, number>()

  book(actor: Context, name: string) {
    return actor.step(name, Schema.String, (key) => Effect.as(this.#hear(this.done, key, name), name), {
      compensate: (value, key) =>
        Effect.suspend(() => {
          const left = this.troubles.get(value) ?? 0
          this.troubles.set(value, left - 1)
          return left > 0
            ? Effect.fail(new RetryableTrouble({ message: `no ${value}` }))
            : this.#hear(this.undone, key, `-${value}`)
        }),
    })
  }

  #hear(heard: Set<string>, key: string, what: string) {
    return Effect.sync(() => {
      if (!heard.has(key)) this.story.push(what)
      heard.add(key)
    })
  }
}

const makeSaga = (outside: Outside, saga: Saga, attemptsMax = 1) =>
  makeWorker("worker", (_, actor) => saga(actor, outside) as Effect.Effect<number, never>, {
    retry: { attemptsMax, backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 } },
  })
const Worker = makeSaga(new Outside(), () => Effect.never)

const errorOf = (world: World) => JSON.parse(row(world).error ?? "{}")
const kinds = (world: World) => (world.log.steps.get(row(world).id) ?? []).map(({ kind, name }) => `${kind} ${name}`)
const threeThen =
  (end: (actor: Context) => Effect.Effect<number, unknown>): Saga =>
  (actor, outside) =>
    Effect.gen(function* () {
      yield* outside.book(actor, "flight")
      yield* actor.step("note", Schema.Number, Effect.succeed(1))
      yield* outside.book(actor, "hotel")
      yield* outside.book(actor, "car")
      return yield* end(actor)
    })
const terminal = Effect.fail(new TerminalTrouble({ message: "no card" }))
const BACK = ["flight", "hotel", "car", "-car", "-hotel", "-flight"]

describe("1 a message that ends", () => {
  it.effect("1.1 well keeps what it did", () =>
    Effect.gen(function* () {
      const outside = new Outside()
      const world = yield* makeWorld({
        actors: [
          makeSaga(
            outside,
            threeThen(() => Effect.succeed(1)),
          ),
        ],
      })
      expect(yield* world.system.ask(Worker.ref("a"), "Work", { n: 1 })).toBe(1)
      expect(outside.story).toEqual(["flight", "hotel", "car"])
      expect(kinds(world)).toEqual(["undoable flight", "step note", "undoable hotel", "undoable car"])
    }),
  )
  const ends: ReadonlyArray<readonly [string, string, Effect.Effect<number, unknown>]> = [
    ["a terminal failure", "failed", terminal],
    ["an error that its task declares", "failed", Effect.fail(new Declared({ message: "declared" }))],
    ["its last attempt", "dead", Effect.fail(new RetryableTrouble({ message: "again" }))],
    ["a defect, in its last attempt", "dead", Effect.die(new Error("broken"))],
  ]
  for (const [what, status, end] of ends) {
    it.effect(`1.2 with ${what} takes back what it did, the last first`, () =>
      Effect.gen(function* () {
        const outside = new Outside()
        const world = yield* makeWorld({
          actors: [
            makeSaga(
              outside,
              threeThen(() => end),
              2,
            ),
          ],
        })
        const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 })))
        for (let turn = 0; turn < 5; turn++) {
          yield* turns
          yield* TestClock.adjust(1_000)
        }
        const error = yield* Fiber.join(ask)
        if (error._tag === "Declared") expect(error.message).toBe("declared")
        expect(row(world).status).toBe(status)
        expect(outside.story).toEqual(BACK)
        expect(errorOf(world)).toMatchObject({ undone: ["car", "hotel", "flight"] })
        expect(errorOf(world).notUndone).toBe(undefined)
        expect(kinds(world).slice(4)).toEqual([`end ${status}`, "undo car", "undo hotel", "undo flight"])
      }),
    )
  }
  it.effect("1.3 with an attempt left takes nothing back", () =>
    Effect.gen(function* () {
      const outside = new Outside()
      const flaky = threeThen(({ message }) =>
        message.attempt === 1
          ? Effect.fail(new RetryableTrouble({ message: "again" }))
          : Effect.succeed(message.attempt),
      )
      const world = yield* makeWorld({ actors: [makeSaga(outside, flaky, 2)] })
      const ask = yield* Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))
      yield* turns
      yield* TestClock.adjust(10)
      expect(yield* Fiber.join(ask)).toBe(2)
      expect(outside.story).toEqual(["flight", "hotel", "car"])
    }),
  )
  for (const [what, sleeping] of [
    ["while it runs", false],
    ["while it sleeps", true],
    ["while it sleeps, after a restart", "restart"],
  ] as const) {
    for (const status of ["cancelled", "expired"] as const) {
      it.effect(`1.4 ${what}, because it is ${status}, takes back what it did, past its deadline if need be`, () =>
        Effect.gen(function* () {
          const outside = new Outside()
          const asked = (actor: Context, outside: Outside) =>
            Effect.gen(function* () {
              yield* actor.step("ask", Schema.Number, Effect.succeed(1), {
                compensate: () => Effect.asVoid(actor.ask(Counter.ref("c"), "Add", { by: 1 })),
              })
              return yield* threeThen((each) => (sleeping ? Effect.as(each.sleep("1 hour"), 1) : Effect.never))(
                actor,
                outside,
              )
            })
          const world = yield* makeWorld({ actors: [makeSaga(outside, asked), Counter] })
          const options = status === "expired" ? { timeoutMs: 5_000 } : {}
          const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 }, options)
          yield* turns
          expect(row(world).status).toBe(sleeping ? "pending" : "running")
          if (sleeping === "restart") {
            yield* world.crash
            yield* turns
          }
          if (status === "cancelled") yield* world.system.cancel(id)
          else yield* TestClock.adjust(5_000)
          yield* turns
          expect((yield* world.system.outcome(id)).status).toBe(status)
          expect(outside.story).toEqual(BACK)
          expect(errorOf(world)).toMatchObject({ undone: ["car", "hotel", "flight", "ask"] })
          expect(yield* world.system.ask(Counter.ref("c"), "Read", undefined)).toBe(1)
        }),
      )
    }
  }
})

describe("2 a compensation", () => {
  it.effect(
    "2.1 that fails is tried again, five times at most; then the others are run, and the end says which was not",
    () =>
      Effect.gen(function* () {
        const outside = new Outside()
        outside.troubles.set("car", 4).set("hotel", 5)
        const world = yield* makeWorld({
          actors: [
            makeSaga(
              outside,
              threeThen(() => terminal),
            ),
          ],
        })
        const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 })))
        for (let turn = 0; turn < 30; turn++) {
          yield* turns
          yield* TestClock.adjust(500)
        }
        expect((yield* Fiber.join(ask)).message).toBe("no card Not compensated: hotel (RetryableTrouble: no hotel).")
        expect(outside.story).toEqual(["flight", "hotel", "car", "-car", "-flight"])
        expect(errorOf(world)).toMatchObject({
          tag: "TerminalTrouble",
          undone: ["car", "flight"],
          notUndone: [{ step: "hotel", why: "RetryableTrouble: no hotel" }],
        })
      }),
  )
  it.effect(
    "2.2 runs in the reverse order of the tree: what is after branches before them, and they before what was first",
    () =>
      Effect.gen(function* () {
        const outside = new Outside()
        const saga: Saga = (actor, { book }) =>
          Effect.gen(function* () {
            const booked = (name: string) => book.call(outside, actor, name)
            yield* booked("first")
            yield* actor.all([Effect.andThen(booked("left 1"), booked("left 2")), booked("right")])
            yield* booked("last")
            return yield* terminal
          })
        const world = yield* makeWorld({ actors: [makeSaga(outside, saga)] })
        yield* Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))
        expect(outside.story.slice(5)).toEqual(["-last", "-right", "-left 2", "-left 1", "-first"])
      }),
  )
  it.effect("2.3 in a race, a step or a compensation is refused, and so is a send: nobody could run it exactly", () =>
    Effect.gen(function* () {
      const inner = (actor: Context) => new Outside().book(actor, "inner")
      const cases: ReadonlyArray<Saga> = [
        (actor) => Effect.as(actor.race([inner(actor)]), 1),
        (actor) => Effect.as(actor.step("outer", Schema.String, inner(actor)), 1),
      ]
      for (const saga of cases) {
        const world = yield* makeWorld({ actors: [makeSaga(new Outside(), saga)] })
        expect((yield* Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))).message).toContain(
          "the step inner has a compensation, and is within a race, a step or a compensation",
        )
      }
      const bad: ReadonlyArray<readonly [(actor: Context) => Effect.Effect<unknown, unknown>, string]> = [
        [(actor: Context) => Effect.asVoid(inner(actor)), "the step inner has a compensation, and is within a race"],
        [
          (actor: Context) => actor.send(Counter.ref("c"), "Add", { by: 1 }),
          "a compensation cannot send Add, it must ask",
        ],
      ]
      for (const [compensate, why] of bad) {
        const saga: Saga = (actor) =>
          Effect.andThen(
            actor.step("outer", Schema.Number, Effect.succeed(1), { compensate: () => compensate(actor) }),
            terminal,
          )
        const world = yield* makeWorld({ actors: [makeSaga(new Outside(), saga), Counter] })
        expect((yield* Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))).message).toContain(why)
      }
    }),
  )
  it.effect("2.4 is not interrupted by a cancellation or a deadline, and goes on after the system has closed", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const outside = new Outside()
      const saga: Saga = (actor) =>
        Effect.gen(function* () {
          yield* outside.book(actor, "flight")
          yield* actor.step("slow", Schema.Number, Effect.succeed(1), { compensate: () => gate.pass })
          return yield* terminal
        })
      const world = yield* makeWorld({ actors: [makeSaga(outside, saga)], drainMsMax: 100 })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 }, { timeoutMs: 1_000 })
      yield* turns
      const cancelled = yield* Effect.forkChild(world.system.cancel(id), { startImmediately: true })
      yield* TestClock.adjust(1_000)
      yield* turns
      expect([row(world).status, gate.waiting]).toEqual(["running", 1])
      const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
      yield* turns
      yield* TestClock.adjust(100)
      yield* Fiber.join(closing)
      expect([row(world).status, yield* Fiber.join(cancelled)]).toEqual(["running", false])
      yield* world.crash
      yield* turns
      yield* gate.open
      yield* turns
      expect((yield* world.system.outcome(id)).error).toMatchObject({ message: "no card", undone: ["slow", "flight"] })
      expect(outside.story).toEqual(["flight", "-flight"])
    }),
  )
  it.effect("2.6 that does not end is given up, try for try, and holds nobody for ever", () =>
    Effect.gen(function* () {
      let tries = 0
      const saga: Saga = (actor) =>
        Effect.andThen(
          actor.step("stuck", Schema.Number, Effect.succeed(1), {
            compensate: () =>
              Effect.andThen(
                Effect.sync(() => tries++),
                Effect.never,
              ),
          }),
          terminal,
        )
      const world = yield* makeWorld({ actors: [makeSaga(new Outside(), saga)] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      for (let minute = 0; minute < 6; minute++) {
        yield* turns
        yield* TestClock.adjust(61_000)
      }
      yield* turns
      const why = "it did not end within 60000 ms"
      expect((yield* world.system.outcome(id)).error).toMatchObject({ notUndone: [{ step: "stuck", why }] })
      expect(tries).toBe(5)
    }),
  )
  it.effect("2.7 has nobody to run it where its actor is gone, and the end says so", () =>
    Effect.gen(function* () {
      const outside = new Outside()
      const saga = threeThen((actor) => Effect.as(actor.sleep("1 hour"), 1))
      const world = yield* makeWorld({ actors: [makeSaga(outside, saga)] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.system.stop({ type: "worker", id: "a" }, "no longer wanted")
      yield* TestClock.adjust(3_600_000)
      yield* turns
      const { error, status } = yield* world.system.outcome(id)
      expect([status, outside.undone.size]).toEqual(["dead", 0])
      const why = "worker/a is stopped"
      expect(error).toMatchObject({ notUndone: [{ why }, { why }, { why }] })
    }),
  )
  it.effect("2.5 is heard of by running its handler again, where that was cut off before it had said all", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const outside = new Outside()
      const saga: Saga = (actor) =>
        Effect.gen(function* () {
          yield* outside.book(actor, "flight")
          if (actor.message.attempt === 2) yield* gate.pass
          yield* outside.book(actor, "hotel")
          return yield* actor.message.attempt === 1 ? new RetryableTrouble({ message: "again" }) : Effect.succeed(1)
        })
      const world = yield* makeWorld({ actors: [makeSaga(outside, saga, 2)] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* TestClock.adjust(10)
      yield* turns
      expect([row(world).attempt, gate.waiting]).toEqual([2, 1])
      yield* world.system.cancel(id)
      yield* turns
      expect(yield* world.system.outcome(id)).toMatchObject({
        status: "cancelled",
        error: { undone: ["hotel", "flight"] },
      })
      expect(outside.story).toEqual(["flight", "hotel", "-hotel", "-flight"])
      expect(row(world)).toMatchObject({ attempt: 3 })
    }),
  )
})

describe("3 a message that dies while it is compensated", () => {
  it.effect.each([false, true])(
    "3.1 goes on where it was, wherever that is: all is undone, or nothing (before: %s)",
    (before) =>
      Effect.gen(function* () {
        let outside = new Outside()
        // It fails in its first attempt, and would not in another. Once that is written, it is so; before that, it is not.
        const saga: Saga = (actor) =>
          Effect.gen(function* () {
            yield* outside.book(actor, "flight")
            yield* actor.ask(Counter.ref("c"), "Add", { by: 1 })
            yield* actor.all([outside.book(actor, "hotel"), outside.book(actor, "car")])
            yield* actor.step("taxi", Schema.Number, Effect.succeed(1), {
              compensate: () => actor.ask(Counter.ref("c"), "Add", { by: 10 }),
            })
            return yield* actor.message.attempt === 1 ? terminal : Effect.succeed(1)
          })
        let failed = 0
        const Saga = makeSaga(new Outside(), (actor) => saga(actor, outside), 3)
        const deaths = yield* everyCommit({
          actors: [Saga, Counter],
          before,
          drive: ({ system }) => system.ask(Worker.ref("a"), "Work", { n: 1 }, { idempotencyKey: "k" }),
          lastsMs: 1_000,
          check: (world) =>
            Effect.gen(function* () {
              const count = yield* Effect.orDie(world.system.ask(Counter.ref("c"), "Read", undefined))
              expect(outside.story[0]).toBe("flight")
              expect(outside.story.slice(1, 3).toSorted()).toEqual(["car", "hotel"])
              const back = outside.story.slice(3)
              const children = rows(world).filter(({ causationId }) => causationId !== null).length
              if (row(world).status === "done") expect([back, count, children]).toEqual([[], 1, 1])
              else {
                failed++
                expect([back, count, children]).toEqual([["-car", "-hotel", "-flight"], 11, 2])
                const undone = ["taxi", "car", "hotel", "flight"]
                expect([row(world).status, errorOf(world).undone]).toEqual(["failed", undone])
              }
              outside = new Outside()
            }),
        })
        expect(deaths).toBeGreaterThan(14)
        expect(failed).toBeGreaterThan(5)
      }),
  )
  it.effect("3.2 has as many attempts for that as it had for itself, and then says what is left", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const outside = new Outside()
      const saga: Saga = (actor) =>
        Effect.gen(function* () {
          yield* actor.step("stuck", Schema.Number, Effect.succeed(1), { compensate: () => gate.pass })
          yield* outside.book(actor, "flight")
          return yield* terminal
        })
      const world = yield* makeWorld({ actors: [makeSaga(outside, saga, 2)] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      for (let death = 0; death < 3; death++) {
        yield* turns
        expect(row(world)).toMatchObject({ status: "running", attempt: death + 1 })
        yield* world.crash
      }
      yield* turns
      expect((yield* world.system.outcome(id)).status).toBe("dead")
      expect(outside.story).toEqual(["flight", "-flight"])
      expect(errorOf(world)).toMatchObject({
        tag: "RetryableProcessDied",
        notUndone: [{ step: "stuck", why: "its process died each time" }],
      })
    }),
  )
  it.effect("3.3 by its own hand each time says that nothing of it is taken back", () =>
    Effect.gen(function* () {
      const outside = new Outside()
      const world = yield* makeWorld({
        actors: [
          makeSaga(
            outside,
            threeThen(() => Effect.never),
          ),
        ],
      })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.crash
      yield* turns
      expect((yield* world.system.outcome(id)).error?.message).toBe(
        "The process died while the message ran. Not compensated: flight (its process died each time), hotel (its process died each time), car (its process died each time).",
      )
    }),
  )
  it.effect(
    "3.4 and whose handler is another by then compensates what that still asks for, and says what it does not",
    () =>
      Effect.gen(function* () {
        const gate = new Gate()
        const outside = new Outside()
        const saga =
          (last: boolean): Saga =>
          (actor) =>
            Effect.gen(function* () {
              yield* outside.book(actor, "flight")
              if (last) yield* actor.step("slow", Schema.Number, Effect.succeed(1), { compensate: () => gate.pass })
              return yield* terminal
            })
        const world = yield* makeWorld({ actors: [makeSaga(outside, saga(true), 2)] })
        const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
        yield* turns
        yield* world.crashInto({ actors: [makeSaga(outside, saga(false), 2)] })
        yield* turns
        expect((yield* world.system.outcome(id)).error).toMatchObject({
          undone: ["flight"],
          notUndone: [{ step: "slow", why: "its handler, run again, did not ask for it" }],
        })
      }),
  )
})

describe("4 a dead letter that was compensated", () => {
  it.effect("4.1 begins a new journal when it is redriven: its steps are run again, under new keys", () =>
    Effect.gen(function* () {
      const outside = new Outside()
      let broken = true
      const saga = threeThen(() =>
        broken ? Effect.fail(new RetryableTrouble({ message: "broken" })) : Effect.succeed(7),
      )
      const world = yield* makeWorld({ actors: [makeSaga(outside, saga)] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(row(world).status).toBe("dead")
      yield* world.system.redrive(id)
      yield* turns
      expect(row(world).status).toBe("dead")
      broken = false
      yield* world.system.redrive(id)
      yield* turns
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "7" })
      expect(outside.story).toEqual([...BACK, ...BACK, "flight", "hotel", "car"])
      expect(outside.done.size).toBe(9)
    }),
  )
})

/** Steps with compensations, and others, one after the other and side by side; one of them may fail for good. */
type Tree =
  | { readonly _tag: "Book" | "Note" | "Ask" | "Fail" }
  | { readonly _tag: "Then" | "All"; readonly parts: ReadonlyArray<Tree> }

describe("5 whatever a saga does", () => {
  const drawTree = (random: ReturnType<typeof seededRandom>, depth: number): Tree => {
    const kind = random.below(depth === 0 ? 7 : 12)
    if (kind < 4) return { _tag: "Book" }
    if (kind < 5) return { _tag: "Note" }
    if (kind < 6) return { _tag: "Ask" }
    if (kind < 7) return { _tag: "Fail" }
    const parts = Array.from({ length: 1 + random.below(3) }, () => drawTree(random, depth - 1))
    return { _tag: random.below(2) === 0 ? "Then" : "All", parts }
  }
  const perform = (actor: Context, tree: Tree, outside: Outside, fails: boolean): Effect.Effect<unknown, unknown> => {
    switch (tree._tag) {
      case "Book":
        return outside.book(actor, "it")
      case "Note":
        return actor.step("note", Schema.Number, Effect.as(Effect.sleep(5), 1))
      case "Ask":
        return actor.ask(Counter.ref("c"), "Add", { by: 1 })
      case "Fail":
        return fails ? terminal : Effect.void
      case "Then":
        return Effect.forEach(tree.parts, (part) => perform(actor, part, outside, fails))
      case "All":
        return actor.all(tree.parts.map((part) => perform(actor, part, outside, fails)))
    }
  }
  const seeds = Array.from({ length: 10 }, (_, index) => index + 1)
  it.effect.each(seeds)("5.1 all of it is done or all is taken back, wherever it dies (seed %i)", (seed) =>
    Effect.gen(function* () {
      const random = seededRandom(seed)
      const tree: Tree = { _tag: "Then", parts: [drawTree(random, 2), drawTree(random, 2), { _tag: "Fail" }] }
      // Fails in every attempt, in its first one, or never; then an end is not what another attempt would come to.
      const until = random.below(3) * random.below(3)
      let outside = new Outside()
      const Any = makeSaga(
        outside,
        (actor) => Effect.as(perform(actor, tree, outside, actor.message.attempt <= until), 1),
        10,
      )
      yield* everyCommit({
        actors: [Any, Counter],
        before: random.below(2) === 0,
        drive: ({ system }) => system.ask(Worker.ref("a"), "Work", { n: 1 }, { idempotencyKey: "k" }),
        lastsMs: 400,
        check: (world) =>
          Effect.sync(() => {
            const first = row(world)
            const steps = world.log.steps.get(first.id) ?? []
            const booked = steps.filter(({ kind }) => kind === "undoable").map(({ ordinal }) => ordinal)
            const undone = steps.filter(({ kind }) => kind === "undo").map(({ ordinal }) => -1 - ordinal)
            const back = [...outside.undone].map((key) => Number(key.split(".").at(-1)?.split("~")[0]))
            if (first.status === "done") expect([undone, back]).toEqual([[], []])
            else {
              expect(first.status).toBe("failed")
              expect(undone.toSorted()).toEqual(booked.toSorted())
              expect(back.toSorted()).toEqual(booked.toSorted())
              expect(errorOf(world).notUndone).toBe(undefined)
            }
            outside = new Outside()
          }),
      })
    }),
  )
})
