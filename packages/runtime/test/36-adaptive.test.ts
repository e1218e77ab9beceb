/** What a pool decides of what it knows: any evidence, what is remembered and believed, standing, admission. */
import {
  type Candidate,
  type Decision,
  decide,
  type Evidence,
  POLICY_NAMES,
  type PolicyName,
  readEvidence,
  replay,
} from "@pontoon/runtime"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { admits, nextShare, retryAfterMs } from "../src/supervision/adaptive/admit.ts"
import { believe } from "../src/supervision/adaptive/believe.ts"
import { inTime, inTimeAfter, normalCdf, normalHazard } from "../src/supervision/adaptive/lognormal.ts"
import { type HealthChange, PoolMemory } from "../src/supervision/adaptive/PoolMemory.ts"
import { predict } from "../src/supervision/adaptive/predict.ts"
import * as signals from "../src/supervision/adaptive/signals.ts"
import { stepHealth } from "../src/supervision/adaptive/targetHealth.ts"

const STATES = ["starting", "ready", "degraded", "draining", "suspended", "restarting", "failed", "stopped"] as const
const HEALTH = ["healthy", "suspect", "ejected", "probing", "warming"] as const

const candidates: fc.Arbitrary<ReadonlyArray<Candidate>> = fc
  .array(
    fc.record({
      lifecycle: fc.constantFrom(...STATES),
      health: fc.constantFrom(...HEALTH),
      tier: fc.nat(2),
      slots: fc.integer({ min: 1, max: 8 }),
      outstanding: fc.nat(50),
      serviceMs: fc.integer({ min: 1, max: 60_000 }),
      spread: fc.double({ min: 0.1, max: 1.2, noNaN: true }),
      success: fc.double({ min: 0, max: 1, noNaN: true }),
      oldestRunningMs: fc.nat(60_000),
      tried: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .map((all) => all.map((each, index) => ({ ...each, target: `worker/${index}` })))
const phases = ["new", "promised", "failed", "waiting", "running"] as const
const evidences: fc.Arbitrary<Evidence> = fc.record({
  nowMs: fc.constant(1_000),
  pool: fc.record({
    name: fc.constant("pool"),
    policy: fc.constant("score"),
    tierPenaltyMs: fc.nat(2_000),
    retriesLeft: fc.nat(2),
    hedgesLeft: fc.nat(2),
    admitShare: fc.double({ min: 0.85, max: 0.995, noNaN: true }),
    turn: fc.nat(100),
  }),
  message: fc.record({
    phase: fc.constantFrom(...phases),
    leftMs: fc.option(fc.integer({ min: -10, max: 60_000 })),
    priority: fc.integer({ min: -100, max: 100 }),
    outsideEffects: fc.boolean(),
    attempts: fc.nat(5),
    on: fc.constant("worker/0"),
    ageMs: fc.nat(60_000),
    hedged: fc.boolean(),
  }),
  candidates,
})
const randoms = fc.double({ min: 0, max: 0.999999, noNaN: true })

const isUsable = ({ lifecycle }: Candidate) => lifecycle === "ready" || lifecycle === "degraded"
const isComing = ({ lifecycle }: Candidate) => lifecycle === "starting" || lifecycle === "restarting"
const chosenBy = ({ candidates: all }: Evidence, decision: Decision | undefined) =>
  decision !== undefined && "chosen" in decision ? all.find(({ target }) => target === decision.chosen) : undefined

describe("1 any decision", () => {
  it("1.1 gives a message that is promised a target whenever one runs or will, and never one that is not ready while one is", () => {
    fc.assert(
      fc.property(evidences, randoms, (evidence, random) => {
        const decision = decide(evidence, random)
        const chosen = chosenBy(evidence, decision)
        const usable = evidence.candidates.filter(isUsable)
        if (chosen !== undefined) expect(isUsable(chosen) || (usable.length === 0 && isComing(chosen))).toBe(true)
        if (evidence.message.phase !== "promised") return
        if (evidence.candidates.some((each) => isUsable(each) || isComing(each))) expect(decision?._tag).toBe("Route")
        else expect(decision).toBe(undefined)
      }),
    )
  })
  it("1.2 serves although every target is ejected", () => {
    fc.assert(
      fc.property(evidences, randoms, (evidence, random) => {
        const all = evidence.candidates.map((each) => ({ ...each, lifecycle: "ready", health: "ejected" }) as const)
        const message = { ...evidence.message, phase: "promised" } as const
        if (all.length > 0) expect(decide({ ...evidence, message, candidates: all }, random)?._tag).toBe("Route")
      }),
    )
  })
  it("1.3 is a function of evidence and seed, also when that was read back from the log", () => {
    fc.assert(
      fc.property(evidences, randoms, (evidence, random) => {
        const again: Evidence = JSON.parse(JSON.stringify(evidence))
        expect(decide(again, random)).toEqual(decide(evidence, random))
      }),
    )
  })
  it("1.4 refuses only what is new, and tells when to come back; retries, moves and hedges within their budgets, hedges once", () => {
    fc.assert(
      fc.property(evidences, randoms, (evidence, random) => {
        const { message, pool } = evidence
        const decision = decide(evidence, random)
        if (decision?._tag === "Refuse") {
          expect(message.phase).toBe("new")
          expect(decision.retryAfterMs).toBeGreaterThanOrEqual(50)
        }
        const probes = evidence.candidates[0]?.health === "probing"
        if (message.phase === "failed" && decision?._tag === "Route") expect(pool.retriesLeft).toBeGreaterThan(0)
        if (decision?._tag === "Move") expect(pool.retriesLeft > 0 || probes).toBe(true)
        if (decision?._tag !== "Hedge") return
        expect(pool.hedgesLeft).toBeGreaterThan(0)
        expect([message.hedged, message.outsideEffects]).toEqual([false, false])
        expect(decision.chosen).not.toBe(message.on)
      }),
      { numRuns: 1_000 },
    )
  })
  it("1.5 probes with one message at a time, and with none that shows outside or was promised", () => {
    fc.assert(
      fc.property(evidences, randoms, (evidence, random) => {
        const chosen = chosenBy(evidence, decide(evidence, random))
        const open = evidence.candidates.some(
          (each) => isUsable(each) && each.health !== "ejected" && each.health !== "probing",
        )
        if (chosen?.health !== "probing" || !open) return
        const { outsideEffects, phase } = evidence.message
        expect([chosen.outstanding, outsideEffects, phase]).toEqual([0, false, "new"])
      }),
      { numRuns: 1_000 },
    )
  })
})

const base: Candidate = {
  target: "a",
  lifecycle: "ready",
  health: "healthy",
  tier: 0,
  slots: 1,
  outstanding: 0,
  serviceMs: 100,
  spread: 0.5,
  success: 1,
  oldestRunningMs: 0,
  tried: false,
}
const between = (
  a: Partial<Candidate>,
  b: Partial<Candidate>,
  message: Partial<Evidence["message"]> = {},
): Evidence => ({
  nowMs: 10,
  pool: {
    name: "p",
    policy: "score",
    tierPenaltyMs: 1_000,
    retriesLeft: 5,
    hedgesLeft: 5,
    admitShare: 0.97,
    turn: 0,
  },
  message: { phase: "new", leftMs: null, priority: 0, outsideEffects: false, attempts: 0, ...message },
  candidates: [
    { ...base, ...a },
    { ...base, target: "b", ...b },
  ],
})

describe("2 a decision", () => {
  const choose = (a: Partial<Candidate>, b: Partial<Candidate>, message: Partial<Evidence["message"]> = {}) => {
    const decision = decide(between(a, b, message), 0)
    return decision !== undefined && "chosen" in decision ? decision.chosen : decision?._tag
  }
  it("2.1 prefers the shorter queue, the better tier, the faster, the surer", () => {
    expect(choose({ outstanding: 3 }, {})).toBe("b")
    expect(choose({ tier: 1 }, { outstanding: 5 })).toBe("b")
    expect(choose({ tier: 1 }, { outstanding: 20 })).toBe("a")
    expect(choose({ serviceMs: 101 }, {})).toBe("b")
    expect(choose({ success: 0.5 }, { outstanding: 1 })).toBe("b")
    expect(choose({ lifecycle: "failed" }, { health: "ejected" })).toBe("b")
    expect(choose({ tried: true }, { tier: 2 })).toBe("b")
  })
  it("2.2 would rather be late in a queue than not in time at all", () => {
    // Slow and free, or fast with one before: the deadline decides.
    expect(choose({ serviceMs: 400 }, { outstanding: 2 }, { leftMs: 500, phase: "promised" })).toBe("b")
    expect(choose({ serviceMs: 150 }, { outstanding: 2 }, { leftMs: 500, phase: "promised" })).toBe("a")
  })
  it("2.3 refuses what no target would have in time, and takes what finds a free one however slow", () => {
    expect(choose({ outstanding: 9 }, { outstanding: 9 }, { leftMs: 500 })).toBe("Refuse")
    expect(choose({ outstanding: 9 }, { outstanding: 9 })).toBe("a")
    expect(choose({ outstanding: 9 }, { outstanding: 9 }, { leftMs: 500, phase: "promised" })).toBe("a")
    expect(choose({ outstanding: 9 }, { serviceMs: 300 }, { leftMs: 500 })).toBe("b")
  })
  it("2.4 sends the probe that is due, but nothing that may not run twice", () => {
    expect(choose({}, { health: "probing" })).toBe("b")
    expect(choose({}, { health: "probing", outstanding: 1 })).toBe("a")
    expect(choose({}, { health: "probing" }, { outsideEffects: true })).toBe("a")
  })
  it("2.5 moves what runs where it will not be in time, hedges what may not, and leaves the rest", () => {
    const running = (ageMs: number, a: Partial<Candidate>) =>
      decide(between(a, {}, { phase: "running", on: "a", ageMs, leftMs: 400 }), 0)?._tag
    expect(running(50, { outstanding: 1 })).toBe("Stay")
    expect(running(300, { outstanding: 1 })).toBe("Hedge")
    expect(running(300, { outstanding: 1, serviceMs: 3_000 })).toBe("Move")
  })
  it("2.6 waits where the budget of retries is used up", () => {
    const evidence = between({ tried: true }, {}, { phase: "failed" })
    expect(decide(evidence, 0)?._tag).toBe("Route")
    expect(decide({ ...evidence, pool: { ...evidence.pool, retriesLeft: 0 } }, 0)).toMatchObject({
      _tag: "Later",
      waitMs: 50,
    })
  })
})

describe("3 the statistics", () => {
  it("3.1 are those of a normal distribution", () => {
    for (const [z, p] of [
      [-3, 0.00135],
      [-1, 0.158655],
      [0, 0.5],
      [1.644854, 0.95],
      [2.326348, 0.99],
    ] as const)
      expect(normalCdf(z)).toBeCloseTo(p, 5)
    expect(normalHazard(0)).toBeCloseTo(0.797885, 4)
    // Where the quotient ends, the series goes on.
    expect(normalHazard(4.001)).toBeCloseTo(normalHazard(3.999), 1)
    expect(inTime(100, 100, 0.5)).toBeCloseTo(0.5, 6)
    expect(inTimeAfter(100, 0, 100, 0.5)).toBeCloseTo(0.5, 6)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 0, max: 100_000 }), (ms, ageMs) => {
        const chance = inTimeAfter(ms, ageMs, 200, 0.5)
        expect(chance).toBeGreaterThanOrEqual(0)
        expect(chance).toBeLessThanOrEqual(1)
      }),
    )
  })
  it("3.2 say that more messages ahead make a later end, and a less sure one", () => {
    const all = [0, 1, 2, 4, 8, 16].map((outstanding) => predict({ ...base, outstanding }, 800))
    for (const [index, each] of all.entries()) {
      const before = all[index - 1]
      if (before === undefined) continue
      expect(each.totalMs).toBeGreaterThan(before.totalMs)
      expect(each.inTime).toBeLessThan(before.inTime)
    }
  })
})

describe("4 what is remembered", () => {
  it("4.1 counts what is outstanding exactly, whatever happens", () => {
    const event = fc.constantFrom("assign", "begin", "succeed", "fail", "release", "withdraw", "cut")
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), (events) => {
        let state = signals.freshSignals(0)
        const waiting: Array<string> = []
        const running: Array<string> = []
        events.forEach((name, index) => {
          const nowMs = index * 10
          const queued = waiting[0]
          const busy = running[0]
          if (name === "assign") {
            waiting.push(`${index}`)
            state = signals.assigned(state)
          } else if (name === "begin" && queued !== undefined) {
            running.push(...waiting.splice(0, 1))
            state = signals.began(state, queued, nowMs)
          } else if (name === "withdraw" && queued !== undefined) {
            waiting.shift()
            state = signals.withdrawn(state)
          } else if (
            busy !== undefined &&
            (name === "succeed" || name === "fail" || name === "cut" || name === "release")
          ) {
            running.shift()
            if (name === "succeed") state = signals.succeeded(state, busy, 10, nowMs)
            else if (name === "fail") state = signals.failed(state, busy, nowMs)
            else if (name === "cut") state = signals.cutShort(state, busy, 10)
            else state = signals.released(state, busy)
          }
          expect(state.outstanding).toBe(waiting.length + running.length)
          expect([...state.runningSinceMs.keys()]).toEqual(running)
          const { success } = believe(state, undefined, nowMs)
          expect(success).toBeGreaterThanOrEqual(0)
          expect(success).toBeLessThanOrEqual(1)
        })
      }),
    )
  })
  it("4.2 is no low latency where it failed fast, and is forgiven with time", () => {
    let state = signals.freshSignals(0)
    for (let index = 0; index < 20; index++) state = signals.succeeded(state, "x", 800, index)
    const usual = { serviceMs: 800, spread: 0.3 }
    for (let index = 0; index < 5; index++) state = signals.failed(state, "x", 100)
    expect(believe(state, usual, 100).serviceMs).toBeCloseTo(800, 0)
    expect(believe(state, usual, 100).success).toBeLessThan(0.3)
    expect(believe(state, usual, 100_000).success).toBeGreaterThan(0.9)
  })
  it("4.3 shows that a target is slow before anything ends there, and forgets where nothing runs", () => {
    let state = signals.freshSignals(0)
    for (let index = 0; index < 20; index++) state = signals.succeeded(state, "x", 100, index)
    const usual = { serviceMs: 100, spread: 0.5 }
    expect(believe(state, usual, 20).serviceMs).toBeCloseTo(100, 0)
    for (const id of ["a", "b", "c", "d"]) state = signals.began(state, id, 20)
    expect(believe(state, usual, 60).serviceMs).toBeLessThan(115)
    expect(believe(state, usual, 520).serviceMs).toBeGreaterThan(160)
    expect(believe(state, usual, 2_020).serviceMs).toBeGreaterThan(500)
    for (const id of ["a", "b", "c", "d"]) state = signals.cutShort(state, id, 2_000)
    const cut = believe(state, usual, 30).serviceMs
    expect(cut).toBeGreaterThan(200)
    expect(believe(state, usual, 120_000).serviceMs).toBeLessThan(cut)
  })
})

const memoryOf = (changes: Array<HealthChange>, targets = 2) =>
  new PoolMemory(
    { name: "p", policy: "score", tierPenaltyMs: 0, retryShare: 0.5, hedgeShare: 0.02 },
    Array.from({ length: targets }, (_, index) => ({ target: `t/${index}`, tier: 0, slots: 4 })),
    0,
    (change) => changes.push(change),
  )
const lookAt = (memory: PoolMemory, nowMs: number, leftMs: number | null = null): Evidence =>
  memory.evidence(
    { phase: "new", leftMs, priority: 0, outsideEffects: false, attempts: 0 },
    () => "ready",
    new Set(),
    nowMs,
  )
const answer = (memory: PoolMemory, target: string, nowMs: number) => {
  memory.assigned(target)
  memory.began(target, "m", nowMs)
  memory.succeeded(target, "m", 100, nowMs + 100)
}
const fail = (memory: PoolMemory, target: string, nowMs: number) => {
  memory.assigned(target)
  memory.began(target, "m", nowMs)
  memory.failed(target, "m", nowMs)
}

describe("5 a target's standing", () => {
  it("5.1 goes from suspect over probing and ejected to warming, and back to healthy, and each change has its reason", () => {
    const changes: Array<HealthChange> = []
    const memory = memoryOf(changes)
    for (let index = 0; index < 10; index++) for (const target of ["t/0", "t/1"]) answer(memory, target, index * 100)
    for (let index = 0; index < 2; index++) fail(memory, "t/1", 2_000)
    expect(changes[0]?.reason).toContain("2 failures in a row")
    // It runs nothing that could clear it, so the next message does.
    lookAt(memory, 2_000)
    fail(memory, "t/1", 2_000)
    expect(changes.map(({ to }) => to)).toEqual(["suspect", "probing", "ejected"])
    expect(decide(lookAt(memory, 2_100), 0)).toMatchObject({ chosen: "t/0" })
    // 250 ms later one message is tried there, and one only.
    expect(decide(lookAt(memory, 2_250), 0)).toMatchObject({ chosen: "t/1", rule: "probe" })
    memory.assigned("t/1")
    expect(decide(lookAt(memory, 2_250), 0)).toMatchObject({ chosen: "t/0" })
    memory.began("t/1", "probe", 2_250)
    memory.succeeded("t/1", "probe", 100, 2_350)
    expect(lookAt(memory, 2_350).candidates[1]).toMatchObject({ health: "warming", slots: 1 })
    for (const nowMs of [2_400, 2_500]) answer(memory, "t/1", nowMs)
    lookAt(memory, 2_700)
    expect(changes.map(({ to }) => to)).toEqual(["suspect", "probing", "ejected", "probing", "warming", "healthy"])
  })
  it("5.2 is ejected for longer each time that its probe fails, but never for more than eight seconds", () => {
    let health = stepHealth(
      { state: "healthy", ejectedUntilMs: 0, ejections: 0, warm: 0 },
      { type: "USELESS", atMs: 0 },
    )
    const waits: Array<number> = [health.ejectedUntilMs]
    for (let index = 0; index < 20; index++) {
      health = stepHealth(stepHealth(health, { type: "PROBE_DUE" }), { type: "USELESS", atMs: 0 })
      waits.push(Math.round(health.ejectedUntilMs))
    }
    expect(waits.slice(0, 4)).toEqual([250, 350, 490, 686])
    expect(waits.at(-1)).toBe(8_000)
    // What was sent there before it was ejected ends there, and is no news.
    expect(stepHealth(health, { type: "USELESS", atMs: 99 })).toBe(health)
  })
  it("5.3 is not touched by errors of those who ask, nor by what they take back", () => {
    const changes: Array<HealthChange> = []
    const memory = memoryOf(changes)
    for (let index = 0; index < 20; index++) {
      memory.assigned("t/1")
      memory.began("t/1", `${index}`, 0)
      memory.released("t/1", `${index}`, index % 2 === 0)
    }
    expect(lookAt(memory, 10).candidates[1]).toMatchObject({ success: 1, outstanding: 0, health: "healthy" })
    expect(memory.signalsOf("t/1")?.terminal).toBe(10)
    expect(changes).toEqual([])
  })
  it("5.4 takes one that is new for one of its like", () => {
    const memory = memoryOf([], 3)
    for (let index = 0; index < 10; index++) for (const target of ["t/0", "t/1"]) answer(memory, target, index * 100)
    expect(lookAt(memory, 1_000).candidates[2]?.serviceMs).toBeCloseTo(100, 0)
  })
})

describe("6 admission", () => {
  const message = { phase: "new", leftMs: 500, priority: 0, outsideEffects: false, attempts: 0 } as const
  const predicted = { totalMs: 300, waitMs: 200, ahead: 3, inTime: 0.95, inTimeIdle: 0.99 }
  it("6.1 goes by what waiting costs, and by priority", () => {
    expect(admits(message, predicted, 0.97)).toBe(false)
    expect(admits(message, predicted, 0.9)).toBe(true)
    expect(admits({ ...message, priority: 1 }, predicted, 0.97)).toBe(true)
    expect(admits({ ...message, priority: -1 }, predicted, 0.95)).toBe(false)
    expect(admits({ ...message, leftMs: null }, predicted, 0.97)).toBe(true)
    expect(admits(message, { ...predicted, ahead: 0 }, 0.97)).toBe(true)
  })
  it("6.2 learns how much may wait: less where those admitted are late, more where they are not, within bounds", () => {
    let share = 0.97
    for (let index = 0; index < 10_000; index++) share = nextShare(share, 1, false)
    expect(share).toBe(0.995)
    for (let index = 0; index < 10_000; index++) share = nextShare(share, 1, true)
    expect(share).toBe(0.85)
  })
  it("6.3 says when to come back, and not to all the same", () => {
    expect(retryAfterMs(predicted, 0)).toBe(100)
    expect(retryAfterMs(predicted, 0.5)).toBe(150)
    expect(retryAfterMs({ ...predicted, waitMs: 0 }, 0)).toBe(50)
  })
})

describe("7 policies", () => {
  const many = (count: number): Evidence => ({
    ...between({}, {}),
    candidates: Array.from({ length: count }, (_, index) => ({ ...base, slots: 4, target: `t/${index}` })),
  })
  const under = (evidence: Evidence, policy: PolicyName, random = 0) => {
    const decision = replay(evidence, policy)
    expect(decide({ ...evidence, pool: { ...evidence.pool, policy } }, 0.5)).toEqual(decision)
    const found = decide({ ...evidence, pool: { ...evidence.pool, policy } }, random)
    return found !== undefined && "chosen" in found ? found.chosen : found?._tag
  }
  it("7.1 choose among the open, whatever they are", () => {
    fc.assert(
      fc.property(evidences, randoms, fc.constantFrom(...POLICY_NAMES), (evidence, random, policy) => {
        const pool = { ...evidence.pool, policy }
        const message = { ...evidence.message, phase: "promised" } as const
        const scored = decide({ ...evidence, message }, random)
        const chosen = decide({ ...evidence, pool, message }, random)
        expect(chosen?._tag).toBe(scored?._tag)
      }),
    )
  })
  it("7.2 take turns, or the least busy, or the better of two, or the cheapest that is in time", () => {
    const three = many(3)
    const turns = [0, 1, 2, 3].map((turn) => under({ ...three, pool: { ...three.pool, turn } }, "round-robin"))
    expect(turns).toEqual(["t/0", "t/1", "t/2", "t/0"])
    expect(under(between({ outstanding: 1, slots: 4 }, { serviceMs: 900, slots: 4 }), "least-outstanding")).toBe("b")
    expect(under(between({ serviceMs: 900 }, {}), "two-choices", 0.3)).toBe("b")
    const priced = between({ costPerMessage: 5 }, { costPerMessage: 1, serviceMs: 300 }, { leftMs: 1_500 })
    expect(under(priced, "price")).toBe("b")
    expect(under({ ...priced, message: { ...priced.message, leftMs: 400 } }, "price")).toBe("a")
  })
  it("7.3 keep a session together, unless it pays to move, and move only the sessions of a target that goes", () => {
    const keyed = (count: number, key: string): Evidence => ({
      ...many(count),
      message: { ...many(count).message, key },
    })
    const keys = Array.from({ length: 200 }, (_, index) => `chat/${index}`)
    const homes = keys.map((key) => under(keyed(4, key), "session", 0.9))
    for (const target of ["t/0", "t/1", "t/2", "t/3"]) {
      expect(homes.filter((home) => home === target).length).toBeGreaterThan(25)
    }
    for (const [index, key] of keys.entries()) {
      if (homes[index] !== "t/3") expect(under(keyed(3, key), "session")).toBe(homes[index])
    }
    const busy = keyed(4, "chat/0")
    const full = busy.candidates.map((each) => (each.target === homes[0] ? { ...each, outstanding: 12 } : each))
    expect(under({ ...busy, candidates: full }, "session")).not.toBe(homes[0])
  })
  it("7.4 are read back from the log; what is no evidence is none", () => {
    const evidence = between({}, {})
    expect(readEvidence(JSON.stringify({ ...evidence, predicted: {} }))).toEqual(evidence)
    for (const text of ["", "{}", '{"coffee":0.9}', "null"]) expect(readEvidence(text)).toBe(undefined)
  })
})
