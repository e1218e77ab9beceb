/**
 * The boundary between a name and the actors behind it: a pool is a set of actors that can answer the same tasks. A
 * message to a pool goes to one of them, and to another when that one fails.
 */

import { checkAddress } from "../actor/Actor.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import { isPolicy, POLICY_NAMES, type PolicyName } from "./adaptive/policies.ts"

export interface PoolTargetOptions<T extends AnyTask> {
  readonly ref: Ref<T>
  readonly tier: number
  /** What a message costs there, in any unit that is the same for all; for the policy `price`. Default 0. */
  readonly costPerMessage?: number
}

export interface PoolOptions<T extends AnyTask> {
  /** The actors of the pool, at least one; `tier` 0 (default) is preferred, 1 a fallback, and so on. Started with the system. */
  readonly targets: ReadonlyArray<Ref<T> | PoolTargetOptions<T>>
  /**
   * What going one tier down costs, in milliseconds of expected latency. Default 1,000. Raising it keeps messages at the
   * preferred tier for longer when that is slow.
   */
  readonly tierPenaltyMs?: number
  /**
   * How a target is chosen among those that are open. Default `score`: by when the message would end there, and how surely.
   * Also `round-robin`, `least-outstanding`, `two-choices` (pools of dozens), `session` (a sender's messages stay together
   * until that costs twice as much), `price` (the lowest `costPerMessage` of those in time).
   */
  readonly policy?: PolicyName
}

/** A pool as the runtime sees it. */
export interface AnyPool {
  readonly name: string
  readonly tierPenaltyMs: number
  readonly policy: PolicyName
  readonly targets: ReadonlyArray<{
    readonly ref: Ref<AnyTask>
    readonly tier: number
    readonly costPerMessage?: number
  }>
}

export interface Pool<out T extends AnyTask> extends AnyPool {
  /** Names the pool in `ask`, `tell` and `stream`. */
  readonly ref: Ref<T>
}

/** Long enough that a preferred target's ordinary queue does not push a message to a worse model. */
const TIER_PENALTY_MS = 1_000

export const makePool = <T extends AnyTask>(name: string, options: PoolOptions<T>): Pool<T> => {
  checkAddress({ type: name, id: "x" })
  const targets = options.targets.map((target) => ("ref" in target ? target : { ref: target, tier: 0 }))
  const first = targets[0]
  if (first === undefined) throw new Error(`The pool ${name} has no targets; give it at least one.`)
  const { policy = "score" } = options
  if (!isPolicy(policy)) {
    throw new Error(`The pool ${name} has the policy ${String(policy)}; take one of ${POLICY_NAMES.join(", ")}.`)
  }
  return {
    name,
    policy,
    tierPenaltyMs: options.tierPenaltyMs ?? TIER_PENALTY_MS,
    targets,
    ref: { kind: "pool", type: name, id: "", tasks: first.ref.tasks },
  }
}
