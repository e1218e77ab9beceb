/** Handlers that run side by side and wait for each other: the ask that closes the ring fails, and no other does. */
import { describe, expect, it } from "@effect/vitest"
import type { Actor } from "@pontoon/runtime"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { WALK_MAX } from "../src/life/waiting/WaitGraph.ts"
import {
  Gate,
  makeTalker,
  makeWorker,
  type Talk,
  TerminalTrouble,
  type Work,
  type WorkHandler,
} from "./support/actors.ts"
import { makeWorld, rows, turns } from "./support/World.ts"

const asTrouble = (error: { readonly _tag: string; readonly message: string }) =>
  new TerminalTrouble({ message: `${error._tag}: ${error.message}` })

type Asking = readonly [type: string, target: () => ReadonlyArray<Actor.Ref<Work>>]

/** Actors that stop at the gate, and then ask their targets, all at once; n = 0 asks nobody. */
const asking = (gate: Gate, ...actors: ReadonlyArray<Asking>) =>
  actors.map(([type, targets]) =>
    makeWorker(type, (n, actor) =>
      n === 0
        ? Effect.succeed(0)
        : Effect.gen(function* () {
            yield* gate.pass
            const asks = targets().map((ref) => actor.ask(ref, "Work", { n: 0 }))
            yield* Effect.mapError(Effect.all(asks, { concurrency: "unbounded" }), asTrouble)
            return n
          }),
    ),
  )

const ref = (actors: ReadonlyArray<Actor.Actor<Work, never>>, index: number): Actor.Ref<Work> =>
  actors[index]?.ref("x") ?? expect.unreachable()

describe("1 a ring of handlers that run side by side", () => {
  it.effect("1.1 of two is found by the ask that closes it, named, and the other is answered", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const actors: ReadonlyArray<Actor.Actor<Work, never>> = asking(
        gate,
        ["left", () => [ref(actors, 1)]],
        ["right", () => [ref(actors, 0)]],
      )
      const world = yield* makeWorld({ actors })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [0, 1].map((index) => Effect.result(world.system.ask(ref(actors, index), "Work", { n: 1 }))),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      yield* turns
      expect(gate.waiting).toBe(2)
      yield* gate.open
      yield* turns
      const [left, right] = yield* Fiber.join(asks)
      expect(left).toMatchObject({ _tag: "Success", success: 1 })
      expect(right).toMatchObject({
        failure: {
          _tag: "TerminalMessageFailed",
          message:
            "TerminalReentrantAsk: right/x cannot ask left/x: they would wait for each other for ever (right/x waits for left/x waits for right/x). Use send for one of these asks, or ask another actor.",
        },
      })
      // The refused ask was never written.
      expect(rows(world).length).toBe(3)
    }),
  )
  it.effect("1.2 of twelve is found, too", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const count = 12
      const actors: ReadonlyArray<Actor.Actor<Work, never>> = asking(
        gate,
        ...Array.from({ length: count }, (_, n): Asking => [`ring-${n}`, () => [ref(actors, (n + 1) % count)]]),
      )
      const world = yield* makeWorld({ actors })
      const asks = yield* Effect.forkChild(
        Effect.all(
          actors.map((_, index) => Effect.result(world.system.ask(ref(actors, index), "Work", { n: 1 }))),
          { concurrency: count },
        ),
        { startImmediately: true },
      )
      yield* turns
      yield* gate.open
      for (let step = 0; step < count; step++) yield* turns
      const ends = yield* Fiber.join(asks)
      expect(ends.filter(({ _tag }) => _tag === "Failure").length).toBe(1)
      expect(JSON.stringify(ends)).toContain("ring-11/x waits for ring-0/x waits for ring-1/x")
    }),
  )
  it.effect("1.3 through streams is found", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const talk = (name: string, target: () => Actor.Ref<Talk>) =>
        makeTalker(name, (n, actor) =>
          n === 0
            ? Effect.succeed("")
            : Effect.gen(function* () {
                yield* gate.pass
                yield* Effect.mapError(Stream.runDrain(actor.stream(target(), "Talk", { n: 0 })), asTrouble)
                return "said"
              }),
        )
      const Left: Actor.Actor<Talk, never> = talk("left", () => Right.ref("x"))
      const Right: Actor.Actor<Talk, never> = talk("right", () => Left.ref("x"))
      const world = yield* makeWorld({ actors: [Left, Right] })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [Left, Right].map((each) => Effect.result(world.system.ask(each.ref("x"), "Talk", { n: 1 }))),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      yield* turns
      yield* gate.open
      const ends = yield* Fiber.join(asks)
      expect(ends.map(({ _tag }) => _tag).toSorted()).toEqual(["Failure", "Success"])
      expect(JSON.stringify(ends)).toContain("they would wait for each other for ever")
    }),
  )
  it.effect("1.4 of more than 256 is not looked for, and waits for its deadline", () =>
    Effect.gen(function* () {
      const count = WALK_MAX + 2
      const gate = new Gate()
      const Ring: Actor.Actor<Work, never> = makeWorker("ring", (n, actor) =>
        n === 0
          ? Effect.succeed(0)
          : Effect.gen(function* () {
              yield* gate.pass
              const next = `${(Number(actor.self.id) + 1) % count}`
              return yield* Effect.mapError(actor.ask(Ring.ref(next), "Work", { n: 0 }), asTrouble)
            }),
      )
      const world = yield* makeWorld({ actors: [Ring] })
      const asks = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: count }, (_, n) => Ring.ref(`${n}`)),
          (each) => Effect.result(world.system.ask(each, "Work", { n: 1 }, { timeoutMs: 1_000 })),
          { concurrency: count },
        ),
        { startImmediately: true },
      )
      for (let step = 0; step < 10; step++) yield* turns
      expect(gate.waiting).toBe(count)
      yield* gate.open
      for (let step = 0; step < 10; step++) yield* turns
      expect(asks.pollUnsafe()).toBe(undefined)
      yield* TestClock.adjust(1_000)
      for (let step = 0; step < 10; step++) yield* turns
      const text = JSON.stringify(yield* Fiber.join(asks))
      expect(text).toContain("TerminalExpired")
      expect(text).not.toContain("TerminalReentrantAsk")
    }),
  )
})

describe("2 no ring", () => {
  /** Both ask each other while they run; whoever waits has a way out. */
  const sideBySide = (leftAsks: (gate: Gate) => WorkHandler, options: { readonly concurrency?: number } = {}) =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Left: Actor.Actor<Work, never> = makeWorker("left", leftAsks(gate), options)
      const Right: Actor.Actor<Work, never> = makeWorker("right", (n, actor) =>
        n === 0
          ? Effect.succeed(0)
          : Effect.andThen(gate.pass, Effect.mapError(actor.ask(Left.ref("x"), "Work", { n: 0 }), asTrouble)),
      )
      const Free: Actor.Actor<Work, never> = makeWorker("free", (n) => Effect.as(gate.pass, n))
      return { gate, Left, Right, Free }
    })

  it.effect("2.1 an actor with a place left answers", () =>
    Effect.gen(function* () {
      const right: { ref?: Actor.Ref<Work> } = {}
      const { gate, Left, Right } = yield* sideBySide(
        (each) => (n, actor) =>
          n === 0
            ? Effect.succeed(0)
            : Effect.andThen(
                each.pass,
                Effect.mapError(actor.ask(right.ref ?? expect.unreachable(), "Work", { n: 0 }), asTrouble),
              ),
        { concurrency: 2 },
      )
      right.ref = Right.ref("x")
      const world = yield* makeWorld({ actors: [Left, Right] })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [Left, Right].map((each) => world.system.ask(each.ref("x"), "Work", { n: 1 })),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      yield* turns
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(asks)).toEqual([0, 0])
    }),
  )
  it.effect("2.2 a handler that waits for one of two is not stuck while the other can be answered", () =>
    Effect.gen(function* () {
      const refs: { right?: Actor.Ref<Work>; free?: Actor.Ref<Work> } = {}
      const { gate, Free, Left, Right } = yield* sideBySide((each) => (n, actor) => {
        if (n === 0) return Effect.succeed(0)
        const ask = (target: Actor.Ref<Work> | undefined, payload: number) =>
          Effect.mapError(actor.ask(target ?? expect.unreachable(), "Work", { n: payload }), asTrouble)
        return Effect.andThen(each.pass, Effect.raceFirst(ask(refs.free, 7), ask(refs.right, 0)))
      })
      refs.right = Right.ref("x")
      refs.free = Free.ref("x")
      const world = yield* makeWorld({ actors: [Left, Right, Free] })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [Left, Right].map((each) => world.system.ask(each.ref("x"), "Work", { n: 1 })),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      yield* turns
      yield* gate.open
      yield* turns
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(asks)).toEqual([7, 0])
    }),
  )
  it.effect("2.3 an ask that ended, or was left, is no edge any more", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Slow = makeWorker("slow", (n) => Effect.as(Effect.sleep(50), n))
      const Left: Actor.Actor<Work, never> = makeWorker("left", (n, actor) =>
        n === 0
          ? Effect.succeed(0)
          : Effect.gen(function* () {
              yield* Effect.mapError(actor.ask(Slow.ref("x"), "Work", { n: 1 }), asTrouble)
              yield* Effect.ignore(Effect.timeoutOption(actor.ask(Right.ref("x"), "Work", { n: 2 }), 10))
              yield* gate.pass
              return n
            }),
      )
      const Right: Actor.Actor<Work, never> = makeWorker("right", (n, actor) =>
        n === 2
          ? Effect.never
          : Effect.andThen(Effect.sleep(100), Effect.mapError(actor.ask(Left.ref("x"), "Work", { n: 0 }), asTrouble)),
      )
      const world = yield* makeWorld({ actors: [Left, Right, Slow] })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [Left, Right].map((each) => world.system.ask(each.ref("x"), "Work", { n: 1 })),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      for (let step = 0; step < 12; step++) {
        yield* turns
        yield* TestClock.adjust(10)
      }
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(asks)).toEqual([1, 0])
    }),
  )
})
