/**
 * The boundary to what a pool has to live through: how messages arrive, and how each of its targets really is, over time.
 *
 * Service times are lognormal with a median of 148 ms and a sigma of 0.5, so that a pool of three targets with four slots
 * each has 50 messages a second at 70 % load. A message may take five times the median. The trouble begins after twenty
 * seconds, and what arrives in the minute from then on is measured.
 */
import { HEALTHY, type Truth } from "./Truth.ts"

/** Median of a healthy service, in milliseconds. */
export const SERVICE_MS = 148
/** Standard deviation of the logarithm of a service time. */
export const SIGMA = 0.5
export const SLOTS = 4
/** How long a message may take from its arrival on, in milliseconds. */
export const DEADLINE_MS = 5 * SERVICE_MS

const MEAN_MS = SERVICE_MS * Math.exp(SIGMA ** 2 / 2)

export interface TruthChange {
  readonly atMs: number
  readonly target: number
  readonly truth: Truth
}

export interface Scenario {
  readonly name: string
  readonly targets: number
  /** Messages a second, at a time. */
  readonly ratePerS: (atMs: number) => number
  /** No rate is higher. */
  readonly ratePerSMax: number
  /** Ascending in time. */
  readonly changes: ReadonlyArray<TruthChange>
  /** Targets that are in trouble from the onset on. */
  readonly bad: ReadonlySet<number>
  readonly onsetMs: number
  /** What arrives from the onset to here is measured. */
  readonly untilMs: number
}

export interface Setting {
  readonly targets: number
  /** Of the capacity of all targets, while they are healthy. */
  readonly load: number
}

const ONSET_MS = 20_000
const MEASURED_MS = 60_000

type Trouble = (setting: Setting) => Omit<Scenario, "name" | "targets">

const capacityPerS = (targets: number): number => (targets * SLOTS * 1_000) / MEAN_MS

const steady = ({ load, targets }: Setting, factor = 1) => {
  const rate = load * factor * capacityPerS(targets)
  return { ratePerS: () => rate, ratePerSMax: rate }
}

const times = { onsetMs: ONSET_MS, untilMs: ONSET_MS + MEASURED_MS }

/** The last `count` targets are so from the onset on. */
const lastAre =
  (count: (targets: number) => number, truth: Partial<Truth>): Trouble =>
  (setting) => {
    const bad = Array.from({ length: count(setting.targets) }, (_, index) => setting.targets - 1 - index)
    const changes = bad.map((target) => ({ atMs: ONSET_MS, target, truth: { ...HEALTHY, ...truth } }))
    return { ...steady(setting), ...times, changes, bad: new Set(bad) }
  }

const one = (): number => 1

const flapping: Trouble = (setting) => {
  const target = setting.targets - 1
  const changes: Array<TruthChange> = []
  for (let atMs = ONSET_MS; atMs < ONSET_MS + MEASURED_MS; atMs += 4_000) {
    changes.push({ atMs, target, truth: { ...HEALTHY, failShare: 1, failsAfterMs: 1 } })
    changes.push({ atMs: atMs + 2_000, target, truth: HEALTHY })
  }
  return { ...steady(setting), ...times, changes, bad: new Set([target]) }
}

const burst: Trouble = (setting) => {
  const { ratePerSMax } = steady(setting)
  const ratePerS = (atMs: number) =>
    atMs >= ONSET_MS && (atMs - ONSET_MS) % 20_000 < 1_000 ? ratePerSMax * 10 : ratePerSMax
  return { ...times, ratePerS, ratePerSMax: ratePerSMax * 10, changes: [], bad: new Set() }
}

/** Two states, a calm one and one of twice its rate, a second and half a second long on average, drawn once for all. */
const bursty: Trouble = (setting) => {
  const { ratePerSMax } = steady(setting)
  // Sines of periods that have no common multiple: bursts that no router can learn, and that are the same for all.
  const wave = (atMs: number) => 0.25 * (Math.sin(atMs / 130) + Math.sin(atMs / 410) + Math.sin(atMs / 1_700))
  return {
    ...times,
    ratePerS: (atMs) => ratePerSMax * (1 + wave(atMs)),
    ratePerSMax: ratePerSMax * 1.75,
    changes: [],
    bad: new Set(),
  }
}

const newcomer: Trouble = (setting) => {
  const target = setting.targets - 1
  const changes = [
    { atMs: 0, target, truth: { ...HEALTHY, present: false } },
    { atMs: ONSET_MS, target, truth: { ...HEALTHY, slowdown: 4 } },
    { atMs: ONSET_MS + 5_000, target, truth: HEALTHY },
  ]
  return { ...steady(setting), ...times, changes, bad: new Set() }
}

const HOUR_MS = 3_600_000

const drift: Trouble = (setting) => {
  const target = setting.targets - 1
  const changes: Array<TruthChange> = []
  for (let atMs = ONSET_MS; atMs < ONSET_MS + HOUR_MS; atMs += 20_000) {
    changes.push({ atMs, target, truth: { ...HEALTHY, slowdown: 10 ** ((atMs - ONSET_MS) / HOUR_MS) } })
  }
  return { ...steady(setting), onsetMs: ONSET_MS, untilMs: ONSET_MS + HOUR_MS, changes, bad: new Set([target]) }
}

const TROUBLES: Readonly<Record<string, Trouble>> = {
  healthy: lastAre(() => 0, {}),
  "healthy, bursty arrivals": bursty,
  "one 10x slow": lastAre(one, { slowdown: 10 }),
  "one dead (hangs)": lastAre(one, { hangs: true }),
  "one fails in 1 ms": lastAre(one, { failShare: 1, failsAfterMs: 1 }),
  "one flapping": flapping,
  "one grey": lastAre(one, { failShare: 0.2, failsAfterMs: 40, oddShare: 0.3, oddSlowdown: 4 }),
  "all degraded 2.5x": lastAre((targets) => targets, { slowdown: 2.5 }),
  "overload 140 %": (setting) => ({ ...steady(setting, 1.4 / setting.load), ...times, changes: [], bad: new Set() }),
  "burst of 10x": burst,
  "cold newcomer": newcomer,
  "half fail at once": lastAre((targets) => Math.ceil(targets / 2), { failShare: 1, failsAfterMs: 30 }),
  "drift to 10x in an hour": drift,
}

export const SCENARIO_NAMES: ReadonlyArray<string> = Object.keys(TROUBLES)

export const makeScenario = (name: string, setting: Setting): Scenario => {
  const trouble = TROUBLES[name]
  if (trouble === undefined) throw new Error(`There is no scenario "${name}"; there are: ${SCENARIO_NAMES.join(", ")}.`)
  return { name, targets: setting.targets, ...trouble(setting) }
}
