/**
 * The boundary to time: calls a function later. At a time, by the system's clock, however that is set meanwhile; or after
 * a while, whatever a clock says: a wait of 100 ms is not an hour because somebody set the clock back.
 */
import { Effect } from "effect"
import type { System } from "./System.ts"

/** How often whoever waits for a time looks at the clock, which may have jumped; in milliseconds of elapsed time. */
export const CLOCK_LOOK_MS = 30_000
/** Node's timers end at 2^31 - 1 ms (25 days); a later alarm is set again on the way. */
const SLEEP_MAX_MS = 2_147_483_647

/** Calls `then` at `atMs` (milliseconds since the epoch), or in a later turn if that has passed; the result takes it back. */
export const alarm = (system: System, atMs: number, then: () => void): (() => void) => {
  const wait = Effect.gen(function* () {
    // Not at once, even where the time has come: the caller is not done with what it is doing.
    yield* Effect.yieldNow
    for (let leftMs = atMs - system.now(); leftMs > 0; leftMs = atMs - system.now()) {
      yield* Effect.sleep(Math.min(leftMs, CLOCK_LOOK_MS))
    }
  })
  return set(system, wait, then)
}

/** Calls `then` when `waitMs` have passed, in a later turn at the earliest; the result takes it back. */
export const after = (system: System, waitMs: number, then: () => void): (() => void) =>
  set(system, Effect.andThen(Effect.yieldNow, Effect.sleep(Math.min(waitMs, SLEEP_MAX_MS))), then)

const set = (system: System, wait: Effect.Effect<void>, then: () => void): (() => void) => {
  const fiber = system.fork(Effect.andThen(wait, Effect.sync(then)))
  system.alarms.add(fiber)
  fiber.addObserver(() => system.alarms.delete(fiber))
  return () => fiber.interruptUnsafe()
}
