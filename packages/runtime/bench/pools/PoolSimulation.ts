/**
 * The boundary between a scenario and a router: a discrete-event simulation of one pool. Each target has slots and a queue
 * before them; a message arrives, is placed, waits, runs, and ends in an answer or not. Everything comes from the seed, and
 * the draws of a message's attempts are the same whoever routes it.
 */
import { mulberry32 } from "../../src/life/mulberry32.ts"
import { EventQueue } from "./EventQueue.ts"
import type { AttemptEnd, Placement, PoolView, Review, Router } from "./Router.ts"
import { type Scenario, SERVICE_MS, SIGMA, SLOTS } from "./Scenario.ts"
import { type Attempt, DRAWS, SimMessage, SimTarget } from "./SimMessage.ts"
import type { Truth } from "./Truth.ts"

/** How long the simulation goes on after what it measures, in milliseconds: what has arrived may end. */
const AFTER_MS = 20_000

export class PoolSimulation implements PoolView {
  readonly scenario: Scenario
  readonly router: Router
  readonly targets: ReadonlyArray<SimTarget>
  readonly messages: Array<SimMessage> = []
  /** When a new attempt was sent where: pairs of time and target. */
  readonly sent: Array<{ readonly atMs: number; readonly target: number }> = []
  /** For the router's own choices; what happens does not depend on it. */
  readonly random: () => number
  nowMs = 0
  readonly #events = new EventQueue()
  readonly #chance: () => number

  constructor(scenario: Scenario, router: Router, seed: number) {
    this.scenario = scenario
    this.router = router
    this.targets = Array.from({ length: scenario.targets }, () => new SimTarget())
    this.#chance = mulberry32(seed)
    this.random = mulberry32(~seed)
  }

  /** Runs to the end. */
  run(): this {
    for (const change of this.scenario.changes) this.#events.plan(change.atMs, () => this.#change(change))
    this.#arriveNext(0)
    const endMs = this.scenario.untilMs + AFTER_MS
    for (let next = this.#events.take(); next !== undefined && next.atMs <= endMs; next = this.#events.take()) {
      this.nowMs = next.atMs
      next.happen()
    }
    return this
  }

  /** Looks again at everything that waits or runs at a target. */
  reviewAll(target: number): void {
    const { queue, running } = this.targets[target]!
    for (const attempt of [...running, ...queue]) this.#review(attempt)
  }

  /** Thinning (Lewis and Shedler, 1979): arrivals of a rate that changes. */
  #arriveNext(fromMs: number): void {
    const { ratePerS, ratePerSMax, untilMs } = this.scenario
    let atMs = fromMs
    do atMs -= (Math.log(1 - this.#chance()) * 1_000) / ratePerSMax
    while (this.#chance() * ratePerSMax > ratePerS(atMs))
    if (atMs > untilMs) return
    const draws = Array.from({ length: DRAWS }, () => ({
      serviceMs: SERVICE_MS * Math.exp(SIGMA * this.#normal()),
      fails: this.#chance(),
      odd: this.#chance(),
    }))
    this.#events.plan(atMs, () => {
      const message = new SimMessage(this.messages.length, atMs, draws)
      this.messages.push(message)
      this.#arriveNext(atMs)
      this.#events.plan(message.deadlineAtMs, () => this.#deadline(message))
      this.#place(message)
    })
  }

  /** Box and Muller. */
  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#chance())) * Math.cos(2 * Math.PI * this.#chance())
  }

  #place(message: SimMessage): void {
    if (message.ended !== undefined) return
    const placement: Placement = this.router.place(this, message)
    if (placement._tag === "To") this.#assign(message, placement.target, placement.reviewAfterMs)
    else if (placement._tag === "Later") this.#events.plan(this.nowMs + placement.waitMs, () => this.#place(message))
    else {
      message.retryAfterMs = placement.retryAfterMs
      this.#end(message, "refused")
    }
  }

  #assign(message: SimMessage, target: number, reviewAfterMs: number | undefined): void {
    const draw = message.draws[message.attempts.length % DRAWS]!
    const attempt: Attempt = {
      message,
      target,
      draw,
      startedAtMs: undefined,
      leftMs: draw.serviceMs,
      pacedAtMs: 0,
      failing: false,
      odd: false,
      plan: 0,
      over: false,
    }
    message.attempts.push(attempt)
    this.sent.push({ atMs: this.nowMs, target })
    this.router.assigned?.(this, message, target)
    if (reviewAfterMs !== undefined) this.#reviewLater(attempt, reviewAfterMs)
    const { queue, running } = this.targets[target]!
    if (running.size < SLOTS && queue.length === 0) this.#begin(attempt)
    else queue.push(attempt)
  }

  #begin(attempt: Attempt): void {
    const target = this.targets[attempt.target]!
    const { failShare, failsAfterMs, oddShare } = target.truth
    target.running.add(attempt)
    attempt.startedAtMs = this.nowMs
    attempt.failing = attempt.draw.fails < failShare
    attempt.odd = attempt.draw.odd < oddShare
    if (attempt.failing) attempt.leftMs = failsAfterMs
    this.router.began?.(this, attempt.message, attempt.target)
    this.#pace(attempt)
  }

  #paceOf({ failing, odd, target }: Attempt): number {
    const { hangs, oddSlowdown, slowdown } = this.targets[target]!.truth
    if (hangs) return 0
    return failing ? 1 : 1 / (slowdown * (odd ? oddSlowdown : 1))
  }

  /** Plans the end of an attempt at the pace that its target has now. */
  #pace(attempt: Attempt): void {
    const plan = ++attempt.plan
    attempt.pacedAtMs = this.nowMs
    const pace = this.#paceOf(attempt)
    if (pace === 0) return
    this.#events.plan(this.nowMs + attempt.leftMs / pace, () => {
      if (attempt.over || attempt.plan !== plan) return
      if (attempt.failing) this.#failed(attempt)
      else this.#answered(attempt)
    })
  }

  #change({ target, truth }: { readonly target: number; readonly truth: Truth }): void {
    const changed = this.targets[target]!
    for (const attempt of changed.running) {
      attempt.leftMs -= (this.nowMs - attempt.pacedAtMs) * this.#paceOf(attempt)
      attempt.pacedAtMs = this.nowMs
    }
    changed.truth = truth
    for (const attempt of changed.running) this.#pace(attempt)
    this.router.changed?.(this, target)
  }

  #answered(attempt: Attempt): void {
    this.#over(attempt, "answered")
    attempt.message.usefulMs = this.nowMs - (attempt.startedAtMs ?? this.nowMs)
    for (const other of attempt.message.open) this.#over(other, "cancelled")
    if (attempt.message.ended === undefined) this.#end(attempt.message, "answered")
  }

  #failed(attempt: Attempt): void {
    const { message } = attempt
    message.failedOn.add(attempt.target)
    this.#over(attempt, "failed")
    if (message.ended !== undefined || message.open.length > 0) return
    if (message.attempts.length >= this.router.attemptsMax) this.#end(message, "failed")
    else this.#place(message)
  }

  #deadline(message: SimMessage): void {
    if (message.ended !== undefined || !this.router.cancelsAtDeadline) return
    for (const attempt of message.open) this.#over(attempt, "expired")
    this.#end(message, "failed")
  }

  #end(message: SimMessage, end: "answered" | "failed" | "refused"): void {
    message.ended = end
    message.endedAtMs = this.nowMs
    this.router.settled?.(this, message, end === "answered" && this.nowMs <= message.deadlineAtMs)
  }

  #over(attempt: Attempt, end: AttemptEnd): void {
    const { message, startedAtMs, target } = attempt
    const place = this.targets[target]!
    attempt.over = true
    if (startedAtMs === undefined) place.queue = place.queue.filter((each) => each !== attempt)
    else {
      message.workMs += this.nowMs - startedAtMs
      place.running.delete(attempt)
    }
    this.router.ended?.(this, message, target, end, startedAtMs)
    while (place.running.size < SLOTS) {
      const next = place.queue.shift()
      if (next === undefined) break
      this.#begin(next)
    }
  }

  #reviewLater(attempt: Attempt, afterMs: number): void {
    this.#events.plan(this.nowMs + afterMs, () => this.#review(attempt))
  }

  #review(attempt: Attempt): void {
    const { message, startedAtMs, target } = attempt
    if (attempt.over || this.router.review === undefined) return
    const review: Review = this.router.review(this, message, target, startedAtMs)
    if (review._tag === "Stay") {
      if (review.reviewAfterMs !== undefined) this.#reviewLater(attempt, review.reviewAfterMs)
      return
    }
    if (review._tag === "Hedge") message.hedged = true
    else this.#over(attempt, "cancelled")
    this.#assign(message, review.target, review.reviewAfterMs)
  }
}
