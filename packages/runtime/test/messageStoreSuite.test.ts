/** The conformance suite can fail: each broken promise of a store is caught, by the test that is about it. */
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { type Address, formatAddress, type MessageStore, type Retry, type Write } from "../src/index.ts"
import {
  MemoryStore,
  type MemoryStoreHandle,
  messageStoreSuite,
  type StoreUnderTest,
  type TestFramework,
} from "../src/testing/index.ts"

/** Of the suite's own sample message. */
const retry = (messageId: string, attempt: number): Retry => ({
  _tag: "Retry",
  messageId,
  attempt,
  deliverAtMs: 0,
  target: { type: "barista", id: "1" },
  error: "{}",
  atMs: 0,
})

type Store = MessageStore["Service"]

/** Runs the suite on `open` with a framework that only keeps what failed. */
const failuresOf = async (open: Effect.Effect<StoreUnderTest>): Promise<ReadonlyArray<string>> => {
  const tests: Array<readonly [string, () => Promise<void>]> = []
  const framework: TestFramework = {
    describe: (_, body) => body(),
    it: (name, body) => tests.push([name, body]),
    expect,
  }
  messageStoreSuite(framework, "a broken store", open)
  const failed: Array<string> = []
  for (const [name, body] of tests) {
    try {
      await body()
    } catch {
      failed.push(name.split(" ")[0]!)
    }
  }
  return [...new Set(failed)]
}

/** A store whose every opening is spoilt in the same way. */
const spoilt = (spoil: (handle: MemoryStoreHandle) => Store, from = MemoryStore.make): Effect.Effect<StoreUnderTest> =>
  Effect.map(from, (handle) => ({
    store: spoil(handle),
    reader: handle.reader,
    reopen: spoilt(spoil, handle.reopen),
  }))

/** Changes the writes of every commit. */
const changing = (change: (writes: ReadonlyArray<Write>) => ReadonlyArray<Write>) =>
  spoilt(({ store }) => ({ ...store, commit: (writes) => store.commit(change(writes)) }))

const cases: ReadonlyArray<readonly [string, Effect.Effect<StoreUnderTest>, ReadonlyArray<string>]> = [
  [
    "applies a commit write by write",
    spoilt(({ store }) => ({
      ...store,
      commit: (writes) =>
        Effect.map(
          Effect.forEach(writes, (write) => store.commit([write])),
          (receipts) => ({ duplicates: receipts.flatMap(({ duplicates }) => duplicates) }),
        ),
    })),
    ["3.1", "3.2", "3.3", "3.7"],
  ],
  [
    "tells nobody of duplicates",
    spoilt(({ store }) => ({ ...store, commit: (writes) => Effect.as(store.commit(writes), { duplicates: [] }) })),
    ["1.5", "1.6", "1.7", "1.8", "1.9", "1.11", "1.12", "5.6"],
  ],
  [
    "knows no idempotency keys",
    changing((writes) =>
      writes.map((write) =>
        write._tag === "Append" ? { ...write, message: { ...write.message, idempotencyKey: null } } : write,
      ),
    ),
    ["1.8", "1.9", "1.11"],
  ],
  [
    "compares the keys of pools by their targets",
    changing((writes) =>
      writes.map((write) =>
        write._tag === "Append" ? { ...write, message: { ...write.message, pool: null } } : write,
      ),
    ),
    ["1.9"],
  ],
  [
    "lets a key answer for ever",
    changing((writes) =>
      writes.map((write) => {
        if (write._tag !== "Append") return write
        const { keysSinceMs: _, ...rest } = write
        return rest
      }),
    ),
    ["1.13", "1.14", "1.15", "1.16"],
  ],
  [
    "takes the key from a message that runs",
    spoilt((handle) => ({
      ...handle.store,
      commit: (writes) => {
        for (const write of writes) {
          if (write._tag === "Append" && write.keysSinceMs !== undefined) handle.log.keys.clear()
        }
        return handle.store.commit(writes)
      },
    })),
    ["1.13", "1.14"],
  ],
  [
    "erases a state that is left out",
    changing((writes) =>
      writes.map((write) => (write._tag === "PutActor" ? { ...write, state: write.state ?? null } : write)),
    ),
    ["4.5"],
  ],
  [
    "takes a state for one of whoever writes beside it",
    spoilt(({ store }) => {
      let version = 1
      const commit: Store["commit"] = (writes) => {
        for (const write of writes) if (write._tag === "PutActor") version = write.version
        return store.commit(writes)
      }
      return { ...store, commit, actor: (at) => Effect.map(store.actor(at), (found) => found && { ...found, version }) }
    }),
    ["4.5"],
  ],
  ["loses lifecycle events", changing((writes) => writes.filter(({ _tag }) => _tag !== "LifecycleEvent")), ["4.6"]],
  [
    "loses watches",
    changing((writes) => writes.filter(({ _tag }) => _tag !== "PutWatch")),
    ["6.1", "6.2", "6.3", "6.4"],
  ],
  [
    "gives an old state the version of whoever touches its actor",
    spoilt(({ log, store }) => ({
      ...store,
      commit: (writes) =>
        store.commit(
          writes.map((write) =>
            write._tag === "PutActor" && write.state === undefined
              ? { ...write, state: log.actors.get(formatAddress(write.address))?.state ?? null }
              : write,
          ),
        ),
    })),
    ["4.5"],
  ],
  [
    "forgets that a watch is a link",
    changing((writes) => writes.map((write) => (write._tag === "PutWatch" ? { ...write, linked: false } : write))),
    ["6.2"],
  ],
  [
    "drops a watch of another as well",
    changing((writes) =>
      writes.map((write) => (write._tag === "DropWatch" ? { ...write, watched: undefined } : write)),
    ),
    ["6.3"],
  ],
  [
    "tells of the living as of the dead",
    spoilt(({ log, store }) => ({
      ...store,
      watches: (filter, limit) =>
        "ended" in filter ? Effect.succeed([...log.watches.values()].slice(0, limit)) : store.watches(filter, limit),
    })),
    ["6.4"],
  ],
  [
    "holds the wrong actors",
    spoilt(({ store }) => ({ ...store, suspended: (_, limit) => store.suspended(undefined, limit) })),
    ["6.5"],
  ],
  [
    "counts the oldest crashes",
    spoilt(({ store }) => ({
      ...store,
      crashes: (address, afterMs, limit) =>
        Effect.map(store.crashes(address, afterMs, 10_000), (times) => times.slice(0, limit)),
    })),
    ["6.6"],
  ],
  ["loses routes", changing((writes) => writes.filter(({ _tag }) => _tag !== "RouteDecision")), ["4.7"]],
  [
    "retries on the old target",
    changing((writes) =>
      writes.map((write) => (write._tag === "Retry" ? { ...write, target: { type: "barista", id: "1" } } : write)),
    ),
    ["2.2"],
  ],
  [
    "counts what is put off",
    changing((writes) =>
      writes.map((write) =>
        write._tag === "Postpone"
          ? { ...retry(write.messageId, write.attempt), deliverAtMs: write.deliverAtMs }
          : write,
      ),
    ),
    ["2.10"],
  ],
  [
    "hands on as if it had failed",
    changing((writes) =>
      writes.map((write) =>
        write._tag === "Forward" ? { ...retry(write.messageId, write.attempt), target: write.target } : write,
      ),
    ),
    ["2.11"],
  ],
  [
    "forgets who handed on",
    changing((writes) =>
      writes.map((write) => (write._tag === "Forward" ? { ...write, via: "[]", pool: null } : write)),
    ),
    ["2.11"],
  ],
  [
    "takes every record of a journal for a step",
    changing((writes) =>
      writes.map((write) => (write._tag === "RecordStep" ? { ...write, kind: "step" as const } : write)),
    ),
    ["4.10"],
  ],
  [
    "redrives with the old body",
    changing((writes) => writes.map((write) => (write._tag === "Redrive" ? { ...write, body: undefined } : write))),
    ["2.9"],
  ],
  ["redrives nothing", changing((writes) => writes.filter(({ _tag }) => _tag !== "Redrive")), ["2.7", "2.8", "2.9"]],
  [
    "lets a stale step through",
    spoilt(({ store }) => ({
      ...store,
      commit: (writes) =>
        Effect.catchTag(store.commit(writes), "TerminalStaleAttempt", (stale) =>
          writes.every(({ _tag }) => _tag === "RecordStep") ? Effect.succeed({ duplicates: [] }) : Effect.fail(stale),
        ),
    })),
    ["2.7"],
  ],
  [
    "commits in the order of its own convenience",
    spoilt(({ store }) => {
      let turn = 0
      return {
        ...store,
        commit: (writes) =>
          Effect.andThen(
            turn++ % 2 === 0 ? Effect.yieldNow : Effect.void,
            Effect.suspend(() => store.commit(writes)),
          ),
      }
    }),
    ["3.4"],
  ],
  [
    "forgets a commit whose caller goes",
    spoilt(({ store }) => ({
      ...store,
      commit: (writes) =>
        Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() => store.commit(writes)),
        ),
    })),
    ["3.5"],
  ],
  [
    "cuts a page short",
    spoilt(({ store }) => ({ ...store, unfinished: (after, limit) => store.unfinished(after, Math.min(limit, 5)) })),
    ["1.8", "3.3", "5.1", "5.2"],
  ],
  [
    "takes every bad end for a dead letter",
    Effect.map(MemoryStore.make, (handle) => ({
      ...handle,
      store: {
        ...handle.store,
        deadLetters: (afterSeq: number, limit: number) =>
          Effect.map(handle.reader.messages({ afterSeq, limit: 10_000 }), (rows) =>
            rows.filter(({ finishedAtMs, status }) => finishedAtMs !== null && status !== "done").slice(0, limit),
          ),
      },
    })),
    ["5.2", "5.8"],
  ],
  [
    "gives every actor's lifecycle for one's",
    Effect.map(MemoryStore.make, (handle) => ({
      ...handle,
      reader: {
        ...handle.reader,
        lifecycleOf: (_: Address, __: number, limit: number) => handle.reader.lifecycle(0, limit),
      },
    })),
    ["5.9"],
  ],
  [
    "takes what is due at the same time for read",
    spoilt(({ store }) => ({
      ...store,
      due: (afterMs, _, limit) => store.due(afterMs, Number.MAX_SAFE_INTEGER, limit),
    })),
    ["5.11"],
  ],
  [
    "counts what has not begun alone",
    spoilt(({ store }) => ({
      ...store,
      census: (afterSeq, limit) =>
        Effect.map(store.census(afterSeq, limit), (page) => page.filter(({ status }) => status === "pending")),
    })),
    ["5.10"],
  ],
  [
    "gives a seq that is to come for the last",
    spoilt(({ store }) => ({ ...store, lastSeq: Effect.map(store.lastSeq, (seq) => seq + 1) })),
    ["5.10"],
  ],
  [
    "pages from the wrong side",
    spoilt(({ store }) => ({
      ...store,
      unfinished: (after, limit) => store.unfinished(Math.max(0, after - 1), limit),
    })),
    ["5.1"],
  ],
]

describe("a store that", () => {
  it("keeps every promise fails nothing", async () => {
    expect(await failuresOf(MemoryStore.make)).toEqual([])
  })

  it.each(cases)("%s is caught", async (_, open, expected) => {
    const failed = await failuresOf(open)
    expect(failed).toEqual(expect.arrayContaining([...expected]))
  })

  it("forgets everything over a restart is caught", async () => {
    const forgetful: Effect.Effect<StoreUnderTest> = Effect.map(MemoryStore.make, (handle) => ({
      ...handle,
      reopen: Effect.andThen(
        handle.reopen,
        Effect.suspend(() => forgetful),
      ),
    }))
    expect(await failuresOf(forgetful)).toEqual(["5.6", "6.1"])
  })
})
