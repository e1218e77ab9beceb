/**
 * The boundary to a disk that misbehaves on purpose: a `MessageStore` whose chosen commits are refused, answered late or
 * never answered, by a plan that a test writes down.
 */
import { Effect } from "effect"
import { MessageStore } from "../ports/MessageStore.ts"
import { RetryableStoreFailure } from "../ports/StoreFailure.ts"
import type { Write } from "../ports/Write.ts"

/**
 * What befalls one commit:
 * `refuse`  nothing is applied, it fails with a `RetryableStoreFailure` of that reason;
 * `late`    it is applied in its place, and its caller is told `delayMs` later by the Clock;
 * `silent`  it is applied in its place, and its caller is never told.
 */
export type Fault =
  | { readonly _tag: "refuse"; readonly reason: "busy" | "full" | "io" }
  | { readonly _tag: "late"; readonly delayMs: number }
  | { readonly _tag: "silent" }

/** The fault of the `nth` commit (from 1 on, over the life of the wrapped store), or none. */
export type FaultPlan = (nth: number, writes: ReadonlyArray<Write>) => Fault | undefined

/** A plan that lists its faults by the commit's number. */
export const faultsAt =
  (faults: Readonly<Record<number, Fault>>): FaultPlan =>
  (nth) =>
    faults[nth]

const refuse = (nth: number, reason: "busy" | "full" | "io") =>
  new RetryableStoreFailure({
    reason,
    message: `Commit ${nth} was refused by the test's plan (${reason}); nothing of it was applied.`,
    cause: undefined,
  })

export interface FaultyStoreHandle {
  readonly store: MessageStore["Service"]
  /** How many commits have been asked for. */
  readonly commits: () => number
}

/** Wraps `store`; reads pass through untouched. */
const wrap = (store: MessageStore["Service"], plan: FaultPlan): FaultyStoreHandle => {
  let count = 0
  const commit: MessageStore["Service"]["commit"] = (writes) =>
    Effect.suspend(() => {
      const nth = ++count
      const fault = plan(nth, writes)
      if (fault === undefined) return store.commit(writes)
      switch (fault._tag) {
        case "refuse":
          return Effect.fail(refuse(nth, fault.reason))
        case "late":
          return Effect.tap(store.commit(writes), Effect.sleep(fault.delayMs))
        case "silent":
          return Effect.andThen(store.commit(writes), Effect.never)
      }
    })
  return { store: MessageStore.of({ ...store, commit }), commits: () => count }
}

export const FaultyStore = { wrap }
