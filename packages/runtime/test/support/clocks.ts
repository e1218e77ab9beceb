/** The boundary between a test and the time in it: time that passes in steps, and a wall clock that somebody sets. */
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { turns } from "./World.ts"

/** Lets time pass in steps, as it does, with everything done that is due. */
export const pass = (ms: number, stepMs = 10_000) =>
  Effect.gen(function* () {
    for (let left = ms; left > 0; left -= stepMs) {
      yield* TestClock.adjust(Math.min(left, stepMs))
      yield* turns
    }
  })

/** A wall clock that somebody sets, over time that passes as it does. */
export const steppedClock = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const wall = { setMs: 0 }
  const now = () => clock.currentTimeMillisUnsafe() + wall.setMs
  // Still the test's clock to whoever adjusts it.
  const stepped: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now),
  })
  return { stepped, wall }
})
