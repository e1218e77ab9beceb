/**
 * The boundary between an undisturbed life and what happens to engines in the chaos test: draws what happens to whom, does it,
 * and counts. Nothing is timed: it is given a moment with each chunk that anybody hears, so that most of what it does falls
 * into the middle of answers.
 */
import type { DecoderHandle } from "@pontoon/agents"
import type { SeededRandom } from "@pontoon/runtime/testing"
import { Effect } from "effect"
import { engineChildren } from "./EngineChildren.ts"

export const DISTURBANCES = [
  /** SIGKILL to any engine, be it loading or working. */
  "kill",
  /** SIGSTOP, and nothing after it: the watchdog has to find it. */
  "stop",
  /** SIGSTOP, and SIGCONT at the next disturbance, if it is still there. */
  "pause",
  /** abort() in its native code. */
  "abort",
  /** Never comes back from a call. */
  "hang",
  /** Slow steps until the next disturbance. */
  "slow",
  /** No heap left. */
  "exhaust",
] as const
export type Disturbance = (typeof DISTURBANCES)[number]

/** Between two steps: an answer takes long enough that most disturbances fall into one. */
export const STEP_DELAY_MS = 2
const SLOW_STEP_DELAY_MS = 40

const signal = (pid: number | undefined, name: NodeJS.Signals): boolean => {
  try {
    return pid !== undefined && process.kill(pid, name)
  } catch {
    return false // it has gone by itself
  }
}

export class Disturber {
  readonly counts = new Map<Disturbance, number>()
  readonly #random: SeededRandom
  readonly #share: number
  readonly #handles = new Map<string, DecoderHandle>()
  /** Processes that came up. */
  starts = 0
  #undo: () => void = () => {}
  #isOver = false

  /** @param share of the moments in which something happens */
  constructor(random: SeededRandom, share: number) {
    this.#random = random
    this.#share = share
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0)
  }

  /** For `ModelActor.make`. */
  readonly onStarted =
    (type: string) =>
    (id: string, handle: DecoderHandle): Effect.Effect<void> => {
      this.starts++
      this.#handles.set(`${type}/${id}`, handle)
      return handle.setStepDelayMs(STEP_DELAY_MS)
    }

  /** A moment has come. */
  moment(): void {
    if (this.#isOver || !this.#random.chance(this.#share)) return
    this.#undo()
    this.#undo = () => {}
    const disturbance = this.#random.pick(DISTURBANCES)
    if (this.#disturb(disturbance)) this.counts.set(disturbance, (this.counts.get(disturbance) ?? 0) + 1)
  }

  /** Nothing happens any more; what was paused goes on. */
  end(): void {
    this.#isOver = true
    this.#undo()
  }

  #disturb(disturbance: Disturbance): boolean {
    const pids = engineChildren()
    const pid = pids[this.#random.below(Math.max(1, pids.length))]
    if (disturbance === "kill") return signal(pid, "SIGKILL")
    if (disturbance === "stop") return signal(pid, "SIGSTOP")
    if (disturbance === "pause") {
      this.#undo = () => signal(pid, "SIGCONT")
      return signal(pid, "SIGSTOP")
    }
    const handle = [...this.#handles.values()].find((candidate) => candidate.pid === pid)
    if (handle === undefined) return false
    if (disturbance === "slow") {
      this.#undo = () => Effect.runSync(handle.setStepDelayMs(STEP_DELAY_MS))
      Effect.runSync(handle.setStepDelayMs(SLOW_STEP_DELAY_MS))
    } else {
      const fault = disturbance === "exhaust" ? "exhaustHeap" : disturbance
      Effect.runSync(handle.sufferFault(fault))
    }
    return true
  }
}
