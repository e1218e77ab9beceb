/** Pools: the evidence, the choice, and where a message goes when its target fails it. */
import { describe, expect, it } from "@effect/vitest"
import { decide, type Evidence, makePool } from "@pontoon/runtime"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as signals from "../src/supervision/adaptive/signals.ts"
import { Gate, makeWorker, RetryableTrouble, TerminalTrouble } from "./support/actors.ts"
import { makeWorld, row, rows, turns } from "./support/World.ts"

const STATES = ["starting", "ready", "degraded", "draining", "suspended", "restarting", "failed", "stopped"] as const

const candidate = fc.record({
  lifecycle: fc.constantFrom(...STATES),
  tier: fc.nat(2),
  slots: fc.integer({ min: 1, max: 8 }),
  outstanding: fc.nat(50),
  serviceMs: fc.option(fc.nat(5_000), { nil: undefined }),
  quietMs: fc.nat(120_000),
  success: fc.double({ min: 0, max: 1, noNaN: true }),
  oldestRunningMs: fc.nat(60_000),
  ejectedUntilMs: fc.nat(2_000),
  tried: fc.boolean(),
})
const evidences: fc.Arbitrary<Evidence> = fc.record({
  pool: fc.constant("pool"),
  nowMs: fc.constant(1_000),
  tierPenaltyMs: fc.nat(2_000),
  candidates: fc
    .array(candidate, { maxLength: 6 })
    .map((candidates) => candidates.map((each, index) => ({ ...each, target: `worker/${index}` }))),
})
const usable = ({ lifecycle }: Evidence["candidates"][number]) => lifecycle === "ready" || lifecycle === "degraded"
const coming = ({ lifecycle }: Evidence["candidates"][number]) => lifecycle === "starting" || lifecycle === "restarting"

describe("1 decide", () => {
  it("1.1 chooses whenever there is a target that runs or will, and never one that is gone", () => {
    fc.assert(
      fc.property(evidences, fc.double({ min: 0, max: 0.999999, noNaN: true }), (evidence, random) => {
        const decision = decide(evidence, random)
        const chosen = evidence.candidates.find(({ target }) => target === decision?.chosen)
        const ready = evidence.candidates.filter(usable)
        if (ready.length > 0) {
          expect(chosen && usable(chosen)).toBe(true)
          // An ejected or tried target only where there is no other.
          const best = ready.filter((each) => each.ejectedUntilMs <= evidence.nowMs && !each.tried)
          if (best.length > 0) expect(best).toContain(chosen)
        } else if (evidence.candidates.some(coming)) expect(chosen && coming(chosen)).toBe(true)
        else expect(decision).toBe(undefined)
        expect(Number.isFinite(decision?.costMs ?? 0)).toBe(true)
      }),
    )
  })
  it("1.2 gives the same for the same evidence, also when that was read back from the log", () => {
    fc.assert(
      fc.property(evidences, fc.double({ min: 0, max: 0.999999, noNaN: true }), (evidence, random) => {
        const again: Evidence = JSON.parse(JSON.stringify(evidence))
        expect(decide(again, random)).toEqual(decide(evidence, random))
      }),
    )
  })
  it("1.3 prefers the shorter queue, the better tier, the faster, the surer; and says what it passed over", () => {
    const base = {
      target: "a",
      lifecycle: "ready",
      tier: 0,
      slots: 1,
      outstanding: 0,
      serviceMs: 100,
      quietMs: 0,
      success: 1,
      oldestRunningMs: 0,
      ejectedUntilMs: 0,
      tried: false,
    } as const
    const choose = (a: object, b: object) =>
      decide(
        {
          pool: "p",
          nowMs: 10,
          tierPenaltyMs: 1_000,
          candidates: [
            { ...base, ...a },
            { ...base, target: "b", ...b },
          ],
        },
        0,
      )
    expect(choose({ outstanding: 3 }, {})?.chosen).toBe("b")
    expect(choose({ tier: 1 }, { outstanding: 5 })?.chosen).toBe("b")
    expect(choose({ tier: 1 }, { outstanding: 20 })?.chosen).toBe("a")
    expect(choose({ serviceMs: 101 }, {})?.chosen).toBe("b")
    // Slow once, and quiet since: taken to be like the other again.
    expect(choose({ serviceMs: 900 }, { serviceMs: 110 })?.chosen).toBe("b")
    expect(choose({ serviceMs: 900, quietMs: 200_000 }, { serviceMs: 110, outstanding: 1 })?.chosen).toBe("a")
    expect(choose({ success: 0.5 }, { outstanding: 1 })?.chosen).toBe("b")
    expect(choose({ oldestRunningMs: 5_000 }, { outstanding: 3 })?.chosen).toBe("b")
    expect(choose({ lifecycle: "failed" }, { ejectedUntilMs: 11 })).toMatchObject({
      chosen: "b",
      reason: "every ready target is ejected; lowest cost all the same: 100 ms expected, 0 outstanding (a is failed)",
    })
    expect(choose({ tried: true }, { tier: 2 })?.reason).toContain("(a failed this message)")
  })
})

describe("2 signals", () => {
  it("2.1 count what is outstanding exactly, whatever happens, and eject after three failures in a row", () => {
    const event = fc.constantFrom("assign", "begin", "succeed", "fail", "release", "withdraw")
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), (events) => {
        let state = signals.freshSignals(0)
        const waiting: Array<string> = []
        const running: Array<string> = []
        let failures = 0
        events.forEach((name, index) => {
          const nowMs = index * 10
          const queued = waiting[0]
          const busy = running[0]
          if (name === "assign") {
            waiting.push(`${index}`)
            state = signals.assigned(state)
          } else if (name === "begin" && queued !== undefined) {
            running.push(...waiting.splice(0, 1))
            state = signals.began(state, queued, nowMs)
          } else if (name === "withdraw" && queued !== undefined) {
            waiting.shift()
            state = signals.withdrawn(state)
          } else if (busy !== undefined && (name === "succeed" || name === "fail" || name === "release")) {
            running.shift()
            if (name === "succeed") state = signals.succeeded(state, busy, 10, nowMs)
            else if (name === "fail") state = signals.failed(state, busy, nowMs)
            else state = signals.released(state, busy)
            failures = name === "fail" ? failures + 1 : name === "succeed" ? 0 : failures
            expect(state.ejectedUntilMs > nowMs).toBe(
              failures >= 3 || (name === "release" && state.ejectedUntilMs > nowMs),
            )
          }
          expect(state.outstanding).toBe(waiting.length + running.length)
          expect([...state.runningSinceMs.keys()]).toEqual(running)
          expect(state.success).toBeGreaterThanOrEqual(0)
          expect(state.success).toBeLessThanOrEqual(1)
        })
      }),
    )
  })
  it("2.2 forgive with time, and remember how slow a target is that only fails", () => {
    let state = signals.succeeded(signals.freshSignals(0), "x", 800, 0)
    for (let index = 0; index < 5; index++) state = signals.failed(state, "x", 10)
    expect(state.serviceMs).toBe(800)
    expect(signals.believedSuccess(state, 10)).toBeLessThan(0.3)
    expect(signals.believedSuccess(state, 60_000)).toBeGreaterThan(0.9)
    // 1, 2, 4 seconds, and never more than 8.
    expect(state.ejectedUntilMs).toBe(10 + 4_000)
    for (let index = 0; index < 5; index++) state = signals.failed(state, "x", 10)
    expect(state.ejectedUntilMs).toBe(10 + 8_000)
  })
})

describe("3 a message to a pool", () => {
  it.effect("3.1 goes to the least loaded target; the choice is in the log with what it saw", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Worker = makeWorker("worker", (n) => Effect.as(gate.pass, n))
      const pool = makePool("workers", { targets: ["a", "b", "c"].map((id) => Worker.ref(id)) })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      for (const n of [1, 2, 3]) yield* world.system.tell(pool.ref, "Work", { n })
      expect(new Set(rows(world).map(({ actorId }) => actorId))).toEqual(new Set(["a", "b", "c"]))
      expect(rows(world).every((each) => each.pool === "workers")).toBe(true)
      const [first, , last] = world.log.routes
      expect(first).toMatchObject({ messageId: row(world).id, attempt: 1, pool: "workers" })
      const evidence: Evidence = JSON.parse(last?.evidence ?? "")
      expect(evidence.candidates.map(({ outstanding }) => outstanding).toSorted()).toEqual([0, 1, 1])
      expect(decide(evidence, 0)?.chosen).toBe(last?.chosen)
    }),
  )
  it.effect(
    "3.2 that comes at once with others is routed knowing of them; one that repeats another counts for nothing",
    () =>
      Effect.gen(function* () {
        const gate = new Gate()
        const Worker = makeWorker("worker", (n) => Effect.as(gate.pass, n))
        const pool = makePool("workers", { targets: ["a", "b", "c"].map((id) => Worker.ref(id)) })
        const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
        const burst = Array.from({ length: 9 }, (_, n) =>
          world.system.tell(pool.ref, "Work", { n }, { idempotencyKey: `${n}` }),
        )
        yield* Effect.all(burst, { concurrency: "unbounded" })
        yield* Effect.all(burst, { concurrency: "unbounded" })
        const targets = rows(world).map(({ actorId }) => actorId)
        for (const id of ["a", "b", "c"]) expect(targets.filter((each) => each === id)).toHaveLength(3)
        yield* world.system.tell(pool.ref, "Work", { n: 9 })
        const evidence: Evidence = JSON.parse(world.log.routes.at(-1)?.evidence ?? "")
        expect(evidence.candidates.map(({ outstanding }) => outstanding)).toEqual([3, 3, 3])
      }),
  )
  it.effect("3.3 that fails in a way that another might not goes to another at once, with a line in routes", () =>
    Effect.gen(function* () {
      const at: Array<string> = []
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.suspend(() => {
          at.push(`${actor.self.id} ${actor.nowMs}`)
          return actor.self.id === "a"
            ? Effect.fail(new RetryableTrouble({ message: "out of memory" }))
            : Effect.succeed(n)
        }),
      )
      const pool = makePool("workers", { targets: [Worker.ref("a"), { ref: Worker.ref("b"), tier: 1 }] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      expect(yield* world.system.ask(pool.ref, "Work", { n: 7 })).toBe(7)
      expect(at).toEqual(["a 0", "b 0"])
      expect(row(world)).toMatchObject({ actorId: "b", attempt: 2, status: "done", pool: "workers" })
      expect(world.log.attempts.get(row(world).id)).toMatchObject([{ attempt: 1, actorId: "a" }])
      expect(world.log.routes.map(({ attempt, chosen }) => [attempt, chosen])).toEqual([
        [1, "worker/a"],
        [2, "worker/b"],
      ])
      expect(world.log.routes[1]?.reason).toMatch(
        /^RetryableTrouble on worker\/a; lowest cost: .* \(worker\/a failed this message\)$/,
      )
    }),
  )
  it.effect("3.4 that fails everywhere comes round again, after a backoff, until it is a dead letter", () =>
    Effect.gen(function* () {
      const at: Array<string> = []
      const Worker = makeWorker(
        "worker",
        (_, actor) =>
          Effect.suspend(() => {
            at.push(actor.self.id)
            return Effect.fail(new RetryableTrouble({ message: "no" }))
          }),
        { retry: { attemptsMax: 4 } },
      )
      const pool = makePool("workers", { targets: [Worker.ref("a"), Worker.ref("b")] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(pool.ref, "Work", { n: 1 })))
      for (let step = 0; step < 50; step++) yield* TestClock.adjust(100)
      expect(yield* Fiber.join(ask)).toMatchObject({ _tag: "TerminalDeadLetter" })
      expect(at.length).toBe(4)
      expect(new Set(at.slice(0, 2))).toEqual(new Set(["a", "b"]))
    }),
  )
  it.effect("3.5 is refused where every target has failed", () =>
    Effect.gen(function* () {
      const Worker = makeWorker<number>("worker", (n) => Effect.succeed(n), {
        start: () => new TerminalTrouble({ message: "no model" }),
      })
      const pool = makePool("workers", { targets: [Worker.ref("a"), Worker.ref("b")] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      yield* turns
      expect(yield* Effect.flip(world.system.ask(pool.ref, "Work", { n: 1 }))).toMatchObject({
        _tag: "TerminalActorFailed",
        message: "Every target of the pool workers has failed (worker/a: no model; worker/b: no model).",
      })
    }),
  )
  it.effect("3.6 leaves nothing outstanding when all is over, however each ended", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Worker = makeWorker(
        "worker",
        (n, actor) =>
          Effect.gen(function* () {
            yield* gate.pass
            if (n % 5 === 1 && actor.message.attempt === 1) return yield* new RetryableTrouble({ message: "again" })
            if (n % 5 === 2) return yield* new TerminalTrouble({ message: "no" })
            if (n % 5 === 3 && actor.message.attempt === 1) return yield* Effect.die("a mistake")
            return n
          }),
        { concurrency: 2, supervision: { restartsMax: 100 }, retry: { attemptsMax: 50 } },
      )
      const pool = makePool("workers", { targets: ["a", "b", "c"].map((id) => Worker.ref(id)) })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      for (let n = 0; n < 60; n++)
        yield* world.system.tell(pool.ref, "Work", { n }, n % 7 === 0 ? { timeoutMs: 150 } : {})
      yield* turns
      for (let n = 0; n < 60; n += 9) yield* world.system.cancel(row(world, n).id)
      for (let step = 0; step < 200; step++) {
        yield* gate.open
        yield* turns
        yield* TestClock.adjust(100)
      }
      expect(yield* world.system.unfinished).toBe(0)
      expect(new Set(rows(world).map(({ status }) => status))).toEqual(
        new Set(["done", "failed", "expired", "cancelled"]),
      )
      // The next decision sees every target as it is: with nothing to do.
      yield* world.system.tell(pool.ref, "Work", { n: 0 })
      const evidence: Evidence = JSON.parse(world.log.routes.at(-1)?.evidence ?? "")
      expect(evidence.candidates.map(({ oldestRunningMs, outstanding }) => [outstanding, oldestRunningMs])).toEqual(
        Array(3).fill([0, 0]),
      )
    }),
  )
  it.effect("3.7 says why its sender sent it there", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (n) => Effect.succeed(n))
      const pool = makePool("workers", { targets: [Worker.ref("a")] })
      const Desk = makeWorker("desk", (n, actor) =>
        Effect.orDie(
          actor.ask(pool.ref, "Work", { n }, { dispatch: { reason: "it is about coffee", evidence: { coffee: 0.9 } } }),
        ),
      )
      const world = yield* makeWorld({ actors: [Worker, Desk], pools: [pool] })
      yield* world.system.ask(Desk.ref("front"), "Work", { n: 1 })
      const note = {
        pool: "desk/front",
        chosen: "pool workers",
        reason: "it is about coffee",
        evidence: '{"coffee":0.9}',
      }
      expect(world.log.routes).toMatchObject([
        { messageId: row(world, 1).id, ...note },
        { pool: "workers", chosen: "worker/a" },
      ])
    }),
  )
})
