/** The contract of reading: recovery's pages, the reader's lists, their bounds, and what a restart finds again. */
import { Effect } from "effect"
import type { MessageFilter } from "../../ports/LogReader.ts"
import { READ_LIMIT_MAX } from "../../ports/readLimit.ts"
import type { CommitFailure, ReadFailure } from "../../ports/StoreFailure.ts"
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
  redrive,
  retry,
  routeDecision,
  START_MS,
  settle,
} from "./sampleWrites.ts"

const paging = ({ test, expect }: SuiteKit): void => {
  test("5.1 unfinished gives the pending and the running by seq, in pages, and nothing else", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit(
        Array.from({ length: 30 }, (_, n) => (n % 2 === 0 ? append(`m${n}`) : appendClaimed(`m${n}`))),
      )
      yield* store.commit([settle("m3"), settle("m4", 0, "cancelled"), retry("m5")])
      const pages: Array<ReadonlyArray<string>> = []
      let afterSeq = 0
      // A store that never comes to an end is wrong after six pages as well.
      while (pages.length < 6 && pages.at(-1)?.length !== 0) {
        const page = yield* store.unfinished(afterSeq, 7)
        pages.push(page.map(({ id }) => id))
        afterSeq = page.at(-1)?.seq ?? afterSeq
      }
      const expected = Array.from({ length: 30 }, (_, n) => `m${n}`).filter((id) => id !== "m3" && id !== "m4")
      expect(pages.flat()).toEqual(expected)
      // Every page is full but the last: a caller may take a short one for the end.
      expect(pages.map(({ length }) => length)).toEqual([7, 7, 7, 7, 0])
    }))

  test("5.2 a limit outside 1 to 10,000 is refused, never cut", ({ store, reader }) =>
    Effect.gen(function* () {
      for (const limit of [0, -1, 1.5, Number.NaN, READ_LIMIT_MAX + 1]) {
        const reads: ReadonlyArray<Effect.Effect<unknown, ReadFailure>> = [
          store.unfinished(0, limit),
          store.census(0, limit),
          store.due(0, 0, limit),
          store.chunks("A", 0, limit),
          reader.messages({ limit }),
          reader.actors(limit),
          store.deadLetters(0, limit),
          reader.lifecycle(0, limit),
          reader.lifecycleOf(BARISTA, 0, limit),
          reader.routes({}, limit),
          reader.chunks("A", 0, limit),
          reader.mailbox(limit),
        ]
        for (const read of reads) {
          expect(yield* Effect.flip(read)).toMatchObject({ _tag: "TerminalStoreFailure" })
        }
      }
    }))
}

const lists = ({ test, expect }: SuiteKit): void => {
  test("5.3 the reader finds messages by every part of its filter, oldest first", ({ store, reader }) =>
    Effect.gen(function* () {
      yield* store.commit([
        append("A"),
        appendClaimed("B", { correlationId: "A" }),
        append("C", { actorType: CASHIER.type, correlationId: "A" }),
        append("D", { actorId: "2" }),
      ])
      const found = (filter: Partial<MessageFilter>) =>
        Effect.map(reader.messages({ limit: 10, ...filter }), (rows) => rows.map(({ id }) => id).join(""))
      expect(yield* found({})).toBe("ABCD")
      expect(yield* found({ limit: 2 })).toBe("AB")
      expect(yield* found({ limit: 2, newest: true })).toBe("CD")
      expect(yield* found({ status: "running" })).toBe("B")
      expect(yield* found({ status: "done" })).toBe("")
      expect(yield* found({ actorType: "barista" })).toBe("ABD")
      expect(yield* found({ actorType: "barista", actorId: "1" })).toBe("AB")
      expect(yield* found({ actorId: "2" })).toBe("D")
      expect(yield* found({ correlationId: "A" })).toBe("ABC")
      expect(yield* found({ correlationId: "A", actorType: "barista", newest: true, limit: 1 })).toBe("B")
      const second = (yield* store.message("B"))!.seq
      expect(yield* found({ afterSeq: second })).toBe("CD")
      expect(yield* found({ beforeSeq: second })).toBe("A")
      const first = (yield* store.message("A"))!.seq
      const last = (yield* store.message("D"))!.seq
      expect(yield* found({ afterSeq: first, beforeSeq: last, newest: true, limit: 1 })).toBe("C")
      expect(yield* found({ afterSeq: second, correlationId: "A" })).toBe("C")
      expect(yield* reader.message("A")).toEqual(yield* store.message("A"))
      expect(yield* reader.message("nobody")).toBe(undefined)
    }))

  test("5.4 a mailbox counts what is unfinished per actor, the longest wait first", ({ store, reader }) =>
    Effect.gen(function* () {
      yield* store.commit([
        append("A", { createdAtMs: START_MS + 2 }),
        appendClaimed("B", { createdAtMs: START_MS + 3 }),
        append("C", { createdAtMs: START_MS + 1, actorType: CASHIER.type }),
        appendClaimed("D", { createdAtMs: START_MS, actorId: "2" }),
        settle("D"),
      ])
      const boxes = [
        { actorType: "cashier", actorId: "1", pending: 1, running: 0, oldestAtMs: START_MS + 1 },
        { actorType: "barista", actorId: "1", pending: 1, running: 1, oldestAtMs: START_MS + 2 },
      ]
      expect(yield* reader.mailbox(10)).toEqual(boxes)
      expect(yield* reader.mailbox(1)).toEqual(boxes.slice(0, 1))
    }))

  test("5.5 latency is the nearest rank per actor type and task, over what was answered", ({ store, reader }) =>
    Effect.gen(function* () {
      yield* store.commit(
        Array.from({ length: 100 }, (_, n) => [
          appendClaimed(`m${n}`, { createdAtMs: START_MS + 50 - (n + 1), actorId: `${n % 3}` }),
          settle(`m${n}`, 1, n % 10 === 0 ? "failed" : "done"),
        ]).flat(),
      )
      yield* store.commit([appendClaimed("x", { createdAtMs: START_MS - 9_000 }), settle("x", 1, "expired")])
      yield* store.commit([appendClaimed("y", { task: "pour" }), settle("y"), append("z")])
      expect(yield* reader.latency).toEqual([
        { actorType: "barista", task: "brew", count: 100, p50Ms: 50, p95Ms: 95, p99Ms: 99 },
        { actorType: "barista", task: "pour", count: 1, p50Ms: 50, p95Ms: 50, p99Ms: 50 },
      ])
    }))
}

const restarts = ({ test, expect }: SuiteKit): void => {
  test("5.6 a restart finds everything that was committed, and goes on where it ended", ({ store, reader, reopen }) =>
    Effect.gen(function* () {
      yield* store.commit([
        appendClaimed("A", { idempotencyKey: "k" }),
        append("B"),
        recordStep("A", 0),
        appendChunk("A", 0),
        putActor(BARISTA, "state"),
        lifecycleEvent("starting", "ready"),
        routeDecision("A"),
        appendClaimed("C"),
        settle("C"),
        appendClaimed("D"),
        retry("D"),
      ])
      const look = (from: { readonly store: typeof store; readonly reader: typeof reader }) =>
        Effect.all([
          from.store.unfinished(0, 10),
          from.store.message("C"),
          from.store.steps("A"),
          from.store.chunks("A", 0, 10),
          from.store.actor(BARISTA),
          from.reader.lifecycle(0, 10),
          from.reader.routes({}, 10),
          from.reader.attempts("D"),
          from.reader.messages({ limit: 10 }),
        ])
      const before = yield* look({ store, reader })
      const after = yield* reopen
      expect(yield* look(after)).toEqual(before)
      const { duplicates } = yield* after.store.commit([append("E", { idempotencyKey: "k" }), append("F"), claim("B")])
      expect(duplicates.map(({ id }) => id)).toEqual(["A"])
      expect((yield* after.store.unfinished(0, 10)).map(({ id }) => id)).toEqual(["A", "B", "D", "F"])
    }))

  test("5.7 a closed store says so", ({ store, reader, reopen }) =>
    Effect.gen(function* () {
      yield* reopen
      const uses: ReadonlyArray<Effect.Effect<unknown, CommitFailure>> = [
        store.commit([append("A")]),
        store.message("A"),
        reader.message("A"),
      ]
      for (const use of uses) {
        expect(yield* Effect.flip(use)).toMatchObject({ _tag: "TerminalStoreFailure", reason: "closed" })
      }
    }))
}

const afterwards = ({ test, expect }: SuiteKit): void => {
  test("5.8 dead letters come by seq, in pages, and nothing else does; a redriven one is none", ({ store }) =>
    Effect.gen(function* () {
      const ids = Array.from({ length: 9 }, (_, n) => `m${n}`)
      yield* store.commit(ids.map((id) => appendClaimed(id)))
      yield* store.commit([settle("m0"), settle("m1", 1, "failed"), settle("m2", 1, "expired")])
      yield* store.commit(["m3", "m4", "m5", "m6", "m7"].map((id) => settle(id, 1, "dead")))
      yield* store.commit([redrive("m4")])
      const first = yield* store.deadLetters(0, 2)
      expect(first.map(({ id }) => id)).toEqual(["m3", "m5"])
      expect(first[0]).toEqual(yield* store.message("m3"))
      const second = yield* store.deadLetters(first[1]!.seq, 3)
      expect(second.map(({ id }) => id)).toEqual(["m6", "m7"])
      expect(yield* store.deadLetters(second[1]!.seq, 1)).toEqual([])
    }))

  test("5.9 an actor's lifecycle up to a time, the newest first; of one time, the later written", ({ store, reader }) =>
    Effect.gen(function* () {
      const event = (to: string, atMs: number, address = BARISTA) => ({
        ...lifecycleEvent("ready", to),
        address,
        atMs: START_MS + atMs,
      })
      yield* store.commit([event("degraded", 10), event("failed", 20, CASHIER), event("restarting", 30)])
      yield* store.commit([event("starting", 30), event("ready", 40), event("other", 5, { type: "barista", id: "2" })])
      const until = (atMs: number, limit = 10) =>
        Effect.map(reader.lifecycleOf(BARISTA, START_MS + atMs, limit), (rows) => rows.map(({ to }) => to))
      expect(yield* until(9)).toEqual([])
      expect(yield* until(10)).toEqual(["degraded"])
      expect(yield* until(30)).toEqual(["starting", "restarting", "degraded"])
      expect(yield* until(50, 1)).toEqual(["ready"])
      const [row] = yield* reader.lifecycleOf(BARISTA, START_MS + 50, 1)
      expect((yield* reader.lifecycle(0, 10)).filter(({ seq }) => seq === row?.seq)).toEqual([row])
    }))
}

const recovery = ({ test, expect }: SuiteKit): void => {
  test("5.10 the census names what is unfinished, by seq, in pages; the last seq is that of the newest", ({ store }) =>
    Effect.gen(function* () {
      expect(yield* store.lastSeq).toBe(0)
      yield* store.commit(Array.from({ length: 9 }, (_, n) => append(`m${n}`, { actorId: `${n}` })))
      yield* store.commit([claim("m2"), settle("m3", 0, "cancelled"), claim("m4"), settle("m4")])
      const unfinished = yield* store.unfinished(0, 20)
      const first = yield* store.census(0, 4)
      const rest = yield* store.census(first.at(-1)?.seq ?? 0, 4)
      const named = [...first, ...rest]
      expect(named.length).toBe(7)
      for (const [index, row] of named.entries()) {
        const { actorId, actorType, attempt, attemptsBefore, createdAtMs, deliverAtMs, id, seq, status } =
          unfinished[index]!
        expect(row).toMatchObject({
          ...{ actorId, actorType, attempt, attemptsBefore, createdAtMs },
          ...{ deliverAtMs, id, seq, status },
        })
      }
      const before = yield* store.lastSeq
      expect(before).toBe((yield* store.message("m8"))?.seq)
      yield* store.commit([append("z")])
      expect((yield* store.message("z"))!.seq > before).toBe(true)
    }))

  test("5.11 what is due is what was put off and waits, by time and then by seq, in pages", ({ store }) =>
    Effect.gen(function* () {
      const at = (ms: number) => ({ deliverAtMs: START_MS + ms })
      yield* store.commit([
        append("now"),
        append("late", at(9)),
        append("a", at(5)),
        append("b", at(5)),
        append("c", at(5)),
        append("soon", at(1)),
        append("running", at(2)),
        append("ended", at(3)),
        appendClaimed("again"),
      ])
      yield* store.commit([claim("running"), settle("ended", 0, "cancelled"), retry("again")])
      const pages: Array<ReadonlyArray<string>> = []
      let [afterMs, afterSeq] = [0, 0]
      while (pages.length < 5 && pages.at(-1)?.length !== 0) {
        const page = yield* store.due(afterMs, afterSeq, 2)
        pages.push(page.map(({ id }) => id))
        const last = page.at(-1)
        if (last !== undefined) [afterMs, afterSeq] = [last.deliverAtMs, last.seq]
      }
      expect(pages).toEqual([["soon", "a"], ["b", "c"], ["late", "again"], []])
    }))
}

export const readSection = (kit: SuiteKit): void => {
  paging(kit)
  lists(kit)
  recovery(kit)
  afterwards(kit)
  restarts(kit)
}
