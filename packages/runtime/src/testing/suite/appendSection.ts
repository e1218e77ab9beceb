/** The contract of `Append`: what is accepted, in which order, and what counts as the same message. */
import { Effect } from "effect"
import type { Envelope } from "../../message/Envelope.ts"
import type { SuiteKit } from "./SuiteKit.ts"
import {
  append,
  appendClaimed,
  CASHIER,
  claim,
  putActor,
  redrive,
  reroute,
  START_MS,
  sampleEnvelope,
  settle,
} from "./sampleWrites.ts"

const acceptance = ({ test, expect }: SuiteKit): void => {
  test("1.1 a message is accepted as pending at attempt 0, every field as it was given", ({ store }) =>
    Effect.gen(function* () {
      const fields = {
        pool: "bar",
        codec: "text" as const,
        priority: -3,
        deliverAtMs: START_MS + 5,
        deadlineAtMs: START_MS + 9,
        sender: "waiter/7",
        correlationId: "root",
        causationId: "parent",
        idempotencyKey: "key",
        body: "Ein Kaffee, bitte",
      }
      const { duplicates } = yield* store.commit([append("A", fields)])
      expect(duplicates).toEqual([])
      const row = yield* store.message("A")
      expect(row).toEqual({
        ...sampleEnvelope("A", fields),
        seq: row?.seq,
        via: null,
        status: "pending",
        attempt: 0,
        startedAtMs: null,
        finishedAtMs: null,
        attemptsBefore: 0,
        reply: null,
        error: null,
      })
    }))

  test("1.2 a claimed message enters as running at attempt 1, started when it was claimed", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([{ ...appendClaimed("A"), claimedAtMs: START_MS + 1 }])
      expect(yield* store.message("A")).toMatchObject({ status: "running", attempt: 1, startedAtMs: START_MS + 1 })
    }))

  test("1.3 an unknown id has no message, and an empty commit succeeds", ({ store }) =>
    Effect.gen(function* () {
      expect(yield* store.commit([])).toEqual({ duplicates: [] })
      expect(yield* store.message("nobody")).toBe(undefined)
    }))

  test("1.4 seq ascends in the order of acceptance, within a commit and over commits", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("C"), append("A")])
      yield* store.commit([append("B")])
      const rows = yield* store.unfinished(0, 10)
      expect(rows.map(({ id }) => id)).toEqual(["C", "A", "B"])
      expect(rows[0]!.seq < rows[1]!.seq && rows[1]!.seq < rows[2]!.seq).toBe(true)
    }))
}

const duplicatesById = ({ test, expect }: SuiteKit): void => {
  test("1.5 a second message of the same id is not accepted but answered with the first", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([appendClaimed("A"), settle("A")])
      const { duplicates } = yield* store.commit([append("A", { body: "other" })])
      expect(duplicates.length).toBe(1)
      expect(duplicates[0]).toMatchObject({ id: "A", body: "{}", status: "done", reply: '"reply 1"' })
      expect((yield* store.unfinished(0, 10)).length).toBe(0)
    }))

  test("1.6 a duplicate leaves the rest of its commit standing", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A")])
      const { duplicates } = yield* store.commit([append("B"), append("A"), append("C"), putActor(CASHIER, "1")])
      expect(duplicates.map(({ id }) => id)).toEqual(["A"])
      expect((yield* store.unfinished(0, 10)).map(({ id }) => id)).toEqual(["A", "B", "C"])
      expect((yield* store.actor(CASHIER))?.state).toBe("1")
    }))

  test("1.7 duplicates inside one commit, and of one turn, are found too, in the order of their appends", ({ store }) =>
    Effect.gen(function* () {
      const receipts = yield* Effect.all(
        [
          store.commit([append("A"), append("B"), append("B"), append("A")]),
          store.commit([append("B"), append("C")]),
          store.commit([append("C")]),
        ],
        { concurrency: "unbounded" },
      )
      expect(receipts.map(({ duplicates }) => duplicates.map(({ id }) => id))).toEqual([["B", "A"], ["B"], ["C"]])
      expect((yield* store.unfinished(0, 10)).map(({ id }) => id)).toEqual(["A", "B", "C"])
    }))
}

const duplicatesByKey = ({ test, expect }: SuiteKit): void => {
  const key = { idempotencyKey: "k" }

  test("1.8 an idempotency key is unique for an actor and task", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A", key)])
      const { duplicates } = yield* store.commit([
        append("B", key),
        append("C", { ...key, task: "pour" }),
        append("D", { ...key, actorId: "2" }),
        append("E", { ...key, actorType: "cashier" }),
        append("F", { idempotencyKey: "K" }),
        append("G"),
        append("H"),
      ])
      expect(duplicates.map(({ id }) => id)).toEqual(["A"])
      expect((yield* store.unfinished(0, 10)).map(({ id }) => id).join("")).toBe("ACDEFGH")
    }))

  test("1.9 a key of a message to a pool is unique for the pool and task, whatever target was chosen", ({ store }) =>
    Effect.gen(function* () {
      const toPool = { ...key, pool: "bar" }
      yield* store.commit([append("A", toPool)])
      const { duplicates } = yield* store.commit([
        append("B", { ...toPool, actorId: "2" }),
        append("C", { ...toPool, pool: "kitchen" }),
        append("D", { ...toPool, task: "pour" }),
        append("E", key),
      ])
      expect(duplicates.map(({ id }) => id)).toEqual(["A"])
      expect((yield* store.unfinished(0, 10)).map(({ id }) => id).join("")).toBe("ACDE")
    }))

  test("1.10 a pool and an actor of the same name do not share their keys", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A", { ...key, pool: "barista/1" })])
      expect((yield* store.commit([append("B", key)])).duplicates).toEqual([])
    }))

  test("1.11 a key stays with the first address when the message is rerouted", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A", key), reroute("A", 0, CASHIER)])
      const { duplicates } = yield* store.commit([
        append("B", key),
        append("C", { ...key, actorType: CASHIER.type, actorId: CASHIER.id }),
      ])
      expect(duplicates.map(({ id }) => id)).toEqual(["A"])
      expect((yield* store.message("C"))?.id).toBe("C")
      // Two messages under one key may meet on one target; neither is lost.
      yield* store.commit([claim("A"), claim("C")])
    }))

  test("1.12 the id is compared before the key", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A", key), append("B")])
      expect((yield* store.commit([append("B", key)])).duplicates.map(({ id }) => id)).toEqual(["B"])
    }))
}

const keyWindow = ({ test, expect }: SuiteKit): void => {
  const key = { idempotencyKey: "k" }
  const since = (keysSinceMs: number, id: string, fields: Partial<Envelope> = {}) => ({
    ...append(id, { ...key, createdAtMs: keysSinceMs + 1_000, ...fields }),
    keysSinceMs,
  })

  test("1.13 a key passes on from a message that has ended and was accepted before keys count", ({ reader, store }) =>
    Effect.gen(function* () {
      yield* store.commit([appendClaimed("A", key), settle("A")])
      // Accepted at START_MS: keys since then count.
      expect((yield* store.commit([since(START_MS, "B")])).duplicates).toMatchObject([{ id: "A", reply: '"reply 1"' }])
      expect((yield* store.commit([since(START_MS + 1, "C"), claim("C")])).duplicates).toEqual([])
      // The earlier one is what it was, its key included.
      expect(yield* store.message("A")).toMatchObject({ ...key, status: "done", reply: '"reply 1"' })
      expect((yield* reader.messages({ limit: 10 })).map(({ id }) => id)).toEqual(["A", "C"])
      expect((yield* store.commit([append("D", key)])).duplicates).toMatchObject([{ id: "C", status: "running" }])
    }))

  test("1.14 a message that has not ended never loses its key, and one of another scope or id is left alone", (under) =>
    Effect.gen(function* () {
      const { store } = under
      const late = START_MS + 1_000_000
      yield* store.commit([append("A", key), appendClaimed("B", { ...key, task: "pour" })])
      yield* store.commit([appendClaimed("X", { ...key, actorId: "2" }), settle("X")])
      const { duplicates } = yield* store.commit([since(late, "C"), since(late, "D", { task: "pour" })])
      expect(duplicates.map(({ id }) => id)).toEqual(["A", "B"])
      yield* store.commit([claim("A"), settle("A")])
      // The same id again is the same message, however old.
      expect((yield* store.commit([since(late, "A")])).duplicates).toMatchObject([{ id: "A", status: "done" }])
      expect((yield* store.commit([since(late, "E")])).duplicates).toEqual([])
      expect((yield* store.commit([append("Y", { ...key, actorId: "2" })])).duplicates).toMatchObject([{ id: "X" }])
    }))

  test("1.15 a key passes on within one commit, and not at all where the commit is refused", ({ store }) =>
    Effect.gen(function* () {
      const late = START_MS + 1_000_000
      yield* store.commit([appendClaimed("A", key), settle("A")])
      yield* Effect.flip(store.commit([since(late, "B"), claim("nobody")]))
      expect((yield* store.commit([append("C", key)])).duplicates).toMatchObject([{ id: "A" }])
      const { duplicates } = yield* store.commit([since(late, "D"), since(late, "E")])
      expect(duplicates).toMatchObject([{ id: "D", status: "pending" }])
    }))

  test("1.16 a dead letter that is redriven after its key has passed on does not take it back", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([appendClaimed("A", key), settle("A", 1, "dead"), since(START_MS + 1, "B")])
      yield* store.commit([redrive("A", 1), claim("A", 2)])
      expect((yield* store.commit([append("C", key)])).duplicates).toMatchObject([{ id: "B" }])
    }))
}

export const appendSection = (kit: SuiteKit): void => {
  acceptance(kit)
  duplicatesById(kit)
  duplicatesByKey(kit)
  keyWindow(kit)
}
