/** The contract of what is remembered of actors for each other: watches; and of those that were held, or have crashed. */
import { Effect } from "effect"
import type { Address } from "../../message/Address.ts"
import type { DropWatch, PutWatch } from "../../ports/Write.ts"
import type { SuiteKit } from "./SuiteKit.ts"
import { BARISTA, CASHIER, lifecycleEvent, putActor, START_MS } from "./sampleWrites.ts"

const MANAGER: Address = { type: "manager", id: "1" }

const putWatch = (watched: Address, watcher: Address, linked = false, atMs = START_MS): PutWatch => ({
  _tag: "PutWatch",
  watched,
  watcher,
  linked,
  atMs,
})

const dropWatch = (watcher: Address, watched?: Address): DropWatch => ({ _tag: "DropWatch", watched, watcher })

const watches = ({ test, expect }: SuiteKit): void => {
  test("6.1 watches are found by the watched and by the watcher, in order, up to the limit", ({ store, reopen }) =>
    Effect.gen(function* () {
      yield* store.commit([putWatch(BARISTA, MANAGER), putWatch(BARISTA, CASHIER), putWatch(CASHIER, MANAGER)])
      const row = { watched: BARISTA, watcher: CASHIER, linked: false, atMs: START_MS }
      expect(yield* store.watches({ watched: BARISTA }, 10)).toEqual([row, { ...row, watcher: MANAGER }])
      expect(yield* store.watches({ watched: BARISTA }, 1)).toEqual([row])
      expect((yield* store.watches({ watcher: MANAGER }, 10)).map(({ watched }) => watched)).toEqual([BARISTA, CASHIER])
      expect(yield* store.watches({ watched: MANAGER }, 10)).toEqual([])
      const again = yield* reopen
      expect((yield* again.store.watches({ watcher: MANAGER }, 10)).length).toBe(2)
    }))

  test("6.2 a watch is there once, keeps its time, and may become a link, but not the other way round", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([putWatch(BARISTA, CASHIER), putWatch(BARISTA, CASHIER, true, START_MS + 1)])
      yield* store.commit([putWatch(BARISTA, CASHIER, false, START_MS + 2)])
      expect(yield* store.watches({ watched: BARISTA }, 10)).toEqual([
        { watched: BARISTA, watcher: CASHIER, linked: true, atMs: START_MS },
      ])
    }))

  test("6.3 one watch is dropped, or all of a watcher; what is not there is dropped already", ({ store }) =>
    Effect.gen(function* () {
      yield* store.commit([putWatch(BARISTA, MANAGER), putWatch(CASHIER, MANAGER), putWatch(BARISTA, CASHIER)])
      yield* store.commit([dropWatch(MANAGER, BARISTA), dropWatch(MANAGER, BARISTA)])
      expect((yield* store.watches({ watcher: MANAGER }, 10)).map(({ watched }) => watched)).toEqual([CASHIER])
      yield* store.commit([putWatch(BARISTA, MANAGER), dropWatch(MANAGER)])
      expect(yield* store.watches({ watcher: MANAGER }, 10)).toEqual([])
      expect((yield* store.watches({ watched: BARISTA }, 10)).length).toBe(1)
    }))

  test("6.4 watches of actors that have ended are those whose row says failed or stopped", ({ store }) =>
    Effect.gen(function* () {
      const other = { type: "barista", id: "2" }
      yield* store.commit([putWatch(BARISTA, MANAGER), putWatch(CASHIER, MANAGER), putWatch(other, MANAGER)])
      expect(yield* store.watches({ ended: true }, 10)).toEqual([])
      yield* store.commit([
        putActor(BARISTA, undefined, { lifecycle: "failed" }),
        putActor(CASHIER, undefined, { lifecycle: "restarting" }),
        putActor(other, undefined, { lifecycle: "stopped" }),
      ])
      const ended = yield* store.watches({ ended: true }, 10)
      expect(ended.map(({ watched }) => watched)).toEqual([BARISTA, other])
      expect((yield* store.watches({ ended: true }, 1)).length).toBe(1)
      yield* store.commit([putActor(BARISTA, undefined, { lifecycle: "ready" })])
      expect((yield* store.watches({ ended: true }, 10)).map(({ watched }) => watched)).toEqual([other])
    }))
}

const held = ({ test, expect }: SuiteKit): void => {
  test("6.5 suspended actors come by address, in pages, and no others", ({ store }) =>
    Effect.gen(function* () {
      const suspended = { lifecycle: "suspended" }
      const ids = ["b", "a", "c"]
      yield* store.commit([
        ...ids.map((id) => putActor({ type: "barista", id }, `"${id}"`, suspended)),
        putActor({ type: "zebra", id: "a" }, null, suspended),
        putActor(CASHIER, null),
      ])
      const keys = (after: Address | undefined, limit: number) =>
        Effect.map(store.suspended(after, limit), (rows) => rows.map(({ address }) => `${address.type}/${address.id}`))
      expect(yield* keys(undefined, 2)).toEqual(["barista/a", "barista/b"])
      expect(yield* keys({ type: "barista", id: "b" }, 10)).toEqual(["barista/c", "zebra/a"])
      expect(yield* keys({ type: "zebra", id: "a" }, 10)).toEqual([])
      expect((yield* store.suspended(undefined, 1))[0]).toEqual(yield* store.actor({ type: "barista", id: "a" }))
      yield* store.commit([putActor({ type: "barista", id: "a" }, undefined, { lifecycle: "ready" })])
      expect(yield* keys(undefined, 1)).toEqual(["barista/b"])
    }))

  test("6.6 crashes of an actor are the latest after a time, the earliest first", ({ store }) =>
    Effect.gen(function* () {
      const crash = (afterMs: number, address = BARISTA, event = "CRASHED") => ({
        ...lifecycleEvent("ready", "restarting"),
        address,
        event,
        atMs: START_MS + afterMs,
      })
      yield* store.commit([crash(1), crash(2), crash(3), crash(3, CASHIER), crash(4, BARISTA, "RESTART"), crash(5)])
      const after = (afterMs: number, limit = 10) =>
        Effect.map(store.crashes(BARISTA, START_MS + afterMs, limit), (times) => times.map((time) => time - START_MS))
      expect(yield* after(0)).toEqual([1, 2, 3, 5])
      expect(yield* after(2)).toEqual([3, 5])
      expect(yield* after(0, 2)).toEqual([3, 5])
      expect(yield* after(5)).toEqual([])
    }))
}

export const actorSection = (kit: SuiteKit): void => {
  watches(kit)
  held(kit)
}
