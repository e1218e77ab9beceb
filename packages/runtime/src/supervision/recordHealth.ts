/**
 * The boundary between a target's standing in its pool and the log: each change is a line of `lifecycle_events`, under the
 * pool's name and the target's address, written when the store can; nobody waits for it.
 */
import { Effect } from "effect"
import { commitPatiently } from "../life/commit.ts"
import { isOver } from "../life/reply.ts"
import type { System } from "../life/System.ts"
import type { HealthChange } from "./adaptive/PoolMemory.ts"

export const recordHealth = (system: System, pool: string, change: HealthChange): void => {
  const { atMs, event, from, reason, target, to } = change
  const written = commitPatiently(system, [
    { _tag: "LifecycleEvent", address: { type: pool, id: target }, from, to, event, reason, atMs },
  ])
  system.fork(
    Effect.asVoid(written).pipe(
      Effect.catch((failure) =>
        isOver(system, failure)
          ? Effect.void
          : Effect.logError(`The standing of ${target} in ${pool} was not written: ${failure.message}`),
      ),
      Effect.uninterruptible,
    ),
  )
}
