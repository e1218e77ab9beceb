/**
 * The boundary between a scenario and death: runs it once for every commit that it makes, and dies when that commit is
 * written and nobody is told; then a new system finds the log, and the scenario must come out the same. (To die before a
 * commit leaves the log of the one before it.)
 */
import { type Actor, MessageStore } from "@pontoon/runtime"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { makeWorld, turns, type World } from "./World.ts"

type Store = MessageStore["Service"]

/** A scenario that does not end within so many commits goes round in circles. */
const COMMITS_MAX = 200

/** Applies the first `last` commits, but for the last one where it dies `before`; never answers one from `last` on. */
const dyingStore = (store: Store, last: number, before: boolean, reached: () => void): Store => {
  let count = 0
  return MessageStore.of({
    ...store,
    commit: (writes) =>
      Effect.suspend(() => {
        count++
        if (count < last) return store.commit(writes)
        reached()
        return count === last && !before ? Effect.andThen(store.commit(writes), Effect.never) : Effect.never
      }),
  })
}

export interface Scenario<A extends Actor.AnyActor> {
  readonly actors: ReadonlyArray<A>
  /** Sends; runs again after the death, so it must use idempotency keys. */
  readonly drive: (world: World) => Effect.Effect<unknown, unknown>
  /**
   * Whether it dies before the commit is written and not after. That leaves the log of the commit before; but what was done
   * outside since is done. Default false.
   */
  readonly before?: boolean
  /** How much time passes before and after the death, in milliseconds. */
  readonly lastsMs?: number
  readonly check: (world: World, died: number) => Effect.Effect<void>
}

/** Gives how often it died. */
export const everyCommit = <A extends Actor.AnyActor>({
  actors,
  before = false,
  check,
  drive,
  lastsMs = 0,
}: Scenario<A>) =>
  Effect.gen(function* () {
    for (let last = 1; last <= COMMITS_MAX; last++) {
      let died = false
      const world = yield* makeWorld({
        actors,
        wrap: (store) => dyingStore(store, last, before, () => (died = true)),
      })
      const run = Effect.gen(function* () {
        yield* Effect.forkDetach(Effect.ignore(drive(world)))
        for (let step = 0; step < 4; step++) {
          yield* turns
          yield* TestClock.adjust(lastsMs / 4)
        }
        yield* turns
      })
      yield* run
      if (!died) return last - 1
      // Half of them die again, soon after they have come back.
      const second = last % 2 === 0 ? Number.POSITIVE_INFINITY : 1 + (last % 4)
      yield* world.crashInto({ actors, wrap: (store) => dyingStore(store, second, before, () => {}) })
      yield* run
      yield* world.crashInto({ actors })
      yield* run
      // Past every backoff of a message that was running.
      yield* TestClock.adjust(60_000)
      yield* turns
      yield* check(world, last)
    }
    throw new Error(`the scenario makes more than ${COMMITS_MAX} commits`)
  })
