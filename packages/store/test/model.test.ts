/**
 * Random interleavings of writes against the reference store: whatever MemoryStore answers, SQLite answers, and the two
 * logs read the same at the end, after a restart too.
 */
import type { CommitReceipt, LogReader, MessageStore, Write } from "@pontoon/runtime"
import {
  append,
  appendChunk,
  appendClaimed,
  BARISTA,
  CASHIER,
  claim,
  lifecycleEvent,
  MemoryStore,
  putActor,
  recordStep,
  redrive,
  reroute,
  retry,
  routeDecision,
  START_MS,
  settle,
} from "@pontoon/runtime/testing"
import { Effect, Exit, Result, Scope } from "effect"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import { SqliteLogReader, SqliteStore } from "../src/index.ts"
import { temporaryFile } from "./support/temporaryFolder.ts"

const seed = Number(process.env.PONTOON_SEED ?? Date.now() % 1_000_000)

// Few ids, keys and attempts, so that writes meet: most random commits would be refused, and some must not be.
const id = fc.constantFrom("A", "B", "C", "D", "E", "F")
const attempt = fc.constantFrom(0, 1, 1, 1, 2, 2, 3)
const target = fc.constantFrom(BARISTA, CASHIER)
const envelope = fc.record({
  actorId: fc.constantFrom("1", "2"),
  pool: fc.constantFrom(null, null, "bar"),
  idempotencyKey: fc.constantFrom(null, null, "k1", "k2"),
  correlationId: fc.constantFrom("A", "B", "root"),
  body: fc.string(),
})

/** Every sample is accepted at START_MS: with the later ones its key has had its time. */
const keys = fc.constantFrom({}, {}, { keysSinceMs: START_MS }, { keysSinceMs: START_MS + 1 })

const write: fc.Arbitrary<Write> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(id, envelope, keys).map(([each, fields, since]) => ({ ...append(each, fields), ...since })),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(id, envelope, keys)
      .map(([each, fields, since]) => ({ ...appendClaimed(each, fields), ...since })),
  },
  { weight: 3, arbitrary: fc.tuple(id, attempt).map(([each, n]) => claim(each, n)) },
  { weight: 2, arbitrary: fc.tuple(id, attempt, target).map(([each, n, to]) => retry(each, n, to)) },
  { weight: 2, arbitrary: fc.tuple(id, attempt, target).map(([each, n, to]) => reroute(each, n, to)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(id, attempt, fc.constantFrom("done", "failed", "dead", "expired", "cancelled"))
      .map(([each, n, status]) => settle(each, n, status)),
  },
  fc
    .tuple(id, attempt, target, fc.constantFrom('"edited"', undefined))
    .map(([each, n, to, body]) => redrive(each, n, to, body)),
  fc.tuple(id, fc.nat(3), attempt).map(([each, ordinal, n]) => recordStep(each, ordinal, n, `"by ${n}"`)),
  fc.tuple(id, fc.nat(3), attempt).map(([each, ordinal, n]) => appendChunk(each, ordinal, n, `"by ${n}"`)),
  fc.tuple(target, fc.constantFrom("1", "2", null, undefined)).map(([to, state]) => putActor(to, state)),
  fc.constant(lifecycleEvent("ready", "degraded")),
  id.map((each) => routeDecision(each)),
)

/** Turns of the event loop, each with its commits, each with its writes. */
const turns = fc.array(fc.array(fc.array(write, { maxLength: 4 }), { minLength: 1, maxLength: 8 }), {
  minLength: 1,
  maxLength: 12,
})

interface Log {
  readonly store: MessageStore["Service"]
  readonly reader: LogReader["Service"]
}

/** What the callers of one turn are told. */
const playTurn = ({ store }: Log, commits: ReadonlyArray<ReadonlyArray<Write>>) =>
  Effect.map(
    Effect.all(
      commits.map((writes) => Effect.result(store.commit(writes))),
      { concurrency: "unbounded" },
    ),
    (outcomes) =>
      outcomes.map((outcome) =>
        Result.isSuccess(outcome)
          ? describeReceipt(outcome.success)
          : `${outcome.failure._tag}: ${outcome.failure.message}`,
      ),
  )

const describeReceipt = ({ duplicates }: CommitReceipt) => duplicates.map(({ seq, ...row }) => row)

/** Everything that can be read. Ranks in place of seqs: a store may leave gaps. */
const readAll = ({ store, reader }: Log) =>
  Effect.gen(function* () {
    const rows = yield* reader.messages({ limit: 100 })
    const perMessage = yield* Effect.forEach(rows, (row) =>
      Effect.all([store.message(row.id), store.steps(row.id), store.chunks(row.id, 0, 10), reader.attempts(row.id)]),
    )
    const withoutSeq = <A extends { readonly seq: number }>(list: ReadonlyArray<A>) =>
      list.map(({ seq, ...row }) => row)
    return {
      messages: withoutSeq(rows),
      perMessage: perMessage.map(([message, ...rest]) => [message?.id, ...rest]),
      unfinished: withoutSeq(yield* store.unfinished(0, 100)),
      conversation: withoutSeq(yield* reader.messages({ correlationId: "A", limit: 100 })),
      dead: withoutSeq(yield* reader.messages({ status: "dead", newest: true, limit: 2 })),
      actors: [yield* store.actor(BARISTA), yield* store.actor(CASHIER)],
      routes: withoutSeq(yield* reader.routes({}, 100)),
      lifecycle: withoutSeq(yield* reader.lifecycle(0, 100)),
      mailboxes: new Set((yield* reader.mailbox(100)).map((row) => JSON.stringify(row))),
      latency: yield* reader.latency,
    }
  })

it(`SQLite answers as memory does, over any interleaving (PONTOON_SEED=${seed})`, async () => {
  let applied = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(turns, (story) =>
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const scope = yield* Scope.make()
        const memory = yield* MemoryStore.make
        const sqlite = {
          store: yield* Scope.provide(SqliteStore.make(file), scope),
          reader: yield* Scope.provide(SqliteLogReader.make(file), scope),
        }
        for (const commits of story) {
          const told = yield* playTurn(sqlite, commits)
          expect(told).toEqual(yield* playTurn(memory, commits))
          for (const each of told) typeof each === "string" ? refused++ : applied++
        }
        const expected = yield* readAll(memory)
        expect(yield* readAll(sqlite)).toEqual(expected)
        yield* Scope.close(scope, Exit.void)
        const again = { store: yield* SqliteStore.make(file), reader: yield* SqliteLogReader.make(file) }
        expect(yield* readAll(again)).toEqual(expected)
      }).pipe(Effect.scoped, Effect.runPromise),
    ),
    { seed, numRuns: 60 },
  )
  // The stories are worth something only if both happen often.
  expect(applied > 200 && refused > 200).toBe(true)
}, 120_000)
