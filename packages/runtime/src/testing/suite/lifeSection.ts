/** The contract of a message's edges: claim, retry, reroute and settle, and the fence that guards each of them. */
import { Effect, Result } from "effect"
import type { Write } from "../../ports/Write.ts"
import type { SuiteKit } from "./SuiteKit.ts"
import {
  append,
  appendChunk,
  appendClaimed,
  BARISTA,
  CASHIER,
  claim,
  forward,
  postpone,
  recordStep,
  redrive,
  reroute,
  retry,
  START_MS,
  sampleEnvelope,
  settle,
} from "./sampleWrites.ts"

const edges = ({ test, expect }: SuiteKit): void => {
  test("2.1 a claim starts the next attempt", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A")])
      yield* store.commit([claim("A")])
      expect(yield* store.message("A")).toMatchObject({ status: "running", attempt: 1, startedAtMs: START_MS + 10 })
    }))

  test("2.2 a retry goes back to pending, later, on the target it names, and its attempt is recorded", (under) =>
    Effect.gen(function* () {
      const { store, reader } = under
      yield* store.commit([appendClaimed("A")])
      yield* store.commit([retry("A", 1, CASHIER)])
      expect(yield* store.message("A")).toMatchObject({
        status: "pending",
        attempt: 1,
        actorType: CASHIER.type,
        actorId: CASHIER.id,
        deliverAtMs: START_MS + 100,
        startedAtMs: null,
      })
      yield* store.commit([claim("A", 2), settle("A", 2, "dead")])
      const attempts = yield* reader.attempts("A")
      expect(attempts).toEqual([
        {
          messageId: "A",
          attempt: 1,
          actorType: BARISTA.type,
          actorId: BARISTA.id,
          startedAtMs: START_MS,
          finishedAtMs: START_MS + 15,
          error: retry("A").error,
        },
        {
          messageId: "A",
          attempt: 2,
          actorType: CASHIER.type,
          actorId: CASHIER.id,
          startedAtMs: START_MS + 20,
          finishedAtMs: START_MS + 50,
          error: settle("A", 2, "dead").error,
        },
      ])
    }))
}

const handOn = ({ test, expect }: SuiteKit): void => {
  test("2.11 a running message that is handed on waits at its new target, itself, with a budget of its own", ({
    store,
    reader,
  }) =>
    Effect.gen(function* () {
      const key = { idempotencyKey: "k", deadlineAtMs: START_MS + 9_000 }
      yield* store.commit([appendClaimed("A", key), retry("A"), claim("A", 2), recordStep("A", 0, 2), forward("A", 2)])
      expect(yield* store.message("A")).toMatchObject({
        ...sampleEnvelope("A", key),
        deliverAtMs: START_MS,
        actorType: CASHIER.type,
        actorId: CASHIER.id,
        via: '["barista/1"]',
        status: "pending",
        attempt: 2,
        attemptsBefore: 2,
        startedAtMs: null,
        error: null,
      })
      expect((yield* reader.attempts("A")).map(({ attempt }) => attempt)).toEqual([1])
      expect((yield* store.unfinished(0, 10)).map(({ id, via }) => [id, via])).toEqual([["A", '["barista/1"]']])
      // Its key still answers for whom it was sent to at first, and its new target's are free.
      expect((yield* store.commit([append("B", key)])).duplicates).toMatchObject([{ id: "A", actorId: CASHIER.id }])
      const same = { ...key, actorType: CASHIER.type, actorId: CASHIER.id }
      expect((yield* store.commit([append("C", same)])).duplicates).toEqual([])
      yield* store.commit([
        claim("A", 3),
        forward("A", 3, '["barista/1","cashier/1"]', "bar"),
        claim("A", 4),
        settle("A", 4),
      ])
      expect(yield* store.message("A")).toMatchObject({
        status: "done",
        pool: "bar",
        via: '["barista/1","cashier/1"]',
        attempt: 4,
        attemptsBefore: 3,
      })
      expect((yield* store.steps("A")).length).toBe(1)
    }))
}

const putOff = ({ test, expect }: SuiteKit): void => {
  test("2.10 a running message that is put off waits as it was, and its attempt neither counts nor is a failure", ({
    store,
    reader,
  }) =>
    Effect.gen(function* () {
      yield* store.commit([appendClaimed("A"), recordStep("A", 0), postpone("A")])
      expect(yield* store.message("A")).toMatchObject({
        ...sampleEnvelope("A"),
        status: "pending",
        attempt: 1,
        attemptsBefore: 1,
        deliverAtMs: START_MS + 5_000,
        startedAtMs: null,
        error: null,
      })
      expect(yield* reader.attempts("A")).toEqual([])
      for (const refused of [postpone("A"), postpone("A", 2), postpone("nobody")]) {
        expect(Result.isFailure(yield* Effect.result(store.commit([refused])))).toBe(true)
      }
      yield* store.commit([claim("A", 2), postpone("A", 2), claim("A", 3), retry("A", 3)])
      expect(yield* store.message("A")).toMatchObject({ status: "pending", attempt: 3, attemptsBefore: 2 })
      expect((yield* reader.attempts("A")).map(({ attempt }) => attempt)).toEqual([3])
      expect((yield* store.steps("A")).length).toBe(1)
    }))

  test("2.3 a reroute changes the target and the time of a pending message, and nothing else", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A")])
      const before = yield* store.message("A")
      yield* store.commit([reroute("A")])
      expect(yield* store.message("A")).toEqual({
        ...before!,
        actorType: CASHIER.type,
        actorId: CASHIER.id,
        deliverAtMs: START_MS + 7,
      })
    }))
}

const endings = ({ test, expect }: SuiteKit): void => {
  test("2.4 a running message settles in every final status, with its reply or its error", ({ store, reader }) =>
    Effect.gen(function* () {
      const statuses = ["done", "failed", "dead", "expired", "cancelled"] as const
      for (const status of statuses) {
        yield* store.commit([appendClaimed(status), settle(status, 1, status)])
        const { reply, error } = settle(status, 1, status)
        expect(yield* store.message(status)).toMatchObject({ status, reply, error, finishedAtMs: START_MS + 50 })
        expect((yield* reader.attempts(status)).length).toBe(status === "done" ? 0 : 1)
      }
      expect(yield* store.unfinished(0, 10)).toEqual([])
    }))

  test("2.5 a pending message settles too, without an attempt to record", ({ store, reader }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A"), settle("A", 0, "expired")])
      expect(yield* store.message("A")).toMatchObject({ status: "expired", attempt: 0, startedAtMs: null })
      yield* store.commit([appendClaimed("B"), retry("B")])
      yield* store.commit([settle("B", 1, "dead")])
      expect(yield* store.message("B")).toMatchObject({ status: "dead", attempt: 1 })
      expect(yield* reader.attempts("A")).toEqual([])
      expect((yield* reader.attempts("B")).map(({ error }) => error)).toEqual([retry("B").error])
    }))

  test("2.6 a whole life fits into one commit", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([append("A"), claim("A"), retry("A"), claim("A", 2), recordStep("A", 1, 2), settle("A", 2)])
      expect(yield* store.message("A")).toMatchObject({ status: "done", attempt: 2 })
    }))
}

const redrives = ({ test, expect }: SuiteKit): void => {
  test("2.8 a redriven dead letter waits again at its id, with its history, without its end and its deadline", (under) =>
    Effect.gen(function* () {
      const { store, reader } = under
      yield* store.commit([append("A", { deadlineAtMs: START_MS + 40 }), claim("A"), recordStep("A", 0)])
      yield* store.commit([appendChunk("A", 1), retry("A"), claim("A", 2), settle("A", 2, "dead")])
      const before = yield* store.message("A")
      const attempts = yield* reader.attempts("A")
      yield* store.commit([redrive("A", 2, CASHIER)])
      expect(yield* store.message("A")).toEqual({
        ...before!,
        status: "pending",
        attemptsBefore: 2,
        actorType: CASHIER.type,
        actorId: CASHIER.id,
        deliverAtMs: START_MS + 1_000,
        deadlineAtMs: null,
        startedAtMs: null,
        finishedAtMs: null,
        error: null,
      })
      expect((yield* store.unfinished(0, 10)).map(({ id }) => id)).toEqual(["A"])
      expect(yield* reader.messages({ status: "dead", limit: 10 })).toEqual([])
      expect(yield* reader.attempts("A")).toEqual(attempts)
      expect((yield* store.steps("A")).length).toBe(1)
      expect((yield* store.chunks("A", 0, 10)).length).toBe(1)
      yield* store.commit([claim("A", 3), settle("A", 3)])
      expect(yield* store.message("A")).toMatchObject({ status: "done", attempt: 3, attemptsBefore: 2 })
    }))

  test("2.9 a redrive may change the body, and may come again; its idempotency key still answers", ({ store }) =>
    Effect.gen(function* () {
      const key = { idempotencyKey: "k" }
      yield* store.commit([appendClaimed("A", key), settle("A", 1, "dead"), redrive("A", 1, BARISTA, '"edited"')])
      expect(yield* store.message("A")).toMatchObject({ body: '"edited"', status: "pending", attemptsBefore: 1 })
      yield* store.commit([claim("A", 2), settle("A", 2, "dead"), redrive("A", 2)])
      expect(yield* store.message("A")).toMatchObject({ body: '"edited"', status: "pending", attemptsBefore: 2 })
      expect((yield* store.commit([append("B", key)])).duplicates).toMatchObject([{ id: "A", status: "pending" }])
    }))
}

/** Every place in a life, and how to get there. */
const places: Readonly<Record<string, ReadonlyArray<Write>>> = {
  "no message": [],
  "pending at 0": [append("M")],
  "running at 1": [appendClaimed("M")],
  "pending at 1": [appendClaimed("M"), retry("M")],
  "running at 2": [appendClaimed("M"), retry("M"), claim("M", 2)],
  "done at 1": [appendClaimed("M"), settle("M")],
  "dead at 1": [appendClaimed("M"), settle("M", 1, "dead")],
  "dead at 0": [append("M"), settle("M", 0, "dead")],
  "expired at 0": [append("M"), settle("M", 0, "expired")],
}

/** Every fenced write, and the places in which it is let through. Everywhere else it is refused. */
const fencedWrites: ReadonlyArray<readonly [string, Write, ReadonlyArray<string>]> = [
  ["Claim 1", claim("M", 1), ["pending at 0"]],
  ["Claim 2", claim("M", 2), ["pending at 1"]],
  ["Claim 3", claim("M", 3), []],
  ["Retry 0", retry("M", 0), []],
  ["Retry 1", retry("M", 1), ["running at 1"]],
  ["Retry 2", retry("M", 2), ["running at 2"]],
  ["Forward 0", forward("M", 0), []],
  ["Forward 1", forward("M", 1), ["running at 1"]],
  ["Forward 2", forward("M", 2), ["running at 2"]],
  ["Reroute 0", reroute("M", 0), ["pending at 0"]],
  ["Reroute 1", reroute("M", 1), ["pending at 1"]],
  ["Settle 0", settle("M", 0, "cancelled"), ["pending at 0"]],
  ["Settle 1", settle("M", 1), ["running at 1", "pending at 1"]],
  ["Settle 2", settle("M", 2), ["running at 2"]],
  ["Redrive 0", redrive("M", 0), ["dead at 0"]],
  ["Redrive 1", redrive("M", 1), ["dead at 1"]],
  ["Redrive 2", redrive("M", 2), []],
  ["RecordStep 1", recordStep("M", 0, 1), ["running at 1"]],
  ["RecordStep 2", recordStep("M", 0, 2), ["running at 2"]],
  ["AppendChunk 1", appendChunk("M", 0, 1), ["running at 1"]],
  ["AppendChunk 2", appendChunk("M", 0, 2), ["running at 2"]],
]

const fences = ({ test, expect }: SuiteKit): void => {
  for (const [name, write, allowed] of fencedWrites) {
    test(`2.7 ${name} is let through ${allowed.length === 0 ? "nowhere" : `only ${allowed.join(" and ")}`}`, (under) =>
      Effect.gen(function* () {
        const { store } = under
        for (const [place, setUp] of Object.entries(places)) {
          // One message per place, each under its own id, on one store.
          const id = place.replaceAll(" ", "-")
          yield* store.commit(setUp.map((each) => renamed(each, id)))
          const before = yield* store.message(id)
          const outcome = yield* Effect.result(store.commit([renamed(write, id)]))
          expect([place, Result.isSuccess(outcome)]).toEqual([place, allowed.includes(place)])
          if (Result.isFailure(outcome)) {
            expect(outcome.failure).toMatchObject({ _tag: "TerminalStaleAttempt", messageId: id })
            expect(yield* store.message(id)).toEqual(before)
            expect(yield* store.steps(id)).toEqual([])
            expect(yield* store.chunks(id, 0, 10)).toEqual([])
          }
        }
      }))
  }
}

const renamed = (write: Write, id: string): Write => {
  if (write._tag === "Append") return { ...write, message: { ...write.message, id } }
  return "messageId" in write ? { ...write, messageId: id } : write
}

export const lifeSection = (kit: SuiteKit): void => {
  edges(kit)
  putOff(kit)
  handOn(kit)
  endings(kit)
  redrives(kit)
  fences(kit)
}
