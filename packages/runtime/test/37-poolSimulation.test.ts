/** Pools in simulated trouble: the real decisions beside a router that knows the truth, by short runs of the benchmark. */
import { describe, expect, it } from "vitest"
import { makeAdaptive } from "../bench/pools/Adaptive.ts"
import { makeInformed } from "../bench/pools/Informed.ts"
import { measure } from "../bench/pools/measure.ts"
import { PoolSimulation } from "../bench/pools/PoolSimulation.ts"
import { makeLeastOutstanding } from "../bench/pools/peers.ts"
import { makeScenario } from "../bench/pools/Scenario.ts"

const SEED = 7
const run = (name: string, load = 0.7, targets = 3) => {
  const scenario = makeScenario(name, { targets, load })
  const ours = new PoolSimulation(scenario, makeAdaptive(scenario), SEED).run()
  return {
    simulation: ours,
    ours: measure(ours),
    informed: measure(new PoolSimulation(scenario, makeInformed(), SEED).run()),
  }
}

describe("a simulated pool", () => {
  it("1. is the same for the same seed, and has the same messages whoever routes them", () => {
    const first = run("one grey")
    const again = run("one grey")
    expect(again.ours).toEqual(first.ours)
    const scenario = makeScenario("one grey", { targets: 3, load: 0.7 })
    const other = new PoolSimulation(scenario, makeLeastOutstanding(), SEED).run()
    expect(other.messages.map(({ arrivedAtMs }) => arrivedAtMs)).toEqual(
      first.simulation.messages.map(({ arrivedAtMs }) => arrivedAtMs),
    )
  })
  it("2. ends every message once, hedges each once at most, and leaves no slot taken", () => {
    const { simulation } = run("one dead (hangs)")
    for (const message of simulation.messages) {
      expect(message.ended).not.toBe(undefined)
      expect(message.open).toEqual([])
      expect(message.attempts.length).toBeLessThanOrEqual(5)
    }
    for (const target of simulation.targets) expect(target.outstanding).toBe(0)
  })
  it("3. costs little while all is well", () => {
    const { informed, ours } = run("healthy")
    expect(ours.p99Ms).toBeLessThanOrEqual(1.1 * informed.p99Ms)
    expect(ours.extra).toBeLessThanOrEqual(3)
    expect(ours.goodput).toBeGreaterThan(99)
  })
  it("4. is left alone where it is slow, within two seconds", () => {
    const { informed, ours } = run("one 10x slow")
    expect(ours.goodput).toBeGreaterThanOrEqual(0.97 * informed.goodput)
    expect(ours.reactMs).toBeLessThan(2_000)
  })
  it("5. does not draw messages by failing fast", () => {
    const { informed, ours } = run("one fails in 1 ms")
    expect(ours.goodput).toBeGreaterThanOrEqual(0.97 * informed.goodput)
    expect(run("one fails in 1 ms", 0.5).ours.touches).toBeLessThanOrEqual(5)
  })
  it("6. keeps what it admits under overload, and refuses the rest with a time to come back", () => {
    const { informed, ours, simulation } = run("overload 140 %")
    expect(ours.kept).toBeGreaterThanOrEqual(98.5)
    expect(ours.goodput).toBeGreaterThanOrEqual(0.97 * informed.goodput)
    const refused = simulation.messages.filter(({ ended }) => ended === "refused")
    expect(
      refused.every(({ arrivedAtMs, endedAtMs, retryAfterMs }) => endedAtMs === arrivedAtMs && retryAfterMs >= 50),
    ).toBe(true)
  })
  it("7. comes back to one that flaps, and does not eject all at once", () => {
    const { informed, ours } = run("one flapping")
    expect(ours.goodput).toBeGreaterThanOrEqual(0.95 * informed.goodput)
    const all = run("all degraded 2.5x")
    expect(all.ours.goodput).toBeGreaterThanOrEqual(0.95 * all.informed.goodput)
  })
})
