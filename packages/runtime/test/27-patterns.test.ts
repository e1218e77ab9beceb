/** Patterns over many actors: misuse first, then what they give, then that a death at any commit changes none of it. */
import { describe, expect, it } from "@effect/vitest"
import {
  Actor,
  type ActorContext,
  bestOf,
  forwardStream,
  makeTopic,
  type ScatterOptions,
  scatter,
  vote,
} from "@pontoon/runtime"
import { Effect, Fiber, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { Declared, Gate, makeTalker, makeWorker, Talk, type Work } from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

/** Answers n times ten for its own id, from "1" on; "bad" refuses, "slow" waits for ever. */
const Oracle = makeWorker("oracle", (n, actor) => {
  const { id } = actor.self
  if (id.startsWith("bad")) return Effect.fail(new Declared({ message: `no from ${id}` }))
  if (id.startsWith("slow")) return Effect.never
  return Effect.succeed(n * 10 * Number(id.split("-")[0]))
})
const oracles = (...ids: ReadonlyArray<string>) => ids.map((id) => Oracle.ref(id))

type Asker = ActorContext<Work, number, undefined>
const makeAsker = (run: (actor: Asker) => Effect.Effect<number, unknown>) =>
  makeWorker("asker", (_, actor) => run(actor) as Effect.Effect<number, Actor.HandlerFailure>)

const base = { name: "poll", task: "Work" as const, payload: { n: 1 } }
type Options = Partial<ScatterOptions<Work, "Work">>

/** Runs a pattern once, in a handler, and gives what it gave. */
const inHandler = <A>(run: (actor: Asker) => Effect.Effect<A, unknown>) =>
  Effect.gen(function* () {
    const given: Array<A> = []
    const Asker = makeAsker((actor) => Effect.map(run(actor), (value) => given.push(value)))
    const world = yield* makeWorld({ actors: [Oracle, Asker] })
    const fiber = yield* Effect.forkChild(Effect.exit(world.system.ask(Asker.ref("a"), "Work", { n: 0 })))
    yield* turns
    return { given, world, fiber }
  })

const failureOf = (world: World) => JSON.parse(row(world).error ?? "{}")

describe("1 a scatter", () => {
  it.effect.each([
    [{ refs: [] }, "it asks 0 actors, and may ask 1 to 1000"],
    [{ refs: Array.from({ length: 1_001 }, () => Oracle.ref("1")) }, "it asks 1001 actors, and may ask 1 to 1000"],
    [{ enough: 0 }, "enough must be a whole number from 1 to 1, the number of actors it asks, and is 0"],
    [{ enough: 2 }, "enough must be a whole number from 1 to 1, the number of actors it asks, and is 2"],
    [{ withinMs: 0 }, "withinMs must be above 0 and finite, and is 0; leave it out for no deadline"],
    [{ name: "" }, "its name must not be empty"],
  ] as ReadonlyArray<[Options, string]>)("1.1 that cannot be done is refused: %o", ([options, what]) =>
    Effect.gen(function* () {
      const { world } = yield* inHandler((actor) => scatter(actor, { ...base, refs: oracles("1"), ...options }))
      expect(failureOf(world)).toMatchObject({ tag: "TerminalInvalidScatter", message: expect.stringContaining(what) })
      expect(rows(world).length).toBe(1)
    }),
  )
  it.effect("1.2 gathers all answers, in the order in which they came, and who failed", () =>
    Effect.gen(function* () {
      const { given } = yield* inHandler((actor) => scatter(actor, { ...base, refs: oracles("1", "bad", "3") }))
      expect(given).toEqual([
        {
          answers: [
            { index: 0, value: 10 },
            { index: 2, value: 30 },
          ],
          failures: [{ index: 1, tag: "Declared", message: "no from bad" }],
          complete: false,
        },
      ])
    }),
  )
  it.effect("1.3 goes on with the first k, and takes the others back", () =>
    Effect.gen(function* () {
      const refs = oracles("slow", "2", "slow-2", "4")
      const { given, world } = yield* inHandler((actor) => scatter(actor, { ...base, refs, enough: 2 }))
      expect(given[0]).toMatchObject({ answers: [{ index: 1 }, { index: 3 }], failures: [], complete: true })
      yield* turns
      expect(rows(world).map(({ actorId, status }) => [actorId, status])).toEqual([
        ["a", "done"],
        ["slow", "cancelled"],
        ["2", "done"],
        ["slow-2", "cancelled"],
        ["4", "done"],
      ])
    }),
  )
  it.effect("1.4 takes what is there at its deadline, also when it died meanwhile and came back late", () =>
    Effect.gen(function* () {
      const given: Array<unknown> = []
      const Asker = makeAsker((actor) =>
        Effect.map(scatter(actor, { ...base, refs: oracles("1", "slow"), withinMs: 1_000 }), (value) =>
          given.push(value),
        ),
      )
      const world = yield* makeWorld({ actors: [Oracle, Asker] })
      yield* world.system.tell(Asker.ref("a"), "Work", { n: 0 })
      yield* turns
      yield* TestClock.adjust(999)
      yield* turns
      expect(given).toEqual([])
      yield* world.crash
      // The first attempt has died: the second begins after a backoff, by when the deadline has passed.
      yield* TestClock.adjust(60_000)
      yield* turns
      expect(given).toEqual([
        {
          answers: [{ index: 0, value: 10 }],
          failures: [expect.objectContaining({ index: 1, tag: "TerminalExpired" })],
          complete: false,
        },
      ])
    }),
  )
  it.effect("1.5 counts the same answers wherever it dies, and asks nobody anew once it has decided", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      let asked = 0
      const Slow = makeWorker("slow", () =>
        Effect.andThen(
          Effect.sync(() => asked++),
          Effect.never,
        ),
      )
      const After = makeWorker("after", (n) => Effect.succeed(n))
      const Asker = makeAsker((actor) =>
        Effect.gen(function* () {
          const refs = [...oracles("1"), Slow.ref("s"), ...oracles("3")]
          const { answers } = yield* scatter(actor, { ...base, refs, enough: 2 })
          const sum = answers.reduce((total, { value }) => total + value, 0)
          // What comes after must find its own number again.
          const after = yield* actor.ask(After.ref("x"), "Work", { n: sum })
          yield* actor.step("note", Schema.Number, Effect.succeed(after))
          return after
        }),
      )
      const deaths = yield* everyCommit({
        actors: [Oracle, Slow, After, Asker],
        drive: ({ system }) => system.ask(Asker.ref("a"), "Work", { n: 0 }, { idempotencyKey: "k" }),
        check: (world, died) =>
          Effect.sync(() => {
            const first = row(world)
            expect(first).toMatchObject({ status: "done", reply: "40" })
            const steps = world.log.steps.get(first.id) ?? []
            expect(steps.map(({ name, ordinal }) => [name, ordinal])).toEqual([
              ["poll", 4],
              ["note", 6],
            ])
            expect(rows(world).filter(({ actorType }) => actorType === "after").length).toBe(1)
            // Also where a death came between the decision and taking back the others.
            const left = rows(world).filter(({ status }) => status === "pending" || status === "running")
            expect([died, left.map(({ id }) => id)]).toEqual([died, []])
            seen.push(`${asked}`)
            asked = 0
          }),
      })
      expect(deaths).toBeGreaterThan(8)
      // Died before the decision: the slow one may be asked twice. After it: once.
      expect(seen.slice(-3)).toEqual(["1", "1", "1"])
    }),
  )
  it.effect("1.6 decides nothing when the system closes, and goes on with the next", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Slow = makeWorker("slow", (n) => Effect.as(gate.pass, n))
      const Asker = makeAsker((actor) =>
        Effect.map(scatter(actor, { ...base, refs: [Slow.ref("a"), Slow.ref("b")] }), ({ answers, failures }) =>
          failures.length === 0 ? answers.length : -1,
        ),
      )
      const world = yield* makeWorld({ actors: [Slow, Asker] })
      yield* world.system.tell(Asker.ref("a"), "Work", { n: 0 })
      yield* turns
      const closing = yield* Effect.forkChild(world.close)
      yield* turns
      yield* TestClock.adjust(60_000)
      yield* Fiber.join(closing)
      expect(world.log.steps.size).toBe(0)
      yield* world.crash
      yield* TestClock.adjust(60_000)
      yield* turns
      yield* gate.open
      yield* turns
      expect(row(world)).toMatchObject({ status: "done", reply: "2" })
      expect(rows(world).length).toBe(3)
    }),
  )
})

describe("1 a handler that takes back", () => {
  it.effect("1.7 takes back what it asked, at once, and what it was to send; not what is another's", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Slow = makeWorker("slow", (n) => Effect.as(gate.pass, n), { mailbox: { capacity: 1 } })
      const Asker = makeAsker((actor) =>
        Effect.gen(function* () {
          const foreign = yield* Effect.flip(actor.cancel("01ANOTHER"))
          expect(foreign).toMatchObject({
            _tag: "TerminalInvalidMessage",
            message: expect.stringContaining("cannot take back 01ANOTHER, which it neither asked nor sent."),
          })
          expect(yield* actor.cancel(`${actor.message.id}.7`)).toBe(false)
          const sent = yield* actor.send(Slow.ref("b"), "Work", { n: 1 })
          expect(yield* actor.cancel(sent)).toBe(true)
          expect(yield* actor.cancel(sent)).toBe(false)
          // Its place in the mailbox is free again.
          yield* actor.send(Slow.ref("b"), "Work", { n: 2 })
          let id = ""
          const ask = actor.ask(Slow.ref("a"), "Work", { n: 3 }, { onAccepted: (accepted) => (id = accepted) })
          const fiber = yield* Effect.forkChild(Effect.exit(ask), { startImmediately: true })
          while (gate.waiting === 0) yield* Effect.yieldNow
          expect(yield* actor.cancel(id)).toBe(true)
          const exit = yield* Fiber.join(fiber)
          expect(String(exit)).toContain("TerminalCancelled")
          expect(yield* actor.cancel(id)).toBe(false)
          return 1
        }),
      )
      const world = yield* makeWorld({ actors: [Slow, Asker] })
      expect(yield* world.system.ask(Asker.ref("a"), "Work", { n: 0 })).toBe(1)
      yield* turns
      expect(rows(world).map(({ body, status }) => [body, status])).toEqual([
        ['{"n":0}', "done"],
        ['{"n":3}', "cancelled"],
        ['{"n":2}', "running"],
      ])
      yield* gate.open
    }),
  )
})

describe("2 a vote, and the best of several", () => {
  it.effect("2.1 is won by more than half of all, without waiting for the rest", () =>
    Effect.gen(function* () {
      const refs = oracles("7-a", "slow", "7-b", "1", "7-c")
      const { given } = yield* inHandler((actor) => vote(actor, { ...base, refs }))
      expect(given[0]).toMatchObject({ winner: 70, complete: true })
      expect(given[0]?.votes.get("70")).toBe(3)
    }),
  )
  it.effect("2.2 has no winner where nobody has more than half of all, the silent counted", () =>
    Effect.gen(function* () {
      const { given } = yield* inHandler((actor) => vote(actor, { ...base, refs: oracles("7-a", "7-b", "bad", "1") }))
      expect(given[0]).toMatchObject({ winner: undefined, complete: false })
      expect(given[0]?.votes).toEqual(
        new Map([
          ["70", 2],
          ["10", 1],
        ]),
      )
    }),
  )
  it.effect("2.3 counts answers as the same that `by` says are", () =>
    Effect.gen(function* () {
      const refs = oracles("1", "3", "2")
      const by = (value: number) => (value > 15 ? "much" : "little")
      const { given } = yield* inHandler((actor) => vote(actor, { ...base, refs, by }))
      expect(given[0]).toMatchObject({ winner: 30 })
    }),
  )
  it.effect("2.4 the judge chooses among the answers, may ask an actor, and chooses the same wherever it dies", () =>
    Effect.gen(function* () {
      const Judge = makeWorker("judge", (n) => Effect.succeed(n - 1))
      const Asker = makeAsker((actor) =>
        Effect.map(
          bestOf(actor, {
            ...base,
            refs: oracles("1", "bad", "5", "slow"),
            enough: 2,
            judge: (answers) => actor.ask(Judge.ref("j"), "Work", { n: answers.length }),
          }),
          ({ best }) => best ?? -1,
        ),
      )
      yield* everyCommit({
        actors: [Oracle, Judge, Asker],
        drive: ({ system }) => system.ask(Asker.ref("a"), "Work", { n: 0 }, { idempotencyKey: "k" }),
        check: (world) =>
          Effect.sync(() => {
            expect(row(world)).toMatchObject({ status: "done", reply: "50" })
            expect(rows(world).filter(({ actorType }) => actorType === "judge").length).toBe(1)
          }),
      })
    }),
  )
  it.effect("2.5 a judge that names no answer is refused; one answer is not judged; none is no answer", () =>
    Effect.gen(function* () {
      const judge = () => Effect.succeed(2)
      const wrong = yield* inHandler((actor) => bestOf(actor, { ...base, refs: oracles("1", "2"), judge }))
      expect(failureOf(wrong.world).message).toBe("The judge of poll chose 2, and there are answers 0 to 1.")
      const alone = yield* inHandler((actor) => bestOf(actor, { ...base, refs: oracles("bad", "2"), judge }))
      expect(alone.given[0]).toMatchObject({ best: 20 })
      const none = yield* inHandler((actor) => bestOf(actor, { ...base, refs: oracles("bad"), judge }))
      expect(none.given[0]).toMatchObject({ best: undefined })
    }),
  )
  it.effect("2.6 wins with the same voices wherever it dies, as does a quorum of weights", () =>
    Effect.gen(function* () {
      const weights = [1, 5, 1, 2]
      const seen: Array<string> = []
      const Asker = makeAsker((actor) =>
        Effect.gen(function* () {
          const refs = oracles("1-a", "1-b", "slow", "2")
          const { votes, winner } = yield* vote(actor, { ...base, name: "vote", refs: [...refs, Oracle.ref("1-c")] })
          // Five voices: three are more than half.
          const heavy = (answers: ReadonlyArray<{ readonly index: number }>) =>
            answers.reduce((sum, { index }) => sum + (weights[index] ?? 0), 0) >= 6
          const { answers, complete } = yield* scatter(actor, { ...base, name: "quorum", refs, enough: heavy })
          const text = JSON.stringify([winner, [...votes], answers, complete])
          // What was decided is what it is decided for, in every attempt.
          const first = yield* actor.step("first", Schema.String, Effect.succeed(text))
          seen.push(first === text ? "same" : `${first} then ${text}`)
          return winner ?? 0
        }),
      )
      yield* everyCommit({
        actors: [Oracle, Asker],
        drive: ({ system }) => system.ask(Asker.ref("a"), "Work", { n: 0 }, { idempotencyKey: "k" }),
        check: (world, died) =>
          Effect.sync(() => {
            expect([died, row(world).reply]).toEqual([died, "10"])
            const open = rows(world).filter(({ status }) => status === "pending" || status === "running")
            expect([died, open.length]).toEqual([died, 0])
          }),
      })
      expect(new Set(seen)).toEqual(new Set(["same"]))
    }),
  )
})

describe("3 a topic", () => {
  const Prices = makeTopic("prices", { event: Schema.String, retain: 3, subscribersMax: 2 })
  const makeShop = (capacity = 100) =>
    Actor.make("shop", {
      protocol: [Prices.Event, Rpc.make("Seen", { success: Schema.Array(Schema.String) })],
      state: Schema.Array(Schema.String),
      initialState: [],
      mailbox: { capacity },
      handlers: {
        "prices.Event": ({ event, missed, offset, topic }, actor) =>
          Effect.sync(() =>
            actor.setState([...actor.state, `${topic}${offset} ${event}${missed > 0 ? ` -${missed}` : ""}`]),
          ),
        Seen: (_, actor) => Effect.succeed(actor.state),
      },
    })
  const Shop = makeShop()
  const topic = Prices.ref("eu")
  const publish = (world: World, ...events: ReadonlyArray<string>) =>
    Effect.forEach(events, (event) => world.system.ask(topic, "Publish", event, { idempotencyKey: event }))
  const seen = (world: World, id: string) => Effect.andThen(turns, world.system.ask(Shop.ref(id), "Seen", undefined))

  it("3.1 is refused where it is written", () => {
    expect(() => makeTopic("x", { event: Schema.String, retain: 10_001 })).toThrow(
      "The topic x is not defined well: retain must be a whole number from 1 to 10000, and is 10001.",
    )
    expect(() => makeTopic("x", { event: Schema.String, subscribersMax: 0 })).toThrow("subscribersMax must be")
  })
  it.effect("3.2 tells its subscribers of each event once, in order; the same key publishes once", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Prices, Shop] })
      expect(yield* world.system.ask(topic, "Subscribe", { type: "shop", id: "1" })).toBe(0)
      expect(yield* publish(world, "a", "b", "a", "c")).toEqual([0, 1, 0, 2])
      expect(yield* seen(world, "1")).toEqual(["eu0 a", "eu1 b", "eu2 c"])
      yield* world.system.ask(topic, "Unsubscribe", { type: "shop", id: "1" })
      yield* publish(world, "d")
      expect((yield* seen(world, "1")).length).toBe(3)
    }),
  )
  it.effect("3.3 gives late subscribers what it still has from their offset on, and says what it has not", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Prices, Shop] })
      yield* publish(world, "a", "b", "c", "d", "e")
      yield* world.crash
      expect(yield* world.system.ask(topic, "Subscribe", { type: "shop", id: "late", from: 3 })).toBe(3)
      expect(yield* world.system.ask(topic, "Subscribe", { type: "shop", id: "later", from: 0 })).toBe(0)
      expect(yield* seen(world, "late")).toEqual(["eu3 d", "eu4 e"])
      expect(yield* seen(world, "later")).toEqual(["eu2 c -2", "eu3 d", "eu4 e"])
      expect(yield* world.system.ask(topic, "Read", { from: 0, limit: 2 })).toEqual({
        first: 2,
        next: 4,
        events: ["c", "d"],
      })
      // Subscribing again without an offset keeps the place.
      yield* world.system.ask(topic, "Subscribe", { type: "shop", id: "late" })
      expect((yield* seen(world, "late")).length).toBe(2)
    }),
  )
  it.effect("3.4 takes no more subscribers than it may have", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Prices, Shop] })
      for (const id of ["1", "2", "1"]) yield* world.system.ask(topic, "Subscribe", { type: "shop", id })
      expect(yield* Effect.flip(world.system.ask(topic, "Subscribe", { type: "shop", id: "3" }))).toMatchObject({
        _tag: "TerminalTopicFull",
        message: "prices/eu has 2 subscribers and takes no more; raise subscribersMax, or use another topic.",
      })
    }),
  )
  it.effect("3.5 is not held back by a subscriber that takes nothing, and tells it later", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Busy = Actor.make("busy", {
        protocol: [Prices.Event],
        state: Schema.Array(Schema.Int),
        initialState: [],
        mailbox: { capacity: 1 },
        handlers: {
          "prices.Event": ({ offset }, actor) =>
            Effect.andThen(
              gate.pass,
              Effect.sync(() => actor.setState([...actor.state, offset])),
            ),
        },
      })
      const world = yield* makeWorld({ actors: [Prices, Shop, Busy] })
      yield* world.system.ask(topic, "Subscribe", { type: "busy", id: "1" })
      yield* world.system.ask(topic, "Subscribe", { type: "shop", id: "1" })
      yield* publish(world, "a", "b", "c")
      expect(yield* seen(world, "1")).toEqual(["eu0 a", "eu1 b", "eu2 c"])
      for (let round = 0; round < 4; round++) {
        yield* gate.open
        yield* turns
        yield* TestClock.adjust(4_000)
        yield* turns
      }
      expect(JSON.parse(world.log.actors.get("busy/1")?.state ?? "")).toEqual([0, 1, 2])
      const pumps = rows(world).filter(({ task }) => task === "topic.pump")
      yield* TestClock.adjust(60_000)
      yield* turns
      // It stops when nobody is behind.
      expect(rows(world).filter(({ task }) => task === "topic.pump").length).toBe(pumps.length)
    }),
  )
  it.effect("3.6 tries one that is not there ever less often, and tells it all that it still has when it comes", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Prices] })
      yield* world.system.ask(topic, "Subscribe", { type: "shop", id: "1" })
      yield* publish(world, "a", "b")
      for (let second = 0; second < 600; second++) yield* TestClock.adjust(1_000)
      const pumps = rows(world).filter(({ task }) => task === "topic.pump").length
      // Five by the first minute, and one a minute from then on.
      expect(pumps).toBeGreaterThan(10)
      expect(pumps).toBeLessThan(20)
      yield* world.crashInto({ actors: [Prices, Shop] })
      yield* TestClock.adjust(60_000)
      expect(yield* seen(world, "1")).toEqual(["eu0 a", "eu1 b"])
    }),
  )
  it.effect("3.7 sends at most 1,000 events in one commit, and the rest after it", () =>
    Effect.gen(function* () {
      const Many = makeTopic("many", { event: Schema.Int, retain: 1_001 })
      const Sink = makeSink(Many.Event)
      const world = yield* makeWorld({ actors: [Many, Sink] })
      const numbers = Array.from({ length: 1_001 }, (_, n) => n)
      yield* Effect.forEach(numbers, (n) => world.system.tell(Many.ref("m"), "Publish", n))
      yield* turns
      yield* world.system.ask(Many.ref("m"), "Subscribe", { type: "sink", id: "1", from: 0 })
      for (let round = 0; round < 20; round++) yield* turns
      expect(rows(world).filter(({ task }) => task === "topic.pump").length).toBe(1)
      expect(rows(world).filter(({ task }) => task === "many.Event").length).toBe(1_001)
    }),
  )
  it.effect("3.8 tells each once, in order, wherever it dies", () =>
    Effect.gen(function* () {
      yield* everyCommit({
        actors: [Prices, Shop],
        drive: (world) =>
          Effect.gen(function* () {
            yield* world.system.ask(topic, "Subscribe", { type: "shop", id: "1", from: 0 }, { idempotencyKey: "s" })
            yield* publish(world, "a", "b", "c")
          }),
        check: (world) =>
          Effect.gen(function* () {
            expect(yield* Effect.orDie(seen(world, "1"))).toEqual(["eu0 a", "eu1 b", "eu2 c"])
          }),
      })
    }),
  )
})

const makeSink = <E extends ReturnType<typeof makeTopic<"many", typeof Schema.Int>>["Event"]>(event: E) =>
  Actor.make("sink", { protocol: [event], handlers: { "many.Event": () => Effect.void } as never })

describe("4 forwarding", () => {
  it.effect("4.1 hands on a stream chunk by chunk", () =>
    Effect.gen(function* () {
      const Talker = makeTalker("talker", (n, actor) =>
        Effect.gen(function* () {
          for (let word = 1; word <= n; word++) yield* actor.emit(`w${word} `)
          return "unused"
        }),
      )
      const Front = Actor.make("front", {
        protocol: [Talk],
        handlers: {
          Talk: (payload, actor) => forwardStream(actor, Talker.ref("t"), "Talk", payload, (words) => words.join("")),
        },
      })
      const world = yield* makeWorld({ actors: [Front, Talker] })
      const fiber = yield* Effect.forkChild(Stream.runCollect(world.system.stream(Front.ref("f"), "Talk", { n: 3 })))
      yield* turns
      yield* TestClock.adjust(1_000)
      expect(yield* Fiber.join(fiber)).toEqual(["w1 ", "w2 ", "w3 "])
      expect(row(world)).toMatchObject({ status: "done", reply: '"w1 w2 w3 "' })
    }),
  )
})

describe("5 coalescing", () => {
  it.effect(
    "5.1 asks once what is asked under the same key while it is in flight, from outside and from handlers",
    () =>
      Effect.gen(function* () {
        const gate = new Gate()
        const Model = makeWorker("model", (n) => Effect.as(gate.pass, n * 2))
        const same = { idempotencyKey: "prompt-7" }
        const Asker = makeAsker((actor) => actor.ask(Model.ref("m"), "Work", { n: 4 }, same))
        const world = yield* makeWorld({ actors: [Model, Asker] })
        const fibers = yield* Effect.forEach(
          [
            world.system.ask(Asker.ref("a"), "Work", { n: 0 }),
            world.system.ask(Asker.ref("b"), "Work", { n: 0 }),
            world.system.ask(Model.ref("m"), "Work", { n: 4 }, same),
          ],
          (ask) => Effect.forkChild(ask),
        )
        yield* turns
        expect(gate.waiting).toBe(1)
        yield* gate.open
        yield* turns
        expect(yield* Effect.forEach(fibers, Fiber.join)).toEqual([8, 8, 8])
        expect(gate.passed).toBe(1)
        expect(rows(world).filter(({ actorType }) => actorType === "model").length).toBe(1)
      }),
  )
})
