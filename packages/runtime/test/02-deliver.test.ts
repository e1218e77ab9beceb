/** Step 3: the mailbox. What is accepted, once; what runs next; what is taken back. */
import { describe, expect, it } from "@effect/vitest"
import { makePool } from "@pontoon/runtime"
import { FaultyStore } from "@pontoon/runtime/testing"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Counter, gated, makeWorker } from "./support/actors.ts"
import { BatchedStore } from "./support/BatchedStore.ts"
import { makeWorld, row, rows, turns } from "./support/World.ts"

describe("1 a mailbox", () => {
  it.effect("1.1 refuses one more than it holds, and what it refuses is not in the log", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { capacity: 2 } })
      const world = yield* makeWorld({ actors: [Worker] })
      for (const n of [1, 2, 3]) yield* world.system.tell(ref, "Work", { n })
      const error = yield* Effect.flip(world.system.tell(ref, "Work", { n: 4 }))
      expect(error).toMatchObject({ _tag: "RetryableMailboxFull", actor: "worker/a", depth: 2, retryAfterMs: 1_000 })
      expect(error.message).toBe(
        "worker/a has 2 messages waiting, as many as its mailbox holds; send again in about 1000 ms.",
      )
      expect(rows(world).length).toBe(3)
      yield* gate.open
      yield* turns
      yield* world.system.tell(ref, "Work", { n: 5 })
      expect(ran).toEqual([1, 2])
    }),
  )
  it.effect("1.2 holds its bound against many senders at once", () =>
    Effect.gen(function* () {
      const { Worker, ref } = gated({ mailbox: { capacity: 5 } })
      const world = yield* makeWorld({ actors: [Worker] })
      const sent = Array.from({ length: 50 }, (_, n) => Effect.exit(world.system.tell(ref, "Work", { n })))
      const exits = yield* Effect.all(sent, { concurrency: "unbounded" })
      // One runs, five wait.
      expect(exits.filter(({ _tag }) => _tag === "Success").length).toBe(6)
      expect(rows(world).length).toBe(6)
    }),
  )
  it.effect("1.3 counts what a handler is about to send", () =>
    Effect.gen(function* () {
      const { Worker, ref } = gated({ mailbox: { capacity: 3 } })
      const refused: Array<string> = []
      const Sender = makeWorker("sender", (n, actor) =>
        Effect.gen(function* () {
          for (let index = 0; index < n; index++) {
            const exit = yield* Effect.exit(actor.send(ref, "Work", { n: index }))
            if (exit._tag === "Failure") refused.push(String(exit.cause))
          }
          return n
        }).pipe(Effect.orDie),
      )
      const world = yield* makeWorld({ actors: [Worker, Sender] })
      yield* world.system.ask(Sender.ref("a"), "Work", { n: 5 })
      expect(refused.length).toBe(2)
      expect(refused[0]).toContain("RetryableMailboxFull")
      yield* turns
      expect(rows(world).filter(({ actorType }) => actorType === "worker").length).toBe(3)
      // The places were given back.
      yield* world.system.tell(ref, "Work", { n: 9 })
    }),
  )
  it.effect("1.4 keeps the order of acceptance, for one sender and over all", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      const asks = Array.from({ length: 20 }, (_, n) => world.system.ask(ref, "Work", { n }))
      const fiber = yield* Effect.forkChild(Effect.all(asks, { concurrency: "unbounded" }))
      for (let n = 0; n < 20; n++) {
        yield* turns
        yield* gate.open
      }
      expect(yield* Fiber.join(fiber)).toEqual(asks.map((_, n) => n * 10))
      expect(ran).toEqual(asks.map((_, n) => n))
      expect(rows(world).map(({ body }) => body)).toEqual(asks.map((_, n) => `{"n":${n}}`))
    }),
  )
  it.effect("1.5 lets nobody overtake a message that is on disk, in the batch that makes its actor free", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      const batches = new BatchedStore()
      const world = yield* makeWorld({ actors: [Worker], wrap: batches.wrap })
      const flush = Effect.andThen(batches.flush, turns)
      // Whoever is answered sends again at once, before anything else in that turn.
      const one = Effect.andThen(world.system.ask(ref, "Work", { n: 1 }), world.system.tell(ref, "Work", { n: 3 }))
      yield* Effect.forkChild(one, { startImmediately: true })
      yield* flush
      yield* gate.open
      yield* turns
      yield* Effect.forkChild(world.system.tell(ref, "Work", { n: 2 }), { startImmediately: true })
      // The end of 1, and 2.
      expect(batches.size).toBe(2)
      for (let step = 0; step < 6; step++) {
        yield* flush
        yield* gate.open
        yield* turns
      }
      expect(rows(world).map(({ body }) => body)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}'])
      expect(ran).toEqual([1, 2, 3])
      // The drain at the end of the test waits for commits.
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(batches.flush, Effect.yieldNow)))
    }),
  )
  it.effect("1.6 runs a higher priority first, and equals in order", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      for (const [n, priority] of [
        [0, 0],
        [1, 0],
        [2, 5],
        [3, -1],
        [4, 5],
        [5, 0],
      ] as const) {
        yield* world.system.tell(ref, "Work", { n }, { priority })
      }
      for (let n = 0; n < 6; n++) {
        yield* turns
        yield* gate.open
      }
      expect(ran).toEqual([0, 2, 4, 1, 5, 3])
    }),
  )
  it.effect("1.7 passes over what is not due; a strict one waits for it", () =>
    Effect.gen(function* () {
      for (const strict of [false, true]) {
        const { Worker, gate, ran, ref } = gated({ mailbox: { strict } })
        const world = yield* makeWorld({ actors: [Worker] })
        yield* world.system.tell(ref, "Work", { n: 1 }, { delayMs: 100 })
        yield* world.system.tell(ref, "Work", { n: 2 })
        yield* turns
        expect(ran).toEqual(strict ? [] : [2])
        yield* gate.open
        yield* TestClock.adjust(99)
        expect(ran).toEqual(strict ? [] : [2])
        yield* TestClock.adjust(1)
        yield* turns
        yield* gate.open
        yield* turns
        expect(ran).toEqual(strict ? [1, 2] : [2, 1])
      }
    }),
  )
  it.effect("1.8 holds a concurrency exactly, also over retries", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const tries = new Map<number, number>()
      const Worker = makeWorker(
        "worker",
        (n) =>
          Effect.gen(function* () {
            most = Math.max(most, ++running)
            yield* Effect.ensuring(
              Effect.sleep(10),
              Effect.sync(() => running--),
            )
            tries.set(n, (tries.get(n) ?? 0) + 1)
            if (n % 3 === 0 && tries.get(n) === 1) return yield* Effect.die(`${n} fails once`)
            return n
          }),
        { concurrency: 3, supervision: { restartsMax: 1_000 }, retry: { attemptsMax: 100 } },
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const asks = Array.from({ length: 30 }, (_, n) => world.system.ask(Worker.ref("a"), "Work", { n }))
      const fiber = yield* Effect.forkChild(Effect.all(asks, { concurrency: "unbounded" }))
      for (let step = 0; step < 500; step++) yield* TestClock.adjust(100)
      expect(yield* Fiber.join(fiber)).toEqual(asks.map((_, n) => n))
      expect(running).toBe(0)
      expect(most).toBe(3)
    }),
  )
})

describe("2 a key", () => {
  it.effect("2.1 finds the same message while it runs, after it is done and after a restart", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = Effect.suspend(() => world.system.ask(ref, "Work", { n: 1 }, { idempotencyKey: "k" }))
      const both = yield* Effect.forkChild(Effect.all([ask, ask], { concurrency: 2 }), { startImmediately: true })
      yield* turns
      const late = yield* Effect.forkChild(ask, { startImmediately: true })
      yield* turns
      yield* gate.open
      expect([...(yield* Fiber.join(both)), yield* Fiber.join(late), yield* ask]).toEqual([10, 10, 10, 10])
      yield* world.crash
      expect(yield* ask).toBe(10)
      expect(ran).toEqual([1])
      expect(rows(world).length).toBe(1)
    }),
  )
  it.effect("2.2 gives the same failure again", () =>
    Effect.gen(function* () {
      let runs = 0
      const Worker = makeWorker("worker", () =>
        Effect.suspend(() => {
          runs++
          return Effect.fail({ _tag: "TerminalNo" as const, message: "no" })
        }),
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = world.system.ask(Worker.ref("a"), "Work", { n: 1 }, { idempotencyKey: "k" })
      const first = yield* Effect.flip(ask)
      expect(first).toMatchObject({ _tag: "TerminalMessageFailed", tag: "TerminalNo", message: "no" })
      expect(yield* Effect.flip(ask)).toEqual(first)
      expect(runs).toBe(1)
    }),
  )
  it.effect("2.3 is refused for another message, and free for another actor or task", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Counter] })
      const key = { idempotencyKey: "k" }
      const id = yield* world.system.tell(Counter.ref("a"), "Add", { by: 1 }, key)
      const error = yield* Effect.flip(world.system.ask(Counter.ref("a"), "Add", { by: 2 }, key))
      expect(error).toMatchObject({
        _tag: "TerminalIdempotencyConflict",
        messageId: id,
        message: `The idempotency key k was used for another Add (message ${id}); use a new key for a new message.`,
      })
      expect(yield* world.system.ask(Counter.ref("a"), "Read", undefined, key)).toBe(1)
      expect(yield* world.system.ask(Counter.ref("b"), "Add", { by: 2 }, key)).toBe(2)
    }),
  )
  it.effect("2.4 of a pool holds over its targets, and is routed once", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran } = gated()
      const pool = makePool("workers", { targets: [Worker.ref("a"), Worker.ref("b")] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      const ask = world.system.ask(pool.ref, "Work", { n: 1 }, { idempotencyKey: "k" })
      const asks = yield* Effect.forkChild(Effect.all([ask, ask, ask], { concurrency: 3 }), { startImmediately: true })
      yield* turns
      yield* gate.open
      expect(yield* Fiber.join(asks)).toEqual([10, 10, 10])
      expect(ran).toEqual([1])
      expect(world.log.routes.length).toBe(1)
    }),
  )
  it.effect("2.5 of a send that was used before adds nothing", () =>
    Effect.gen(function* () {
      const Sender = makeWorker("sender", (n, actor) =>
        Effect.gen(function* () {
          yield* actor.send(Counter.ref("a"), "Add", { by: 1 }, { idempotencyKey: "same" })
          yield* actor.send(Counter.ref("a"), "Add", { by: 1 }, { idempotencyKey: "same" })
          yield* actor.send(Counter.ref("a"), "Add", { by: 10 })
          return n
        }),
      )
      const world = yield* makeWorld({ actors: [Counter, Sender] })
      yield* world.system.ask(Sender.ref("a"), "Work", { n: 1 })
      yield* world.system.ask(Sender.ref("b"), "Work", { n: 1 })
      yield* turns
      expect(yield* world.system.ask(Counter.ref("a"), "Read", undefined)).toBe(21)
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
})

describe("3 an accepted message", () => {
  it.effect("3.1 is on disk when tell gives its id, and its outcome is known to whoever asks", () =>
    Effect.gen(function* () {
      const { Worker, gate, ref } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      const id = yield* world.system.tell(ref, "Work", { n: 1 })
      expect(row(world)).toMatchObject({ id, status: "running", attempt: 1 })
      const outcome = yield* Effect.forkChild(world.system.outcome(id), { startImmediately: true })
      yield* turns
      yield* gate.open
      const reply = { messageId: id, status: "done", reply: "10", error: null }
      expect(yield* Fiber.join(outcome)).toEqual(reply)
      expect(yield* world.system.outcome(id)).toEqual(reply)
      expect(yield* Effect.flip(world.system.outcome("none"))).toMatchObject({
        _tag: "TerminalInvalidMessage",
        message: "There is no message none in the log.",
      })
    }),
  )
  it.effect("3.2 can be taken back while it waits, and while it runs, and not after", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      const running = yield* world.system.tell(ref, "Work", { n: 1 })
      const waiting = yield* world.system.tell(ref, "Work", { n: 2 })
      yield* turns
      expect([yield* world.system.cancel(waiting), yield* world.system.cancel(waiting)]).toEqual([true, false])
      yield* turns
      expect(row(world, 1)).toMatchObject({ status: "cancelled", attempt: 0, startedAtMs: null })
      expect(yield* world.system.cancel(running)).toBe(true)
      yield* turns
      expect(gate.interrupted).toBe(1)
      expect(row(world, 0)).toMatchObject({ status: "cancelled", attempt: 1 })
      expect(yield* world.system.cancel(running)).toBe(false)
      expect(yield* world.system.cancel("none")).toBe(false)
      expect(ran).toEqual([1])
      expect((yield* world.system.outcome(waiting)).error).toMatchObject({ tag: "TerminalCancelled" })
    }),
  )
  it.effect("3.3 is cancelled although its claim is just being written in the seal of another", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      let late = false
      const world = yield* makeWorld({
        actors: [Worker],
        wrap: (store) =>
          FaultyStore.wrap(store, (_, writes) =>
            late && writes.some(({ _tag }) => _tag === "Claim") ? { _tag: "late", delayMs: 1_000 } : undefined,
          ).store,
      })
      yield* world.system.tell(ref, "Work", { n: 1 })
      const second = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 2 }), { startImmediately: true })
      yield* turns
      late = true
      yield* gate.open
      yield* turns
      expect(row(world, 1).status).toBe("running")
      const cancelled = yield* Effect.forkChild(world.system.cancel(row(world, 1).id), { startImmediately: true })
      yield* turns
      expect(cancelled.pollUnsafe()).toBe(undefined)
      yield* TestClock.adjust(1_000)
      expect(yield* Fiber.join(cancelled)).toBe(true)
      expect(yield* Effect.flip(Fiber.join(second))).toMatchObject({ _tag: "TerminalCancelled" })
      expect(rows(world).map(({ status }) => status)).toEqual(["done", "cancelled"])
      expect(ran).toEqual([1])
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
  it.effect("3.4 is refused to its sender where the store refuses it, and then is not there", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({
        actors: [Counter],
        wrap: (store) =>
          FaultyStore.wrap(store, (nth) => (nth === 1 ? { _tag: "refuse", reason: "full" } : undefined)).store,
      })
      expect(yield* Effect.flip(world.system.ask(Counter.ref("a"), "Add", { by: 1 }))).toMatchObject({
        _tag: "RetryableStoreFailure",
        reason: "full",
      })
      expect(rows(world)).toEqual([])
      // The place it held is free again.
      expect(yield* world.system.ask(Counter.ref("a"), "Add", { by: 2 })).toBe(2)
    }),
  )
})

describe("4 a deadline", () => {
  it.effect("4.1 ends a message that waits, and one that runs", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = (n: number, timeoutMs: number) =>
        Effect.forkChild(Effect.flip(world.system.ask(ref, "Work", { n }, { timeoutMs })), { startImmediately: true })
      const running = yield* ask(1, 100)
      const waiting = yield* ask(2, 50)
      yield* turns
      yield* TestClock.adjust(50)
      expect(yield* Fiber.join(waiting)).toMatchObject({ _tag: "TerminalExpired" })
      expect(row(world, 1)).toMatchObject({ status: "expired", attempt: 0, finishedAtMs: 50 })
      yield* TestClock.adjust(50)
      expect(yield* Fiber.join(running)).toMatchObject({ _tag: "TerminalExpired" })
      expect(gate.interrupted).toBe(1)
      expect(row(world, 0)).toMatchObject({ status: "expired", attempt: 1, finishedAtMs: 100 })
      expect(ran).toEqual([1])
    }),
  )
  it.effect("4.2 that passed while the process was dead ends the message on the next start, unrun", () =>
    Effect.gen(function* () {
      const { Worker, ran, ref } = gated()
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 1 }, { timeoutMs: 100 })
      yield* world.system.tell(ref, "Work", { n: 2 }, { timeoutMs: 100 })
      yield* turns
      yield* TestClock.adjust(99)
      yield* world.crash
      // 1 was running and is run again; its backoff ends only after its deadline, and 2 waits for nobody.
      yield* turns
      expect(ran).toEqual([1, 1])
      yield* TestClock.adjust(1)
      yield* turns
      expect(rows(world).map(({ status }) => status)).toEqual(["expired", "expired"])
      expect(ran).toEqual([1, 1])
      yield* world.system.tell(ref, "Work", { n: 3 }, { timeoutMs: 100 })
      yield* world.crash
      yield* TestClock.adjust(1_000)
      yield* turns
      expect(row(world, 2).status).toBe("expired")
    }),
  )
  it.effect("4.3 is inherited: a child ends with its parent, or earlier", () =>
    Effect.gen(function* () {
      const { Worker, gate, ref } = gated({ concurrency: 10 })
      const Parent = makeWorker("parent", (n, actor) =>
        actor.ask(ref, "Work", { n }, n === 0 ? {} : { timeoutMs: n }).pipe(Effect.catchTag("Declared", Effect.die)),
      )
      const world = yield* makeWorld({ actors: [Worker, Parent] })
      const ask = (n: number) =>
        Effect.forkChild(Effect.flip(world.system.ask(Parent.ref(`${n}`), "Work", { n }, { timeoutMs: 100 })))
      const fibers = [yield* ask(0), yield* ask(500), yield* ask(50)]
      yield* turns
      const children = () => rows(world).filter(({ actorType }) => actorType === "worker")
      expect(children().map(({ deadlineAtMs }) => deadlineAtMs)).toEqual([100, 100, 50])
      yield* TestClock.adjust(100)
      yield* turns
      // At 100 ms parent and child end together; which of them is quicker says whether the child expired or was cancelled.
      expect(children().filter(({ status }) => status !== "expired" && status !== "cancelled")).toEqual([])
      expect(gate.interrupted).toBe(3)
      for (const fiber of fibers) yield* Fiber.join(fiber)
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
  it.effect("4.4 that passes while the message is being written, or claimed, keeps its handler from starting", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated()
      let lateMs = 100
      const late = () => ({ _tag: "late", delayMs: lateMs }) as const
      const world = yield* makeWorld({ actors: [Worker], wrap: (store) => FaultyStore.wrap(store, late).store })
      const ask = (timeoutMs: number) =>
        Effect.forkChild(Effect.flip(world.system.ask(ref, "Work", { n: 1 }, { timeoutMs })), {
          startImmediately: true,
        })
      const written = yield* ask(50)
      yield* TestClock.adjust(200)
      expect(yield* Fiber.join(written)).toMatchObject({ _tag: "TerminalExpired" })
      lateMs = 0
      yield* world.system.tell(ref, "Work", { n: 0 })
      const claimed = yield* ask(50)
      yield* turns
      lateMs = 100
      yield* gate.open
      yield* TestClock.adjust(300)
      expect(yield* Fiber.join(claimed)).toMatchObject({ _tag: "TerminalExpired" })
      expect(ran).toEqual([0])
    }),
  )
  it.effect("4.5 that takes a message out of a strict mailbox lets what it held back run, as a cancel does", () =>
    Effect.gen(function* () {
      const { Worker, gate, ran, ref } = gated({ mailbox: { strict: true } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 1 }, { delayMs: 1_000, timeoutMs: 100 })
      const second = yield* world.system.tell(ref, "Work", { n: 2 }, { delayMs: 1_000 })
      yield* world.system.tell(ref, "Work", { n: 3 })
      yield* TestClock.adjust(100)
      expect(ran).toEqual([])
      yield* world.system.cancel(second)
      yield* turns
      expect(ran).toEqual([3])
      yield* gate.open
      yield* world.system.tell(ref, "Work", { n: 4 }, { delayMs: 1_000, timeoutMs: 100 })
      yield* world.system.tell(ref, "Work", { n: 5 })
      yield* TestClock.adjust(100)
      expect(ran).toEqual([3, 5])
    }),
  )
})
