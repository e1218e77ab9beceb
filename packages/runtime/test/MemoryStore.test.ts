import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect, it } from "vitest"
import { append, FaultyStore, faultsAt, MemoryStore, messageStoreSuite } from "../src/testing/index.ts"

it("keeps its data over a crash, and the dead handle refuses everything", () =>
  Effect.gen(function* () {
    const first = yield* MemoryStore.make
    const address = { type: "barista", id: "1" }
    yield* first.store.commit([
      { _tag: "PutActor", address, lifecycle: "ready", state: "1", version: 1, restarts: 0, atMs: 5 },
    ])
    const second = yield* first.reopen
    expect((yield* second.store.actor(address))?.state).toBe("1")
    const refused = yield* Effect.flip(first.store.commit([]))
    expect(refused).toMatchObject({ _tag: "TerminalStoreFailure", reason: "closed" })
  }).pipe(Effect.runPromise))

it("FaultyStore refuses the commits of its plan and no others", () =>
  Effect.gen(function* () {
    const { store } = yield* MemoryStore.make
    const faulty = FaultyStore.wrap(store, faultsAt({ 2: { _tag: "refuse", reason: "full" } }))
    yield* faulty.store.commit([])
    expect(yield* Effect.flip(faulty.store.commit([]))).toMatchObject({
      _tag: "RetryableStoreFailure",
      reason: "full",
    })
    yield* faulty.store.commit([])
    expect(faulty.commits()).toBe(3)
  }).pipe(Effect.runPromise))

it("FaultyStore applies a late or silent commit in its place, and tells its caller later or never", () =>
  Effect.gen(function* () {
    const { store } = yield* MemoryStore.make
    const plan = faultsAt({ 1: { _tag: "late", delayMs: 1_000 }, 2: { _tag: "silent" } })
    const faulty = FaultyStore.wrap(store, plan)
    const late = yield* Effect.forkChild(faulty.store.commit([append("A")]), { startImmediately: true })
    const silent = yield* Effect.forkChild(faulty.store.commit([append("B")]), { startImmediately: true })
    yield* faulty.store.commit([append("C")])
    expect((yield* store.unfinished(0, 10)).map(({ id }) => id)).toEqual(["A", "B", "C"])
    expect(late.pollUnsafe()).toBe(undefined)
    yield* TestClock.adjust(1_000)
    yield* Fiber.join(late)
    yield* TestClock.adjust(1_000_000)
    expect(silent.pollUnsafe()).toBe(undefined)
  }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise))

messageStoreSuite({ describe, expect, it }, "MemoryStore", MemoryStore.make)
