/** Streamed replies: chunks on disk before anybody sees them, numbered over all attempts, each seen once. */
import { describe, expect, it } from "@effect/vitest"
import { FaultyStore } from "@pontoon/runtime/testing"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Declared, Gate, makeTalker, makeWorker, RetryableTrouble } from "./support/actors.ts"
import { BatchedStore } from "./support/BatchedStore.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

const words = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `w${from + index}`)
const chunksOf = (world: World, id: string) =>
  (world.log.chunks.get(id) ?? []).toSorted((a, b) => a.ordinal - b.ordinal)

/** Lets what runs run, and what it has said be written. */
const linger = Effect.gen(function* () {
  yield* turns
  yield* TestClock.adjust(50)
  yield* turns
})

/** Says n words; stops at the gate after half of them, in its first attempt. */
const gatedTalker = (resumes: boolean) => {
  const gate = new Gate()
  const said: Array<string> = []
  const Talker = makeTalker("talker", (n, actor) =>
    Effect.orDie(
      Effect.gen(function* () {
        const before = resumes ? yield* actor.resume : []
        const now: Array<string> = []
        for (const word of words(before.length, n)) {
          said.push(word)
          now.push(word)
          yield* actor.emit(word)
          if (before.length + now.length === n / 2 && actor.message.attempt === 1) yield* gate.pass
        }
        return [...before, ...now].join(" ")
      }),
    ),
  )
  return { Talker, gate, said }
}

describe("1 a reader", () => {
  it.effect("1.1 sees every chunk once, in order, then the end; late readers and askers get the same", () =>
    Effect.gen(function* () {
      const { Talker, gate } = gatedTalker(false)
      const world = yield* makeWorld({ actors: [Talker] })
      const key = { idempotencyKey: "k" }
      const read = Stream.runCollect(world.system.stream(Talker.ref("a"), "Talk", { n: 1_000 }, key))
      const seen: Array<string> = []
      const first = yield* Effect.forkChild(
        Stream.runForEach(world.system.stream(Talker.ref("a"), "Talk", { n: 1_000 }, key), (chunk) =>
          Effect.sync(() => seen.push(chunk)),
        ),
        { startImmediately: true },
      )
      yield* linger
      expect(seen).toEqual(words(0, 500))
      const second = yield* Effect.forkChild(read, { startImmediately: true })
      yield* turns
      yield* gate.open
      yield* Fiber.join(first)
      expect(seen).toEqual(words(0, 1_000))
      expect(yield* Fiber.join(second)).toEqual(words(0, 1_000))
      expect(yield* read).toEqual(words(0, 1_000))
      expect(yield* world.system.ask(Talker.ref("a"), "Talk", { n: 1_000 }, key)).toBe(words(0, 1_000).join(" "))
      expect(rows(world).length).toBe(1)
      expect(chunksOf(world, row(world).id).map(({ ordinal }) => ordinal)).toEqual(words(0, 1_000).map((_, i) => i))
    }),
  )
  it.effect("1.2 sees nothing that is not on disk", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Talker = makeTalker("talker", (_, actor) =>
        Effect.orDie(Effect.andThen(Effect.andThen(actor.emit("a"), gate.pass), Effect.succeed("a"))),
      )
      const batches = new BatchedStore()
      const world = yield* makeWorld({ actors: [Talker], wrap: batches.wrap })
      const seen: Array<string> = []
      yield* Effect.forkChild(
        Stream.runForEach(world.system.stream(Talker.ref("a"), "Talk", { n: 1 }), (chunk) =>
          Effect.sync(() => seen.push(chunk)),
        ),
      )
      yield* turns
      yield* batches.flush
      yield* turns
      // Said, and waiting for its commit.
      expect([gate.waiting, batches.size, seen]).toEqual([1, 1, []])
      yield* batches.flush
      yield* turns
      expect(seen).toEqual(["a"])
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(batches.flush, Effect.yieldNow)))
      yield* gate.open
    }),
  )
  it.effect("1.3 gets what its task fails with, after the chunks that were said", () =>
    Effect.gen(function* () {
      const Talker = makeTalker("talker", (_, actor) =>
        Effect.gen(function* () {
          yield* actor.emit("so far")
          return yield* new Declared({ message: "so good" })
        }),
      )
      const world = yield* makeWorld({ actors: [Talker] })
      const seen: Array<string> = []
      const stream = world.system.stream(Talker.ref("a"), "Talk", { n: 1 })
      const error = yield* Effect.flip(Stream.runForEach(stream, (chunk) => Effect.sync(() => seen.push(chunk))))
      expect([seen, error]).toEqual([["so far"], new Declared({ message: "so good" })])
    }),
  )
  it.effect("1.4 that leaves takes the message back, unless it has a key, or another reads it too", () =>
    Effect.gen(function* () {
      const { Talker, gate } = gatedTalker(false)
      const world = yield* makeWorld({ actors: [Talker] })
      const read = (id: string, options = {}) =>
        Stream.runCollect(Stream.take(world.system.stream(Talker.ref(id), "Talk", { n: 4 }, options), 1))
      expect(yield* read("a")).toEqual(["w0"])
      expect(yield* read("b", { idempotencyKey: "k" })).toEqual(["w0"])
      yield* turns
      expect(rows(world).map(({ status }) => status)).toEqual(["cancelled", "running"])
      expect(gate.interrupted).toBe(1)
      yield* gate.open
    }),
  )
  it.effect("1.5 of a message that waits reads on when it runs; taken back, it fails", () =>
    Effect.gen(function* () {
      const { Talker, gate } = gatedTalker(false)
      const world = yield* makeWorld({ actors: [Talker] })
      yield* world.system.tell(Talker.ref("a"), "Talk", { n: 2 })
      const reader = yield* Effect.forkChild(
        Effect.flip(Stream.runCollect(world.system.stream(Talker.ref("a"), "Talk", { n: 4 }))),
        { startImmediately: true },
      )
      yield* turns
      yield* gate.open
      yield* turns
      yield* world.system.cancel(row(world, 1).id)
      expect(yield* Fiber.join(reader)).toMatchObject({ _tag: "TerminalCancelled" })
    }),
  )
  it.effect(
    "1.6 of a task that does not stream gets nothing but the end; a handler that streams there is mistaken",
    () =>
      Effect.gen(function* () {
        const Worker = makeWorker("worker", (n, actor) =>
          n === 1 ? Effect.succeed(n) : Effect.as(Effect.orDie(actor.emit("x" as never)), n),
        )
        const world = yield* makeWorld({ actors: [Worker] })
        expect(yield* Stream.runCollect(world.system.stream(Worker.ref("a"), "Work", { n: 1 }))).toEqual([])
        yield* world.system.tell(Worker.ref("a"), "Work", { n: 2 })
        yield* turns
        const [died] = world.log.attempts.get(row(world, 1).id) ?? []
        expect(JSON.parse(died?.error ?? "").message).toBe(
          "Work does not stream; define it with Task.stream to emit chunks.",
        )
      }),
  )
})

describe("2 a second attempt", () => {
  for (const resumes of [false, true]) {
    const how = resumes ? "goes on after what was said" : "says the same again, and readers do not see it twice"
    it.effect(`2.${resumes ? 2 : 1} ${how}`, () =>
      Effect.gen(function* () {
        const { Talker, said } = gatedTalker(resumes)
        const world = yield* makeWorld({ actors: [Talker] })
        const key = { idempotencyKey: "k" }
        yield* Effect.forkChild(Stream.runDrain(world.system.stream(Talker.ref("a"), "Talk", { n: 200 }, key)))
        yield* linger
        yield* world.crash
        const read = yield* Stream.runCollect(world.system.stream(Talker.ref("a"), "Talk", { n: 200 }, key))
        expect(read).toEqual(words(0, 200))
        expect(said.length).toBe(resumes ? 200 : 300)
        const chunks = chunksOf(world, row(world).id)
        expect(chunks.map(({ data }) => JSON.parse(data))).toEqual(words(0, 200))
        expect(chunks.map(({ attempt }) => attempt)).toEqual([...Array(100).fill(1), ...Array(100).fill(2)])
        expect(yield* world.system.ask(Talker.ref("a"), "Talk", { n: 200 }, key)).toBe(words(0, 200).join(" "))
      }),
    )
  }
  it.effect("2.3 after a failure in mid-sentence is read through by one reader", () =>
    Effect.gen(function* () {
      const Talker = makeTalker("talker", (n, actor) =>
        Effect.gen(function* () {
          for (const word of words(0, n)) {
            yield* actor.emit(word)
            if (word === `w${actor.message.attempt * 10}`) return yield* new RetryableTrouble({ message: "cut off" })
          }
          return "whole"
        }),
      )
      const world = yield* makeWorld({ actors: [Talker] })
      const reader = yield* Effect.forkChild(
        Stream.runCollect(world.system.stream(Talker.ref("a"), "Talk", { n: 35 })),
        { startImmediately: true },
      )
      for (let step = 0; step < 20; step++) yield* TestClock.adjust(500)
      expect(yield* Fiber.join(reader)).toEqual(words(0, 35))
      expect(chunksOf(world, row(world).id).map(({ attempt }) => attempt)).toEqual([
        ...Array(11).fill(1),
        ...Array(10).fill(2),
        ...Array(10).fill(3),
        ...Array(4).fill(4),
      ])
    }),
  )
})

describe("3 a store that cannot write now", () => {
  it.effect("3.1 leaves no hole in the reply, and the handler waits once enough has gathered", () =>
    Effect.gen(function* () {
      let said = 0
      let refusals = 0
      const Talker = makeTalker("talker", (n, actor) =>
        Effect.orDie(
          Effect.gen(function* () {
            for (const word of words(0, n)) {
              yield* actor.emit(word)
              said++
            }
            return "whole"
          }),
        ),
      )
      const world = yield* makeWorld({
        actors: [Talker],
        wrap: (store) =>
          FaultyStore.wrap(store, (_, writes) =>
            writes.some(({ _tag }) => _tag === "AppendChunk") && refusals++ < 5
              ? { _tag: "refuse", reason: "full" }
              : undefined,
          ).store,
      })
      const reader = yield* Effect.forkChild(
        Stream.runCollect(world.system.stream(Talker.ref("a"), "Talk", { n: 500 })),
        { startImmediately: true },
      )
      yield* turns
      // One in the commit that is refused, 64 that wait for it.
      expect(said).toBe(64)
      for (let step = 0; step < 20; step++) yield* TestClock.adjust(500)
      expect(yield* Fiber.join(reader)).toEqual(words(0, 500))
      expect(row(world)).toMatchObject({ attempt: 1, reply: '"whole"' })
    }),
  )
  it.effect("3.2 holds the seal back until the chunks before it are written", () =>
    Effect.gen(function* () {
      let refusals = 0
      const Talker = makeTalker("talker", (_, actor) => Effect.orDie(Effect.as(actor.emit("only"), "whole")))
      const world = yield* makeWorld({
        actors: [Talker],
        wrap: (store) =>
          FaultyStore.wrap(store, (_, writes) =>
            writes.some(({ _tag }) => _tag === "AppendChunk") && refusals++ < 1
              ? { _tag: "refuse", reason: "io" }
              : undefined,
          ).store,
      })
      const ask = yield* Effect.forkChild(world.system.ask(Talker.ref("a"), "Talk", { n: 1 }), {
        startImmediately: true,
      })
      yield* turns
      expect(row(world).status).toBe("running")
      yield* TestClock.adjust(1_000)
      expect(yield* Fiber.join(ask)).toBe("whole")
      expect(chunksOf(world, row(world).id).map(({ data }) => data)).toEqual(['"only"'])
    }),
  )
})

describe("4 a handler that reads another's stream", () => {
  it.effect("4.1 sends its child once, and reads it from the log when it runs again", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      const Talker = makeTalker("talker", (n, actor) =>
        Effect.orDie(
          Effect.gen(function* () {
            for (const word of words(0, n)) yield* actor.emit(word)
            return "whole"
          }),
        ),
      )
      const Reader = makeTalker("reader", (n, actor) =>
        Effect.orDie(
          Effect.gen(function* () {
            const heard = yield* Stream.runFold(
              Stream.tap(actor.stream(Talker.ref("a"), "Talk", { n }), (word) => actor.emit(`-${word}`)),
              () => 0,
              (count) => count + 1,
            )
            if (actor.message.attempt === 1) yield* gate.pass
            return `${heard}`
          }),
        ),
      )
      const world = yield* makeWorld({ actors: [Talker, Reader] })
      const id = yield* world.system.tell(Reader.ref("a"), "Talk", { n: 300 })
      yield* turns
      yield* world.crash
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: '"300"' })
      expect(rows(world).map((each) => each.id)).toEqual([id, `${id}.0`])
      expect(chunksOf(world, id).map(({ data }) => JSON.parse(data))).toEqual(words(0, 300).map((word) => `-${word}`))
    }),
  )
})
