/** Pools: where a message goes, why, and where when its target fails it. What is chosen of what is known is in 36. */
import { describe, expect, it } from "@effect/vitest"
import { decide, type Evidence, makePool } from "@pontoon/runtime"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Gate, makeWorker, RetryableTrouble, TerminalTrouble } from "./support/actors.ts"
import { makeWorld, row, rows, turns } from "./support/World.ts"

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
      expect(decide(evidence, 0)).toMatchObject({ _tag: "Route", chosen: last?.chosen })
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
        yield* world.system.tell(pool.ref, "Work", { n }, n % 7 === 0 ? { timeoutMs: 150, idempotencyKey: `${n}` } : {})
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
