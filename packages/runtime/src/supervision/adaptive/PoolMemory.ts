/**
 * The boundary between a pool's traffic and its decisions: holds what is remembered of every target, is told what becomes
 * of each message, and says what is known when one is to be decided on. The only thing here that changes; what it calls is
 * pure.
 */
import type { LifecycleState } from "../../actor/lifecycle.ts"
import { ADMIT_SHARE, nextShare } from "./admit.ts"
import { type Belief, believe, crossed, nextFreeMs, type Population, populationOf, WARM_ANSWERS } from "./believe.ts"
import type { Candidate, Evidence, MessageFacts, Prediction } from "./Evidence.ts"
import * as signals from "./signals.ts"
import { type HealthEvent, type HealthState, stepHealth } from "./targetHealth.ts"

export interface PoolTarget {
  /** Its address in written form. */
  readonly target: string
  readonly tier: number
  readonly slots: number
  readonly costPerMessage?: number
}

export interface PoolTerms {
  readonly name: string
  readonly policy: string
  readonly tierPenaltyMs: number
  /** Retries and moves for each message that comes, on average. */
  readonly retryShare: number
  /** Hedges for each message that comes, on average. */
  readonly hedgeShare: number
}

/** A target's standing has changed. */
export interface HealthChange {
  readonly target: string
  readonly from: HealthState
  readonly to: HealthState
  readonly event: HealthEvent["type"]
  readonly reason: string
  readonly atMs: number
}

/** What a budget holds at most: that a pool which has had no trouble can answer some at once. */
const RETRIES_MAX = 20
const HEDGES_MAX = 5
/** Share that one more message has in what messages usually have until their deadline. */
const BUDGET_SHARE = 0.05

interface Target extends PoolTarget {
  signals: signals.Signals
}

export class PoolMemory {
  readonly #terms: PoolTerms
  readonly #targets: ReadonlyMap<string, Target>
  readonly #list: ReadonlyArray<Target>
  readonly #changed: (change: HealthChange) => void
  #retries = RETRIES_MAX
  #hedges: number
  #budgetMs: number | undefined
  #admitShare = ADMIT_SHARE
  /** Messages that were admitted to wait, and what their chance would have been without, by id. */
  readonly #waiting = new Map<string, number>()
  #turn = 0

  /** @param changed told of every change of a target's standing */
  constructor(
    terms: PoolTerms,
    targets: ReadonlyArray<PoolTarget>,
    nowMs: number,
    changed: (change: HealthChange) => void = () => {},
  ) {
    this.#terms = terms
    this.#hedges = terms.hedgeShare > 0 ? HEDGES_MAX : 0
    this.#list = targets.map((target) => ({ ...target, signals: signals.freshSignals(nowMs) }))
    this.#targets = new Map(this.#list.map((target) => [target.target, target]))
    this.#changed = changed
  }

  signalsOf(target: string): signals.Signals | undefined {
    return this.#targets.get(target)?.signals
  }

  /** A message came to the pool. @param leftMs until its deadline; null without one */
  arrived(leftMs: number | null): void {
    this.#retries = Math.min(RETRIES_MAX, this.#retries + this.#terms.retryShare)
    this.#hedges = Math.min(HEDGES_MAX, this.#hedges + this.#terms.hedgeShare)
    if (leftMs === null || leftMs <= 0) return
    this.#budgetMs = this.#budgetMs === undefined ? leftMs : this.#budgetMs + BUDGET_SHARE * (leftMs - this.#budgetMs)
  }

  /** A message was given to a target. */
  admitted(messageId: string, { inTimeIdle, waitMs }: Prediction): void {
    if (waitMs > 0) this.#waiting.set(messageId, inTimeIdle)
  }

  /** A message is over. @param wasInTime undefined where its sender ended it */
  settled(messageId: string, wasInTime: boolean | undefined): void {
    const inTimeIdle = this.#waiting.get(messageId)
    if (inTimeIdle === undefined) return
    this.#waiting.delete(messageId)
    if (wasInTime !== undefined) this.#admitShare = nextShare(this.#admitShare, inTimeIdle, wasInTime)
  }

  /** A retry or a move was carried out. */
  retried(): void {
    this.#retries = Math.max(0, this.#retries - 1)
  }

  hedged(): void {
    this.#hedges = Math.max(0, this.#hedges - 1)
  }

  assigned(target: string): void {
    this.#update(target, signals.assigned)
  }

  withdrawn(target: string): void {
    this.#update(target, signals.withdrawn)
  }

  began(target: string, messageId: string, nowMs: number, waitedMs = 0): void {
    this.#update(target, (each) => signals.began(each, messageId, nowMs, waitedMs))
  }

  succeeded(target: string, messageId: string, tookMs: number, nowMs: number): void {
    this.#update(target, (each) => {
      const next = signals.succeeded(each, messageId, tookMs, nowMs)
      return next.health.state === "warming"
        ? { ...next, health: { ...next.health, warm: next.health.warm + 1 } }
        : next
    })
    const found = this.#targets.get(target)
    if (found === undefined) return
    this.#look(found, nowMs)
    if (found.signals.health.state === "probing") this.#step(found, { type: "PROBE_PASSED" }, undefined, nowMs)
  }

  failed(target: string, messageId: string, nowMs: number): void {
    this.#update(target, (each) => signals.failed(each, messageId, nowMs))
    this.#lookAt(target, nowMs)
  }

  /** @see signals.released */
  released(target: string, messageId: string, terminal = false): void {
    this.#update(target, (each) => signals.released(each, messageId, terminal))
  }

  /** @see signals.cutShort */
  cutShort(target: string, messageId: string, ageMs: number, nowMs: number): void {
    this.#update(target, (each) => signals.cutShort(each, messageId, ageMs))
    const found = this.#targets.get(target)
    if (found?.signals.health.state === "probing") this.#step(found, { type: "USELESS", atMs: nowMs }, undefined, nowMs)
    else this.#lookAt(target, nowMs)
  }

  /** What is known now. @param lifecycleOf what a target is doing; `tried` are those that failed the message */
  evidence(
    message: MessageFacts,
    lifecycleOf: (target: string) => LifecycleState,
    tried: ReadonlySet<string>,
    nowMs: number,
  ): Evidence {
    const candidates = this.#list.map((each) => this.#candidate(each, lifecycleOf(each.target), tried, nowMs))
    const { name, policy, tierPenaltyMs } = this.#terms
    const retriesLeft = Math.floor(this.#retries)
    const hedgesLeft = Math.floor(this.#hedges)
    const admitShare = Math.round(this.#admitShare * 10_000) / 10_000
    const pool = { name, policy, tierPenaltyMs, retriesLeft, hedgesLeft, admitShare, turn: this.#turn++ }
    return { nowMs, pool, message, candidates }
  }

  #candidate(each: Target, lifecycle: LifecycleState, tried: ReadonlySet<string>, nowMs: number): Candidate {
    const belief = this.#look(each, nowMs)
    const { firstTokenMs, health, outstanding, perTokenMs, queueMs } = each.signals
    const warming = health.state === "warming" || health.state === "probing"
    return {
      target: each.target,
      lifecycle,
      health: health.state,
      tier: each.tier,
      slots: warming ? Math.min(each.slots, 1 + Math.floor((health.warm * each.slots) / WARM_ANSWERS)) : each.slots,
      outstanding,
      ...belief,
      oldestRunningMs: Math.round(signals.oldestRunningMs(each.signals, nowMs)),
      ...(each.signals.runningSinceMs.size >= each.slots
        ? { nextFreeMs: Math.round(nextFreeMs(each.signals, belief, nowMs) * 10) / 10 }
        : {}),
      tried: tried.has(each.target),
      ...(queueMs > 0 ? { queueMs: Math.round(queueMs) } : {}),
      ...(firstTokenMs === undefined ? {} : { firstTokenMs: Math.round(firstTokenMs) }),
      ...(perTokenMs === undefined ? {} : { perTokenMs: Math.round(perTokenMs) }),
      ...(each.costPerMessage === undefined ? {} : { costPerMessage: each.costPerMessage }),
    }
  }

  #lookAt(target: string, nowMs: number): void {
    const found = this.#targets.get(target)
    if (found !== undefined) this.#look(found, nowMs)
  }

  /** What is believed of a target; steps its standing where that has crossed a threshold. */
  #look(each: Target, nowMs: number): Belief {
    const others = this.#list.filter((other) => other !== each && other.tier === each.tier)
    const usual: Population | undefined = populationOf(others.map((other) => other.signals))
    const belief = believe(each.signals, usual, nowMs)
    const event = crossed(each.signals, belief, usual, this.#budgetMs, nowMs)
    if (event !== undefined) this.#step(each, event, belief, nowMs)
    return belief
  }

  #step(each: Target, event: HealthEvent, belief: Belief | undefined, nowMs: number): void {
    const { health } = each.signals
    const next = stepHealth(health, event)
    if (next === health) return
    const { consecutiveFailures } = each.signals
    // What it was does not count when it is tried again: the probe decides.
    const anew = next.state === "probing" ? { samples: 0, consecutiveFailures: 0, good: 0, bad: 0 } : {}
    each.signals = { ...each.signals, ...anew, health: next }
    if (next.state === health.state) return
    const known =
      belief === undefined ? "" : `${Math.round(belief.serviceMs)} ms, ${Math.round(belief.success * 100)} % succeed`
    const reason = `${known}${consecutiveFailures > 0 ? `, ${consecutiveFailures} failures in a row` : ""}`
    this.#changed({ target: each.target, from: health.state, to: next.state, event: event.type, reason, atMs: nowMs })
  }

  #update(target: string, change: (each: signals.Signals) => signals.Signals): void {
    const found = this.#targets.get(target)
    if (found !== undefined) found.signals = change(found.signals)
  }
}
