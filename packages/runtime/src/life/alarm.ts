/**
 * The boundary to time: calls a function later, on the system's clock.
 */
import { Effect } from "effect"
import type { System } from "./System.ts"

/** Node's timers end at 2^31 - 1 ms (25 days); a later alarm is set again on the way. */
const SLEEP_MAX_MS = 2_147_483_647

/** Calls `then` at `atMs` (milliseconds since the epoch), or in a later turn if that has passed; the result takes it back. */
export const alarm = (system: System, atMs: number, then: () => void): (() => void) => {
  const fiber = system.fork(
    Effect.gen(function* () {
      // Not at once, even where the time has come: the caller is not done with what it is doing.
      yield* Effect.yieldNow
      for (let leftMs = atMs - system.now(); leftMs > 0; leftMs = atMs - system.now()) {
        yield* Effect.sleep(Math.min(leftMs, SLEEP_MAX_MS))
      }
      then()
    }),
  )
  system.alarms.add(fiber)
  fiber.addObserver(() => system.alarms.delete(fiber))
  return () => fiber.interruptUnsafe()
}
