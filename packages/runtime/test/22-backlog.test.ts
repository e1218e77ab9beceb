/** Recovery with bounded memory: what a death left behind is read as there is room, and nothing overtakes what is unread. */
import { describe, expect, it } from "@effect/vitest"
import type { MessageStore } from "@pontoon/runtime"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Gate, makeWorker } from "./support/actors.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

/** Counts what is read to be run. */
const counting = () => {
  const read: Array<string> = []
  const note = <A extends ReadonlyArray<{ readonly id: string }>, E>(page: Effect.Effect<A, E>) =>
    Effect.tap(page, (found) => Effect.sync(() => read.push(...found.map(({ id }) => id))))
  const wrap = (store: MessageStore["Service"]): MessageStore["Service"] => ({
    ...store,
    unfinished: (afterSeq, limit) => note(store.unfinished(afterSeq, limit)),
    due: (...page) => note(store.due(...page)),
  })
  return { read, wrap }
}

/** A worker that waits at its gate, and says what it ran. */
const gated = (options: Parameters<typeof makeWorker>[2] = {}) => {
  const gate = new Gate()
  const ran: Array<string> = []
  const Worker = makeWorker(
    "worker",
    (n, actor) =>
      Effect.suspend(() => {
        ran.push(`${actor.self.id}:${n}`)
        return Effect.as(gate.pass, n)
      }),
    options,
  )
  return { Worker, gate, ran }
}

type Worker = ReturnType<typeof gated>["Worker"]

const tell = (world: World, worker: Worker, id: string, n: number, options = {}) =>
  world.system.tell(worker.ref(id), "Work", { n }, options)

/** Opens the gate until nothing is left to be done. */
const drain = (world: World, gate: Gate) =>
  Effect.gen(function* () {
    for (let step = 0; step < 500 && (yield* world.system.unfinished) > 0; step++) {
      yield* turns
      yield* gate.open
    }
  })

describe("1 a backlog", () => {
  it.effect("1.1 is read as far as there is room, each message once, and drained in order", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran } = gated()
      const { read, wrap } = counting()
      const world = yield* makeWorld({ actors: [Worker] })
      for (let n = 0; n < 300; n++) yield* tell(world, Worker, `${n % 30}`, n)
      yield* turns
      ran.length = 0
      yield* world.crashInto({ actors: [Worker], readAheadMax: 20, wrap })
      yield* turns
      expect(read.length).toBe(20)
      expect(yield* world.system.unfinished).toBe(300)
      yield* drain(world, gate)
      expect([...read].sort()).toEqual([...new Set(read)].sort())
      expect(rows(world).every(({ status }) => status === "done")).toBe(true)
      for (let id = 0; id < 30; id++) {
        const own = ran.filter((each) => each.startsWith(`${id}:`))
        expect(own).toEqual(Array.from({ length: 10 }, (_, round) => `${id}:${id + 30 * round}`))
      }
    }),
  )
  it.effect("1.2 never holds more than its bound and a page", () =>
    Effect.gen(function* () {
      const { Worker, gate } = gated({ concurrency: 100 })
      const world = yield* makeWorld({ actors: [Worker] })
      for (let n = 0; n < 200; n++) yield* tell(world, Worker, "a", n)
      let ended = 0
      const { read, wrap } = counting()
      yield* world.crashInto({ actors: [Worker], readAheadMax: 8, wrap })
      let most = 0
      for (let step = 0; step < 200 && (yield* world.system.unfinished) > 0; step++) {
        yield* turns
        ended = rows(world).filter(({ status }) => status === "done").length
        most = Math.max(most, read.length - ended)
        yield* gate.open
      }
      expect(most).toBeLessThanOrEqual(15)
      expect(rows(world).filter(({ status }) => status === "done").length).toBe(200)
    }),
  )
  it.effect("1.3 comes in a page a second, where what was read cannot move", () =>
    Effect.gen(function* () {
      const { Worker, ran } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      for (let n = 0; n < 40; n++) yield* tell(world, Worker, n < 20 ? "stuck" : `${n}`, n)
      yield* turns
      ran.length = 0
      yield* world.crashInto({ actors: [Worker], readAheadMax: 10 })
      yield* turns
      expect(ran).toEqual(["stuck:0"])
      for (let second = 0; second < 2; second++) {
        yield* TestClock.adjust(1_000)
        yield* turns
      }
      expect(ran.length).toBe(11)
      expect(ran).toContain("29:29")
    }),
  )
  it.effect("1.4 is left to the next start by a system that closes", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      for (let n = 0; n < 30; n++) yield* tell(world, Worker, `${n}`, n)
      yield* turns
      yield* world.crashInto({ actors: [Worker], readAheadMax: 5 })
      yield* turns
      const closing = yield* Effect.forkChild(world.close, { startImmediately: true })
      yield* turns
      yield* gate.open
      yield* Fiber.join(closing)
      expect(rows(world).filter(({ status }) => status === "done").length).toBe(5)
      ran.length = 0
      yield* world.crashInto({ actors: [Worker] })
      yield* drain(world, gate)
      expect(ran.length).toBe(25)
    }),
  )
})

describe("2 while a backlog lies unread", () => {
  /** Ten messages fill memory and run; behind them on disk lies an old message for `old`. */
  const behind = Effect.gen(function* () {
    const made = gated()
    const world = yield* makeWorld({ actors: [made.Worker] })
    for (let n = 0; n < 10; n++) yield* tell(world, made.Worker, `${n}`, n)
    const old = yield* tell(world, made.Worker, "old", 100, { idempotencyKey: "k" })
    const pending = yield* tell(world, made.Worker, "old", 102)
    const late = yield* tell(world, made.Worker, "late", 101, { timeoutMs: 500 })
    yield* turns
    made.ran.length = 0
    yield* world.crashInto({ actors: [made.Worker], readAheadMax: 5 })
    yield* turns
    return { ...made, world, old, pending, late }
  })
  it.effect("2.1 a new message does not overtake an old one of its actor, and waits for no other", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, world } = yield* behind
      yield* tell(world, Worker, "old", 200)
      yield* tell(world, Worker, "fresh", 300)
      yield* turns
      expect(ran).toContain("fresh:300")
      expect(ran).not.toContain("old:200")
      yield* drain(world, gate)
      expect(ran.filter((each) => each.startsWith("old"))).toEqual(["old:100", "old:102", "old:200"])
    }),
  )
  it.effect("2.2 an old message is taken back on disk, and never runs", () =>
    Effect.gen(function* () {
      const { gate, old, pending, ran, world } = yield* behind
      expect(yield* world.system.cancel(pending)).toBe(true)
      expect(row(world, 11)).toMatchObject({ status: "cancelled", attempt: 0 })
      const outcome = yield* Effect.forkChild(world.system.outcome(old), { startImmediately: true })
      // It had begun before the death: it comes to memory to be compensated, if there is anything.
      expect(yield* world.system.cancel(old)).toBe(true)
      expect(row(world, 10)).toMatchObject({ status: "cancelled" })
      expect(yield* Fiber.join(outcome)).toMatchObject({ status: "cancelled" })
      expect(yield* world.system.cancel(old)).toBe(false)
      yield* drain(world, gate)
      expect(ran.some((each) => each.startsWith("old"))).toBe(false)
    }),
  )
  it.effect("2.3 an ask under an old message's key waits for its answer", () =>
    Effect.gen(function* () {
      const { Worker, gate, world } = yield* behind
      const ask = world.system.ask(Worker.ref("old"), "Work", { n: 100 }, { idempotencyKey: "k" })
      const asked = yield* Effect.forkChild(ask, { startImmediately: true })
      yield* drain(world, gate)
      expect(yield* Fiber.join(asked)).toBe(100)
    }),
  )
  it.effect("2.4 an old message whose deadline passes never runs, and says so", () =>
    Effect.gen(function* () {
      const { gate, late, ran, world } = yield* behind
      const outcome = yield* Effect.forkChild(world.system.outcome(late), { startImmediately: true })
      yield* TestClock.adjust(500)
      yield* drain(world, gate)
      expect(yield* Fiber.join(outcome)).toMatchObject({ status: "expired" })
      expect(ran).not.toContain("late:101")
    }),
  )
  it.effect("2.5 a message that killed every process is a dead letter when it is read, and whoever waits is told", () =>
    Effect.gen(function* () {
      const { Worker, gate } = gated({ retry: { attemptsMax: 1 } })
      const world = yield* makeWorld({ actors: [Worker] })
      for (let n = 0; n < 12; n++) yield* tell(world, Worker, `${n}`, n)
      yield* turns
      yield* world.crashInto({ actors: [Worker], readAheadMax: 3 })
      const last = yield* Effect.forkChild(world.system.outcome(row(world, 11).id), { startImmediately: true })
      yield* drain(world, gate)
      expect(yield* Fiber.join(last)).toMatchObject({ status: "dead", error: { tag: "RetryableProcessDied" } })
      expect(rows(world).every(({ status }) => status === "dead")).toBe(true)
    }),
  )
  it.effect("2.6 an old message that is taken back is not overtaken while it is brought for that", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran } = gated()
      const [counted, written] = [new Gate(), new Gate()]
      const world = yield* makeWorld({ actors: [Worker] })
      for (let n = 0; n < 10; n++) yield* tell(world, Worker, `${n}`, n)
      const old = yield* tell(world, Worker, "old", 100)
      yield* turns
      ran.length = 0
      const wrap = (store: MessageStore["Service"]): MessageStore["Service"] => ({
        ...store,
        census: (...page) => Effect.andThen(counted.pass, store.census(...page)),
        commit: (writes) =>
          writes.some((write) => write._tag === "Retry" && write.messageId === old)
            ? Effect.andThen(written.pass, store.commit(writes))
            : store.commit(writes),
      })
      yield* world.crashInto({ actors: [Worker], readAheadMax: 5, wrap })
      const cancelled = yield* Effect.forkChild(world.system.cancel(old), { startImmediately: true })
      yield* turns
      // It is in memory by now, and so is not counted among what is unread.
      yield* counted.open
      yield* turns
      expect(written.waiting).toBe(1)
      yield* tell(world, Worker, "old", 200)
      yield* turns
      expect(ran).not.toContain("old:200")
      yield* written.open
      yield* turns
      expect(yield* Fiber.join(cancelled)).toBe(true)
      expect(ran).toContain("old:200")
      yield* drain(world, gate)
    }),
  )
})
