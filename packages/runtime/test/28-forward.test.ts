/** Handing a message on: misuse first, then who answers what, then that a death at any commit changes none of it. */
import { describe, expect, it } from "@effect/vitest"
import { type Actor, type ActorContext, forward, makePool, type SameTask } from "@pontoon/runtime"
import { Effect, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Declared, Gate, makeTalker, makeWorker, RetryableTrouble, type Talk, type Work } from "./support/actors.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

type Forwarder = ActorContext<Work, number, undefined>
const makeFront = (run: (n: number, actor: Forwarder) => Effect.Effect<number, unknown>, name = "front") =>
  makeWorker(name, (n, actor) => run(n, actor) as Effect.Effect<number, Actor.HandlerFailure>)
/** Answers n times ten. */
const Oracle = makeWorker("oracle", (n) =>
  n < 0 ? Effect.fail(new Declared({ message: "no" })) : Effect.succeed(n * 10),
)
const failureOf = (world: World, index = 0) => JSON.parse(row(world, index).error ?? "{}")
const ask = (world: World, ref: Actor.Ref<Work>, n: number, options = {}) =>
  Effect.forkChild(Effect.exit(world.system.ask(ref, "Work", { n }, options)), { startImmediately: true })

describe("1 what cannot be handed on", () => {
  it("1.1 is a message to an actor that has another task: the compiler says so", () => {
    const fits: [SameTask<Work, Work | Talk>, SameTask<Work, Talk>] extends [unknown, never] ? true : false = true
    const wrong: [SameTask<Work, Work | Talk>] extends [never] ? true : false = false
    expect([fits, wrong]).toEqual([true, false])
  })
  it.effect.each([
    [
      "another task",
      { ...Oracle.ref("a"), tasks: new Map() },
      "front/f cannot hand Work on to oracle/a, which has no such task",
    ],
    ["an actor that is not there", { ...Oracle.ref("a"), type: "nobody" }, "There is no actor nobody in this system"],
  ] as const)("1.2 to %s is refused", ([, ref, what]) =>
    Effect.gen(function* () {
      const Front = makeFront((_, actor) => actor.forward(ref))
      const world = yield* makeWorld({ actors: [Front, Oracle] })
      yield* ask(world, Front.ref("f"), 1)
      yield* turns
      expect(failureOf(world).message).toContain(what)
    }),
  )
  it.effect("1.3 twice, or after a chunk, is a mistake of the handler", () =>
    Effect.gen(function* () {
      const Twice = makeFront((_, actor) =>
        Effect.andThen(actor.forward(Oracle.ref("a")), actor.forward(Oracle.ref("b"))),
      )
      const Talker = makeTalker("talker", () => Effect.succeed("never"))
      const Spoken = makeTalker("spoken", (n, actor) =>
        n === 1
          ? Effect.orDie(Effect.andThen(actor.emit("so far"), actor.forward(Talker.ref("a"))))
          : Effect.orDie(Effect.andThen(actor.forward(Talker.ref("a")), Effect.as(actor.emit("too late"), ""))),
      )
      const world = yield* makeWorld({ actors: [Twice, Spoken, Talker, Oracle] })
      yield* ask(world, Twice.ref("f"), 1)
      yield* world.system.tell(Spoken.ref("a"), "Talk", { n: 1 })
      yield* world.system.tell(Spoken.ref("b"), "Talk", { n: 2 })
      yield* turns
      const died = rows(world).map(({ id }) => JSON.parse(world.log.attempts.get(id)?.[0]?.error ?? "{}").message)
      expect(died).toEqual([
        expect.stringContaining("is handed on already; a handler can do so once."),
        expect.stringContaining("cannot be handed on: its handler has emitted chunks"),
        expect.stringContaining("is handed on; its handler cannot emit any more."),
      ])
    }),
  )
  it.effect("1.4 goes round no more than 16 times", () =>
    Effect.gen(function* () {
      let runs = 0
      const refs: Record<string, Actor.Ref<Work>> = {}
      const pass = (to: string) =>
        makeFront(
          (_, actor) => {
            runs++
            return actor.forward(refs[to]!)
          },
          to === "b" ? "a" : "b",
        )
      const [A, B] = [pass("b"), pass("a")]
      Object.assign(refs, { a: A.ref("x"), b: B.ref("x") })
      const world = yield* makeWorld({ actors: [A, B] })
      const fiber = yield* ask(world, A.ref("x"), 1)
      yield* turns
      expect(yield* Effect.flip(Effect.flatten(Fiber.join(fiber)))).toMatchObject({
        _tag: "TerminalMessageFailed",
        tag: "TerminalForwardLoop",
        message: expect.stringContaining(
          "has been handed on 16 times, last by b/x, a/x, b/x, a/x; it goes round in a circle.",
        ),
      })
      expect(runs).toBe(17)
      expect(rows(world).length).toBe(1)
      expect(world.log.routes.length).toBe(16)
    }),
  )
  it.effect("1.5 not to an actor that waits for this very answer, nor into a full mailbox", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Busy = makeWorker("busy", (n) => Effect.as(gate.pass, n), { mailbox: { capacity: 1 } })
      const Front = makeFront((n, actor) => actor.forward(n === 1 ? Asker.ref("a") : Busy.ref("b")))
      const Asker: Actor.Actor<Work, never> = makeWorker(
        "asker",
        (n, actor) => actor.ask(Front.ref("f"), "Work", { n }) as Effect.Effect<number, Actor.HandlerFailure>,
      )
      const world = yield* makeWorld({ actors: [Asker, Front, Busy] })
      yield* ask(world, Asker.ref("a"), 1)
      yield* turns
      expect(failureOf(world)).toMatchObject({
        tag: "TerminalMessageFailed",
        message: expect.stringContaining("asker/a waits for its answer"),
      })
      for (let n = 2; n < 5; n++) yield* ask(world, Front.ref("f"), n)
      yield* turns
      // One runs, one waits, and the third is tried again until there is room.
      expect(world.log.attempts.get(row(world, 4).id)?.map(({ error }) => JSON.parse(error).tag)).toEqual([
        "RetryableMailboxFull",
      ])
      for (let n = 0; n < 3; n++) {
        yield* gate.open
        yield* turns
        yield* TestClock.adjust(10_000)
        yield* turns
      }
      expect(
        rows(world)
          .slice(2)
          .map(({ reply }) => reply),
      ).toEqual(["2", "3", "4"])
    }),
  )
})

describe("2 a message that is handed on", () => {
  it.effect(
    "2.1 keeps its id, its asker and its place in the tree; the handler's state, steps and sends are its own",
    () =>
      Effect.gen(function* () {
        const noted: Array<number> = []
        const Note = makeWorker("note", (n) => Effect.sync(() => noted.push(n)))
        const Front = makeFront((n, actor) =>
          Effect.gen(function* () {
            const step = yield* actor.step("look up", Schema.String, Effect.succeed("found"))
            const heard = yield* actor.ask(Oracle.ref("b"), "Work", { n: 7 })
            yield* actor.send(Note.ref("n"), "Work", { n: heard + step.length })
            actor.setState(actor.state + n)
            return yield* forward(actor, Target.ref("t"))
          }),
        )
        // The same numbers as the handler before it, for other acts.
        const Target = makeFront(
          (n, actor) =>
            Effect.gen(function* () {
              const heard = yield* actor.ask(Oracle.ref("c"), "Work", { n })
              const step = yield* actor.step("add", Schema.Number, Effect.succeed(1))
              yield* actor.send(Note.ref("n"), "Work", { n: heard })
              return heard + step
            }),
          "target",
        )
        const deaths = yield* everyCommit({
          actors: [Front, Target, Oracle, Note],
          drive: ({ system }) => system.ask(Front.ref("f"), "Work", { n: 4 }, { idempotencyKey: "k" }),
          check: (world) =>
            Effect.gen(function* () {
              const own = row(world)
              expect(own).toMatchObject({
                status: "done",
                reply: "41",
                actorType: "target",
                actorId: "t",
                via: '["front/f"]',
              })
              expect(
                rows(world).map(({ actorType, actorId, body, causationId }) => [actorType, actorId, body, causationId]),
              ).toEqual([
                ["target", "t", '{"n":4}', null],
                ["oracle", "b", '{"n":7}', own.id],
                ["note", "n", '{"n":75}', own.id],
                ["oracle", "c", '{"n":4}', own.id],
                ["note", "n", '{"n":40}', own.id],
              ])
              expect(world.log.actors.get("front/f")?.state).toBe("4")
              expect(world.log.routes.map(({ chosen, pool, reason }) => [pool, chosen, reason])).toEqual([
                ["front/f", "target/t", "handed on by front/f"],
              ])
              // The same key, after the fact: whom it was sent to answers.
              expect(yield* world.system.ask(Front.ref("f"), "Work", { n: 4 }, { idempotencyKey: "k" })).toBe(41)
            }).pipe(Effect.orDie),
        })
        expect(deaths).toBeGreaterThan(6)
      }),
  )
  it.effect("2.2 holds no place of who hands it on, and ends for its asker with the other's error", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Slow = makeWorker("slow", (n) => Effect.as(gate.pass, n), { concurrency: 8 })
      const Front = makeFront((n, actor) => forward(actor, n < 0 ? Oracle.ref("a") : Slow.ref("s")))
      const world = yield* makeWorld({ actors: [Front, Slow, Oracle] })
      const fibers = yield* Effect.forEach([1, 2, 3, -1], (n) => ask(world, Front.ref("f"), n))
      yield* turns
      expect(gate.waiting).toBe(3)
      expect(yield* Effect.flip(Effect.flatten(Fiber.join(fibers[3]!)))).toEqual(new Declared({ message: "no" }))
      yield* gate.open
      yield* turns
      expect(yield* Effect.forEach(fibers.slice(0, 3), (fiber) => Effect.flatten(Fiber.join(fiber)))).toEqual([1, 2, 3])
    }),
  )
  it.effect("2.3 has a budget of attempts of its own, and is taken back and expires where it is", () =>
    Effect.gen(function* () {
      const tried: Array<number> = []
      const Weak = makeWorker(
        "weak",
        (n, actor) => {
          tried.push(actor.message.attempt)
          return n === 0 ? Effect.never : Effect.fail(new RetryableTrouble({ message: "not now" }))
        },
        { retry: { attemptsMax: 3 }, concurrency: 4 },
      )
      const Front = makeWorker(
        "front",
        (_, actor) =>
          actor.message.attempt < 3
            ? Effect.fail(new RetryableTrouble({ message: "not yet" }))
            : (actor.forward(Weak.ref("w")) as Effect.Effect<number, Actor.HandlerFailure>),
        { retry: { attemptsMax: 3 } },
      )
      const world = yield* makeWorld({ actors: [Front, Weak] })
      yield* ask(world, Front.ref("a"), 1)
      const taken = yield* ask(world, Front.ref("b"), 0)
      const late = yield* ask(world, Front.ref("c"), 0, { timeoutMs: 300_000 })
      for (let step = 0; step < 20; step++) {
        yield* TestClock.adjust(5_000)
        yield* turns
      }
      expect(row(world)).toMatchObject({ status: "dead", attempt: 6, attemptsBefore: 3 })
      expect(tried.filter((attempt) => attempt > 4)).toEqual([5, 6])
      yield* world.system.cancel(row(world, 1).id)
      expect(yield* Effect.flip(Effect.flatten(Fiber.join(taken)))).toMatchObject({ _tag: "TerminalCancelled" })
      yield* TestClock.adjust(300_000)
      expect(yield* Effect.flip(Effect.flatten(Fiber.join(late)))).toMatchObject({ _tag: "TerminalExpired" })
    }),
  )
  it.effect("2.4 may go to a pool, and its stream is read by whom it was sent to", () =>
    Effect.gen(function* () {
      const Talker = makeTalker("talker", (n, actor) =>
        Effect.orDie(
          Effect.gen(function* () {
            for (let word = 0; word < n; word++) yield* actor.emit(`w${word}`)
            return "whole"
          }),
        ),
      )
      const pool = makePool("voices", { targets: [Talker.ref("a"), Talker.ref("b")] })
      const Front = makeTalker("front", (_, actor) => Effect.orDie(forward(actor, pool.ref)))
      const world = yield* makeWorld({ actors: [Front, Talker], pools: [pool] })
      let id = ""
      const options = { onAccepted: (accepted: string) => (id = accepted) }
      const fiber = yield* Effect.forkChild(
        Stream.runCollect(world.system.stream(Front.ref("f"), "Talk", { n: 3 }, options)),
        { startImmediately: true },
      )
      yield* turns
      expect(yield* Fiber.join(fiber)).toEqual(["w0", "w1", "w2"])
      expect(row(world)).toMatchObject({ pool: "voices", actorType: "talker", via: '["front/f"]', reply: '"whole"' })
      for (const ref of [Front.ref("f"), pool.ref]) {
        const read = yield* Stream.runCollect(world.system.read(ref, "Talk", id, { from: 2 }))
        expect(read).toEqual([{ number: 2, chunk: "w2" }])
      }
      const stranger = Stream.runDrain(world.system.read(Front.ref("g"), "Talk", id))
      expect(yield* Effect.flip(stranger)).toMatchObject({
        message: expect.stringContaining("it was sent to front/f, and not to front/g."),
      })
    }),
  )
  it.effect("2.5 is found again by a handler that asked for it, and by a send of the same key", () =>
    Effect.gen(function* () {
      const heard: Array<number> = []
      const Front = makeFront((_, actor) => forward(actor, Oracle.ref("o")))
      const Asker = makeFront(
        (n, actor) =>
          Effect.gen(function* () {
            const answer = yield* actor.ask(Front.ref("f"), "Work", { n })
            yield* actor.send(Front.ref("f"), "Work", { n: 9 }, { idempotencyKey: "same" })
            heard.push(answer)
            return answer
          }),
        "asker",
      )
      yield* everyCommit({
        actors: [Asker, Front, Oracle],
        drive: ({ system }) =>
          Effect.andThen(
            system.ask(Front.ref("f"), "Work", { n: 9 }, { idempotencyKey: "same" }),
            system.ask(Asker.ref("a"), "Work", { n: 2 }, { idempotencyKey: "k" }),
          ),
        check: (world) =>
          Effect.gen(function* () {
            expect(
              rows(world)
                .map(({ reply, status }) => [status, reply])
                .toSorted(),
            ).toEqual([
              ["done", "20"],
              ["done", "20"],
              ["done", "90"],
            ])
            expect(new Set(heard)).toEqual(new Set([20]))
            expect(yield* world.system.unfinished).toBe(0)
          }),
      })
    }),
  )
})
