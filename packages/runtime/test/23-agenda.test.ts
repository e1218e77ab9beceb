/** Messages for later: on disk alone until shortly before their time, exact over restarts and over clocks that jump. */
import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { makeWorker, RetryableTrouble } from "./support/actors.ts"
import { pass, steppedClock } from "./support/clocks.ts"
import { makeWorld, row, rows, turns } from "./support/World.ts"

const MINUTE = 60_000
const DAY = 86_400_000

const recording = (options: Parameters<typeof makeWorker>[2] = {}) => {
  const ran: Array<readonly [n: number, atMs: number]> = []
  const Worker = makeWorker(
    "worker",
    (n, actor) =>
      Effect.sync(() => {
        ran.push([n, actor.nowMs])
        return n
      }),
    options,
  )
  return { Worker, ran, ref: Worker.ref("a") }
}

describe("1 a message for later", () => {
  it.effect("1.1 is refused with two times, or with one that is none", () =>
    Effect.gen(function* () {
      const { Worker, ref } = recording()
      const world = yield* makeWorld({ actors: [Worker] })
      const refused = (options: { readonly delayMs?: number; readonly deliverAtMs?: number }) =>
        Effect.map(Effect.flip(world.system.tell(ref, "Work", { n: 1 }, options)), ({ message }) => message)
      expect(yield* refused({ delayMs: 1, deliverAtMs: 1 })).toContain(
        "it has both delayMs and deliverAtMs; give one of them.",
      )
      for (const deliverAtMs of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
        expect(yield* refused({ deliverAtMs })).toContain("deliverAtMs must be a time in milliseconds since the epoch")
      }
    }),
  )
  it.effect("1.2 is not in memory, and runs at its time; one whose time has passed runs now", () =>
    Effect.gen(function* () {
      const { Worker, ran, ref } = recording()
      const world = yield* makeWorld({ actors: [Worker] })
      yield* TestClock.adjust(5)
      yield* world.system.tell(ref, "Work", { n: 1 }, { deliverAtMs: DAY + 17 })
      yield* world.system.tell(ref, "Work", { n: 2 }, { delayMs: DAY })
      yield* world.system.tell(ref, "Work", { n: 3 }, { deliverAtMs: 1 })
      yield* turns
      expect(ran).toEqual([[3, 5]])
      expect(yield* world.system.unfinished).toBe(0)
      yield* pass(DAY - MINUTE, MINUTE)
      expect(yield* world.system.unfinished).toBeGreaterThan(0)
      expect(ran.length).toBe(1)
      yield* pass(2 * MINUTE)
      expect(ran.slice(1)).toEqual([
        [2, DAY + 5],
        [1, DAY + 17],
      ])
    }),
  )
  it.effect("1.3 runs at its time after a death, and as soon as it can where that has passed", () =>
    Effect.gen(function* () {
      const { Worker, ran, ref } = recording()
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 1 }, { deliverAtMs: 10 * MINUTE })
      yield* world.system.tell(ref, "Work", { n: 2 }, { deliverAtMs: 20 * MINUTE })
      yield* world.crash
      yield* pass(11 * MINUTE)
      expect(ran).toEqual([[1, 10 * MINUTE]])
      yield* world.close
      yield* TestClock.adjust(20 * MINUTE)
      yield* world.crash
      yield* turns
      expect(ran[1]).toEqual([2, 31 * MINUTE])
    }),
  )
  it.effect("1.4 is asked for: the answer comes when it has run; taken back, it never does", () =>
    Effect.gen(function* () {
      const { Worker, ran, ref } = recording()
      const world = yield* makeWorld({ actors: [Worker] })
      const options = { delayMs: 5 * MINUTE }
      const asked = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 1 }, options), {
        startImmediately: true,
      })
      const left = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 2 }, options), { startImmediately: true })
      const id = yield* world.system.tell(ref, "Work", { n: 3 }, options)
      yield* turns
      yield* Fiber.interrupt(left)
      expect(yield* world.system.cancel(id)).toBe(true)
      yield* turns
      expect(rows(world).map(({ status }) => status)).toEqual(["pending", "cancelled", "cancelled"])
      yield* pass(6 * MINUTE)
      expect(yield* Fiber.join(asked)).toBe(1)
      expect(ran.map(([n]) => n)).toEqual([1])
    }),
  )
  it.effect("1.5 whose deadline is before its time expires at the deadline", () =>
    Effect.gen(function* () {
      const { Worker, ran, ref } = recording()
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 1 }, { delayMs: DAY, timeoutMs: 10 * MINUTE })
      yield* pass(9 * MINUTE)
      expect(row(world).status).toBe("pending")
      yield* pass(2 * MINUTE)
      expect(row(world)).toMatchObject({ status: "expired", finishedAtMs: 10 * MINUTE })
      expect(ran).toEqual([])
    }),
  )
  it.effect("1.6 comes back by pages, however many are due at the same time, each once", () =>
    Effect.gen(function* () {
      const { Worker, ran } = recording()
      const world = yield* makeWorld({ actors: [Worker], readAheadMax: 10 })
      for (let n = 0; n < 100; n++) {
        yield* world.system.tell(Worker.ref(`${n % 7}`), "Work", { n }, { deliverAtMs: 10 * MINUTE })
      }
      expect(yield* world.system.unfinished).toBe(0)
      yield* pass(9.5 * MINUTE)
      expect(yield* world.system.unfinished).toBeGreaterThan(0)
      yield* pass(1.5 * MINUTE)
      expect(ran.map(([n]) => n).sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n))
      expect(new Set(rows(world).map(({ attempt }) => attempt))).toEqual(new Set([1]))
    }),
  )
  it.effect("1.7 stays in memory in a strict mailbox, which it holds shut", () =>
    Effect.gen(function* () {
      const { Worker, ran, ref } = recording({ mailbox: { strict: true } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 1 }, { delayMs: 10 * MINUTE })
      yield* world.system.tell(ref, "Work", { n: 2 })
      yield* world.crash
      yield* pass(9 * MINUTE)
      expect([ran.length, yield* world.system.unfinished]).toEqual([0, 2])
      yield* pass(2 * MINUTE)
      expect(ran.map(([n]) => n)).toEqual([1, 2])
    }),
  )
  it.effect("1.8 a retry in a long backoff leaves memory, too", () =>
    Effect.gen(function* () {
      const at: Array<number> = []
      const backoff = { baseMs: 30 * MINUTE, factor: 1, maxMs: 30 * MINUTE, jitter: 0 }
      const Worker = makeWorker(
        "worker",
        (n, actor) =>
          Effect.suspend(() => {
            at.push(actor.nowMs)
            return actor.message.attempt === 1
              ? Effect.fail(new RetryableTrouble({ message: "later" }))
              : Effect.succeed(n)
          }),
        { retry: { backoff } },
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(yield* world.system.unfinished).toBe(0)
      yield* pass(31 * MINUTE)
      expect(at).toEqual([0, 30 * MINUTE])
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done" })
    }),
  )
  it.effect("1.9 is not run a millisecond too early, where the clock ticks while it is accepted", () =>
    Effect.gen(function* () {
      const { stepped, wall } = yield* steppedClock
      const now = stepped.currentTimeMillisUnsafe
      const ticking: Clock.Clock = Object.assign(Object.create(stepped) as Clock.Clock, {
        currentTimeMillisUnsafe: () => {
          wall.setMs++
          return now()
        },
      })
      const { Worker, ran, ref } = recording()
      const world = yield* Effect.provideService(makeWorld({ actors: [Worker] }), Clock.Clock, ticking)
      yield* world.system.tell(ref, "Work", { n: 1 }, { delayMs: 1 })
      yield* pass(100, 10)
      expect(ran.length).toBe(1)
      const { deliverAtMs, startedAtMs } = row(world)
      expect(startedAtMs).toBeGreaterThanOrEqual(deliverAtMs)
    }),
  )
})

describe("2 a clock that", () => {
  it.effect("2.1 jumps forward delivers within half a minute; back, never early and never twice", () =>
    Effect.gen(function* () {
      const { stepped, wall } = yield* steppedClock
      const { Worker, ran, ref } = recording()
      const world = yield* Effect.provideService(makeWorld({ actors: [Worker] }), Clock.Clock, stepped)
      yield* world.system.tell(ref, "Work", { n: 1 }, { deliverAtMs: 7 * DAY })
      yield* world.system.tell(ref, "Work", { n: 2 }, { deliverAtMs: 7 * DAY + MINUTE / 2 })
      yield* turns
      wall.setMs = 7 * DAY
      yield* pass(30_000, 1_000)
      expect(ran.map(([n]) => n)).toContain(1)
      wall.setMs = 0
      yield* pass(10 * MINUTE)
      expect(ran.filter(([n]) => n === 1).length).toBe(1)
      const before = ran.length
      wall.setMs = 7 * DAY
      yield* pass(MINUTE, 1_000)
      expect(ran.map(([n]) => n)).toEqual([1, 2])
      expect(ran.every(([n, atMs]) => atMs >= 7 * DAY + (n === 2 ? MINUTE / 2 : 0))).toBe(true)
      expect(before).toBeLessThanOrEqual(2)
    }),
  )
})

describe("3 against a list", () => {
  type Act =
    | { readonly kind: "tell"; readonly inMs: number }
    | { readonly kind: "cancel"; readonly nth: number }
    | { readonly kind: "pass"; readonly ms: number }
    | { readonly kind: "set"; readonly byMs: number }
    | { readonly kind: "die" }

  const act: fc.Arbitrary<Act> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("tell"), inMs: fc.integer({ min: 0, max: 20 * MINUTE }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel"), nth: fc.nat(30) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass"), ms: fc.integer({ min: 1, max: 6 * MINUTE }) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("set"), byMs: fc.integer({ min: -10 * MINUTE, max: 10 * MINUTE }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("die") }) },
  )

  const play = (acts: ReadonlyArray<Act>) =>
    Effect.gen(function* () {
      const { stepped, wall } = yield* steppedClock
      yield* TestClock.adjust(DAY)
      const { Worker, ran, ref } = recording()
      yield* Effect.gen(function* () {
        const world = yield* makeWorld({ actors: [Worker], readAheadMax: 3 })
        const told: Array<{ readonly id: string; readonly atMs: number }> = []
        const cancelled = new Set<number>()
        for (const each of acts) {
          switch (each.kind) {
            case "tell": {
              const atMs = stepped.currentTimeMillisUnsafe() + each.inMs
              told.push({ atMs, id: yield* world.system.tell(ref, "Work", { n: told.length }, { deliverAtMs: atMs }) })
              break
            }
            case "cancel":
              if (yield* world.system.cancel(told[each.nth]?.id ?? "nobody")) cancelled.add(each.nth)
              break
            case "pass":
              yield* pass(each.ms, 30_000)
              break
            case "set":
              wall.setMs += each.byMs
              break
            case "die":
              yield* turns
              yield* world.crash
              break
          }
          yield* turns
        }
        // Past every time that was set, however far the clock was set back.
        yield* pass(20 * MINUTE + acts.length * 10 * MINUTE, MINUTE)
        const expected = told.map((_, n) => n).filter((n) => !cancelled.has(n))
        expect(ran.map(([n]) => n).toSorted((a, b) => a - b)).toEqual(expected)
        for (const [n, atMs] of ran) expect(atMs).toBeGreaterThanOrEqual(told[n]?.atMs ?? Number.POSITIVE_INFINITY)
        expect(yield* world.system.unfinished).toBe(0)
      }).pipe(Effect.provideService(Clock.Clock, stepped))
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise)

  it("3.1 each message runs once and not before its time, whatever the clock, the process and its sender do", () =>
    fc.assert(fc.asyncProperty(fc.array(act, { minLength: 3, maxLength: 14 }), play), {
      numRuns: Number(process.env.PONTOON_RUNS ?? 25),
    }))
})
