/** The contract of what a message and an actor leave behind: steps, chunks, state, lifecycle, routes, feedback. */
import { Effect } from "effect"
import type { SuiteKit } from "./SuiteKit.ts"
import {
  append,
  appendChunk,
  appendClaimed,
  BARISTA,
  CASHIER,
  claim,
  lifecycleEvent,
  putActor,
  recordStep,
  retry,
  routeDecision,
  START_MS,
} from "./sampleWrites.ts"

const stepsAndChunks = ({ test, expect }: SuiteKit): void => {
  test("4.1 steps come back by ordinal, and the first record of an ordinal is kept over attempts", ({
    store,
    reader,
  }) =>
    Effect.gen(function* () {
      yield* store.commit([appendClaimed("A"), recordStep("A", 2), recordStep("A", 10), recordStep("A", 1)])
      yield* store.commit([recordStep("A", 1, 1, '"again"')])
      yield* store.commit([retry("A"), claim("A", 2), recordStep("A", 2, 2, '"again"'), recordStep("A", 3, 2)])
      const steps = yield* store.steps("A")
      expect(steps.map(({ ordinal, result }) => [ordinal, result])).toEqual([
        [1, '"1"'],
        [2, '"2"'],
        [3, '"3"'],
        [10, '"10"'],
      ])
      const first = { messageId: "A", ordinal: 1, kind: "step", name: "step-1", result: '"1"', atMs: START_MS + 1 }
      expect(steps[0]).toEqual(first)
      expect(yield* reader.steps("A")).toEqual(steps)
      expect(yield* store.steps("B")).toEqual([])
    }))

  test("4.10 a step keeps its kind, and its number may be negative or near 2^53", ({ store }) =>
    Effect.gen(function* () {
      const numbers = [-9_007_199_254_740_991, -1, 0, 9_007_199_254_740_991]
      const kinds = ["end", "undo", "undoable", "race"] as const
      const writes = numbers.map((ordinal, index) => ({ ...recordStep("A", ordinal), kind: kinds[index]! }))
      yield* store.commit([appendClaimed("A"), ...writes.toReversed()])
      const steps = yield* store.steps("A")
      expect(steps.map(({ ordinal, kind }) => [ordinal, kind])).toEqual(
        numbers.map((each, index) => [each, kinds[index]]),
      )
    }))

  test("4.2 a chunk's ordinal is unique over all attempts, and each keeps the attempt that made it", ({
    store,
    reader,
  }) =>
    Effect.gen(function* () {
      yield* store.commit([appendClaimed("A"), appendChunk("A", 0), appendChunk("A", 1)])
      yield* store.commit([retry("A"), claim("A", 2)])
      yield* store.commit([appendChunk("A", 1, 2, '"other"'), appendChunk("A", 2, 2)])
      const chunks = yield* store.chunks("A", 0, 10)
      expect(chunks.map(({ ordinal, attempt, data }) => [ordinal, attempt, data])).toEqual([
        [0, 1, '"t0"'],
        [1, 1, '"t1"'],
        [2, 2, '"t2"'],
      ])
      expect(yield* reader.chunks("A", 0, 10)).toEqual(chunks)
    }))

  test("4.3 chunks are read in pages", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([appendClaimed("A"), ...Array.from({ length: 25 }, (_, n) => appendChunk("A", n))])
      const ordinals = (from: number, limit: number) =>
        Effect.map(store.chunks("A", from, limit), (rows) => rows.map(({ ordinal }) => ordinal))
      expect(yield* ordinals(0, 3)).toEqual([0, 1, 2])
      expect(yield* ordinals(23, 3)).toEqual([23, 24])
      expect(yield* ordinals(25, 3)).toEqual([])
    }))
}

const actors = ({ test, expect }: SuiteKit): void => {
  test("4.4 an actor is created, then updated in place", ({ store, reader }) =>
    Effect.gen(function* () {
      expect(yield* store.actor(BARISTA)).toBe(undefined)
      yield* store.commit([putActor(BARISTA, "1")])
      yield* store.commit([
        putActor(BARISTA, "2", { lifecycle: "degraded", version: 3, restarts: 4, atMs: START_MS + 1 }),
      ])
      const row = {
        address: BARISTA,
        lifecycle: "degraded",
        state: "2",
        version: 3,
        restarts: 4,
        updatedAtMs: START_MS + 1,
      }
      expect(yield* store.actor(BARISTA)).toEqual(row)
      yield* store.commit([putActor(CASHIER, null)])
      expect(yield* reader.actors(10)).toEqual([row, yield* store.actor(CASHIER)])
      expect((yield* reader.actors(1)).length).toBe(1)
    }))

  test("4.5 a state left out is left alone, with its version; null erases it", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([putActor(BARISTA, undefined)])
      expect((yield* store.actor(BARISTA))?.state).toBe(null)
      yield* store.commit([putActor(BARISTA, "kept"), putActor(BARISTA, undefined, { lifecycle: "stopped" })])
      expect(yield* store.actor(BARISTA)).toMatchObject({ state: "kept", lifecycle: "stopped" })
      // A newer program that only stops the actor has not written its state anew.
      yield* store.commit([putActor(BARISTA, undefined, { version: 2 })])
      expect(yield* store.actor(BARISTA)).toMatchObject({ state: "kept", version: 1 })
      yield* store.commit([putActor(BARISTA, "new", { version: 2 })])
      expect(yield* store.actor(BARISTA)).toMatchObject({ state: "new", version: 2 })
      yield* store.commit([putActor(BARISTA, null)])
      expect((yield* store.actor(BARISTA))?.state).toBe(null)
    }))
}

const stories = ({ test, expect }: SuiteKit): void => {
  test("4.6 lifecycle events are kept in order and read in pages", ({ store, reader }) =>
    Effect.gen(function* () {
      yield* store.commit([lifecycleEvent("starting", "ready"), lifecycleEvent("ready", "failed", "no milk")])
      const all = yield* reader.lifecycle(0, 10)
      expect(all.map(({ from, to, reason }) => [from, to, reason])).toEqual([
        ["starting", "ready", null],
        ["ready", "failed", "no milk"],
      ])
      expect(all[0]).toEqual({
        seq: all[0]?.seq,
        actorType: BARISTA.type,
        actorId: BARISTA.id,
        from: "starting",
        to: "ready",
        event: "start",
        reason: null,
        atMs: START_MS,
      })
      expect(yield* reader.lifecycle(all[0]!.seq, 10)).toEqual(all.slice(1))
    }))

  test("4.7 routes are kept in order and found by message and by pool; a limit keeps the newest", (under) =>
    Effect.gen(function* () {
      const { store, reader } = under
      yield* store.commit([routeDecision("A"), routeDecision("B"), routeDecision("A", "kitchen", 2)])
      const { _tag, ...first } = routeDecision("A")
      const all = yield* reader.routes({}, 10)
      expect(all[0]).toEqual({ seq: all[0]?.seq, ...first })
      const found = (filter: { messageId?: string; pool?: string }, limit = 10) =>
        Effect.map(reader.routes(filter, limit), (rows) => rows.map((row) => `${row.messageId}${row.pool}`))
      expect(yield* found({})).toEqual(["Abar", "Bbar", "Akitchen"])
      expect(yield* found({}, 2)).toEqual(["Bbar", "Akitchen"])
      expect(yield* found({ messageId: "A" })).toEqual(["Abar", "Akitchen"])
      expect(yield* found({ pool: "bar" })).toEqual(["Abar", "Bbar"])
      expect(yield* found({ messageId: "A", pool: "kitchen" })).toEqual(["Akitchen"])
    }))

  test("4.8 a route of a message that was not appended is dropped, and one of a later commit is kept", ({
    store,
    reader,
  }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A", { idempotencyKey: "k" }), routeDecision("A")])
      yield* store.commit([append("A"), routeDecision("A"), append("B", { idempotencyKey: "k" }), routeDecision("B")])
      expect((yield* reader.routes({}, 10)).map(({ messageId }) => messageId)).toEqual(["A"])
      yield* store.commit([append("C"), routeDecision("C"), routeDecision("A", "bar", 2)])
      expect((yield* reader.routes({}, 10)).map(({ messageId }) => messageId)).toEqual(["A", "C", "A"])
    }))

  test("4.9 feedback is taken, for any message, as often as it is given", ({ store }) =>
    Effect.gen(function* () {
      const feedback = { _tag: "PutFeedback", messageId: "A", label: null, source: "user", atMs: START_MS } as const
      yield* store.commit([append("A"), { ...feedback, score: 1 }, { ...feedback, score: -0.5, label: "cold" }])
    }))
}

export const recordSection = (kit: SuiteKit): void => {
  stepsAndChunks(kit)
  actors(kit)
  stories(kit)
}
