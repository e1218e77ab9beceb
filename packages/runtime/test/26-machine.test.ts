/** A user's own machine as an actor: misuse first, then against a running XState actor, then over deaths. */
import { describe, expect, it } from "@effect/vitest"
import { type Actor, fromMachine } from "@pontoon/runtime"
import { Context, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { expectTypeOf } from "vitest"
import {
  assign,
  createActor,
  createMachine,
  enqueueActions,
  fromCallback,
  fromPromise,
  raise,
  SimulatedClock,
  sendParent,
  sendTo,
  setup,
} from "xstate"
import { MachineState } from "../src/actor/MachineState.ts"
import { type Act, type MachineInput, stepMachine } from "../src/actor/stepMachine.ts"
import { RetryableTrouble } from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, row, rows, turns } from "./support/World.ts"

const Count = Schema.Struct({ n: Schema.Number })
const BOUNDS = { eventsMax: 100, childrenMax: 10, timersMax: 10 }

/** Counts in a child machine, which tells its parent of every third, and ends at the fifth. */
const child = setup({
  types: { context: {} as { n: number }, events: {} as { type: "TICK" } },
}).createMachine({
  id: "child",
  context: { n: 0 },
  initial: "counting",
  states: {
    counting: {
      on: {
        TICK: [
          { guard: ({ context }) => context.n >= 4, target: "over" },
          {
            guard: ({ context }) => context.n % 3 === 2,
            actions: [assign({ n: ({ context }) => context.n + 1 }), sendParent({ type: "THIRD" })],
          },
          { actions: assign({ n: ({ context }) => context.n + 1 }) },
        ],
      },
    },
    over: { type: "final" },
  },
  output: ({ context }) => context.n,
})

const said: Array<string> = []
/** History, parallel regions, guards, delays that are cancelled, raised events, actions, and the child. */
const big = setup({
  types: {
    context: {} as { n: number; thirds: number; done: number },
    events: {} as
      | { type: "A" }
      | { type: "B" }
      | { type: "C" }
      | { type: "TICK" }
      | { type: "THIRD" }
      | { type: "LATE" },
  },
  actors: { child },
  actions: { say: (_, params: { what: string }) => void said.push(params.what) },
}).createMachine({
  id: "big",
  context: { n: 0, thirds: 0, done: 0 },
  initial: "work",
  on: { C: ".rest", THIRD: { actions: assign({ thirds: ({ context }) => context.thirds + 1 }) } },
  states: {
    work: {
      type: "parallel",
      entry: { type: "say", params: { what: "in" } },
      exit: { type: "say", params: { what: "out" } },
      invoke: {
        src: "child",
        id: "kid",
        onDone: { actions: assign({ done: ({ context, event }) => context.done + Number(event.output) }) },
      },
      on: { TICK: { actions: sendTo("kid", { type: "TICK" }) } },
      states: {
        left: {
          initial: "one",
          states: {
            one: { on: { A: "two" }, after: { 30: "three" } },
            two: {
              on: { A: "one", B: { guard: ({ context }) => context.n > 1, target: "three" } },
              after: { 50: "one" },
            },
            three: { on: { A: "one" }, entry: raise({ type: "B" }) },
            back: { type: "history" },
          },
        },
        right: {
          initial: "x",
          states: {
            x: { on: { B: { target: "y", actions: assign({ n: ({ context }) => context.n + 1 }) } } },
            y: {
              entry: raise({ type: "LATE" }, { delay: 40, id: "late" }),
              on: { A: "x", LATE: { target: "x", actions: { type: "say", params: { what: "late" } } } },
            },
          },
        },
      },
    },
    rest: {
      on: { A: "work", B: { target: ["work.left.back"] } },
      entry: enqueueActions(({ context, enqueue }) => {
        if (context.n % 2 === 0) enqueue({ type: "say", params: { what: "even" } })
      }),
    },
  },
})

const State = Schema.fromJsonString(
  Schema.toCodecJson(MachineState(Schema.Struct({ n: Schema.Number, thirds: Schema.Number, done: Schema.Number }))),
)
const stored = (state: unknown) =>
  Schema.decodeUnknownSync(State)(Schema.encodeUnknownSync(State)(state)) as (typeof State)["Type"]

/** Steps a machine as the actor does, through its stored text each time; its timers ring by hand. */
class Stepped {
  state: (typeof State)["Type"] | null = null
  said: Array<string> = []
  timers: Array<{ readonly atMs: number; readonly order: number; readonly act: Extract<Act, { _tag: "Timer" }> }> = []
  nowMs = 0
  ignored = 0
  take(input: MachineInput | undefined) {
    const next = stepMachine(big, BOUNDS, this.state, () => undefined, input)
    this.state = stored(next.state)
    for (const act of next.acts) {
      if (act._tag === "Timer") this.timers.push({ atMs: this.nowMs + act.delayMs, order: act.token, act })
      else if (act._tag === "Action") this.said.push((act.action.params as { what: string }).what)
    }
    return next.snapshot
  }
  pass(ms: number) {
    const untilMs = this.nowMs + ms
    for (;;) {
      this.timers.sort((a, b) => a.atMs - b.atMs || a.order - b.order)
      const next = this.timers[0]
      if (next === undefined || next.atMs > untilMs) break
      this.timers.shift()
      this.nowMs = next.atMs
      this.take({ ...next.act, _tag: "Timer" })
    }
    this.nowMs = untilMs
  }
}

describe("1 misuse", () => {
  it("1.1 is refused where it is written", () => {
    expect(() => fromMachine("bad", big, { events: { Snapshot: {} }, context: Schema.Unknown })).toThrow(
      "The actor bad is not defined well: its protocol has the task Snapshot twice.",
    )
  })
  it.effect.each([
    [
      "an action that nobody has written",
      setup({ actions: {} as { gone: () => void } }).createMachine({
        context: { n: 0 },
        on: { GO: { actions: "gone" as never } },
      }),
      "asks for the action gone, which nobody has written; give it in `actions`.",
    ],
    [
      "a guard that throws",
      setup({}).createMachine({
        context: { n: 0 },
        on: {
          GO: {
            guard: () => {
              throw new Error("bad guard")
            },
          },
        },
      }),
      "cannot go on: ",
    ],
    [
      "a child without a name",
      setup({}).createMachine({
        context: { n: 0 },
        on: {
          GO: {
            actions: assign({ n: ({ spawn }) => spawn(child).id.length }),
          },
        },
      }),
      "has no name that could be stored; give its logic a name in setup({ actors })",
    ],
    [
      "two events that call each other for ever",
      setup({}).createMachine({
        context: { n: 0 },
        on: { GO: { actions: sendTo(({ self }) => self, { type: "GO" }) } },
      }),
      "it has taken 5 events for one message and is not at rest; raise eventsMax, or end the loop",
    ],
    [
      "more timers than it may have",
      setup({}).createMachine({
        context: { n: 0 },
        on: {
          GO: {
            actions: [
              raise({ type: "A" }, { delay: 9 }),
              raise({ type: "B" }, { delay: 9 }),
              raise({ type: "C" }, { delay: 9 }),
            ],
          },
        },
      }),
      "it has more than 2 timers; cancel some, or raise timersMax",
    ],
    [
      "more children than it may have",
      setup({ actors: { kid: child } }).createMachine({
        context: { n: 0 },
        on: {
          GO: {
            actions: assign(({ spawn }) => {
              for (const id of ["a", "b", "c"]) spawn("kid", { id })
              return { n: 1 }
            }),
          },
        },
      }),
      "it has more than 2 children; stop some, or raise childrenMax",
    ],
  ] as const)("1.2 fails its message alone: %s", ([, machine, what]) =>
    Effect.gen(function* () {
      const Bad = fromMachine("bad", machine, {
        events: { GO: {} },
        context: Count,
        eventsMax: 5,
        childrenMax: 2,
        timersMax: 2,
      })
      const world = yield* makeWorld({ actors: [Bad] })
      expect(yield* Effect.flip(world.system.ask(Bad.ref("a"), "GO", {}))).toMatchObject({
        _tag: "TerminalMessageFailed",
        tag: "TerminalMachineMistake",
        message: expect.stringContaining(what),
      })
      expect(yield* world.system.ask(Bad.ref("a"), "Snapshot", undefined)).toMatchObject({ context: { n: 0 } })
    }),
  )
})

describe("2 steps", () => {
  it("2.1 like a running XState actor, through its stored text, for random events and times", () => {
    const input = fc.oneof(
      fc.constantFrom("A", "B", "C", "TICK", "TICK", "THIRD").map((type) => ({ type })),
      fc.integer({ min: 1, max: 60 }),
    )
    let timers = 0
    let thirds = 0
    let ends = 0
    fc.assert(
      fc.property(fc.array(input, { maxLength: 60, size: "max" }), (inputs) => {
        said.length = 0
        const clock = new SimulatedClock()
        const running = createActor(big, { clock }).start()
        const stepped = new Stepped()
        stepped.take(undefined)
        for (const each of inputs) {
          if (typeof each === "number") {
            // By the millisecond: the simulated clock counts timers that are set meanwhile from the end of its step.
            for (let ms = 0; ms < each; ms++) clock.increment(1)
            stepped.pass(each)
          } else {
            running.send(each as { type: "A" })
            stepped.take({ _tag: "Event", event: each })
          }
          const { children, context, value } = running.getSnapshot()
          expect(stepped.state?.root).toMatchObject({ value, context })
          const kid = children.kid?.getSnapshot()
          expect(stepped.state?.children["/kid"]?.snapshot).toEqual(
            kid === undefined
              ? undefined
              : expect.objectContaining({ value: kid.value, context: kid.context, status: kid.status }),
          )
        }
        expect(stepped.said).toEqual(said)
        thirds += running.getSnapshot().context.thirds
        ends += running.getSnapshot().context.done
        timers += stepped.said.filter((what) => what === "late").length
      }),
      { numRuns: 300, seed: 7 },
    )
    // The runs came to what they are about.
    expect(Math.min(timers, thirds, ends)).toBeGreaterThan(0)
  })
})

const delayed = setup({
  types: { context: {} as { n: number }, events: {} as { type: "GO" } | { type: "STOP" } },
}).createMachine({
  context: { n: 0 },
  initial: "idle",
  states: {
    idle: { on: { GO: "waiting" } },
    waiting: {
      on: { STOP: "idle" },
      after: { 1000: { target: "idle", actions: assign({ n: ({ context }) => context.n + 1 }) } },
    },
  },
})
const Delayed = fromMachine("delayed", delayed, { events: { GO: {}, STOP: {} }, context: Count })

describe("3 a delayed transition", () => {
  it.effect("3.1 is made once over a restart", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Delayed] })
      expect(yield* world.system.ask(Delayed.ref("a"), "GO", {})).toMatchObject({ value: "waiting" })
      yield* TestClock.adjust(900)
      yield* world.crash
      yield* TestClock.adjust(99)
      yield* turns
      expect(yield* world.system.ask(Delayed.ref("a"), "Snapshot", undefined)).toMatchObject({ value: "waiting" })
      yield* TestClock.adjust(1)
      yield* turns
      yield* world.crash
      yield* TestClock.adjust(5_000)
      expect(yield* world.system.ask(Delayed.ref("a"), "Snapshot", undefined)).toMatchObject({
        value: "idle",
        context: { n: 1 },
      })
    }),
  )
  it.effect(
    "3.2 is never made when it was cancelled, although its message comes, nor when another has taken its place",
    () =>
      Effect.gen(function* () {
        const world = yield* makeWorld({ actors: [Delayed] })
        yield* world.system.ask(Delayed.ref("a"), "GO", {})
        yield* TestClock.adjust(600)
        yield* world.system.ask(Delayed.ref("a"), "STOP", {})
        yield* world.crash
        yield* world.system.ask(Delayed.ref("a"), "GO", {})
        yield* TestClock.adjust(600)
        yield* turns
        expect(rows(world).filter(({ status, task }) => task === "xstate.timer" && status === "done").length).toBe(1)
        expect(yield* world.system.ask(Delayed.ref("a"), "Snapshot", undefined)).toMatchObject({
          value: "waiting",
          context: { n: 0 },
        })
        yield* TestClock.adjust(400)
        yield* turns
        expect(yield* world.system.ask(Delayed.ref("a"), "Snapshot", undefined)).toMatchObject({
          value: "idle",
          context: { n: 1 },
        })
        expect(JSON.parse(world.log.actors.get("delayed/a")?.state ?? "").timers).toEqual({})
      }),
  )
})

describe("4 what a machine wants done", () => {
  const order = setup({
    types: {
      context: {} as { n: number },
      events: {} as { type: "PAY"; cents: number } | { type: "CANCEL" },
    },
    actions: { receipt: () => {} },
    actors: { charge: fromPromise(async ({ input }: { input: { cents: number } }) => input.cents * 2) },
  }).createMachine({
    context: { n: 0 },
    initial: "open",
    states: {
      open: { on: { PAY: "paying" } },
      paying: {
        entry: "receipt",
        on: { CANCEL: "open" },
        invoke: {
          src: "charge",
          input: ({ event }) => ({ cents: event.type === "PAY" ? event.cents : 0 }),
          onDone: { target: "paid", actions: assign({ n: ({ event }) => event.output }) },
          onError: {
            target: "refused",
            actions: assign({ n: ({ event }) => ((event.error as Error).message.length > 0 ? -1 : 0) }),
          },
        },
        after: { 200000: "late" },
      },
      paid: { after: { 1000: "closed" } },
      late: {},
      refused: {},
      closed: { type: "final" },
    },
    output: ({ context }) => context.n,
  })
  const events = { PAY: { cents: Schema.Int }, CANCEL: {} }

  it.effect("4.1 comes to the same wherever it dies; actions run at least once and are recorded once", () =>
    Effect.gen(function* () {
      let keys: Array<string> = []
      const Order = fromMachine("order", order, {
        events,
        context: Count,
        actions: { receipt: ({ event, key }) => Effect.sync(() => keys.push(`${event.type} ${key}`)) },
        actors: {
          charge: ({ input }: { readonly input: { readonly cents: number } }) => Effect.succeed(input.cents * 2),
        },
      })
      const deaths = yield* everyCommit({
        actors: [Order],
        drive: ({ system }) => system.ask(Order.ref("a"), "PAY", { cents: 4 }, { idempotencyKey: "k" }),
        lastsMs: 1_000,
        check: (world) =>
          Effect.gen(function* () {
            const end = { status: "done", value: "closed", context: { n: 8 }, output: 8 }
            expect(yield* Effect.orDie(world.system.ask(Order.ref("a"), "Snapshot", undefined))).toEqual(end)
            expect(new Set(keys).size).toBe(1)
            const paid = rows(world).find(({ task }) => task === "PAY")
            expect(world.log.steps.get(paid?.id ?? "")?.map(({ name }) => name)).toEqual(["receipt"])
            expect(rows(world).filter(({ task }) => task === "xstate.settled").length).toBe(1)
            keys = []
          }),
      })
      expect(deaths).toBeGreaterThan(5)
    }),
  )
  it.effect("4.2 takes events while a promise runs; one that was left is not listened to", () =>
    Effect.gen(function* () {
      const doors: Array<(cents: number) => void> = []
      const slow = order.provide({
        actors: { charge: fromPromise(() => new Promise<number>((open) => doors.push(open))) },
      })
      const Order = fromMachine("order", slow, { events, context: Count })
      const world = yield* makeWorld({ actors: [Order] })
      const ref = Order.ref("a")
      yield* world.system.ask(ref, "PAY", { cents: 1 })
      yield* turns
      expect(yield* world.system.ask(ref, "CANCEL", {})).toMatchObject({ value: "open" })
      yield* world.system.ask(ref, "PAY", { cents: 2 })
      yield* turns
      doors[0]?.(10)
      yield* Effect.promise(() => new Promise((later) => setImmediate(later)))
      yield* turns
      expect(yield* world.system.ask(ref, "Snapshot", undefined)).toMatchObject({ value: "paying" })
      doors[1]?.(20)
      yield* Effect.promise(() => new Promise((later) => setImmediate(later)))
      yield* turns
      expect(yield* world.system.ask(ref, "Snapshot", undefined)).toMatchObject({ value: "paid", context: { n: 20 } })
    }),
  )
  it.effect("4.3 hears of a promise that is refused, and of a child that is no promise", () =>
    Effect.gen(function* () {
      const refusing = order.provide({ actors: { charge: fromPromise(() => Promise.reject(new Error("no money"))) } })
      const odd = order.provide({ actors: { charge: fromCallback(() => {}) as never } })
      const Refusing = fromMachine("refusing", refusing, { events, context: Count })
      const Odd = fromMachine("odd", odd, { events, context: Count })
      const world = yield* makeWorld({ actors: [Refusing, Odd] })
      for (const ref of [Refusing.ref("a"), Odd.ref("a")]) {
        yield* world.system.ask(ref, "PAY", { cents: 1 })
        yield* turns
        yield* Effect.promise(() => new Promise((later) => setImmediate(later)))
        yield* turns
        expect(yield* world.system.ask(ref, "Snapshot", undefined)).toMatchObject({
          value: "refused",
          context: { n: -1 },
        })
      }
      expect(row(world).status).toBe("done")
    }),
  )
  it.effect("4.4 does not repeat an action that is recorded when a later one has failed", () =>
    Effect.gen(function* () {
      const done: Array<string> = []
      const machine = setup({ actions: { one: () => done.push("machine"), two: () => {} } }).createMachine({
        context: { n: 0 },
        on: { GO: { actions: ["one", "two", assign({ n: 1 })] } },
      })
      let tries = 0
      const Acting = fromMachine("acting", machine, {
        events: { GO: {} },
        context: Count,
        actions: {
          two: () =>
            Effect.suspend(() =>
              ++tries < 3
                ? Effect.fail(new RetryableTrouble({ message: "later" }))
                : Effect.sync(() => done.push("two")),
            ),
        },
      })
      const world = yield* makeWorld({ actors: [Acting] })
      yield* world.system.tell(Acting.ref("a"), "GO", {})
      yield* turns
      yield* TestClock.adjust(60_000)
      yield* turns
      expect(done).toEqual(["machine", "two"])
      expect(row(world)).toMatchObject({ status: "done", attempt: 3 })
      expect(yield* world.system.ask(Acting.ref("a"), "Snapshot", undefined)).toMatchObject({ context: { n: 1 } })
    }),
  )
  it.effect("4.5 keeps a child machine and its history in the actor's own state, wherever it dies", () =>
    Effect.gen(function* () {
      const Big = fromMachine("big", big, {
        events: { A: {}, B: {}, C: {}, TICK: {} },
        context: Schema.Struct({ n: Schema.Number, thirds: Schema.Number, done: Schema.Number }),
      })
      const script = ["A", "TICK", "TICK", "TICK", "C", "B", "TICK", "TICK", "TICK", "TICK", "TICK", "A"] as const
      const running = createActor(big, { clock: new SimulatedClock() }).start()
      for (const type of script) running.send({ type })
      // What the child counts depends on no time; the rest of the machine has timers.
      const { done, thirds } = running.getSnapshot().context
      expect({ done, thirds }).toEqual({ done: 4, thirds: 2 })
      yield* everyCommit({
        actors: [Big],
        drive: ({ system }) =>
          Effect.forEach(script, (type, index) => system.ask(Big.ref("a"), type, {}, { idempotencyKey: `${index}` })),
        check: (world) =>
          Effect.gen(function* () {
            const end = yield* Effect.orDie(world.system.ask(Big.ref("a"), "Snapshot", undefined))
            expect(end.context).toMatchObject({ done, thirds })
            expect(new Set(rows(world).map(({ actorId }) => actorId))).toEqual(new Set(["a"]))
            expect(Object.keys(JSON.parse(world.log.actors.get("big/a")?.state ?? "").children)).toEqual(["/kid"])
          }),
      })
    }),
  )
  it.effect("4.6 takes nothing once it is done, and says when a new program's machine lacks the state it is in", () =>
    Effect.gen(function* () {
      const make = (last: string) =>
        fromMachine(
          "door",
          createMachine({
            context: { n: 0 },
            initial: "open",
            states: { open: { on: { GO: last } }, [last]: { type: "final" } },
          }),
          { events: { GO: {} }, context: Count },
        )
      const Door = make("over")
      const world = yield* makeWorld({ actors: [Door] })
      const over = { status: "done", value: "over", context: { n: 0 } }
      expect(yield* world.system.ask(Door.ref("a"), "GO", {})).toEqual(over)
      yield* world.crash
      expect(yield* world.system.ask(Door.ref("a"), "GO", {})).toEqual(over)
      yield* world.crashInto({ actors: [make("past")] })
      expect(yield* Effect.flip(world.system.ask(Door.ref("a"), "GO", {}))).toMatchObject({
        tag: "TerminalMachineMistake",
        message: expect.stringMatching(/^The machine of door\/a cannot go on: .*over.*\.$/),
      })
    }),
  )
  it.effect("4.7 starts with its input, by the actor's id, and says which services its Effects need", () =>
    Effect.gen(function* () {
      const machine = setup({ types: { context: {} as { n: number }, input: {} as { n: number } } }).createMachine({
        context: ({ input }) => ({ n: input.n }),
      })
      const Born = fromMachine("born", machine, { events: {}, context: Count, input: (id) => ({ n: id.length }) })
      const world = yield* makeWorld({ actors: [Born] })
      expect(yield* world.system.ask(Born.ref("four"), "Snapshot", undefined)).toEqual({
        status: "active",
        value: {},
        context: { n: 4 },
      })
      class Till extends Context.Service<Till, { readonly ring: Effect.Effect<void> }>()("Till") {}
      const Needy = fromMachine("needy", machine, {
        events: {},
        context: Count,
        actions: { ring: () => Effect.flatMap(Till, ({ ring }) => ring) },
      })
      expectTypeOf<Actor.Services<typeof Needy>>().toEqualTypeOf<Till>()
      expectTypeOf<Actor.Services<typeof Born>>().toEqualTypeOf<never>()
    }),
  )
})
