/** The boundary between a simulation that has run and its figures. */
import type { PoolSimulation } from "./PoolSimulation.ts"
import { DEADLINE_MS } from "./Scenario.ts"
import type { SimMessage } from "./SimMessage.ts"

export interface Measured {
  /** Of the answers in time and late, in milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Answered at all, of what arrived, %. */
  readonly success: number
  /** Answered within the deadline, of what arrived, %. */
  readonly goodput: number
  /** Answered within the deadline, of what was not refused, %. */
  readonly kept: number
  /** Told at once to come back, of what arrived, %. */
  readonly refused: number
  /** Time of slots that gave no answer in time, of all that was used, %. */
  readonly wasted: number
  /** Attempts beyond the first of each message, of the messages, %. */
  readonly extra: number
  /** From the onset until nine tenths of the bad targets' traffic have moved, in milliseconds; undefined where none is bad. */
  readonly reactMs: number | undefined
  /** Attempts that were sent to bad targets until then. */
  readonly touches: number | undefined
}

/** Traffic has moved when this much of the following second goes to bad targets, of their share by number. */
const MOVED_SHARE = 0.1
const WINDOW_MS = 1_000

const quantile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!

const reaction = ({ scenario, sent, targets }: PoolSimulation): Pick<Measured, "reactMs" | "touches"> => {
  const { bad, onsetMs, untilMs } = scenario
  if (bad.size === 0 || bad.size === targets.length) return { reactMs: undefined, touches: undefined }
  const after = sent.filter(({ atMs }) => atMs >= onsetMs && atMs < untilMs)
  const allowed = MOVED_SHARE * (bad.size / targets.length)
  let last = 0
  let inWindow = 0
  let touches = 0
  for (const [index, { atMs, target }] of after.entries()) {
    while (last < after.length && after[last]!.atMs < atMs + WINDOW_MS) if (bad.has(after[last++]!.target)) inWindow++
    if (inWindow <= Math.max(1, allowed * (last - index))) return { reactMs: atMs - onsetMs, touches }
    if (bad.has(target)) {
      touches++
      inWindow--
    }
  }
  return { reactMs: untilMs - onsetMs, touches }
}

export const measure = (simulation: PoolSimulation): Measured => {
  const { onsetMs, untilMs } = simulation.scenario
  const arrived = simulation.messages.filter(({ arrivedAtMs }) => arrivedAtMs >= onsetMs && arrivedAtMs < untilMs)
  const took = ({ arrivedAtMs, endedAtMs }: SimMessage) => endedAtMs - arrivedAtMs
  const answered = arrived.filter(({ ended }) => ended === "answered")
  const inTime = answered.filter((message) => took(message) <= DEADLINE_MS)
  const refused = arrived.filter(({ ended }) => ended === "refused").length
  const sorted = answered.map(took).sort((a, b) => a - b)
  const sum = (messages: ReadonlyArray<SimMessage>, of: (message: SimMessage) => number) =>
    messages.reduce((total, message) => total + of(message), 0)
  const useful = sum(inTime, ({ usefulMs }) => usefulMs)
  const used = sum(arrived, ({ workMs }) => workMs)
  const percent = (part: number, whole: number) => (whole === 0 ? 0 : (100 * part) / whole)
  return {
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    success: percent(answered.length, arrived.length),
    goodput: percent(inTime.length, arrived.length),
    kept: percent(inTime.length, arrived.length - refused),
    refused: percent(refused, arrived.length),
    wasted: percent(Math.max(0, used - useful), used),
    extra: percent(
      sum(arrived, ({ attempts }) => Math.max(0, attempts.length - 1)),
      arrived.length,
    ),
    ...reaction(simulation),
  }
}
