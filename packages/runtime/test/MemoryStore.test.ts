import { Effect } from "effect"
import { expect, it } from "vitest"
import { FaultyStore, faultsAt, MemoryStore } from "../src/testing/index.ts"

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
