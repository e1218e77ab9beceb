/** Actors that start, crash, are restarted, given up, stopped; and the messages that wait for them meanwhile. */
import { describe, expect, it } from "@effect/vitest"
import { type Actor, type ActorSelf, type Crash, type Directive, makePool } from "@pontoon/runtime"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Gate, makeWorker, RetryableTrouble, TerminalTrouble, type Work, type WorkHandler } from "./support/actors.ts"
import { lifecycleOf, makeWorld, row, rows, turns, type World } from "./support/World.ts"

/** An actor whose starts are under the test's control; its resource is the number of the start. */
const startable = (options: {
  readonly start?: (nth: number, self: ActorSelf) => Effect.Effect<void, Actor.HandlerFailure>
  readonly supervision?: Parameters<typeof makeWorker>[2] extends infer O | undefined
    ? O extends { supervision?: infer S }
      ? S
      : never
    : never
  readonly run?: WorkHandler<number>
  readonly name?: string
}) => {
  const selves: Array<ActorSelf> = []
  const released: Array<number> = []
  const Worker = makeWorker<number>(
    options.name ?? "worker",
    options.run ?? ((_, actor) => Effect.succeed(actor.resource)),
    {
      start: (self) =>
        Effect.acquireRelease(
          Effect.suspend(() => {
            const nth = selves.push(self)
            return Effect.as(options.start?.(nth, self) ?? Effect.void, nth)
          }),
          (nth) => Effect.sync(() => released.push(nth)),
          { interruptible: true },
        ),
      supervision: { backoff: { baseMs: 100, factor: 2, maxMs: 1_000, jitter: 0 }, ...options.supervision },
      retry: { backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 } },
    },
  )
  return { Worker, selves, released, ref: Worker.ref("a"), address: { type: options.name ?? "worker", id: "a" } }
}

describe("1 an actor with a resource", () => {
  it.effect("1.1 is started by its first message, once, and keeps its resource until the system closes", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, address, ref, released, selves } = startable({ start: () => gate.pass })
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* world.system.lifecycle(address)).toBe(undefined)
      const asks = yield* Effect.forkChild(
        Effect.all(
          [1, 2].map((n) => world.system.ask(ref, "Work", { n })),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      yield* turns
      expect(yield* world.system.lifecycle(address)).toBe("starting")
      expect(rows(world).map(({ status }) => status)).toEqual(["pending", "pending"])
      yield* gate.open
      expect(yield* Fiber.join(asks)).toEqual([1, 1])
      expect([selves.length, released]).toEqual([1, []])
      yield* world.close
      expect(released).toEqual([1])
      expect(lifecycleOf(world, "worker/a")).toEqual(["starting STARTED ready"])
    }),
  )
  it.effect("1.2 that crashes is restarted after its backoff; what it ran is run again, what waited waits", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, address, ref, released, selves } = startable({
        run: (n, actor) => (actor.resource === 1 ? Effect.as(gate.pass, n) : Effect.succeed(actor.resource * 10)),
      })
      const world = yield* makeWorld({ actors: [Worker] })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [1, 2].map((n) => world.system.ask(ref, "Work", { n })),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      yield* turns
      yield* selves[0]?.crash("killed by a signal") ?? Effect.void
      yield* turns
      expect([gate.interrupted, released]).toEqual([1, [1]])
      expect(yield* world.system.lifecycle(address)).toBe("restarting")
      yield* TestClock.adjust(99)
      expect(yield* world.system.lifecycle(address)).toBe("restarting")
      yield* TestClock.adjust(1)
      expect(yield* Fiber.join(asks)).toEqual([20, 20])
      expect(rows(world).map(({ attempt }) => attempt)).toEqual([2, 1])
      // What the dead one still says is not heard.
      yield* selves[0]?.crash("again") ?? Effect.void
      yield* selves[0]?.degraded("slow") ?? Effect.void
      yield* turns
      expect(world.log.lifecycle.map(({ reason, to }) => `${to}: ${reason}`)).toEqual([
        "ready: started",
        "restarting: killed by a signal",
        "starting: after 100 ms",
        "ready: restart 1",
      ])
      expect(world.log.actors.get("worker/a")).toMatchObject({ restarts: 1, lifecycle: "ready" })
    }),
  )
  it.effect("1.3 whose start fails is tried again, ever later, and failed after restartsMax within withinMs", () =>
    Effect.gen(function* () {
      const at: Array<number> = []
      const { Worker, address, ref } = startable({
        start: () =>
          Effect.gen(function* () {
            at.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
            return yield* new RetryableTrouble({ message: "no GPU" })
          }),
        supervision: { restartsMax: 3, withinMs: 10_000 },
      })
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(ref, "Work", { n: 1 })), {
        startImmediately: true,
      })
      for (let step = 0; step < 20; step++) yield* TestClock.adjust(50)
      expect(at).toEqual([0, 100, 300, 700])
      expect(yield* world.system.lifecycle(address)).toBe("failed")
      expect(yield* Fiber.join(ask)).toMatchObject({
        _tag: "TerminalDeadLetter",
        lastTag: "TerminalActorFailed",
        message: expect.stringContaining("worker/a is failed: start failed: no GPU"),
      })
      expect(yield* Effect.flip(world.system.ask(ref, "Work", { n: 1 }))).toMatchObject({ _tag: "TerminalActorFailed" })
    }),
  )
  it.effect("1.4 whose crashes are far enough apart is never given up", () =>
    Effect.gen(function* () {
      const { Worker, address, ref, selves } = startable({ supervision: { restartsMax: 1, withinMs: 1_000 } })
      const world = yield* makeWorld({ actors: [Worker] })
      for (let crash = 1; crash <= 5; crash++) {
        expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(crash)
        yield* selves.at(-1)?.crash("now and then") ?? Effect.void
        yield* turns
        yield* TestClock.adjust(1_000)
        yield* turns
      }
      expect(yield* world.system.lifecycle(address)).toBe("ready")
    }),
  )
  it.effect("1.5 whose start fails for good is not tried again", () =>
    Effect.gen(function* () {
      const { Worker, ref, selves } = startable({ start: () => new TerminalTrouble({ message: "no such model" }) })
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* Effect.flip(world.system.ask(ref, "Work", { n: 1 }))).toMatchObject({ _tag: "TerminalDeadLetter" })
      expect(selves.length).toBe(1)
      expect(lifecycleOf(world, "worker/a")).toEqual(["starting GAVE_UP failed"])
      expect(world.log.lifecycle[0]?.reason).toBe("no such model")
    }),
  )
  it.effect("1.6 that crashes while it starts is started anew, although the first start never ends", () =>
    Effect.gen(function* () {
      const { Worker, ref, selves } = startable({ start: (nth) => (nth === 1 ? Effect.never : Effect.void) })
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 1 }), { startImmediately: true })
      yield* turns
      yield* selves[0]?.crash("lost its process") ?? Effect.void
      yield* turns
      yield* TestClock.adjust(100)
      expect(yield* Fiber.join(ask)).toBe(2)
      expect(lifecycleOf(world, "worker/a").slice(0, 2)).toEqual([
        "starting CRASHED restarting",
        "restarting RESTART starting",
      ])
    }),
  )
  it.effect("1.7 that reports its own crash inside its start does not hang", () =>
    Effect.gen(function* () {
      const { Worker, ref } = startable({ start: (nth, self) => (nth === 1 ? self.crash("at once") : Effect.void) })
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 1 }), { startImmediately: true })
      yield* turns
      yield* TestClock.adjust(100)
      expect(yield* Fiber.join(ask)).toBe(2)
    }),
  )
  it.effect("1.8 says that it works worse, and better again; it takes messages all the while", () =>
    Effect.gen(function* () {
      const { Worker, address, ref, selves } = startable({
        start: (_, self) => Effect.andThen(self.describe("barista on cpu"), self.degraded("no webgpu here")),
      })
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(1)
      expect(yield* world.system.lifecycle(address)).toBe("degraded")
      yield* selves[0]?.recovered("a GPU was plugged in") ?? Effect.void
      yield* turns
      expect(world.log.lifecycle.map(({ reason, to }) => `${to}: ${reason}`)).toEqual([
        "ready: started: barista on cpu",
        "degraded: no webgpu here",
        "ready: a GPU was plugged in",
      ])
    }),
  )
  it.effect("1.9 whose start gives nothing is started all the same", () =>
    Effect.gen(function* () {
      let starts = 0
      const Worker = makeWorker<undefined>("worker", (n) => Effect.succeed(n), {
        start: () =>
          Effect.sync(() => {
            starts++
            return undefined
          }),
      })
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* world.system.ask(Worker.ref("a"), "Work", { n: 1 })).toBe(1)
      expect(starts).toBe(1)
    }),
  )
})

describe("2 giving up", () => {
  it.effect("2.1 stops an actor that is expected to end", () =>
    Effect.gen(function* () {
      const { Worker, address, ref, selves } = startable({ supervision: { restartsMax: 0, onExceeded: "stop" } })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.ask(ref, "Work", { n: 1 })
      yield* selves[0]?.crash("the end") ?? Effect.void
      yield* turns
      expect(yield* world.system.lifecycle(address)).toBe("stopped")
      expect(lifecycleOf(world, "worker/a").slice(1)).toEqual(["ready CRASHED failed", "failed STOP stopped"])
    }),
  )
  it.effect("2.2 escalates: all actors of the type are restarted, and too many times close the system", () =>
    Effect.gen(function* () {
      const { Worker, ref, released, selves } = startable({ supervision: { restartsMax: 0, onExceeded: "escalate" } })
      const other = Worker.ref("b")
      const world = yield* makeWorld({ actors: [Worker], escalationsMax: 1 })
      expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(1)
      expect(yield* world.system.ask(other, "Work", { n: 1 })).toBe(2)
      const failure = yield* Effect.forkChild(Effect.flip(world.system.failure))
      yield* selves[0]?.crash("first") ?? Effect.void
      yield* turns
      expect(lifecycleOf(world, "worker/a").slice(1)).toEqual([
        "ready CRASHED failed",
        "failed RECYCLE restarting",
        "restarting RESTART starting",
        "starting STARTED ready",
      ])
      // Being restarted with another is no crash of its own.
      expect(lifecycleOf(world, "worker/b").slice(1)).toEqual([
        "ready RECYCLE restarting",
        "restarting RESTART starting",
        "starting STARTED ready",
      ])
      expect(released).toEqual([1, 2])
      yield* selves.at(-1)?.crash("second") ?? Effect.void
      expect(yield* Fiber.join(failure)).toMatchObject({
        _tag: "TerminalEscalated",
        message:
          "The system gave up: worker/b escalated, as 1 actors did within a minute: second. Open it again once the cause is gone; nothing accepted is lost.",
      })
      expect(yield* Effect.flip(world.system.ask(ref, "Work", { n: 1 }))).toMatchObject({ _tag: "RetryableClosing" })
    }),
  )
  it.effect("2.3 of the system tells everybody who waits, and what is accepted is served by the next", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, ref, selves } = startable({
        run: (n) => Effect.as(gate.pass, n),
        supervision: { restartsMax: 0, onExceeded: "escalate" },
      })
      const world = yield* makeWorld({ actors: [Worker], escalationsMax: 0, drainMsMax: 100 })
      const asks = yield* Effect.forkChild(
        Effect.all(
          [1, 2].map((n) => Effect.flip(world.system.ask(ref, "Work", { n }))),
          { concurrency: 2 },
        ),
        { startImmediately: true },
      )
      yield* turns
      yield* selves[0]?.crash("once") ?? Effect.void
      yield* turns
      yield* TestClock.adjust(5_000)
      expect((yield* Fiber.join(asks)).map(({ _tag }) => _tag)).toEqual(["RetryableClosing", "RetryableClosing"])
      yield* world.crash
      yield* turns
      for (let step = 0; step < 2; step++) {
        yield* gate.open
        yield* turns
      }
      expect(rows(world).map(({ status }) => status)).toEqual(["done", "done"])
    }),
  )
  it.effect("2.4 kills what waits for the actor, and what its last handler leaves", () =>
    Effect.gen(function* () {
      const Worker = makeWorker(
        "worker",
        () =>
          Effect.sync(() => {
            throw new Error("a mistake")
          }),
        { supervision: { restartsMax: 0 } },
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const asks = [1, 2, 3].map((n) => Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n })))
      for (const error of yield* Effect.all(asks, { concurrency: 3 })) {
        expect(error).toMatchObject({ _tag: "TerminalDeadLetter", lastTag: "TerminalActorFailed" })
        expect(error.message).toContain("worker/a is failed")
      }
      expect(rows(world).map(({ attempt, status }) => `${status} ${attempt}`)).toEqual(["dead 1", "dead 0", "dead 0"])
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
})

describe("3 stopping", () => {
  it.effect("3.1 lets what runs end, and ends what waits", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, address, ref, released } = startable({ run: (n) => Effect.as(gate.pass, n) })
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = (n: number) =>
        Effect.forkChild(Effect.result(world.system.ask(ref, "Work", { n })), { startImmediately: true })
      const [running, waiting] = [yield* ask(1), yield* ask(2)]
      yield* turns
      expect(yield* world.system.stop(address, "maintenance")).toBe(true)
      expect(yield* world.system.lifecycle(address)).toBe("draining")
      yield* turns
      expect(yield* Fiber.join(waiting)).toMatchObject({ failure: { _tag: "TerminalDeadLetter" } })
      expect(yield* Effect.flip(world.system.ask(ref, "Work", { n: 3 }))).toMatchObject({
        _tag: "TerminalActorFailed",
        message: "worker/a is draining and takes no messages (maintenance).",
      })
      expect(released).toEqual([])
      yield* gate.open
      yield* turns
      expect(yield* Fiber.join(running)).toMatchObject({ success: 1 })
      expect([yield* world.system.lifecycle(address), released]).toEqual(["stopped", [1]])
      expect(yield* world.system.stop(address, "again")).toBe(false)
      expect(yield* world.system.stop({ type: "worker", id: "none" }, "never was")).toBe(false)
      expect(world.log.lifecycle.at(-2)?.reason).toBe("maintenance")
    }),
  )
  it.effect("3.2 does not wait longer than drainMsMax", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, address, ref } = startable({ run: (n) => Effect.as(gate.pass, n) })
      const world = yield* makeWorld({ actors: [Worker], drainMsMax: 1_000 })
      yield* world.system.tell(ref, "Work", { n: 1 })
      yield* turns
      yield* world.system.stop(address, "maintenance")
      yield* TestClock.adjust(1_000)
      yield* turns
      expect(yield* world.system.lifecycle(address)).toBe("stopped")
      expect(row(world)).toMatchObject({ status: "dead", attempt: 1 })
    }),
  )
  it.effect("3.3 an actor that starts ends its start", () =>
    Effect.gen(function* () {
      const { Worker, address, ref } = startable({ start: () => Effect.never })
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.tell(ref, "Work", { n: 1 })
      yield* turns
      yield* world.system.stop(address, "enough")
      yield* turns
      expect(yield* world.system.lifecycle(address)).toBe("stopped")
      expect(row(world).status).toBe("dead")
    }),
  )
})

describe("4 an actor that fails in a pool", () => {
  it.effect("4.1 gives what waits for it, and what ran there, to the others, with the reason", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, address, selves } = startable({
        run: (n, actor) => Effect.as(gate.pass, n * 10 + actor.resource),
      })
      const pool = makePool("workers", { targets: [Worker.ref("a"), { ref: Worker.ref("b"), tier: 1 }] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      yield* turns
      const asks = yield* Effect.forkChild(
        Effect.all(
          [1, 2, 3].map((n) => world.system.ask(pool.ref, "Work", { n })),
          { concurrency: 3 },
        ),
        { startImmediately: true },
      )
      yield* turns
      expect(rows(world).map(({ actorId }) => actorId)).toEqual(["a", "a", "a"])
      yield* selves[0]?.crash("killed") ?? Effect.void
      for (let step = 0; step < 3; step++) {
        yield* turns
        yield* gate.open
      }
      expect((yield* Fiber.join(asks)).toSorted()).toEqual([12, 22, 32])
      expect(yield* world.system.lifecycle(address)).toBe("restarting")
      expect(rows(world).map(({ actorId, attempt }) => [actorId, attempt])).toEqual([
        ["b", 2],
        ["b", 1],
        ["b", 1],
      ])
      const moved = world.log.routes.filter(({ reason }) => reason.startsWith("worker/a is restarting"))
      expect(moved.length).toBe(2)
      expect(world.log.routes.filter(({ reason }) => reason.startsWith("RetryableRestarted on worker/a")).length).toBe(
        1,
      )
    }),
  )
  it.effect("4.2 a message that is taken back while it moves is taken back", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, selves } = startable({ run: (n) => Effect.as(gate.pass, n) })
      const pool = makePool("workers", { targets: [Worker.ref("a"), { ref: Worker.ref("b"), tier: 1 }] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      yield* turns
      for (const n of [1, 2]) yield* world.system.tell(pool.ref, "Work", { n })
      yield* turns
      yield* selves[0]?.crash("killed") ?? Effect.void
      expect(yield* world.system.cancel(row(world, 1).id)).toBe(true)
      yield* turns
      expect(row(world, 1)).toMatchObject({ status: "cancelled", actorId: "b", attempt: 0 })
      yield* gate.open
      yield* turns
      yield* gate.open
      yield* turns
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
})

describe("5 what an actor makes of its own crash", () => {
  /** A worker whose handler throws at its first `throws` messages; it says what its state and its resource are. */
  const throwing = (directive: Directive | (() => Directive), throws = 1) => {
    const crashes: Array<Crash> = []
    let thrown = 0
    const started = startable({
      run: (n, actor) =>
        Effect.sync(() => {
          if (n > 0 && thrown < throws) {
            thrown++
            throw new Error(`mistake ${thrown}`)
          }
          actor.setState(actor.state + 1)
          return actor.state * 100 + actor.resource
        }),
      supervision: {
        restartsMax: 1,
        onCrash: (crash) => {
          crashes.push(crash)
          return typeof directive === "string" ? directive : directive()
        },
      },
    })
    return { ...started, crashes }
  }

  it.effect("5.1 resume keeps state, resource and budget; the attempt is lost, and is an attempt", () =>
    Effect.gen(function* () {
      const { Worker, address, crashes, ref, released } = throwing("resume", 4)
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* world.system.ask(ref, "Work", { n: 0 })).toBe(101)
      const ask = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 1 }), { startImmediately: true })
      for (let step = 0; step < 4; step++) {
        yield* turns
        expect(yield* world.system.lifecycle(address)).toBe("ready")
        yield* TestClock.adjust(10)
      }
      expect(yield* Fiber.join(ask)).toBe(201)
      expect([crashes.length, released, row(world, 1).attempt]).toEqual([4, [], 5])
      expect(crashes[0]).toEqual({ from: "handler", tag: "Defect", message: "mistake 1" })
      expect(world.log.actors.get("worker/a")).toMatchObject({ restarts: 0, lifecycle: "ready" })
    }),
  )
  it.effect("5.2 resume does not keep a message from its death, nor the actor from its next one", () =>
    Effect.gen(function* () {
      const { Worker, ref } = throwing("resume", Number.POSITIVE_INFINITY)
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(ref, "Work", { n: 1 })), {
        startImmediately: true,
      })
      for (let step = 0; step < 5; step++) {
        yield* turns
        yield* TestClock.adjust(10)
      }
      expect(yield* Fiber.join(ask)).toMatchObject({ _tag: "TerminalDeadLetter", lastTag: "Defect" })
      expect(yield* world.system.ask(ref, "Work", { n: 0 })).toBe(101)
    }),
  )
  it.effect("5.3 what is no handler's failure is restarted, whatever is said of resuming", () =>
    Effect.gen(function* () {
      const { Worker, crashes, ref, released, selves } = throwing("resume", 0)
      const world = yield* makeWorld({ actors: [Worker] })
      yield* world.system.ask(ref, "Work", { n: 0 })
      yield* selves[0]?.crash("lost its process") ?? Effect.void
      yield* turns
      yield* TestClock.adjust(100)
      expect(yield* world.system.ask(ref, "Work", { n: 0 })).toBe(202)
      expect([released, crashes]).toEqual([[1], [{ from: "self", tag: "Crash", message: "lost its process" }]])
    }),
  )
  it.effect("5.4 stop ends it, and what waits for it", () =>
    Effect.gen(function* () {
      const { Worker, address, ref, released } = throwing("stop")
      const world = yield* makeWorld({ actors: [Worker] })
      const error = yield* Effect.flip(world.system.ask(ref, "Work", { n: 1 }))
      expect(error).toMatchObject({ _tag: "TerminalDeadLetter", lastTag: "TerminalActorFailed" })
      expect(yield* world.system.lifecycle(address)).toBe("stopped")
      yield* turns
      expect([released, lifecycleOf(world, "worker/a").at(-1)]).toEqual([[1], "ready STOP stopped"])
    }),
  )
  it.effect("5.5 escalate has its supervisor restart all of its type, although it has restarts left", () =>
    Effect.gen(function* () {
      const { Worker, ref, released } = throwing("escalate")
      const world = yield* makeWorld({ actors: [Worker], escalationsMax: 1 })
      yield* world.system.ask(Worker.ref("b"), "Work", { n: 0 })
      const ask = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 1 }), { startImmediately: true })
      yield* turns
      yield* TestClock.adjust(10)
      yield* Fiber.join(ask)
      expect(released.toSorted()).toEqual([1, 2])
      expect(lifecycleOf(world, "worker/b").slice(1)).toEqual([
        "ready RECYCLE restarting",
        "restarting RESTART starting",
        "starting STARTED ready",
      ])
    }),
  )
  it.effect("5.6 a choice that throws is a restart", () =>
    Effect.gen(function* () {
      const { Worker, ref, released } = throwing(() => {
        throw new Error("no idea")
      })
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 1 }), { startImmediately: true })
      yield* turns
      yield* TestClock.adjust(100)
      expect(yield* Fiber.join(ask)).toBe(102)
      expect(released).toEqual([1])
    }),
  )
})

describe("6 an actor on hold", () => {
  const ask = (world: World, ref: Actor.Ref<Work>, n = 1) =>
    Effect.forkChild(Effect.result(world.system.ask(ref, "Work", { n })), { startImmediately: true })

  it.effect("6.1 runs nothing that waits or comes, and all of it in order when it is resumed", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const ran: Array<number> = []
      const { Worker, address, ref, released } = startable({
        run: (n) =>
          Effect.andThen(
            gate.pass,
            Effect.sync(() => ran.push(n)),
          ),
      })
      const world = yield* makeWorld({ actors: [Worker] })
      const asks = [yield* ask(world, ref, 1), yield* ask(world, ref, 2)]
      yield* turns
      expect(yield* world.system.suspend(address, "the ledger is being moved")).toBe(true)
      asks.push(yield* ask(world, ref, 3))
      yield* turns
      // What runs may end.
      yield* gate.open
      yield* turns
      expect([ran, gate.waiting, released]).toEqual([[1], 0, []])
      expect(rows(world).map(({ status }) => status)).toEqual(["done", "pending", "pending"])
      expect(yield* world.system.suspend(address, "again")).toBe(false)
      expect(yield* world.system.resume(address, "it is moved")).toBe(true)
      for (let step = 0; step < 2; step++) {
        yield* turns
        yield* gate.open
      }
      yield* turns
      for (const each of asks) expect((yield* Fiber.join(each))._tag).toBe("Success")
      expect(ran).toEqual([1, 2, 3])
      expect(yield* world.system.resume(address, "again")).toBe(false)
      expect(world.log.lifecycle.slice(1).map(({ reason, to }) => `${to}: ${reason}`)).toEqual([
        "suspended: the ledger is being moved",
        "ready: it is moved",
      ])
    }),
  )
  it.effect("6.2 stays so over ten deaths of the process, and keeps its state", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.sync(() => {
          actor.setState(actor.state + n)
          return actor.state
        }),
      )
      const address = { type: "worker", id: "a" }
      const ref = Worker.ref("a")
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(1)
      yield* world.system.suspend(address, "held")
      yield* world.system.tell(ref, "Work", { n: 1 })
      for (let death = 0; death < 10; death++) {
        yield* world.crash
        yield* turns
        expect(yield* world.system.lifecycle(address)).toBe("suspended")
        expect(row(world, 1)).toMatchObject({ status: "pending", attempt: 0 })
      }
      // A program without it leaves it as it is.
      yield* world.crashInto({ actors: [] })
      yield* world.crashInto({ actors: [Worker] })
      expect(yield* world.system.resume(address, "done")).toBe(true)
      expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(3)
      yield* world.crash
      expect(yield* world.system.lifecycle(address)).toBe(undefined)
    }),
  )
  it.effect("6.3 was never used, starts, or waits for its restart: nothing is started until it is resumed", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, ref, released, selves } = startable({ start: () => gate.pass })
      const world = yield* makeWorld({ actors: [Worker] })
      const never = { type: "worker", id: "never" }
      expect(yield* world.system.suspend(never, "before its first message")).toBe(true)
      const asks = [yield* ask(world, Worker.ref("never"))]
      asks.push(yield* ask(world, ref))
      yield* turns
      expect(selves.length).toBe(1)
      expect(yield* world.system.suspend({ type: "worker", id: "a" }, "while it starts")).toBe(true)
      yield* turns
      expect(gate.interrupted).toBe(1)
      yield* TestClock.adjust(10_000)
      expect(selves.length).toBe(1)
      for (const id of ["a", "never"]) expect(yield* world.system.resume({ type: "worker", id }, "go")).toBe(true)
      yield* turns
      yield* gate.open
      yield* turns
      for (const each of asks) expect((yield* Fiber.join(each))._tag).toBe("Success")
      yield* selves.at(-1)?.crash("broke") ?? Effect.void
      yield* turns
      const last = { type: "worker", id: selves.at(-1)?.address.id ?? "" }
      expect(yield* world.system.suspend(last, "while it waits")).toBe(true)
      yield* TestClock.adjust(10_000)
      expect([selves.length, released.length]).toEqual([3, 1])
      expect(yield* world.system.lifecycle(last)).toBe("suspended")
    }),
  )
  it.effect("6.4 whose resource breaks meanwhile gets a new one when it is resumed", () =>
    Effect.gen(function* () {
      const { Worker, address, ref, released, selves } = startable({})
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(1)
      yield* world.system.suspend(address, "held")
      yield* selves[0]?.crash("broke") ?? Effect.void
      yield* turns
      yield* TestClock.adjust(10_000)
      expect([yield* world.system.lifecycle(address), released, selves.length]).toEqual(["suspended", [1], 1])
      yield* world.system.resume(address, "go")
      expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(2)
    }),
  )
  it.effect("6.5 its pool's messages go to the others; suspendedMax bounds how many there are", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (_, actor) => Effect.succeed(actor.self.id === "a" ? 1 : 2))
      const pool = makePool("workers", { targets: [Worker.ref("a"), { ref: Worker.ref("b"), tier: 1 }] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool], suspendedMax: 1 })
      expect(yield* world.system.ask(pool.ref, "Work", { n: 1 })).toBe(1)
      expect(yield* world.system.suspend({ type: "worker", id: "a" }, "held")).toBe(true)
      expect(yield* world.system.ask(pool.ref, "Work", { n: 1 })).toBe(2)
      expect(yield* Effect.flip(world.system.suspend({ type: "worker", id: "b" }, "held"))).toMatchObject({
        _tag: "TerminalTooManySuspended",
        message: "1 actors are suspended, as many as the system keeps; resume some, or raise suspendedMax.",
      })
      expect(yield* world.system.resume({ type: "worker", id: "a" }, "go")).toBe(true)
      expect(yield* world.system.suspend({ type: "worker", id: "b" }, "held")).toBe(true)
      expect(yield* world.system.restart({ type: "worker", id: "b" }, "no, go")).toBe(true)
      expect(yield* world.system.suspend({ type: "no-such", id: "b" }, "held")).toBe(false)
    }),
  )
})

describe("7 an actor that is wanted again", () => {
  it.effect(
    "7.1 has failed, or was stopped: it takes messages again, from its last state and with a fresh budget",
    () =>
      Effect.gen(function* () {
        const { Worker, address, ref, selves } = startable({
          run: (_, actor) =>
            Effect.sync(() => {
              actor.setState(actor.state + 1)
              return actor.state
            }),
          supervision: { restartsMax: 1, withinMs: 1_000_000 },
        })
        const world = yield* makeWorld({ actors: [Worker] })
        expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(1)
        const breakIt = Effect.gen(function* () {
          yield* selves.at(-1)?.crash("broke") ?? Effect.void
          yield* turns
          yield* TestClock.adjust(100)
          yield* turns
          return yield* world.system.lifecycle(address)
        })
        expect([yield* breakIt, yield* breakIt]).toEqual(["ready", "failed"])
        expect(yield* world.system.restart(address, "mended")).toBe(true)
        expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(2)
        expect(yield* breakIt).toBe("ready")
        yield* world.system.stop(address, "enough")
        yield* turns
        expect(yield* Effect.flip(world.system.ask(ref, "Work", { n: 1 }))).toMatchObject({
          _tag: "TerminalActorFailed",
        })
        expect(yield* world.system.restart(address, "not enough")).toBe(true)
        expect(yield* world.system.ask(ref, "Work", { n: 1 })).toBe(3)
        expect(world.log.lifecycle.find(({ from }) => from === "stopped")).toMatchObject({
          event: "RESTART",
          to: "starting",
          reason: "not enough",
        })
      }),
  )
  it.effect("7.2 is alive: it is restarted, and what it ran is run again", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const { Worker, address, ref, released } = startable({
        run: (n, actor) => (actor.resource === 1 ? Effect.as(gate.pass, n) : Effect.succeed(actor.resource)),
      })
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(world.system.ask(ref, "Work", { n: 1 }), { startImmediately: true })
      yield* turns
      expect(yield* world.system.restart(address, "it hangs")).toBe(true)
      yield* turns
      yield* TestClock.adjust(10)
      expect(yield* Fiber.join(ask)).toBe(2)
      expect(released).toEqual([1])
      // Nobody's crash.
      expect(world.log.actors.get("worker/a")?.restarts).toBe(0)
      expect(yield* world.system.restart({ type: "no-such", id: "a" }, "what")).toBe(false)
    }),
  )
})
