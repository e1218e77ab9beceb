/** The contract of `commit` itself: all or nothing, in order, neighbours left alone, whatever its size. */
import { Effect, Fiber, Result } from "effect"
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
  sampleEnvelope,
  settle,
} from "./sampleWrites.ts"

const atomicity = ({ test, expect }: SuiteKit): void => {
  test("3.1 a stale write takes back everything its commit did before it", (under) =>
    Effect.gen(function* () {
      const { store, reader } = under
      yield* store.commit([appendClaimed("A"), append("B"), putActor(BARISTA, "old")])
      const before = yield* store.unfinished(0, 10)
      const outcome = yield* Effect.result(
        store.commit([
          append("C", { idempotencyKey: "k" }),
          recordStep("A", 0),
          appendChunk("A", 0),
          claim("B"),
          putActor(BARISTA, "new"),
          putActor(CASHIER, "new"),
          lifecycleEvent("starting", "ready"),
          routeDecision("A"),
          retry("A"),
          settle("B", 7),
          append("D"),
        ]),
      )
      expect(Result.isFailure(outcome) && outcome.failure).toMatchObject({
        _tag: "TerminalStaleAttempt",
        messageId: "B",
        attempt: 7,
      })
      expect(yield* store.unfinished(0, 10)).toEqual(before)
      expect(yield* store.steps("A")).toEqual([])
      expect(yield* store.chunks("A", 0, 10)).toEqual([])
      expect((yield* store.actor(BARISTA))?.state).toBe("old")
      expect(yield* store.actor(CASHIER)).toBe(undefined)
      expect(yield* reader.lifecycle(0, 10)).toEqual([])
      expect(yield* reader.routes({}, 10)).toEqual([])
      expect(yield* reader.attempts("A")).toEqual([])
      // The key of the message that never was is free.
      expect((yield* store.commit([append("E", { idempotencyKey: "k" })])).duplicates).toEqual([])
    }))
}

const neighbours = ({ test, expect }: SuiteKit): void => {
  test("3.2 a refused commit takes none of its neighbours along, whichever of its writes is stale", ({ store }) =>
    Effect.gen(function* () {
      const stale = settle("nobody")
      const outcomes = yield* Effect.all(
        [
          store.commit([append("A"), putActor(BARISTA, "A")]),
          store.commit([stale, append("x1")]),
          store.commit([append("B"), claim("B"), putActor(BARISTA, "B")]),
          store.commit([append("x2"), claim("A"), putActor(BARISTA, "x2"), stale]),
          store.commit([claim("A")]),
          store.commit([append("x3"), stale, append("x4")]),
          store.commit([claim("x2")]),
          store.commit([append("C"), append("A")]),
        ].map(Effect.result),
        { concurrency: "unbounded" },
      )
      expect(outcomes.map(Result.isSuccess)).toEqual([true, false, true, false, true, false, false, true])
      const rows = yield* store.unfinished(0, 10)
      expect(rows.map(({ id, status }) => [id, status])).toEqual([
        ["A", "running"],
        ["B", "running"],
        ["C", "pending"],
      ])
      expect((yield* store.actor(BARISTA))?.state).toBe("B")
      const last = outcomes[7]!
      expect(Result.isSuccess(last) && last.success.duplicates).toMatchObject([{ id: "A", status: "running" }])
    }))

  test("3.3 many refused commits in one turn leave exactly the others", ({ store }) =>
    Effect.gen(function* () {
      const outcomes = yield* Effect.all(
        Array.from({ length: 300 }, (_, n) =>
          Effect.result(store.commit(n % 3 === 0 ? [append(`x${n}`), claim("nobody")] : [append(`m${n}`)])),
        ),
        { concurrency: "unbounded" },
      )
      expect(outcomes.filter(Result.isFailure).length).toBe(100)
      const rows = yield* store.unfinished(0, 1000)
      expect(rows.map(({ id }) => id)).toEqual(
        Array.from({ length: 300 }, (_, n) => n)
          .filter((n) => n % 3 !== 0)
          .map((n) => `m${n}`),
      )
    }))
}

const order = ({ test, expect }: SuiteKit): void => {
  test("3.4 commits are applied in the order of the calls, and their callers are told in it", ({ store }) =>
    Effect.gen(function* () {
      const told: Array<number> = []
      yield* Effect.all(
        Array.from({ length: 1_000 }, (_, n) =>
          Effect.map(store.commit([append(`m${n}`), putActor(BARISTA, `${n}`)]), () => told.push(n)),
        ),
        { concurrency: "unbounded" },
      )
      expect(told).toEqual(Array.from({ length: 1_000 }, (_, n) => n))
      expect((yield* store.unfinished(0, 1_000)).map(({ id }) => id)).toEqual(told.map((n) => `m${n}`))
      expect((yield* store.actor(BARISTA))?.state).toBe("999")
    }))

  test("3.5 a commit whose caller is interrupted is carried out all the same", ({ store }) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(store.commit([append("A")]), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* store.commit([])
      expect((yield* store.message("A"))?.status).toBe("pending")
    }))

  test("3.6 what a commit made is seen by every read after it", ({ store }) =>
    Effect.gen(function* () {
      for (let n = 0; n < 20; n++) {
        yield* store.commit([append(`m${n}`)])
        expect((yield* store.message(`m${n}`))?.id).toBe(`m${n}`)
      }
    }))
}

const sizes = ({ test, expect }: SuiteKit): void => {
  test("3.7 a commit of 5,000 writes is one commit", ({ store }) =>
    Effect.gen(function* () {
      const writes = Array.from({ length: 5_000 }, (_, n) => append(`m${n}`))
      const refused = yield* Effect.result(store.commit([...writes, claim("nobody")]))
      expect(Result.isFailure(refused)).toBe(true)
      expect(yield* store.unfinished(0, 1)).toEqual([])
      yield* store.commit(writes)
      expect((yield* store.unfinished(0, 10_000)).length).toBe(5_000)
    }))

  test("3.8 a body of 2 MB, and text in any script, come back as they were", ({ store }) =>
    Effect.gen(function* () {
      const big = "é".repeat(1_000_000)
      const strange = 'zero \u0000 inside, "quotes", \\ and \n, 日本語, עברית, 👩🏽‍🍳, \u2028, \ufeff'
      yield* store.commit([append("big", { body: big }), append("strange", { body: strange, actorId: "Zoë 👩🏽‍🍳/1" })])
      expect((yield* store.message("big"))?.body === big).toBe(true)
      expect(yield* store.message("strange")).toMatchObject({ body: strange, actorId: "Zoë 👩🏽‍🍳/1" })
    }))

  test("3.9 an SQL fragment in any field is text", ({ store }) =>
    Effect.gen(function* () {
      const text = "'; drop table messages; --"
      const fields = { task: text, body: text, actorId: text, idempotencyKey: text, sender: text }
      yield* store.commit([append(text, fields)])
      expect(yield* store.message(text)).toMatchObject({ ...sampleEnvelope(text, fields), status: "pending" })
    }))
}

export const commitSection = (kit: SuiteKit): void => {
  atomicity(kit)
  neighbours(kit)
  order(kit)
  sizes(kit)
}
