/**
 * The boundary between a seed and a plan: draws what will happen. Every number here is a guess at what makes things meet:
 * few actors, so that messages wait for each other; short times beside the disk's, so that deaths fall between commits.
 */
import { CRASH_POINTS } from "../../ports/CrashPoints.ts"
import type { Act, Action, Fault, Plan, Script, Terms } from "./Plan.ts"
import { type SeededRandom, seededRandom } from "./seededRandom.ts"

const LEAVES = ["account/0", "account/1", "account/2", "desk/0", "talker/0", "talker/1", "models"] as const
const PLANNERS = ["planner/0", "planner/1", "planner/2"] as const
export const TARGETS = ["model/a", "model/b", "model/c"] as const
const STOPPABLE = ["model/a", "model/b", "account/0", "desk/0", "planner/1"] as const

/** Scripts nested deeper say nothing new, and make one message a hundred. */
const DEPTH_MAX = 2

class Drawing {
  readonly scripts: Array<Script> = []
  readonly random: SeededRandom
  constructor(random: SeededRandom) {
    this.random = random
  }

  terms(keys: boolean): Terms {
    const { random } = this
    return {
      ...(random.chance(0.2) ? { timeoutMs: 1 + random.below(random.chance(0.5) ? 20 : 400) } : {}),
      ...(random.chance(0.12) ? { delayMs: random.below(random.chance(0.8) ? 60 : 5_000) } : {}),
      ...(random.chance(0.15) ? { priority: random.below(5) - 2 } : {}),
      ...(keys && random.chance(0.2) ? { idempotencyKey: `k${random.below(4)}` } : {}),
    }
  }

  /** Whom a handler of `to` may wait for: never one that may wait for it, or two would wait for each other. */
  #below(to: string): string {
    const later = PLANNERS.filter((planner) => to.startsWith("planner") && planner > to)
    const self = to.startsWith("planner") && this.random.chance(0.03) ? [to] : []
    return this.random.pick([this.random.pick(LEAVES), ...(this.random.chance(0.3) ? [...later, ...self] : [])])
  }

  #act(to: string, depth: number): Act {
    const { random } = this
    const dice = random.below(100)
    const asks = !to.startsWith("account") && !to.startsWith("desk") && !to.startsWith("talker")
    if (dice < 25) return { do: "wait", ms: random.below(random.chance(0.9) ? 12 : 300) }
    if (dice < 45) return { do: "step", ms: random.below(6) }
    if (dice < 58) {
      const how = random.pick(["retryable", "retryable", "retryable", "terminal", "declared", "throw"] as const)
      return { do: "fail", how, attempts: 1 + random.below(random.chance(0.8) ? 3 : 9) }
    }
    if (depth >= DEPTH_MAX || dice >= 88) return { do: "emit", count: 1 + random.below(12), ms: random.below(3) }
    if (asks && dice < 78) {
      // A target asks no pool: all of its places could be taken by those that wait for one.
      const whom = to === "models" ? random.pick(["account/0", "desk/0", "talker/0"]) : this.#below(to)
      const script = this.script(whom, depth + 1)
      const terms = this.terms(false)
      if (whom.startsWith("talker") && random.chance(0.6)) return { do: "stream", to: whom, script, terms }
      return { do: "ask", to: whom, script, boldly: random.chance(0.5), terms }
    }
    const whom = random.pick([...LEAVES, ...PLANNERS])
    return { do: "send", to: whom, script: this.script(whom, depth + 1), terms: this.terms(random.chance(0.3)) }
  }

  /** Gives the number of a new script for a message to `to`. */
  script(to: string, depth: number): number {
    const { random } = this
    const count = to.startsWith("planner") ? 1 + random.below(5) : random.below(3)
    const acts = Array.from({ length: count }, () => this.#act(to, depth))
    const streams: ReadonlyArray<Act> = to.startsWith("talker")
      ? [{ do: "emit", count: 1 + random.below(30), ms: random.below(3) }]
      : []
    return this.scripts.push({ acts: [...streams, ...acts], resumes: random.chance(0.5) }) - 1
  }

  /** @param spoken what was sent under which key before */
  action(atMs: number, spoken: Map<string, number>): Action {
    const { random } = this
    if (random.chance(0.06)) return { kind: "cancel", atMs, nth: random.below(1_000) }
    if (random.chance(0.06)) return { kind: "redrive", atMs, nth: random.below(1_000) }
    const to = random.pick([...LEAVES, ...PLANNERS, ...PLANNERS])
    const terms = this.terms(true)
    const key = `${to} ${terms.idempotencyKey}`
    const earlier = terms.idempotencyKey === undefined ? undefined : spoken.get(key)
    // Mostly the same again under the same key, as a caller does who has had no answer.
    const script = earlier !== undefined && random.chance(0.8) ? earlier : this.script(to, 0)
    spoken.set(key, script)
    const kind = to.startsWith("talker") && random.chance(0.5) ? "stream" : random.pick(["tell", "ask", "ask"] as const)
    return { kind, atMs, to, script, terms, leavesAfterMs: random.chance(0.1) ? random.below(60) : undefined }
  }

  fault(spanMs: number): Fault {
    const { random } = this
    const atMs = random.below(spanMs)
    const downMs = random.below(random.chance(0.7) ? 20 : 2_000)
    const forMs = random.below(random.chance(0.6) ? 60 : 1_500)
    const dice = random.below(100)
    if (dice < 22) return { kind: "kill", atMs, downMs }
    if (dice < 47) {
      return { kind: "killAt", atMs, downMs, point: random.pick(CRASH_POINTS), occurrence: 1 + random.below(12) }
    }
    if (dice < 55) return { kind: "close", atMs, downMs }
    if (dice < 70) {
      const share = random.pick([0.2, 0.5, 1])
      return { kind: "refuse", atMs, forMs, share, reason: random.pick(["busy", "full", "io"]) }
    }
    if (dice < 80) return { kind: "slow", atMs, forMs, byMs: 1 + random.below(80) }
    if (dice < 87) return { kind: "crash", atMs, target: random.pick(TARGETS) }
    if (dice < 93) return { kind: "down", atMs, forMs, target: random.pick(TARGETS) }
    return { kind: "stop", atMs, actor: random.pick(STOPPABLE) }
  }
}

/** Faults for each thirty messages, at most; none in one run of the number, so that quiet runs are seen too. */
const FAULTS_MAX = 8

/**
 * Draws a plan.
 *
 * @param messages how many things are done from outside; with what handlers send, three times as many messages
 */
export const makePlan = (seed: number, messages: number): Plan => {
  const drawing = new Drawing(seededRandom(seed))
  const { random } = drawing
  const actions: Array<Action> = []
  const spoken = new Map<string, number>()
  // From bursts to a trickle.
  const gapMsMax = random.pick([2, 15, 40, 120])
  let atMs = 0
  for (let nth = 0; nth < messages; nth++) {
    if (random.chance(0.5)) atMs += random.below(gapMsMax)
    actions.push(drawing.action(atMs, spoken))
  }
  const faultsMax = random.below(FAULTS_MAX) * Math.max(1, Math.ceil(messages / 30))
  const faults = Array.from({ length: faultsMax }, () => drawing.fault(atMs + 300))
  return { seed, scripts: drawing.scripts, actions, faults: faults.toSorted((a, b) => a.atMs - b.atMs) }
}
