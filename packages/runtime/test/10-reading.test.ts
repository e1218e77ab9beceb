/** Reading a streamed reply from any number on, what its chunks cost, and how a slow reader slows the handler down. */
import { describe, expect, it } from "@effect/vitest"
import { type Actor, ActorSystem, type ActorSystemOptions, MessageStore, makePool } from "@pontoon/runtime"
import { MemoryStore } from "@pontoon/runtime/testing"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Declared, Gate, makeTalker, makeWorker, type Talk } from "./support/actors.ts"
import { makeWorld, row, rows, turns, type World } from "./support/World.ts"

const words = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `w${from + index}`)
const numbered = (from: number, to: number) => words(from, to).map((chunk, index) => ({ number: from + index, chunk }))

/** Lets what runs run, and what it has said be written. */
const linger = Effect.gen(function* () {
  yield* turns
  yield* TestClock.adjust(50)
  yield* turns
})

/** Says n words; in its first attempt it stops at the gate after half of them. Says the same again in a second one. */
const makeGated = (gate: Gate, name = "talker") =>
  makeTalker(name, (n, actor) =>
    Effect.orDie(
      Effect.gen(function* () {
        for (const [index, word] of words(0, n).entries()) {
          if (index === n / 2 && actor.message.attempt === 1) yield* gate.pass
          yield* actor.emit(word)
        }
        return "whole"
      }),
    ),
  )

/** Reads in the background; gives what came, and how it ended. */
const readInto = (world: World, ref: Actor.Ref<Talk>, id: string, options = {}) =>
  Effect.gen(function* () {
    const seen: Array<{ readonly number: number; readonly chunk: string }> = []
    const stream = world.system.read(ref, "Talk", id, options)
    const fiber = yield* Effect.forkChild(
      Effect.exit(Stream.runForEach(stream, (each) => Effect.sync(() => seen.push(each)))),
      { startImmediately: true },
    )
    return { seen, fiber }
  })

describe("1 a reader that names a message", () => {
  const gate = new Gate()
  const Talker = makeGated(gate)
  const Other = makeTalker("other", () => Effect.succeed("never"))
  const compiled = Talker.ref("a").tasks.get("Talk")!
  const refusals: ReadonlyArray<
    readonly [string, (world: World, id: string) => Stream.Stream<unknown, unknown>, string]
  > = [
    [
      "an id that is none",
      ({ system }) => system.read(Talker.ref("a"), "Talk", "01NONE"),
      "There is no message 01NONE in the log: it was never accepted, or retention has removed it.",
    ],
    [
      "another actor's message",
      ({ system }, id) => system.read(Talker.ref("b"), "Talk", id),
      "it was sent to talker/a, and not to talker/b.",
    ],
    [
      "another kind's",
      ({ system }, id) => system.read(Other.ref("a"), "Talk", id),
      "sent to talker/a, and not to other/a.",
    ],
    [
      "a pool's, where it was sent to an actor",
      ({ system }, id) => system.read(makePool("bar", { targets: [Talker.ref("a")] }).ref, "Talk", id),
      "it was sent to talker/a, and not to pool bar.",
    ],
    [
      "another task",
      ({ system }, id) =>
        system.read(
          { kind: "actor", type: "talker", id: "a", tasks: new Map([["Shout", compiled]]) } as Actor.Ref<Talk>,
          "Shout" as "Talk",
          id,
        ),
      "it is a Talk, and not a Shout.",
    ],
    [
      "a task that is none",
      ({ system }, id) => system.read(Talker.ref("a"), "Nothing" as "Talk", id),
      "talker has no task Nothing; it has Talk.",
    ],
    [
      "a task that does not stream",
      ({ system }, id) => system.read(makeWorker("w", Effect.succeed).ref("a"), "Work", id),
      "Work does not stream; wait for its outcome instead.",
    ],
    [
      "a number below 0",
      ({ system }, id) => system.read(Talker.ref("a"), "Talk", id, { from: -1 }),
      "from must be a whole number, 0 or more, and is -1.",
    ],
    ["half a number", ({ system }, id) => system.read(Talker.ref("a"), "Talk", id, { from: 0.5 }), "and is 0.5."],
    [
      "a lead of nothing",
      ({ system }, id) => system.read(Talker.ref("a"), "Talk", id, { aheadMax: 0 }),
      "aheadMax must be a whole number from 1 to 1000000, and is 0; leave it out for no limit.",
    ],
    [
      "no patience",
      ({ system }, id) => system.read(Talker.ref("a"), "Talk", id, { aheadMsMax: 0 }),
      "aheadMsMax must be a whole number of milliseconds from 1 to 3600000, and is 0.",
    ],
  ]
  it.effect.each(refusals)("1.1 is refused for %s", ([, read, what]) =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Talker, Other] })
      const id = yield* world.system.tell(Talker.ref("a"), "Talk", { n: 0 })
      yield* turns
      const error = yield* Effect.flip(Stream.runDrain(read(world, id)))
      expect(error).toMatchObject({ _tag: "TerminalInvalidMessage", message: expect.stringContaining(what) })
    }),
  )
  it.effect("1.2 hears past the end, at once where it has ended, else at the end", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Talker] })
      const id = yield* world.system.tell(Talker.ref("a"), "Talk", { n: 4 })
      const early = yield* readInto(world, Talker.ref("a"), id, { from: 5 })
      yield* linger
      expect(early.fiber.pollUnsafe()).toBe(undefined)
      yield* gate.open
      yield* turns
      const past = {
        _tag: "TerminalInvalidMessage",
        message: expect.stringContaining("has no chunk 4, so there is nothing from 5 on"),
      }
      expect(yield* Effect.flip(Effect.flatten(Fiber.join(early.fiber)))).toMatchObject(past)
      const late = Stream.runDrain(world.system.read(Talker.ref("a"), "Talk", id, { from: 5 }))
      expect(yield* Effect.flip(late)).toMatchObject(past)
      // The number after the last is where a reader is that has had everything.
      expect(yield* Stream.runCollect(world.system.read(Talker.ref("a"), "Talk", id, { from: 4 }))).toEqual([])
    }),
  )
  it.effect("1.3 gets each chunk once with its number: before, while and after it is said, and leaves it alone", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Talker] })
      let id = ""
      const key = { idempotencyKey: "k", onAccepted: (accepted: string) => (id = accepted) }
      const first = yield* Effect.forkChild(
        Stream.runCollect(Stream.take(world.system.stream(Talker.ref("a"), "Talk", { n: 1_000 }, key), 100)),
        { startImmediately: true },
      )
      yield* linger
      expect(yield* Fiber.join(first)).toEqual(words(0, 100))
      expect(id).toBe(row(world).id)
      const second = yield* readInto(world, Talker.ref("a"), id, { from: 100 })
      const brief = yield* Effect.forkChild(Stream.runDrain(world.system.read(Talker.ref("a"), "Talk", id)), {
        startImmediately: true,
      })
      yield* linger
      expect(second.seen).toEqual(numbered(100, 500))
      yield* Fiber.interrupt(brief)
      yield* gate.open
      expect(yield* Fiber.join(second.fiber)).toEqual(Exit.void)
      expect(second.seen).toEqual(numbered(100, 1_000))
      expect(yield* Stream.runCollect(world.system.ref(Talker.ref("a")).read("Talk", id, { from: 998 }))).toEqual(
        numbered(998, 1_000),
      )
      expect(rows(world).length).toBe(1)
    }),
  )
  it.effect("1.4 ends as the message fails, and reads a pool's message by the pool", () =>
    Effect.gen(function* () {
      const Failing = makeTalker("failing", (_, actor) =>
        Effect.andThen(Effect.orDie(actor.emit("so far")), new Declared({ message: "so good" })),
      )
      const pool = makePool("bar", { targets: [Failing.ref("a")] })
      const world = yield* makeWorld({ actors: [Failing], pools: [pool] })
      const id = yield* world.system.tell(pool.ref, "Talk", { n: 1 })
      for (let time = 0; time < 2; time++) {
        const { fiber, seen } = yield* readInto(world, pool.ref, id)
        yield* turns
        expect(yield* Fiber.join(fiber)).toEqual(Exit.fail(new Declared({ message: "so good" })))
        expect(seen).toEqual([{ number: 0, chunk: "so far" }])
      }
    }),
  )
  it.effect("1.5 sees each chunk once over a death of the writer, and over one of its own", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Talker] })
      const id = yield* world.system.tell(Talker.ref("a"), "Talk", { n: 200 })
      const before = yield* readInto(world, Talker.ref("a"), id)
      yield* linger
      // Both were in one process, and it is gone; the reader remembers its number alone.
      yield* world.crash
      expect(before.seen).toEqual(numbered(0, 100))
      const after = yield* readInto(world, Talker.ref("a"), id, { from: before.seen.length })
      yield* TestClock.adjust(60_000)
      yield* turns
      expect([...before.seen, ...after.seen]).toEqual(numbered(0, 200))
      expect(yield* Fiber.join(after.fiber)).toEqual(Exit.void)
    }),
  )
  it.effect("1.6 does not read back what it sees being written; what it is too slow for, it does", () =>
    Effect.gen(function* () {
      let reads = 0
      const Slow = makeTalker("slow", (n, actor) =>
        Effect.orDie(
          Effect.gen(function* () {
            for (const word of words(0, n)) {
              yield* actor.emit(word)
              yield* Effect.sleep(10)
            }
            return "whole"
          }),
        ),
      )
      const wrap = (store: MessageStore["Service"]) =>
        MessageStore.of({
          ...store,
          chunks: (...page) => {
            reads++
            return store.chunks(...page)
          },
        })
      const world = yield* makeWorld({ actors: [Slow], wrap })
      const id = yield* world.system.tell(Slow.ref("a"), "Talk", { n: 1_000 })
      const quick = yield* readInto(world, Slow.ref("a"), id)
      const gone = new Gate()
      const late: Array<number> = []
      const lazy = yield* Effect.forkChild(
        Stream.runForEach(world.system.read(Slow.ref("a"), "Talk", id), ({ number }) => {
          late.push(number)
          return number === 0 ? gone.pass : Effect.void
        }),
        { startImmediately: true },
      )
      for (let ms = 0; ms < 10_100; ms += 50) {
        yield* TestClock.adjust(50)
        yield* turns
      }
      expect(yield* Fiber.join(quick.fiber)).toEqual(Exit.void)
      expect(quick.seen).toEqual(numbered(0, 1_000))
      // The first looks of two readers, and the end.
      expect(reads).toBeLessThan(10)
      yield* gone.open
      yield* Fiber.join(lazy)
      expect(late).toEqual(words(0, 1_000).map((_, number) => number))
      expect(reads).toBeGreaterThan(3)
    }),
  )
  it.effect("1.7 is told when the system closes before the end", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ actors: [Talker], drainMsMax: 0 })
      const id = yield* world.system.tell(Talker.ref("a"), "Talk", { n: 2 })
      const { fiber } = yield* readInto(world, Talker.ref("a"), id)
      yield* turns
      yield* Effect.forkChild(world.close)
      yield* TestClock.adjust(5_000)
      yield* turns
      expect(yield* Effect.flip(Effect.flatten(Fiber.join(fiber)))).toMatchObject({
        _tag: "RetryableClosing",
        messageId: id,
      })
    }),
  )
})

/** Counts the commits that hold chunks, and the turns in which they came. */
const countingStore = (groups: Array<Array<number>>) => (store: MessageStore["Service"]) =>
  MessageStore.of({
    ...store,
    commit: (writes) =>
      Effect.suspend(() => {
        const count = writes.filter(({ _tag }) => _tag === "AppendChunk").length
        if (count > 0) (groups.at(-1) ?? groups[groups.push([]) - 1]!).push(count)
        return store.commit(writes)
      }),
  })

describe("2 what chunks cost", () => {
  it.effect("2.1 a setting out of its range is refused", () =>
    Effect.gen(function* () {
      for (const chunkLingerMs of [-1, 1_001, Number.NaN]) {
        const options: ActorSystemOptions<Actor.AnyActor> = { actors: [], chunkLingerMs }
        const opened = Effect.scoped(Layer.build(Layer.provide(ActorSystem.layer(options), MemoryStore.layer)))
        const exit = yield* Effect.exit(opened as Effect.Effect<unknown>)
        expect(String(exit)).toContain(`chunkLingerMs must be a number from 0 to 1000, and is ${chunkLingerMs}`)
      }
    }),
  )
  it.effect(
    "2.2 the first chunk of a reply goes at once, those after it at the next tick, with those of all streams",
    () =>
      Effect.gen(function* () {
        const groups: Array<Array<number>> = [[]]
        // A word every 5 ms, 40 of them.
        const Talker = makeTalker(
          "talker",
          (n, actor) =>
            Effect.orDie(
              Effect.gen(function* () {
                for (const word of words(0, n)) {
                  yield* actor.emit(word)
                  yield* Effect.sleep(5)
                }
                return "whole"
              }),
            ),
          { concurrency: 64 },
        )
        const world = yield* makeWorld({ actors: [Talker], wrap: countingStore(groups) })
        const ids = yield* Effect.forEach(words(0, 64), () => world.system.tell(Talker.ref("a"), "Talk", { n: 40 }))
        yield* turns
        expect(groups).toEqual([Array(64).fill(1)])
        for (let ms = 0; ms < 220; ms += 5) {
          groups.push([])
          yield* TestClock.adjust(5)
          yield* turns
        }
        // 200 ms are four ticks of 50 ms, each with ten words of each stream; the last words go with the seals.
        const written = groups.slice(1).filter((group) => group.length > 0)
        expect(written.length).toBeLessThanOrEqual(5)
        expect(written.flat().reduce((sum, count) => sum + count, 64)).toBe(64 * 40)
        for (const id of ids) expect(world.log.chunks.get(id)?.length).toBe(40)
      }),
  )
  it.effect(
    "2.3 a stream that is alone and slower than the linger waits for nobody; one far quicker goes on by count",
    () =>
      Effect.gen(function* () {
        const groups: Array<Array<number>> = [[]]
        const gate = new Gate()
        const Talker = makeTalker("talker", (n, actor) =>
          Effect.orDie(
            Effect.gen(function* () {
              for (const word of words(0, n)) {
                yield* actor.emit(word)
                if (n < 10) yield* gate.pass
              }
              yield* gate.pass
              return "whole"
            }),
          ),
        )
        const world = yield* makeWorld({ actors: [Talker], wrap: countingStore(groups) })
        yield* world.system.tell(Talker.ref("a"), "Talk", { n: 3 })
        yield* turns
        for (let word = 1; word < 3; word++) {
          yield* TestClock.adjust(100)
          yield* gate.open
          yield* turns
        }
        expect(groups).toEqual([[1, 1, 1]])
        yield* TestClock.adjust(100)
        groups.splice(0, 1, [])
        yield* world.system.tell(Talker.ref("b"), "Talk", { n: 200 })
        yield* turns
        // Without a millisecond passing: all but what is less than 64.
        expect(groups.flat().reduce((sum, count) => sum + count, 0)).toBeGreaterThan(200 - 64)
        yield* gate.open
        yield* gate.open
        yield* turns
      }),
  )
})

describe("3 a reader that is slow", () => {
  /** Says n words as quickly as it may, and counts them. */
  const makeQuick = (said: { count: number }) =>
    makeTalker("quick", (n, actor) =>
      Effect.orDie(
        Effect.gen(function* () {
          for (const word of words(0, n)) {
            yield* actor.emit(word)
            said.count++
          }
          return "whole"
        }),
      ),
    )
  /** Takes one chunk every 100 ms; gives how far ahead the handler was at each. */
  const slowly = (said: { readonly count: number }, stream: Stream.Stream<unknown, unknown>) =>
    Effect.gen(function* () {
      const leads: Array<number> = []
      let taken = 0
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(Stream.rechunk(stream, 1), () =>
          Effect.suspend(() => {
            leads.push(said.count - taken)
            taken++
            return Effect.sleep(100)
          }),
        ),
        { startImmediately: true },
      )
      return { leads, fiber, taken: () => taken }
    })

  it.effect("3.1 is never further behind than it says", () =>
    Effect.gen(function* () {
      const said = { count: 0 }
      const Quick = makeQuick(said)
      const world = yield* makeWorld({ actors: [Quick] })
      const stream = world.system.stream(Quick.ref("a"), "Talk", { n: 100 }, { aheadMax: 8 })
      const { fiber, leads, taken } = yield* slowly(said, stream)
      for (let step = 0; step < 50; step++) {
        yield* turns
        yield* TestClock.adjust(100)
      }
      yield* turns
      // It has been slowed down: far from all is said.
      expect(said.count).toBeLessThan(70)
      for (let step = 0; step < 100; step++) {
        yield* turns
        yield* TestClock.adjust(100)
      }
      yield* Fiber.join(fiber)
      expect(taken()).toBe(100)
      expect(Math.max(...leads)).toBeLessThanOrEqual(8)
    }),
  )
  it.effect("3.2 that goes, or never comes, stops nobody", () =>
    Effect.gen(function* () {
      const said = { count: 0 }
      const Quick = makeQuick(said)
      const world = yield* makeWorld({ actors: [Quick] })
      const id = yield* world.system.tell(Quick.ref("a"), "Talk", { n: 50 })
      yield* turns
      expect(row(world).status).toBe("done")
      said.count = 0
      const key = { idempotencyKey: "k", aheadMax: 8 }
      const { fiber } = yield* slowly(said, world.system.stream(Quick.ref("a"), "Talk", { n: 51 }, key))
      yield* turns
      expect(said.count).toBe(8)
      yield* Fiber.interrupt(fiber)
      yield* turns
      expect([said.count, row(world, 1).status]).toEqual([51, "done"])
      expect(id).toBe(row(world).id)
    }),
  )
  it.effect("3.3 holds one emit no longer than it says, and is waited for again when it has caught up", () =>
    Effect.gen(function* () {
      const said = { count: 0 }
      const gate = new Gate()
      const Quick = makeQuick(said)
      const world = yield* makeWorld({ actors: [Quick] })
      const pace = { aheadMax: 4, aheadMsMax: 1_000 }
      const stream = world.system.stream(Quick.ref("a"), "Talk", { n: 20 }, pace)
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(stream, () => gate.pass),
        { startImmediately: true },
      )
      yield* turns
      expect(said.count).toBe(4)
      yield* TestClock.adjust(999)
      yield* turns
      expect(said.count).toBe(4)
      yield* TestClock.adjust(1)
      yield* turns
      // Left behind: the rest is said without it, and it still reads all of it.
      expect([said.count, row(world).status]).toEqual([20, "done"])
      for (let word = 0; word < 20; word++) {
        yield* gate.open
        yield* turns
      }
      yield* Fiber.join(fiber)
      expect(gate.passed).toBe(20)
    }),
  )
  it.effect("3.4 holds the handler back for all readers, the slowest first", () =>
    Effect.gen(function* () {
      const said = { count: 0 }
      const Quick = makeQuick(said)
      const world = yield* makeWorld({ actors: [Quick] })
      let id = ""
      const options = { idempotencyKey: "k", aheadMax: 16, onAccepted: (accepted: string) => (id = accepted) }
      const slow = yield* slowly(said, world.system.stream(Quick.ref("a"), "Talk", { n: 60 }, options))
      yield* turns
      const quick = yield* readInto(world, Quick.ref("a"), id, { aheadMax: 1 })
      yield* linger
      expect(quick.seen.length).toBeLessThan(40)
      for (let step = 0; step < 80; step++) {
        yield* TestClock.adjust(100)
        yield* turns
      }
      yield* Fiber.join(slow.fiber)
      expect(quick.seen).toEqual(numbered(0, 60))
      expect(Math.max(...slow.leads)).toBeLessThanOrEqual(16)
    }),
  )
})
