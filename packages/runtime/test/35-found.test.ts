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

const simulate = (
  actions: SimulationPlan["actions"],
  faults: SimulationPlan["faults"],
  scripts: ReadonlyArray<ReadonlyArray<Act>>,
  seed = 1,
) =>
  simulatePlan({
    seed,
    actions,
    faults,
    scripts: scripts.map((acts) => ({ acts, resumes: false, revised: false })),
  })

const violationsOf = (...plan: Parameters<typeof simulate>): ReadonlyArray<string> => simulate(...plan).violations

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

describe("a clock that is set back before the next process", () => {
  it("3b holds back nothing that was tried, and handed on since", () => {
    const acts = [
      { do: "fail", how: "retryable", attempts: 1 },
      { do: "forward", to: "crew/1" },
    ] as const
    const actions = [ask(0, "crew/1", 1), ask(1, "account/0", 0)]
    const back = { kind: "clock", atMs: 30, byMs: -3_600_000 } as const
    const kill = { kind: "kill", atMs: 35, downMs: 5 } as const
    expect(violationsOf(actions, [back, kill], [acts, [{ do: "wait", ms: 60 }]])).toEqual([])
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

describe("an actor that comes back", () => {
  it("4b runs one message at a time, also where one has expired meanwhile and is to be compensated", () => {
    const undoable = { do: "step", ms: 4, fails: 0, triesMax: 1, undoes: true } as const
    const fails = { do: "fail", how: "retryable", attempts: 3 } as const
    const throws = { do: "fail", how: "throw", attempts: 8 } as const
    const forward = { kind: "clock", atMs: 39, byMs: 3_600_000 } as const
    for (let seed = 1; seed < 40; seed++) {
      const actions = [ask(0, "planner/2", 0, { timeoutMs: 170 }), ask(40, "planner/2", 1, { timeoutMs: 249 })]
      expect(
        violationsOf(
          actions,
          [forward],
          [
            [undoable, fails],
            [{ do: "wait", ms: 11 }, throws],
          ],
          seed,
        ),
      ).toEqual([])
    }
  })
})

describe("what a handler did", () => {
  const saga = { do: "step", ms: 5, fails: 0, triesMax: 1, undoes: true } as const

  it("5 and was recording when its deadline came is compensated", () => {
    for (let timeoutMs = 2; timeoutMs < 20; timeoutMs++) {
      expect(violationsOf([ask(0, "account/0", 0, { timeoutMs })], [], [[saga, saga]], timeoutMs)).toEqual([])
    }
  })
  it("6 is not given up because the log cannot be read for a while", () => {
    const fails = { do: "fail", how: "retryable", attempts: 1 } as const
    const unreadable = { kind: "unreadable", atMs: 8, forMs: 2_000, share: 1 } as const
    // A fault lasts no longer than the plan does.
    const actions = [ask(0, "account/0", 0), ask(2_500, "account/1", 1)]
    const { ends, violations } = simulate(actions, [unreadable], [[saga, fails], []])
    expect(violations).toEqual([])
    expect(ends).toEqual({ done: 2 })
  })
  it("7 in a branch that lost a race is not sent, whether or not it is run again", () => {
    const race = {
      do: "race",
      branches: [
        [
          { do: "wait", ms: 2 },
          { do: "send", to: "account/1", script: 1, terms: {} },
          { do: "wait", ms: 50 },
        ],
        [{ do: "step", ms: 5, fails: 0, triesMax: 1, undoes: false }],
      ],
    } as const
    const sleep = { do: "sleep", ms: 40 } as const
    for (const faults of [[], [{ kind: "kill", atMs: 30, downMs: 5 } as const]]) {
      const { messages, violations } = simulate([ask(0, "account/0", 0)], faults, [[race, sleep], []])
      expect(violations).toEqual([])
      expect(messages).toBe(1)
    }
  })
  it("8 and is compensated already keeps the end that it came to, whoever dies on the way to it", () => {
    const declared = { do: "fail", how: "declared", attempts: 9 } as const
    for (let everyMs = 6; everyMs < 12; everyMs++) {
      const storm = { kind: "storm", atMs: 12, times: 7, everyMs } as const
      expect(violationsOf([ask(0, "planner/1", 0)], [storm], [[saga, declared]], everyMs)).toEqual([])
    }
  })
  it("8b and is to be compensated is so, where its message is taken back on the way to being recalled", () => {
    const terminal = { do: "fail", how: "terminal", attempts: 9 } as const
    // It dies with its end recorded, is taken back between its next claim and its handler, and dies once more.
    for (let killMs = 10; killMs < 22; killMs += 2) {
      for (let cancelMs = killMs + 5; cancelMs < killMs + 11; cancelMs += 1) {
        for (const laterMs of [2, 4, 6, 9]) {
          const first = { kind: "kill", atMs: killMs, downMs: 5 } as const
          const second = { kind: "kill", atMs: cancelMs + laterMs, downMs: 5 } as const
          const actions = [ask(0, "account/0", 0), { kind: "cancel", atMs: cancelMs, nth: 0 } as const]
          expect(violationsOf(actions, [first, second], [[saga, terminal]], killMs)).toEqual([])
        }
      }
    }
  })
  it("9 and cannot be compensated, because the program lacks its actor, is said by its end when it is taken back", () => {
    const fails = { do: "fail", how: "retryable", attempts: 9 } as const
    const program = { version: 1, lacks: "account", revision: 0 } as const
    const deploy = { kind: "deploy", atMs: 14, downMs: 3, drains: false, program } as const
    const cancel = { kind: "cancel", atMs: 60, nth: 0 } as const
    for (let seed = 1; seed < 6; seed++) {
      const { ends, violations } = simulate(
        [ask(0, "account/0", 0), cancel, ask(200, "desk/0", 1)],
        [deploy],
        [[saga, fails], []],
        seed,
      )
      expect(violations).toEqual([])
      expect(ends).toEqual({ cancelled: 1, done: 1 })
    }
  })
  it("9b and has an end already keeps it, where it is taken back and the program lacks its actor", () => {
    const declared = { do: "fail", how: "declared", attempts: 9 } as const
    const program = { version: 1, lacks: "account", revision: 0 } as const
    const cancel = { kind: "cancel", atMs: 60, nth: 0 } as const
    for (let diesAtMs = 8; diesAtMs < 24; diesAtMs++) {
      const deploy = { kind: "deploy", atMs: diesAtMs, downMs: 3, drains: false, program } as const
      const actions = [ask(0, "account/0", 0), cancel, ask(200, "desk/0", 1)]
      expect(violationsOf(actions, [deploy], [[saga, declared], []])).toEqual([])
    }
  })
  it("10 and was answered stands, where an operator redrives what it had asked before", () => {
    const step = (ms: number, fails: number, triesMax: number) =>
      ({ do: "step", ms, fails, triesMax, undoes: false }) as const
    const throws = { do: "fail", how: "throw", attempts: 3 } as const
    const asks = (to: string, script: number, boldly: boolean) =>
      ({ do: "ask", to, script, boldly, terms: {} }) as const
    const actions = [
      ask(1, "planner/0", 0, { timeoutMs: 18, idempotencyKey: "k2" }),
      ask(21, "planner/2", 3),
      { kind: "feedback", atMs: 21, nth: 979, score: 0.5 } as const,
      ask(21, "account/0", 4, { timeoutMs: 118 }),
      { kind: "redrive", atMs: 93, nth: 654 } as const,
    ]
    const scripts = [
      [asks("talker/0", 1, true)],
      [],
      [step(1, 2, 4), throws],
      [asks("models", 2, false), throws],
      [{ do: "wait", ms: 4 } as const, step(5, 0, 1)],
    ]
    expect(violationsOf(actions, [{ kind: "kill", atMs: 69, downMs: 2 }], scripts, 506_978)).toEqual([])
  })
})
