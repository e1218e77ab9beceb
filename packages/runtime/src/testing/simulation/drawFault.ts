/** The boundary between chance and what goes wrong: draws one fault. */
import { CRASH_POINTS } from "../../ports/CrashPoints.ts"
import type { Fault, Program } from "./Plan.ts"
import type { SeededRandom } from "./seededRandom.ts"
import { LACKABLE, STARTED, STOPPABLE } from "./simulatedAddresses.ts"

const drawProgram = (random: SeededRandom): Program => ({
  version: 1 + random.below(3),
  lacks: random.chance(0.3) ? random.pick(LACKABLE) : undefined,
  revision: random.below(2),
})

/** Trouble of a process. */
const drawDeath = (random: SeededRandom, atMs: number): Fault => {
  const downMs = random.below(random.chance(0.7) ? 20 : 2_000)
  const dice = random.below(60)
  if (dice < 20) return { kind: "kill", atMs, downMs }
  if (dice < 42) {
    // Some points are passed by few messages.
    const occurrence = 1 + random.below(random.chance(0.5) ? 3 : 12)
    return { kind: "killAt", atMs, downMs, point: random.pick(CRASH_POINTS), occurrence }
  }
  if (dice < 49) return { kind: "close", atMs, downMs }
  if (dice < 51) return { kind: "storm", atMs, times: 3 + random.below(20), everyMs: 1 + random.below(30) }
  return { kind: "deploy", atMs, downMs, drains: random.chance(0.5), program: drawProgram(random) }
}

/** Trouble of what a process stands on. */
const drawTrouble = (random: SeededRandom, atMs: number): Fault => {
  const forMs = random.below(random.chance(0.6) ? 60 : 1_500)
  const dice = random.below(30)
  if (dice < 12) {
    const share = random.pick([0.2, 0.5, 1])
    return { kind: "refuse", atMs, forMs, share, reason: random.pick(["busy", "full", "io"]) }
  }
  if (dice < 20) return { kind: "slow", atMs, forMs, byMs: 1 + random.below(80) }
  if (dice < 25) return { kind: "unreadable", atMs, forMs, share: random.pick([0.1, 0.5, 1]) }
  return { kind: "clock", atMs, byMs: random.below(2_000) - 1_000 }
}

/** Trouble of single actors. */
const drawMishap = (random: SeededRandom, atMs: number): Fault => {
  const forMs = random.below(random.chance(0.6) ? 60 : 1_500)
  const dice = random.below(20)
  if (dice < 8) {
    const times = random.chance(0.7) ? 1 : 2 + random.below(12)
    return { kind: "crash", atMs, target: random.pick(STARTED), times, everyMs: 1 + random.below(60) }
  }
  if (dice < 13) return { kind: "down", atMs, forMs, target: random.pick(STARTED) }
  if (dice < 18) return { kind: "suspend", atMs, forMs, actor: random.pick(STOPPABLE) }
  return { kind: "stop", atMs, actor: random.pick(STOPPABLE) }
}

/** @param spanMs within which it happens */
export const drawFault = (random: SeededRandom, spanMs: number): Fault => {
  const atMs = random.below(spanMs)
  const dice = random.below(100)
  return (dice < 55 ? drawDeath : dice < 82 ? drawTrouble : drawMishap)(random, atMs)
}

/** A wall clock that is an hour wrong and is set right, or the other way round. */
export const drawLeap = (random: SeededRandom, spanMs: number): Fault => ({
  kind: "clock",
  atMs: random.below(spanMs),
  byMs: random.pick([-1, 1, 24]) * 3_600_000,
})
