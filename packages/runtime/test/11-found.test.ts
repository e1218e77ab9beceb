/** What simulations have found, each as the shortest plan that met it: none of it may come back. */
import { type SimulationPlan, simulatePlan } from "@pontoon/runtime/testing"
import { describe, expect, it } from "vitest"

type Act = SimulationPlan["scripts"][number]["acts"][number]
type Call = Extract<SimulationPlan["actions"][number], { readonly terms: object }>

/** An ask of `script`. */
const ask = (atMs: number, to: string, script: number, terms: Call["terms"] = {}): Call => ({
  kind: "ask",
  atMs,
  to,
  script,
  terms,
  leavesAfterMs: undefined,
})

const violationsOf = (
  actions: SimulationPlan["actions"],
  faults: SimulationPlan["faults"],
  scripts: ReadonlyArray<ReadonlyArray<Act>>,
  seed = 1,
): ReadonlyArray<string> =>
  simulatePlan({
    seed,
    actions,
    faults,
    scripts: scripts.map((acts) => ({ acts, resumes: false, revised: false })),
  }).violations

describe("a clock that is set back", () => {
  it("1 holds back nothing that was not put off: a process that starts later runs it in its turn", () => {
    const actions = [ask(0, "account/0", 0), ask(1, "account/0", 1), ask(60, "account/0", 1)]
    const back = { kind: "clock", atMs: 20, byMs: -3_600_000 } as const
    const kill = { kind: "kill", atMs: 30, downMs: 5 } as const
    expect(violationsOf(actions, [back, kill], [[{ do: "wait", ms: 40 }], []])).toEqual([])
  })
  it("2 makes nothing wait that was due while its actor was busy", () => {
    const fails = [{ do: "fail", how: "retryable", attempts: 1 }] as const
    const actions = [ask(0, "planner/2", 0), ask(0, "planner/2", 1)]
    const back = { kind: "clock", atMs: 15, byMs: -3_600_000 } as const
    expect(violationsOf(actions, [back], [fails, [{ do: "wait", ms: 30 }]])).toEqual([])
    const delayed = [ask(0, "desk/0", 1), ask(0, "desk/0", 2, { delayMs: 5 })]
    expect(violationsOf(delayed, [back], [[], [{ do: "wait", ms: 30 }], []])).toEqual([])
  })
  it("3 makes no backoff longer, of a message or of an actor", () => {
    const fails = [{ do: "fail", how: "retryable", attempts: 3 }] as const
    const back = (atMs: number) => ({ kind: "clock", atMs, byMs: -3_600_000 }) as const
    expect(violationsOf([ask(0, "account/0", 0)], [back(3), back(12), back(14)], [fails])).toEqual([])
    const throws = [{ do: "fail", how: "throw", attempts: 2 }] as const
    expect(violationsOf([ask(0, "account/0", 0)], [back(4), back(8), back(14), back(20)], [throws])).toEqual([])
    const kill = { kind: "kill", atMs: 4, downMs: 5 } as const
    expect(violationsOf([ask(0, "account/0", 0)], [back(4), kill], [fails])).toEqual([])
  })
})

describe("a clock that is set forward", () => {
  it("4 past the deadline of a handler that asks: its child is not claimed", () => {
    const asks = [
      { do: "wait", ms: 10 },
      { do: "ask", to: "account/1", script: 1, boldly: true, terms: {} },
    ] as const
    const forward = { kind: "clock", atMs: 6, byMs: 500 } as const
    expect(violationsOf([ask(0, "planner/0", 0, { timeoutMs: 300 })], [forward], [asks, []])).toEqual([])
  })
})
