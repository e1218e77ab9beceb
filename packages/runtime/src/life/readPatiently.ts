/**
 * The boundary between a store that cannot be read for a while and whoever has all the time there is: reads again until it
 * can, for as long as the system lives.
 */
import { Effect } from "effect"
import type { ReadFailure } from "../ports/StoreFailure.ts"
import { backoffMs } from "../supervision/restartPolicy.ts"
import type { System } from "./System.ts"

const READ_BACKOFF = { baseMs: 20, factor: 2, maxMs: 1_000, jitter: 0.5 }

/** What was read; undefined where the store can no longer be used, which is logged. */
export const readPatiently = <A>(
  system: System,
  read: Effect.Effect<A, ReadFailure>,
  tries = 1,
): Effect.Effect<A | undefined> =>
  Effect.catch(read, (failure) =>
    Effect.gen(function* () {
      if (system.closed) return undefined
      if (failure._tag !== "RetryableStoreFailure") {
        if (failure.reason !== "closed") yield* Effect.logError(`The log can no longer be read: ${failure.message}`)
        return undefined
      }
      if (tries === 1)
        yield* Effect.logWarning(`The log cannot be read now: ${failure.message} Trying again until it can.`)
      yield* Effect.sleep(backoffMs(READ_BACKOFF, tries, system.random()))
      return yield* readPatiently(system, read, tries + 1)
    }),
  )
