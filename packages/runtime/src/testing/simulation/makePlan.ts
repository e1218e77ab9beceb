/**
 * The boundary between a seed and a plan: draws what will happen. Every number here is a guess at what makes things meet:
 * few actors, so that messages wait for each other; short times beside the disk's, so that deaths fall between commits.
 */
import { drawFault, drawLeap } from "./drawFault.ts"
import type { Act, Action, InnerAct, Plan, Read, Script, Terms } from "./Plan.ts"
import { type SeededRandom, seededRandom } from "./seededRandom.ts"
import { LEAVES, PLANNERS, TALKERS } from "./simulatedAddresses.ts"

/** Scripts nested deeper say nothing new, and make one message a hundred. */
const DEPTH_MAX = 2

const GATES: readonly [Act, ...Array<Act>] = [{ do: "stash" }, { do: "gate", open: false }, { do: "gate", open: true }]

/** Whether a handler waits for another's. */
const isWaiting = (act: Act): boolean =>
  act.do === "ask" ||
  act.do === "stream" ||
  ((act.do === "all" || act.do === "race") && act.branches.flat().some(isWaiting))

class Drawing {
  readonly scripts: Array<Script> = []
  readonly random: SeededRandom
  readonly #delays: boolean

  /** @param delays whether anything is put off: what is would be put off for as long as the clock is set back */
  constructor(random: SeededRandom, delays: boolean) {
    this.random = random
    this.#delays = delays
  }

  terms(keys: boolean): Terms {
    const { random } = this
    return {
      ...(random.chance(0.2) ? { timeoutMs: 1 + random.below(random.chance(0.5) ? 20 : 400) } : {}),
      ...(this.#delays && random.chance(0.12) ? { delayMs: random.below(random.chance(0.8) ? 60 : 5_000) } : {}),
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
    if (to.startsWith("shop") && random.chance(0.5)) return random.pick(GATES)
    if (random.chance(0.05)) return { do: "forward", to: random.pick(LEAVES) }
    const asks = to.startsWith("planner") || to === "models"
    if (dice < 25) return { do: "wait", ms: random.below(random.chance(0.9) ? 12 : 300) }
    if (dice < 45) return this.#step(true)
    if (dice < 58) {
      const how = random.pick(["retryable", "retryable", "retryable", "terminal", "declared", "throw"] as const)
      return { do: "fail", how, attempts: 1 + random.below(random.chance(0.8) ? 3 : 9) }
    }
    if (dice < 61) return this.#sleep()
    if (dice < 67 && depth < DEPTH_MAX) return this.#side(to, depth)
    if (depth >= DEPTH_MAX || dice >= 88) return { do: "emit", count: 1 + random.below(12), ms: random.below(3) }
    if (asks && dice < 80) {
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

  /** @param undoes whether it may have a compensation */
  #step(undoes: boolean): InnerAct {
    const { random } = this
    const fails = random.chance(0.8) ? 0 : 1 + random.below(3)
    return {
      do: "step",
      ms: random.below(6),
      fails,
      triesMax: random.chance(0.5) ? 1 : 1 + random.below(4),
      undoes: undoes && random.chance(0.4),
    }
  }

  /** As a wait, where a clock that is set back would make it an hour. */
  #sleep(): Act {
    const { random } = this
    const ms = random.below(random.chance(0.7) ? 40 : 2_500)
    return this.#delays ? { do: "sleep", ms } : { do: "wait", ms: Math.min(ms, 40) }
  }

  /** Branches of steps, waits, failures and sends; those who may ask ask too. */
  #side(to: string, depth: number): Act {
    const { random } = this
    const kind = random.pick(["all", "race"] as const)
    const act = (): InnerAct => {
      const dice = random.below(10)
      if (dice < 4) return this.#step(kind === "all")
      if (dice < 7) return { do: "wait", ms: random.below(8) }
      if (dice < 8) return { do: "fail", how: "retryable", attempts: 1 + random.below(3) }
      const whom = random.pick(["account/0", "account/1", "talker/0"] as const)
      const script = this.script(whom, depth + 1)
      const terms = this.terms(false)
      return to.startsWith("planner")
        ? { do: "ask", to: whom, script, boldly: random.chance(0.5), terms }
        : { do: "send", to: whom, script, terms }
    }
    const branches = Array.from({ length: 1 + random.below(3) }, () => Array.from({ length: 1 + random.below(3) }, act))
    return { do: kind, branches }
  }

  /** Gives the number of a new script for a message to `to`. */
  script(to: string, depth: number): number {
    const { random } = this
    const count = to.startsWith("planner") ? 1 + random.below(5) : random.below(3)
    const drawn = Array.from({ length: count }, () => this.#act(to, depth))
    // What waits is not handed on: a ring that closes while a message is on its way to its next hand is not found.
    const acts = drawn.some(isWaiting) ? drawn.filter((act) => act.do !== "forward") : drawn
    const streams: ReadonlyArray<Act> = to.startsWith("talker")
      ? [{ do: "emit", count: 1 + random.below(30), ms: random.below(3) }]
      : []
    // Before it has said a word.
    const hands: ReadonlyArray<Act> =
      to.startsWith("talker") && random.chance(0.2) ? [{ do: "forward", to: random.pick(TALKERS) }] : []
    return (
      this.scripts.push({
        acts: [...hands, ...streams, ...acts],
        resumes: random.chance(0.5),
        revised: random.chance(0.25),
      }) - 1
    )
  }

  #read(atMs: number): Read {
    const { random } = this
    return {
      kind: "read",
      atMs,
      nth: random.below(1_000),
      from: random.chance(0.6) ? 0 : random.below(20),
      ms: random.chance(0.5) ? 0 : random.below(6),
      aheadMax: random.chance(0.5) ? 1 + random.below(8) : undefined,
      leavesAfterMs: random.chance(0.3) ? random.below(60) : undefined,
    }
  }

  /** @param spoken what was sent under which key before */
  action(atMs: number, spoken: Map<string, number>): Action {
    const { random } = this
    if (random.chance(0.06)) return { kind: "cancel", atMs, nth: random.below(1_000) }
    if (random.chance(0.06)) return { kind: "redrive", atMs, nth: random.below(1_000) }
    if (random.chance(0.05)) return this.#read(atMs)
    if (random.chance(0.04)) return { kind: "feedback", atMs, nth: random.below(1_000), score: random.next() * 2 - 1 }
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
}

/** Faults for each thirty messages, at most; none in one run of the number, so that quiet runs are seen too. */
const FAULTS_MAX = 8

/** In this part of all plans the clock leaps by hours; nothing may wait for it to be where it was. */
const LEAPING = 0.06

/**
 * Draws a plan.
 *
 * @param messages how many things are done from outside; with what handlers send, three times as many messages
 */
export const makePlan = (seed: number, messages: number): Plan => {
  const random = seededRandom(seed)
  const leaps = random.chance(LEAPING)
  const drawing = new Drawing(random, !leaps)
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
  const faults = Array.from({ length: faultsMax }, () => drawFault(random, atMs + 300))
  if (leaps) faults.push(drawLeap(random, atMs + 100), drawLeap(random, atMs + 100))
  return { seed, scripts: drawing.scripts, actions, faults: faults.toSorted((a, b) => a.atMs - b.atMs) }
}
