/**
 * The boundary between a store that cannot be read for a while and whoever has all the time there is: reads again until it
 * can, for as long as the system lives.
 */
import { Effect } from "effect"
import { type ReadFailure, RetryableStoreFailure } from "../ports/StoreFailure.ts"
import { backoffMs } from "../supervision/restartPolicy.ts"
import type { System } from "./System.ts"

const READ_BACKOFF = { baseMs: 20, factor: 2, maxMs: 1_000, jitter: 0.5 }

/** What was read, once it can be; fails where it never will, or the system closes first. */
export const readUntilItCan = <A, E>(
  system: System,
  read: Effect.Effect<A, E | ReadFailure>,
  tries = 1,
): Effect.Effect<A, E | ReadFailure> =>
  Effect.catchIf(
    read,
    (failure): failure is RetryableStoreFailure => failure instanceof RetryableStoreFailure,
    (failure) =>
      Effect.gen(function* () {
        if (system.closed) return yield* failure
        if (tries === 1) {
          yield* Effect.logWarning(`The log cannot be read now: ${failure.message} Trying again until it can.`)
        }
        yield* Effect.sleep(backoffMs(READ_BACKOFF, tries, system.random()))
        return yield* readUntilItCan(system, read, tries + 1)
      }),
  )

/** What was read; undefined where the store can no longer be used, which is logged. */
export const readPatiently = <A>(system: System, read: Effect.Effect<A, ReadFailure>): Effect.Effect<A | undefined> =>
  Effect.catch(readUntilItCan(system, read), (failure) => {
    if (failure._tag === "RetryableStoreFailure" || failure.reason === "closed") return Effect.undefined
    return Effect.as(Effect.logError(`The log can no longer be read: ${failure.message}`), undefined)
  })
