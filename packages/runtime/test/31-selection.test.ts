/** Many dead letters, or many waiting messages, at an operator's one word. */
import { describe, expect, it } from "@effect/vitest"
import { isSelected, type MessageSelection, makePool } from "@pontoon/runtime"
import { FaultyStore, START_MS, sampleEnvelope } from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { makeWorker, RetryableTrouble } from "./support/actors.ts"
import { makeWorld, rows, turns } from "./support/World.ts"

const once = { retry: { attemptsMax: 1 } }

/** Dead letters of a/1, b/1 and b/2, in turn. */
const deadWorld = (count: number, capacity = 1_000) =>
  Effect.gen(function* () {
    const state = { isMended: false }
    const make = (name: string) =>
      makeWorker(
        name,
        (n) =>
          Effect.suspend(() =>
            state.isMended ? Effect.never : Effect.fail(new RetryableTrouble({ message: `no milk ${n}` })),
          ),
        { ...once, mailbox: { capacity } },
      )
    const [A, B] = [make("a"), make("b")]
    const world = yield* makeWorld({ actors: [A, B] })
    const ids: Array<string> = []
    for (let n = 0; n < count; n++) {
      const ref = [A.ref("1"), B.ref("1"), B.ref("2")][n % 3]!
      ids.push(yield* world.system.tell(ref, "Work", { n }))
      yield* turns
      yield* TestClock.adjust(10)
    }
    expect(rows(world).every(({ status }) => status === "dead")).toBe(true)
    return { world, ids, state, A, B }
  })

describe("1 misuse", () => {
  it.effect.each<[MessageSelection, string]>([
    [{ actorId: "1" }, "An actor's id was given without its type; give both."],
    [{ limit: 0 }, "The limit is 0; give a whole number from 1 to 10000."],
    [{ limit: 10_001 }, "The limit is 10001; give a whole number from 1 to 10000."],
    [{ sinceMs: Number.NaN }, "The time NaN is none."],
  ])("1.1 %o is refused, and nothing happens", ([selection, message]) =>
    Effect.gen(function* () {
      const { world } = yield* deadWorld(1)
      expect(yield* Effect.flip(world.system.redriveMany(selection))).toMatchObject({ message })
      expect(yield* Effect.flip(world.system.cancelMany(selection))).toMatchObject({ message })
      expect(rows(world)[0]).toMatchObject({ status: "dead", attemptsBefore: 0 })
    }),
  )
})

describe("2 which are meant", () => {
  it("2.1 each part of a selection narrows it", () => {
    const row = {
      ...sampleEnvelope("M"),
      ...{ seq: 1, status: "dead" as const, attempt: 1, attemptsBefore: 0, startedAtMs: null, reply: null },
      ...{ finishedAtMs: START_MS + 5, error: '{"tag":"Boom","message":"m","retry":"retryable"}' },
    }
    const means = (selection: MessageSelection) => isSelected(row, selection)
    expect(means({})).toBe(true)
    expect([means({ actorType: "barista" }), means({ actorType: "cashier" })]).toEqual([true, false])
    expect([means({ actorType: "barista", actorId: "1" }), means({ actorType: "barista", actorId: "2" })]).toEqual([
      true,
      false,
    ])
    expect([means({ task: "brew" }), means({ task: "pour" })]).toEqual([true, false])
    expect([means({ errorTag: "Boom" }), means({ errorTag: "boom" })]).toEqual([true, false])
    expect([means({ sinceMs: START_MS + 5 }), means({ sinceMs: START_MS + 6 })]).toEqual([true, false])
    expect(isSelected({ ...row, error: null }, { errorTag: "Boom" })).toBe(false)
    // What has not ended counts from its acceptance.
    expect(isSelected({ ...row, finishedAtMs: null }, { sinceMs: START_MS + 1 })).toBe(false)
  })

  it.effect("2.2 redriveMany: by actor, within the limit, oldest first, and a dry run changes nothing", () =>
    Effect.gen(function* () {
      const { ids, state, world } = yield* deadWorld(9)
      state.isMended = true
      const { redriveMany } = world.system
      expect(yield* redriveMany({ actorType: "b", dryRun: true })).toEqual({
        matched: 6,
        redriven: [],
        refused: [],
        left: 6,
      })
      expect(yield* redriveMany({ actorType: "b", limit: 2 })).toMatchObject({
        matched: 6,
        redriven: [ids[1], ids[2]],
        left: 4,
      })
      expect(yield* redriveMany({ actorType: "b", actorId: "2", errorTag: "RetryableTrouble" })).toMatchObject({
        matched: 2,
        redriven: [ids[5], ids[8]],
        left: 0,
      })
      expect(yield* redriveMany({ errorTag: "Other" })).toMatchObject({ matched: 0 })
      expect(yield* redriveMany({ task: "Work" })).toMatchObject({ matched: 5, left: 0 })
      expect(rows(world).every(({ attemptsBefore }) => attemptsBefore === 1)).toBe(true)
    }),
  )

  it.effect("2.3 goes past a page, and takes no more than the default limit", () =>
    Effect.gen(function* () {
      const { ids, world } = yield* deadWorld(3)
      // As many copies of the first as make three pages.
      const first = world.log.messages.get(ids[0]!)!
      for (let n = 0; n < 1_200; n++) {
        world.log.messages.set(`copy-${n}`, { ...first, id: `copy-${n}`, seq: 100 + n })
      }
      const report = yield* world.system.redriveMany({})
      expect([report.matched, report.redriven.length, report.left]).toEqual([1_203, 1_000, 203])
    }),
  )
})

describe("3 what stands in the way of some", () => {
  it.effect("3.1 a full mailbox: the others go on, and it says when to come back", () =>
    Effect.gen(function* () {
      const { ids, state, world } = yield* deadWorld(9, 1)
      state.isMended = true
      const report = yield* world.system.redriveMany({})
      // One runs, one waits, of each actor.
      expect(report).toEqual({
        matched: 9,
        redriven: ids.slice(0, 6),
        refused: [],
        left: 3,
        retryAfterMs: expect.any(Number),
      })
      expect(
        rows(world)
          .filter(({ status }) => status === "dead")
          .map(({ id }) => id),
      ).toEqual(ids.slice(6))
    }),
  )

  it.effect("3.2 one that cannot be redriven is told, and keeps none of the others", () =>
    Effect.gen(function* () {
      const { A, ids, world } = yield* deadWorld(3)
      yield* world.crashInto({ actors: [A] })
      expect(yield* world.system.redriveMany({})).toMatchObject({
        matched: 3,
        redriven: [ids[0]],
        refused: [{ messageId: ids[1], message: expect.stringContaining("does not have") }, { messageId: ids[2] }],
        left: 0,
      })
    }),
  )

  it.effect("3.3 a store that cannot write ends it, and says so", () =>
    Effect.gen(function* () {
      const { A, B, ids, world } = yield* deadWorld(3)
      // The second commit of the second life is refused.
      yield* world.crashInto({
        actors: [A, B],
        wrap: (store) =>
          FaultyStore.wrap(store, (_, writes) =>
            writes.some((write) => write._tag === "Redrive" && write.messageId === ids[1])
              ? { _tag: "refuse", reason: "full" }
              : undefined,
          ).store,
      })
      const report = yield* world.system.redriveMany({})
      expect(report).toMatchObject({ matched: 3, redriven: [ids[0]], refused: [], left: 2 })
      expect(report.stopped).toMatch(/was refused by the test's plan \(full\)/)
    }),
  )

  it.effect("3.4 the letters of a pool share its mailboxes", () =>
    Effect.gen(function* () {
      const Broken = makeWorker("worker", () => Effect.fail(new RetryableTrouble({ message: "no" })), once)
      const pool = (Worker: typeof Broken) => makePool("bar", { targets: [Worker.ref("a")] })
      const world = yield* makeWorld({ actors: [Broken], pools: [pool(Broken)] })
      for (let n = 0; n < 4; n++) yield* world.system.tell(pool(Broken).ref, "Work", { n })
      yield* turns
      const Stuck = makeWorker("worker", () => Effect.never, { mailbox: { capacity: 1 } })
      yield* world.crashInto({ actors: [Stuck], pools: [pool(Stuck)] })
      expect(yield* world.system.redriveMany({})).toMatchObject({
        matched: 4,
        redriven: [{}, {}].map(() => expect.any(String)),
        left: 2,
      })
    }),
  )
})

describe("4 cancelMany", () => {
  it.effect("4.1 takes back what waits and what runs, of the selection alone", () =>
    Effect.gen(function* () {
      const Stuck = makeWorker("worker", () => Effect.never)
      const Other = makeWorker("other", () => Effect.never)
      const world = yield* makeWorld({ actors: [Stuck, Other] })
      const ids: Array<string> = []
      for (let n = 0; n < 4; n++) ids.push(yield* world.system.tell(Stuck.ref("a"), "Work", { n }))
      const other = yield* world.system.tell(Other.ref("a"), "Work", { n: 0 })
      expect(yield* world.system.cancelMany({ actorType: "worker", dryRun: true })).toEqual({
        matched: 4,
        cancelled: [],
        left: 4,
      })
      expect(yield* world.system.cancelMany({ actorType: "worker", limit: 3 })).toEqual({
        matched: 4,
        cancelled: ids.slice(0, 3),
        left: 1,
      })
      yield* turns
      const status = new Map(rows(world).map(({ id, status: each }) => [id, each]))
      expect([...ids, other].map((id) => status.get(id))).toEqual([
        ...["cancelled", "cancelled", "cancelled"],
        ...["running", "running"],
      ])
    }),
  )
})
