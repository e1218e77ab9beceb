/** Step 4: what becomes of a message by how its handler ends, and what a handler that runs again gets back. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, TerminalExpired } from "@pontoon/runtime"
import { Effect, Fiber, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { Counter, Declared, Gate, makeWorker, RetryableTrouble, TerminalTrouble, type Work } from "./support/actors.ts"
import { lifecycleOf, makeWorld, row, rows, turns, type World } from "./support/World.ts"

const attemptsOf = (world: World, id: string) =>
  (world.log.attempts.get(id) ?? []).map(({ attempt, error }) => [attempt, JSON.parse(error).tag])

/** Past every backoff of five attempts, in small steps. */
const wait = Effect.gen(function* () {
  for (let step = 0; step < 40; step++) yield* TestClock.adjust(500)
})

describe("1 a handler that fails", () => {
  it.effect("1.1 with an error that its task declares gives it to the asker, as itself", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (n) => Effect.fail(new Declared({ message: `no ${n}` })))
      const world = yield* makeWorld({ actors: [Worker] })
      const error = yield* Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))
      expect(error).toBeInstanceOf(Declared)
      expect(error.message).toBe("no 1")
      expect(row(world)).toMatchObject({ status: "failed", attempt: 1, reply: null })
      expect(JSON.parse(row(world).error ?? "")).toMatchObject({
        tag: "Declared",
        message: "no 1",
        retry: "terminal",
        value: { _tag: "Declared", message: "no 1" },
      })
    }),
  )
  it.effect("1.2 with a Terminal error is not run again", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", () => Effect.fail(new TerminalTrouble({ message: "broken" })))
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))).toMatchObject({
        _tag: "TerminalMessageFailed",
        tag: "TerminalTrouble",
        message: "broken",
      })
      expect(row(world)).toMatchObject({ status: "failed", attempt: 1 })
    }),
  )
  it.effect("1.3 with a Retryable error is run again after a backoff that doubles, and others pass it", () =>
    Effect.gen(function* () {
      const at: Array<number> = []
      const Worker = makeWorker(
        "worker",
        (n, actor) =>
          Effect.suspend(() => {
            if (n === 2) return Effect.succeed(20)
            at.push(actor.nowMs)
            return actor.message.attempt < 4
              ? Effect.fail(new RetryableTrouble({ message: "later" }))
              : Effect.succeed(10)
          }),
        { retry: { backoff: { baseMs: 100, factor: 2, maxMs: 300, jitter: 0 } } },
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n: 1 }), {
        startImmediately: true,
      })
      yield* turns
      expect(row(world)).toMatchObject({ status: "pending", attempt: 1, deliverAtMs: 100, startedAtMs: null })
      expect(yield* world.system.ask(Worker.ref("a"), "Work", { n: 2 })).toBe(20)
      for (const ms of [100, 200, 300]) {
        yield* TestClock.adjust(ms)
        yield* turns
      }
      expect(yield* Fiber.join(ask)).toBe(10)
      expect(at).toEqual([0, 100, 300, 600])
      expect(attemptsOf(world, row(world).id)).toEqual([1, 2, 3].map((attempt) => [attempt, "RetryableTrouble"]))
      expect(lifecycleOf(world, "worker/a")).toEqual(["starting STARTED ready"])
    }),
  )
  it.effect("1.4 every time becomes a dead letter with its whole history", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (_, { message }) =>
        Effect.fail(new RetryableTrouble({ message: `trouble ${message.attempt}` })),
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: 1 })))
      yield* wait
      const { id } = row(world)
      expect(yield* Fiber.join(ask)).toMatchObject({
        _tag: "TerminalDeadLetter",
        messageId: id,
        lastTag: "RetryableTrouble",
        message: `Message ${id} is a dead letter: trouble 5`,
      })
      expect(row(world)).toMatchObject({ status: "dead", attempt: 5 })
      expect(attemptsOf(world, id).length).toBe(5)
    }),
  )
  it.effect("1.5 by throwing restarts its actor, with the state that is in the log", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.sync(() => {
          actor.setState(actor.state + n)
          if (n === 5 && actor.message.attempt === 1) throw new Error("a mistake")
          return actor.state
        }),
      )
      const world = yield* makeWorld({ actors: [Worker] })
      expect(yield* world.system.ask(Worker.ref("a"), "Work", { n: 1 })).toBe(1)
      const ask = yield* Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n: 5 }), {
        startImmediately: true,
      })
      yield* turns
      expect(yield* world.system.lifecycle({ type: "worker", id: "a" })).toBe("restarting")
      yield* wait
      expect(yield* Fiber.join(ask)).toBe(6)
      expect(lifecycleOf(world, "worker/a")).toEqual([
        "starting STARTED ready",
        "ready CRASHED restarting",
        "restarting RESTART starting",
        "starting STARTED ready",
      ])
      expect(world.log.lifecycle[1]?.reason).toBe("a mistake")
      expect(world.log.actors.get("worker/a")).toMatchObject({ state: "6", restarts: 1, lifecycle: "ready" })
    }),
  )
  it.effect("1.6 leaves no trace of state and sends, and they are there when it does not fail", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.gen(function* () {
          actor.setState(actor.state + n)
          yield* actor.send(Counter.ref("a"), "Add", { by: n })
          if (n < 0) return yield* new TerminalTrouble({ message: "no" })
          return actor.state
        }),
      )
      const world = yield* makeWorld({ actors: [Worker, Counter] })
      yield* Effect.flip(world.system.ask(Worker.ref("a"), "Work", { n: -7 }))
      yield* turns
      expect(rows(world).length).toBe(1)
      expect(yield* world.system.ask(Worker.ref("a"), "Work", { n: 2 })).toBe(2)
      expect(world.log.actors.get("worker/a")?.state).toBe("2")
      expect(yield* world.system.ask(Counter.ref("a"), "Read", undefined)).toBe(2)
      const parent = rows(world)[1]
      expect(rows(world)[2]).toMatchObject({
        id: `${parent?.id}.0`,
        sender: "worker/a",
        causationId: parent?.id,
        correlationId: parent?.id,
      })
    }),
  )
  it.effect("1.7 by a reply or a state that its schema does not allow is mistaken, and its actor restarted", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", (n, actor) =>
        Effect.sync(() => {
          if (n === 1) return "one" as never
          actor.setState("two" as never)
          return n
        }),
      )
      const world = yield* makeWorld({ actors: [Worker] })
      for (const n of [1, 2]) {
        const ask = yield* Effect.forkChild(Effect.flip(world.system.ask(Worker.ref(`${n}`), "Work", { n })))
        yield* wait
        expect(yield* Fiber.join(ask)).toMatchObject({ _tag: "TerminalDeadLetter", lastTag: "Defect" })
      }
    }),
  )
})

describe("2 a handler is interrupted", () => {
  it.effect("2.1 when its message is taken back, and with it every child that nobody else can want", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Leaf = makeWorker("leaf", (n) => Effect.as(gate.pass, n), { concurrency: 10 })
      const Middle = makeWorker("middle", (n, actor) =>
        Effect.orDie(actor.ask(Leaf.ref("a"), "Work", { n }, n === 2 ? { idempotencyKey: "kept" } : {})),
      )
      const Root = makeWorker("root", (n, actor) =>
        Effect.orDie(
          Effect.map(
            Effect.all(
              [1, 2].map((m) => actor.ask(Middle.ref(`${m}`), "Work", { n: m })),
              { concurrency: 2 },
            ),
            () => n,
          ),
        ),
      )
      const world = yield* makeWorld({ actors: [Root, Middle, Leaf] })
      const id = yield* world.system.tell(Root.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(gate.waiting).toBe(2)
      yield* world.system.cancel(id)
      yield* turns
      const statuses = rows(world).map(({ actorType, body, status }) => `${actorType} ${body} ${status}`)
      expect(statuses.toSorted()).toEqual([
        'leaf {"n":1} cancelled',
        'leaf {"n":2} running',
        'middle {"n":1} cancelled',
        'middle {"n":2} cancelled',
        'root {"n":1} cancelled',
      ])
      yield* gate.open
      yield* turns
      expect(yield* world.system.unfinished).toBe(0)
    }),
  )
  it.effect("2.2 when its asker leaves, but not while another asks, and not where a key lets the asker come back", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Worker = makeWorker("worker", (n) => Effect.as(gate.pass, n), { concurrency: 10 })
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = (n: number, options = {}) =>
        Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n }, options), { startImmediately: true })
      const alone = yield* ask(1)
      const keyed = yield* ask(2, { idempotencyKey: "k" })
      const watched = yield* ask(3)
      yield* turns
      const watcher = yield* Effect.forkChild(world.system.outcome(row(world, 2).id), { startImmediately: true })
      yield* turns
      for (const fiber of [alone, keyed, watched]) yield* Fiber.interrupt(fiber)
      yield* turns
      expect(rows(world).map(({ status }) => status)).toEqual(["cancelled", "running", "running"])
      yield* gate.open
      yield* turns
      expect((yield* Fiber.join(watcher)).reply).toBe("3")
      expect(yield* Fiber.join(yield* ask(2, { idempotencyKey: "k" }))).toBe(2)
    }),
  )
  it.effect("2.3 by itself: a timeout around an ask takes the child back, and the handler goes on", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Leaf = makeWorker("leaf", (n) => Effect.as(gate.pass, n))
      const Parent = makeWorker("parent", (n, actor) =>
        Effect.orDie(
          Effect.map(Effect.timeoutOption(actor.ask(Leaf.ref("a"), "Work", { n }), 100), (found) =>
            found._tag === "None" ? -1 : found.value,
          ),
        ),
      )
      const world = yield* makeWorld({ actors: [Parent, Leaf] })
      const ask = yield* Effect.forkChild(world.system.ask(Parent.ref("a"), "Work", { n: 1 }), {
        startImmediately: true,
      })
      yield* turns
      yield* TestClock.adjust(100)
      expect(yield* Fiber.join(ask)).toBe(-1)
      yield* turns
      expect(rows(world).map(({ status }) => status)).toEqual(["done", "cancelled"])
    }),
  )
  it.effect("2.4 by its deadline, also where the end of a child, which has the same one, comes to it first", () =>
    Effect.gen(function* () {
      const late = (atMs: number) =>
        Effect.flatMap(Effect.sleep(atMs), () =>
          Effect.fail(new TerminalExpired({ messageId: "child", message: "The child is late." })),
        )
      const Worker = makeWorker("worker", (n) => late(n))
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = (n: number) =>
        Effect.forkChild(Effect.flip(world.system.ask(Worker.ref(`${n}`), "Work", { n }, { timeoutMs: 100 })), {
          startImmediately: true,
        })
      // Its sleep began before the alarm was set, and so ends first.
      const [early, same] = [yield* ask(99), yield* ask(100)]
      yield* turns
      for (const ms of [99, 1]) {
        yield* TestClock.adjust(ms)
        yield* turns
      }
      expect([(yield* Fiber.join(early))._tag, (yield* Fiber.join(same))._tag]).toEqual([
        "TerminalMessageFailed",
        "TerminalExpired",
      ])
      expect(rows(world).map(({ status }) => status)).toEqual(["failed", "expired"])
    }),
  )
})

describe("3 a handler that asks", () => {
  const asking = (name: string, target: () => Actor.Ref<Work>) =>
    makeWorker(name, (n, actor) =>
      Effect.mapError(
        actor.ask(target(), "Work", { n }),
        (error) => new TerminalTrouble({ message: `${error._tag}: ${error.message}` }),
      ),
    )
  it.effect("3.1 whoever waits for it is refused at once, through any number of actors", () =>
    Effect.gen(function* () {
      const Loop = asking("loop", () => Middle.ref("m"))
      const Middle: Actor.Actor<Work, never> = asking("middle", () => Loop.ref("l"))
      const Self: Actor.Actor<Work, never> = asking("self", () => Self.ref("s"))
      const world = yield* makeWorld({ actors: [Loop, Middle, Self] })
      const error = yield* Effect.flip(world.system.ask(Self.ref("s"), "Work", { n: 1 }))
      expect(error).toMatchObject({
        _tag: "TerminalMessageFailed",
        message:
          "TerminalReentrantAsk: self/s cannot ask self/s: self/s waits for this very answer. Use send, or ask another actor.",
      })
      const looped = yield* Effect.flip(world.system.ask(Loop.ref("l"), "Work", { n: 1 }))
      expect(looped.message).toMatch(/^TerminalMessageFailed: TerminalReentrantAsk: middle\/m cannot ask loop\/l/)
      expect(rows(world).map(({ actorType }) => actorType)).toEqual(["self", "loop", "middle"])
    }),
  )
  it.effect("3.2 deeper than 64 asks is refused, and 64 are not", () =>
    Effect.gen(function* () {
      const Deep: Actor.Actor<Work, never> = makeWorker("deep", (n, actor) =>
        n === 0
          ? Effect.succeed(0)
          : Effect.map(
              actor
                .ask(Deep.ref(`${n - 1}`), "Work", { n: n - 1 })
                .pipe(Effect.catch((error) => Effect.fail(new TerminalTrouble({ message: error.message })))),
              (depth) => depth + 1,
            ),
      )
      const world = yield* makeWorld({ actors: [Deep] })
      expect(yield* world.system.ask(Deep.ref("a"), "Work", { n: 64 })).toBe(64)
      const error = yield* Effect.flip(world.system.ask(Deep.ref("b"), "Work", { n: 70 }))
      expect(error.message).toContain("asks are nested 65 deep")
    }),
  )
  it.effect("3.3 gets a recorded answer when it runs again, and the child is not sent twice", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Parent = makeWorker("parent", (n, actor) =>
        Effect.orDie(
          Effect.gen(function* () {
            const one = yield* actor.ask(Counter.ref("a"), "Add", { by: n })
            if (actor.message.attempt < 3) yield* gate.pass
            return one + (yield* actor.ask(Counter.ref("a"), "Add", { by: n }))
          }),
        ),
      )
      const world = yield* makeWorld({ actors: [Parent, Counter] })
      const id = yield* world.system.tell(Parent.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.crash
      yield* turns
      yield* world.crash
      yield* turns
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "3" })
      expect(rows(world).map((each) => each.id)).toEqual([id, `${id}.0`, `${id}.1`])
      expect(row(world).attempt).toBe(3)
    }),
  )
  it.effect("3.4 asks anew where a child ended without an answer", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Leaf = makeWorker("leaf", (n) => Effect.as(gate.pass, n))
      const Parent = makeWorker("parent", (n, actor) =>
        actor.ask(Leaf.ref("a"), "Work", { n }).pipe(
          Effect.catchTag("TerminalCancelled", () => Effect.fail(new RetryableTrouble({ message: "nobody answered" }))),
          Effect.catchIf((error) => error._tag !== "RetryableTrouble", Effect.die),
        ),
      )
      const world = yield* makeWorld({ actors: [Parent, Leaf] })
      const ask = yield* Effect.forkChild(world.system.ask(Parent.ref("a"), "Work", { n: 1 }), {
        startImmediately: true,
      })
      for (let time = 0; time < 2; time++) {
        yield* turns
        yield* world.system.cancel(rows(world).at(-1)?.id ?? "")
        yield* turns
        yield* TestClock.adjust(1_000)
      }
      yield* turns
      yield* gate.open
      expect(yield* Fiber.join(ask)).toBe(1)
      const { id } = row(world)
      expect(rows(world).map((each) => `${each.id} ${each.status}`)).toEqual([
        `${id} done`,
        `${id}.0 cancelled`,
        `${id}.0~1 cancelled`,
        `${id}.0~2 done`,
      ])
    }),
  )
  it.effect("3.5 something else than the first time is told so", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Parent = makeWorker("parent", (_, actor) =>
        Effect.gen(function* () {
          yield* actor.ask(Counter.ref(actor.message.attempt === 1 ? "a" : "b"), "Add", { by: 1 })
          if (actor.message.attempt === 1) yield* gate.pass
          return 1
        }).pipe(
          Effect.catch((error) => Effect.fail(new TerminalTrouble({ message: `${error._tag}: ${error.message}` }))),
        ),
      )
      const world = yield* makeWorld({ actors: [Parent, Counter] })
      const id = yield* world.system.tell(Parent.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.crash
      const reply = yield* world.system.outcome(id)
      expect(reply.error?.message).toBe(
        `TerminalReplayMismatch: The handler of ${id} now sends Add to counter/b where it sent Add to counter/a before; a handler must do the same again when it is run again.`,
      )
    }),
  )
})

describe("4 a step", () => {
  const Ledger = Actor.make("ledger", {
    protocol: [Rpc.make("Pay", { payload: { steps: Schema.Number }, success: Schema.Array(Schema.String) })],
    handlers: {
      Pay: ({ steps }, actor) =>
        Effect.gen(function* () {
          const keys: Array<string> = []
          for (let index = 0; index < steps; index++) {
            keys.push(
              yield* actor.step(`pay ${index}`, Schema.String, (key) =>
                Effect.sync(() => {
                  paid.push(key)
                  return `${key} at ${actor.message.attempt}`
                }),
              ),
            )
            if (index === 1 && actor.message.attempt === 1) yield* door.pass
          }
          return keys
        }),
    },
  })
  let paid: Array<string> = []
  let door = new Gate()

  it.effect("4.1 runs once, and its record is what the handler gets when it runs again", () =>
    Effect.gen(function* () {
      paid = []
      door = new Gate()
      const world = yield* makeWorld({ actors: [Ledger] })
      const id = yield* world.system.tell(Ledger.ref("a"), "Pay", { steps: 3 })
      yield* turns
      yield* world.crash
      const reply = yield* world.system.outcome(id)
      expect(JSON.parse(reply.reply ?? "")).toEqual([`${id}.0 at 1`, `${id}.1 at 1`, `${id}.2 at 2`])
      expect(paid).toEqual([`${id}.0`, `${id}.1`, `${id}.2`])
      expect(world.log.steps.get(id)?.map(({ name, ordinal }) => [ordinal, name])).toEqual([
        [0, "pay 0"],
        [1, "pay 1"],
        [2, "pay 2"],
      ])
    }),
  )
  it.effect("4.2 of another name, or of another shape, than was recorded is refused", () =>
    Effect.gen(function* () {
      for (const [name, schema, text] of [
        ["pay 0", Schema.Number, "recorded a result of step pay 0 that no longer fits"],
        ["refund", Schema.String, "now asks for the step refund at place 0, where it recorded the step pay 0"],
      ] as const) {
        paid = []
        door = new Gate()
        const world = yield* makeWorld({ actors: [Ledger] })
        const id = yield* world.system.tell(Ledger.ref("a"), "Pay", { steps: 2 })
        yield* turns
        const Newer = Actor.make("ledger", {
          protocol: [Rpc.make("Pay", { payload: { steps: Schema.Number }, success: Schema.Array(Schema.String) })],
          handlers: {
            Pay: (_, actor) =>
              Effect.as(
                actor.step<unknown, never, never>(name, schema as Schema.Codec<unknown>, Effect.die("not run")),
                [],
              ),
          },
        })
        yield* world.crashInto({ actors: [Newer] })
        const { error, status } = yield* world.system.outcome(id)
        expect(status).toBe("failed")
        expect(error).toMatchObject({ tag: "TerminalReplayMismatch", message: expect.stringContaining(text) })
      }
    }),
  )
  it.effect("4.3 that fails is not recorded, and runs again with its handler", () =>
    Effect.gen(function* () {
      let runs = 0
      const Worker = makeWorker("worker", (_, actor) =>
        Effect.gen(function* () {
          return yield* actor.step(
            "flaky",
            Schema.Number,
            Effect.suspend(() =>
              ++runs < 3 ? Effect.fail(new RetryableTrouble({ message: "flaky" })) : Effect.succeed(runs),
            ),
          )
        }),
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))
      yield* wait
      expect(yield* Fiber.join(ask)).toBe(3)
      expect(world.log.steps.get(row(world).id)?.length).toBe(1)
    }),
  )
  it.effect("4.4 the clock and the dice of a handler do not change between attempts of one message", () =>
    Effect.gen(function* () {
      const seen: Array<ReadonlyArray<number>> = []
      const Worker = makeWorker("worker", (_, actor) =>
        Effect.suspend(() => {
          seen.push([actor.random(), actor.random()])
          return actor.message.attempt < 3 ? Effect.fail(new RetryableTrouble({ message: "again" })) : Effect.succeed(1)
        }),
      )
      const world = yield* makeWorld({ actors: [Worker] })
      const ask = yield* Effect.forkChild(world.system.ask(Worker.ref("a"), "Work", { n: 1 }))
      yield* wait
      yield* Fiber.join(ask)
      expect(seen[1]).toEqual(seen[0])
      expect(seen[2]).toEqual(seen[0])
      expect(seen[0]?.[0]).not.toBe(seen[0]?.[1])
    }),
  )
})
