/** Idle actors leave memory, and come back with what they were; those that are gone leave it too, and stay gone. */
import { describe, expect, it } from "@effect/vitest"
import { makePool } from "@pontoon/runtime"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Tombstones } from "../src/actor/Tombstones.ts"
import { Counter, Gate, makeWorker, TerminalTrouble } from "./support/actors.ts"
import { lifecycleOf, makeWorld, turns, type World } from "./support/World.ts"

const IDLE = 10_000

/** Lets time pass in steps, as it does. */
const pass = (ms: number) =>
  Effect.gen(function* () {
    for (let left = ms; left > 0; left -= 500) {
      yield* TestClock.adjust(Math.min(left, 500))
      yield* turns
    }
  })

const isThere = (world: World, type: string, id = "a") =>
  Effect.map(world.system.lifecycle({ type, id }), (state) => state !== undefined)

/** An actor that holds something, and says how often it was got and let go. */
const holder = (idleMsMax?: number, letGo: Effect.Effect<void> = Effect.void) => {
  const held = { now: 0, most: 0, times: 0 }
  const Holder = makeWorker<string>("holder", (n, actor) => Effect.succeed(actor.resource === "it" ? n : -1), {
    ...(idleMsMax === undefined ? {} : { idleMsMax }),
    start: () =>
      Effect.acquireRelease(
        Effect.sync(() => {
          held.times++
          held.most = Math.max(held.most, ++held.now)
          return "it"
        }),
        () =>
          Effect.andThen(
            letGo,
            Effect.sync(() => held.now--),
          ),
      ),
  })
  return { Holder, held }
}

describe("1 an idle actor", () => {
  it.effect("1.1 is refused an idle time that is none", () =>
    Effect.gen(function* () {
      for (const idleMsMax of [0, 999, 1.5, Number.POSITIVE_INFINITY]) {
        const sentence = `idleMsMax must be a whole number, 1000 or more, and is ${idleMsMax}`
        expect(() => makeWorker("worker", () => Effect.never, { idleMsMax })).toThrow(sentence)
        const exit = yield* Effect.exit(makeWorld({ actors: [Counter], idleMsMax }))
        expect(`${exit}`).toContain(sentence)
      }
    }),
  )
  it.effect("1.2 leaves memory after its time, not while it is used, and comes back with its state", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Counter], idleMsMax: IDLE })
      for (let use = 0; use < 5; use++) {
        yield* world.system.ask(Counter.ref("a"), "Add", { by: 1 })
        yield* pass(IDLE - 500)
        expect(yield* isThere(world, "counter")).toBe(true)
      }
      yield* pass(IDLE / 4 + 1_000)
      expect(yield* isThere(world, "counter")).toBe(false)
      expect(yield* world.system.ask(Counter.ref("a"), "Read", undefined)).toBe(5)
    }),
  )
  it.effect("1.3 is not idle while something runs, waits, or is due soon", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Worker = makeWorker("worker", (n) => Effect.as(gate.pass, n))
      const world = yield* makeWorld({ actors: [Worker], idleMsMax: 1_000 })
      yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* world.system.tell(Worker.ref("b"), "Work", { n: 2 }, { delayMs: 30_000 })
      yield* world.system.tell(Worker.ref("c"), "Work", { n: 3 }, { delayMs: 3_600_000 })
      yield* pass(20_000)
      expect([yield* isThere(world, "worker", "a"), yield* isThere(world, "worker", "b")]).toEqual([true, true])
      expect(yield* isThere(world, "worker", "c")).toBe(false)
      yield* gate.open
      yield* pass(12_000)
      yield* gate.open
      yield* pass(2_000)
      expect([yield* isThere(world, "worker", "a"), yield* isThere(world, "worker", "b")]).toEqual([false, false])
    }),
  )
  it.effect("1.4 stays with what it holds, unless it says for how long; then that is let go, and got again", () =>
    Effect.gen(function* () {
      const stays = holder()
      const world = yield* makeWorld({ actors: [stays.Holder], idleMsMax: 1_000 })
      yield* world.system.ask(stays.Holder.ref("a"), "Work", { n: 1 })
      yield* pass(5_000)
      expect(stays.held).toMatchObject({ now: 1, times: 1 })
      const goes = holder(2_000)
      const other = yield* makeWorld({ actors: [goes.Holder] })
      expect(yield* other.system.ask(goes.Holder.ref("a"), "Work", { n: 1 })).toBe(1)
      yield* pass(3_000)
      expect(goes.held).toMatchObject({ now: 0, times: 1 })
      expect(yield* isThere(other, "holder")).toBe(false)
      expect(lifecycleOf(other, "holder/a")).toEqual([
        "starting STARTED ready",
        "ready PASSIVATED restarting",
        "restarting RESTART starting",
      ])
      expect(yield* other.system.ask(goes.Holder.ref("a"), "Work", { n: 2 })).toBe(2)
      expect(goes.held).toMatchObject({ now: 1, most: 1, times: 2 })
    }),
  )
  it.effect("1.5 has a message that comes while it lets go wait until it has", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Holder, held } = holder(1_000, gate.pass)
      const world = yield* makeWorld({ actors: [Holder] })
      yield* world.system.ask(Holder.ref("a"), "Work", { n: 1 })
      yield* pass(2_000)
      expect(gate.waiting).toBe(1)
      const asked = yield* Effect.forkChild(world.system.ask(Holder.ref("a"), "Work", { n: 2 }), {
        startImmediately: true,
      })
      yield* turns
      expect(held.times).toBe(1)
      yield* gate.open
      expect(yield* Fiber.join(asked)).toBe(2)
      expect(held).toMatchObject({ most: 1, times: 2 })
      yield* Effect.forkDetach(Effect.andThen(turns, gate.open))
    }),
  )
  it.effect("1.6 that a pool refers to stays", () =>
    Effect.gen(function* () {
      const { Holder, held } = holder(1_000)
      const pool = makePool("holders", { targets: [Holder.ref("a")] })
      const world = yield* makeWorld({ actors: [Holder], pools: [pool] })
      yield* pass(5_000)
      expect(held).toMatchObject({ now: 1, times: 1 })
      expect(yield* world.system.ask(pool.ref, "Work", { n: 1 })).toBe(1)
    }),
  )
  it.effect("1.7 past residentMax the least used leave first", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Counter], residentMax: 4 })
      const add = (id: string) => world.system.ask(Counter.ref(id), "Add", { by: 1 })
      for (let use = 0; use < 20; use++) yield* add("busy")
      for (let id = 0; id < 3; id++) yield* add(`${id}`)
      for (let id = 3; id < 9; id++) yield* add(`${id}`)
      expect(yield* isThere(world, "counter", "busy")).toBe(true)
      expect(yield* isThere(world, "counter", "0")).toBe(false)
    }),
  )
})

describe("2 an actor that is gone", () => {
  const failed = Effect.gen(function* () {
    const Broken = makeWorker("broken", (n) => Effect.succeed(n), {
      start: () => Effect.fail(new TerminalTrouble({ message: "no such model" })),
    })
    const world = yield* makeWorld({ actors: [Broken], idleMsMax: 1_000 })
    const ask = () => Effect.flip(world.system.ask(Broken.ref("a"), "Work", { n: 1 }))
    yield* ask()
    yield* pass(3_000)
    return { ask, world }
  })
  it.effect("2.1 leaves memory, and refuses what comes as before, with its reason", () =>
    Effect.gen(function* () {
      const { ask, world } = yield* failed
      expect(yield* isThere(world, "broken")).toBe(false)
      const refused = { _tag: "TerminalActorFailed", message: expect.stringContaining("no such model") }
      expect(yield* ask()).toMatchObject(refused)
      yield* pass(3_000)
      expect(yield* ask()).toMatchObject(refused)
    }),
  )
  it.effect("2.2 is tried again by the next process", () =>
    Effect.gen(function* () {
      const { ask, world } = yield* failed
      yield* world.crash
      expect(yield* ask()).toMatchObject({ _tag: "TerminalDeadLetter" })
    }),
  )
  it("2.3 is remembered with at most so many others, the oldest of which is forgotten", () => {
    const gone = new Tombstones(3)
    for (let n = 0; n < 5; n++) gone.put(`${n}`, { state: "failed", reason: `${n}` })
    expect(gone.size).toBe(3)
    expect([gone.take("1"), gone.take("4")]).toEqual([undefined, { state: "failed", reason: "4" }])
    expect(gone.take("4")).toBe(undefined)
  })
})
