/**
 * The adaptive supervisor beside a router that knows the truth, and beside the peers' policies, on a simulated pool:
 * the real `decide`, three seeds a row. Everything comes from the seed, so the figures are the same on every machine.
 */
import { makeAdaptive } from "./pools/Adaptive.ts"
import { makeInformed } from "./pools/Informed.ts"
import { type Measured, measure } from "./pools/measure.ts"
import { PoolSimulation } from "./pools/PoolSimulation.ts"
import { makeLeastOutstanding, makeLiteLlm, makePeakEwma, makeRandom, makeRoundRobin } from "./pools/peers.ts"
import type { Router } from "./pools/Router.ts"
import {
  DEADLINE_MS,
  makeScenario,
  SCENARIO_NAMES,
  type Scenario,
  SERVICE_MS,
  type Setting,
  SIGMA,
  SLOTS,
} from "./pools/Scenario.ts"

const SEEDS = [1, 2, 3]
const DRIFT = "drift to 10x in an hour"

type Make = (scenario: Scenario) => Router
const OURS: ReadonlyArray<Make> = [makeInformed, makeAdaptive]
const PEERS: ReadonlyArray<Make> = [makeRandom, makeRoundRobin, makeLeastOutstanding, makePeakEwma, makeLiteLlm]

const mean = (all: ReadonlyArray<Measured>, of: (each: Measured) => number | undefined): number | undefined => {
  const values = all.flatMap((each) => of(each) ?? [])
  return values.length === 0 ? undefined : values.reduce((sum, each) => sum + each, 0) / values.length
}

const rounded = (value: number, digits = 1): number => Math.round(value * 10 ** digits) / 10 ** digits

/** One router in one scenario; `goodput` of the informed is what `of informed` is taken of. */
const runRow = (name: string, setting: Setting, make: Make, informed: number | undefined) => {
  const scenario = makeScenario(name, setting)
  // An hour is long enough for one seed to say it.
  const seeds = name === DRIFT ? SEEDS.slice(0, 1) : SEEDS
  const all = seeds.map((seed) => measure(new PoolSimulation(scenario, make(scenario), seed).run()))
  const figure = (of: (each: Measured) => number | undefined, digits = 1) => {
    const value = mean(all, of)
    return value === undefined ? undefined : rounded(value, digits)
  }
  const goodput = mean(all, (each) => each.goodput) ?? 0
  const reactMs =
    name === DRIFT || name === "one flapping" || name === "one grey" ? undefined : figure((each) => each.reactMs, 0)
  const touches = reactMs === undefined ? undefined : figure((each) => each.touches)
  const row = {
    scenario: name,
    policy: make(scenario).name,
    "p50 ms": figure((each) => each.p50Ms, 0) ?? 0,
    "p99 ms": figure((each) => each.p99Ms, 0) ?? 0,
    "success %": figure((each) => each.success) ?? 0,
    "goodput %": rounded(goodput),
    "of informed": rounded(goodput / (informed ?? goodput), 3),
    "refused %": figure((each) => each.refused) ?? 0,
    "in time of admitted %": figure((each) => each.kept) ?? 0,
    "wasted %": figure((each) => each.wasted) ?? 0,
    "extra attempts %": figure((each) => each.extra) ?? 0,
    ...(reactMs === undefined ? {} : { "moved after ms": reactMs }),
    ...(touches === undefined ? {} : { touches }),
  }
  return { row, goodput }
}

const runAll = (setting: Setting, makers: ReadonlyArray<Make>, names: ReadonlyArray<string>) =>
  names.flatMap((name) => {
    let informed: number | undefined
    return makers.map((make) => {
      const { goodput, row } = runRow(name, setting, make, informed)
      informed ??= goodput
      return row
    })
  })

const short = SCENARIO_NAMES.filter((name) => name !== DRIFT)
const sectionOf = (setting: Setting, makers: ReadonlyArray<Make>, names: ReadonlyArray<string>, what: string) => ({
  name: `${setting.targets} targets at ${rounded(setting.load * 100, 0)} %, ${what}`,
  run: () => runAll(setting, makers, names),
})

export default {
  conditions: [
    `${SLOTS} slots a target; service lognormal, median ${SERVICE_MS} ms, sigma ${SIGMA}; deadline ${DEADLINE_MS} ms; Poisson arrivals`,
    "trouble from the 20th second on; what arrives in the minute from then on is measured (an hour for the drift)",
    "informed knows how every target is and when each slot will be free; it admits by the same rule",
    "peers retry a failure on another target twice, and neither refuse nor stop what nobody waits for",
    "means of three seeds (the drift: one); means of p50 and p99 over what was answered at all, late or not",
  ],
  sections: [
    sectionOf({ targets: 3, load: 0.7 }, [...OURS, ...PEERS], short, "all policies"),
    sectionOf({ targets: 3, load: 0.7 }, OURS, [DRIFT], "an hour"),
    sectionOf({ targets: 3, load: 0.5 }, OURS, short, "beside informed"),
    sectionOf({ targets: 2, load: 0.7 }, OURS, short, "beside informed"),
    sectionOf({ targets: 5, load: 0.7 }, OURS, short, "beside informed"),
    sectionOf({ targets: 8, load: 0.7 }, OURS, short, "beside informed"),
  ],
}
