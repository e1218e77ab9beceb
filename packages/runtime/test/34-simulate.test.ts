/** The whole runtime under 1,000 seeds of everything that can go wrong; and what the simulation and its judges are worth. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"
import { CRASH_POINTS, type MessageRow, type Write } from "@pontoon/runtime"
import {
  checkAttempts,
  checkEffects,
  checkFeedback,
  checkHandOns,
  checkHops,
  checkOrder,
  checkReading,
  checkRunOrder,
  checkRuns,
  checkSends,
  checkTimes,
  describeFailure,
  type HandlerRun,
  type LogContents,
  makePlan,
  type SimulateOptions,
  shrinkPlan,
  simulate,
  simulatePlan,
} from "@pontoon/runtime/testing"
import { describe, expect, it } from "vitest"

const seeds = (from: number, count: number) => Array.from({ length: count }, (_, nth) => from + nth)
const simulateCommand = fileURLToPath(new URL("../bin/simulate.ts", import.meta.url))

describe("1 a simulation", () => {
  it("1.1 is the same history for the same seed, byte for byte, and another for another", () => {
    for (const seed of [3, 11, 58]) {
      const [one, two] = [simulate(seed, { history: true }), simulate(seed, { history: true })]
      expect(one.history.join("\n")).toBe(two.history.join("\n"))
      expect(one.digest).toBe(two.digest)
      expect(one.history.length).toBeGreaterThan(30)
      expect(simulate(seed).digest).toBe(one.digest)
    }
    expect(new Set(seeds(1, 20).map((seed) => simulate(seed).digest)).size).toBe(20)
  })
  it("1.2 is the same one in another process, on its first run", () => {
    const output = execFileSync(process.execPath, [simulateCommand, "--seeds", "5", "--from", "40"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    })
    const digest = createHash("sha256")
    for (const seed of seeds(40, 5)) digest.update(simulate(seed).digest)
    expect(output).toContain("5 seeds from 40 on, all clean: ")
    expect(output).toContain(`digest ${digest.digest("hex").slice(0, 16)}`)
  })
  it("1.3 meets every fault that its header lists, and every way a message and a call can end", () => {
    const wanted = new Set<string>([
      ...["cancelled", "dead", "done", "expired", "failed"],
      ...[
        "kill",
        "killAt",
        "close",
        "storm",
        "deploy",
        "clock",
        "refuse",
        "slow",
        "unreadable",
        "crash",
        "down",
        "stop",
      ],
      ...[
        "cancel",
        "redrive",
        "feedback",
        "read",
        "Postpone",
        "Forward",
        "TerminalForwardLoop",
        "TerminalDropped",
        "undo",
        "race",
        "sleep",
      ],
      ...["answered", "Declared", "RetryableMailboxFull", "RetryableClosing", "RetryableStoreFailure"],
      ...["TerminalIdempotencyConflict", "TerminalDeadLetter", "TerminalExpired", "TerminalCancelled"],
      ...["TerminalMessageFailed", "TerminalActorFailed", "TerminalReplayMismatch", "written", "busy", "full", "io"],
      ...[
        "is killed",
        "has closed",
        "has given up",
        "is replaced",
        ...CRASH_POINTS.map((point) => `is killed at ${point}`),
      ],
    ])
    // As many as it takes, and far more than it has taken.
    for (let seed = 1; wanted.size > 0 && seed <= 600; seed++) {
      const { ends, history } = simulate(seed, { history: true })
      for (const status of Object.keys(ends)) wanted.delete(status)
      for (const line of history) {
        const [, ...parts] =
          / (?:caller .*: (\w+)|operator (\w+) \S+: done|fault .*"kind":"(\w+)"|commit (\w+)|process \d+ (.*))/.exec(
            line,
          ) ?? []
        for (const part of parts) if (part !== undefined) wanted.delete(part)
        if (line.includes("TerminalReplayMismatch")) wanted.delete("TerminalReplayMismatch")
        if (line.includes('"_tag":"Postpone"')) wanted.delete("Postpone")
        if (line.includes('"_tag":"Forward"')) wanted.delete("Forward")
        if (line.includes("TerminalDropped")) wanted.delete("TerminalDropped")
        for (const kind of ["undo", "race", "sleep"]) if (line.includes(`"kind":"${kind}"`)) wanted.delete(kind)
        if (line.includes("TerminalForwardLoop")) wanted.delete("TerminalForwardLoop")
        if (/reader .*: has read \d/.test(line)) wanted.delete("read")
      }
    }
    expect([...wanted]).toEqual([])
  })
})

describe("2 the runtime", () => {
  /** The part of a test run that is one turn of the event loop: vitest wants to be heard between them. */
  const PART = 125
  for (const part of seeds(0, 8)) {
    const from = part * PART + 1
    it(`2.${part + 1} is clean under seeds ${from} to ${from + PART - 1}`, () => {
      const failed = seeds(from, PART)
        .map((seed) => simulate(seed))
        .find(({ violations }) => violations.length > 0)
      expect(failed === undefined ? "clean" : describeFailure(failed)).toBe("clean")
    })
  }
  it("2.9 is clean with ten times as much at once", () => {
    const failed = seeds(1, 4)
      .map((seed) => simulate(seed, { messages: 300 }))
      .find(({ violations }) => violations.length > 0)
    expect(failed?.violations ?? []).toEqual([])
  })
})

describe("3 the judges of a simulation find", () => {
  /** The violations under the first seed that has any. */
  const found = (tamper: NonNullable<SimulateOptions["tamper"]>): string => {
    for (const seed of seeds(1, 20)) {
      const { violations } = simulate(seed, { tamper })
      if (violations.length > 0) return violations.join("; ")
    }
    return "nothing"
  }
  const without =
    (isLost: (write: Write) => boolean, every: number) =>
    (writes: ReadonlyArray<Write>, nth: number): ReadonlyArray<Write> =>
      nth % every === 0 ? writes.filter((write) => !isLost(write)) : writes
  const alter =
    (change: (write: Write) => Write) =>
    (writes: ReadonlyArray<Write>): ReadonlyArray<Write> =>
      writes.map(change)

  it("3.1 a disk that loses messages, states, ends, steps and sends", () => {
    expect(found(without(({ _tag }) => _tag === "Append", 9))).toMatch(/is not in the log|is lost|was not sent/)
    expect(found(without((write) => write._tag === "PutActor" && write.state !== undefined, 9))).toContain(
      "holds no effect of it",
    )
    expect(found(without(({ _tag }) => _tag === "Settle", 9))).toMatch(/the log says null|has not ended/)
    expect(found(without(({ _tag }) => _tag === "RecordStep", 1))).toMatch(/when it was run again/)
    expect(found((writes) => writes.filter((write, nth) => nth === 0 || write._tag !== "Append"))).toMatch(
      /was not sent|is not in the log/,
    )
  })
  it("3.2 effects that are there twice, replies that change, ends that come too early", () => {
    const twice = alter((write) =>
      write._tag === "PutActor" && typeof write.state === "string" && write.state.length > 4
        ? { ...write, state: JSON.stringify([...JSON.parse(write.state), JSON.parse(write.state)[0]]) }
        : write,
    )
    expect(found(twice)).toContain("that is one too many")
    const changed = alter((write) =>
      write._tag === "Settle" && write.reply !== null ? { ...write, reply: '"x"' } : write,
    )
    expect(found(changed)).toMatch(/was answered .*, and the log says "x"/)
    const early = alter((write) =>
      write._tag === "Settle" && write.status === "expired" ? { ...write, atMs: 5 } : write,
    )
    expect(found(early)).toContain("before its deadline")
  })
  it("3.3 attempts that are run again, and a message that never ends", () => {
    const uncounted = alter((write) => (write._tag === "Claim" ? { ...write, attempt: 1 } : write))
    expect(found(uncounted)).not.toBe("nothing")
    const unending = without((write) => write._tag === "Settle" && write.status === "failed", 1)
    expect(found(unending)).toMatch(/has not ended|beside/)
  })

  it("3.4 runs, times, sends, effects and readings that are wrong, each by itself", () => {
    const { violations } = simulate(1)
    expect(violations).toEqual([])
    const row: MessageRow = {
      id: "m",
      seq: 1,
      actorType: "a",
      actorId: "x",
      pool: null,
      task: "T",
      codec: "json",
      priority: 0,
      createdAtMs: 10,
      deliverAtMs: 20,
      deadlineAtMs: 50,
      sender: null,
      correlationId: "m",
      causationId: null,
      idempotencyKey: null,
      via: null,
      traceId: "t",
      body: "",
      status: "done",
      attempt: 1,
      attemptsBefore: 0,
      startedAtMs: 20,
      finishedAtMs: 30,
      reply: "1",
      error: null,
    }
    const address = { type: "a", id: "x" }
    const actor = { address, lifecycle: "ready", state: '["m"]', version: 1, restarts: 0, updatedAtMs: 0 }
    const contents: LogContents = {
      messages: [row],
      actors: [actor],
      steps: new Map(),
      chunks: new Map([["m", [{ messageId: "m", attempt: 1, ordinal: 0, data: "0", atMs: 1 }]]]),
      attempts: new Map(),
    }
    const run: HandlerRun = { messageId: "m", actor: "a/x", attempt: 1, deadlineAtMs: 50, startedAtMs: 20 }
    expect(checkRuns(contents, [run])).toEqual([])
    expect(checkRuns(contents, [{ ...run, messageId: "n" }]).join()).toContain("is not in the log")
    expect(checkRuns(contents, [{ ...run, startedAtMs: 9 }]).join()).toContain("before it was accepted")
    expect(checkRuns(contents, [{ ...run, attempt: 2 }]).join()).toContain("knows of 1 attempts")
    expect(checkRuns(contents, [run, run]).join()).toContain("ran after its attempt 1")
    expect(checkRuns(contents, [{ ...run, startedAtMs: 51 }]).join()).toContain("after its deadline 50")
    expect(checkRuns(contents, [{ ...run, startedAtMs: 31 }]).join()).toContain("ran after its end at 30")
    expect(
      checkRuns(contents, [{ ...run, startedAtMs: 31 }], { stepped: true, endedAtMs: new Map([["m", 40]]) }),
    ).toEqual([])
    expect(checkRuns(contents, [{ ...run, startedAtMs: 41 }], { endedAtMs: new Map([["m", 40]]) }).join()).toContain(
      "ran after its end at 40",
    )
    expect(checkAttempts(contents, [run], 1)).toEqual([])
    expect(checkAttempts(contents, [run], 0).join()).toContain("had 1 attempts, of 0")
    expect(checkAttempts(contents, [], 1).join()).toContain("never ran")
    const failed = {
      ...{ messageId: "m", attempt: 1, actorType: "a", actorId: "x" },
      startedAtMs: 1,
      finishedAtMs: 1,
      error: "{}",
    }
    const often = { ...contents, attempts: new Map([["m", [failed, failed]]]) }
    expect(checkAttempts(often, [run], 1).join()).toContain("failed 2 times in 1 attempts")
    const times = (changes: Partial<MessageRow>) =>
      checkTimes({ ...contents, messages: [{ ...row, ...changes }] }).join()
    expect(times({})).toBe("")
    expect(times({ startedAtMs: 19 })).toContain("not due before 20")
    expect(times({ startedAtMs: 51 })).toContain("after its deadline 50")
    expect(times({ status: "expired" })).toContain("before its deadline 50")
    const effects = (changes: Partial<LogContents>) =>
      checkEffects({ ...contents, ...changes }, () => true, JSON.parse).join()
    expect(effects({})).toBe("")
    expect(effects({ actors: [] })).toBe("a/x has answered m and holds no effect of it")
    expect(effects({ actors: [{ ...actor, state: '["m","m"]' }] })).toContain("one too many")
    expect(effects({ actors: [{ ...actor, address: { type: "a", id: "y" } }] })).toContain("one too many")
    expect(checkSends(contents, new Map([["m", "m"]]))).toEqual([])
    expect(checkSends(contents, new Map([["m.0", "m"]])).join()).toBe("m is done, and m.0 was not sent")
    const pending = { ...contents, messages: [{ ...row, status: "pending" as const }] }
    expect(checkSends(pending, new Map([["m", "m"]])).join()).toBe("m was sent, and m is not done")
    expect(checkReading(contents, "m", ["0"])).toEqual([])
    expect(checkReading(contents, "m", ["1"]).join()).toContain("was read as 1, and the log says 0")
    expect(checkReading(contents, "m", ["0", "1"]).join()).toContain("the log says undefined")
    expect(checkReading(contents, "m", [], { from: 1, complete: true })).toEqual([])
    expect(checkReading(contents, "m", ["0"], { from: 1 }).join()).toContain("chunk 1 of message m was read as 0")
    expect(checkReading(contents, "m", [], { complete: true }).join()).toBe(
      "a reader of message m was told that 0 chunks are all, of 1",
    )
    expect(checkFeedback([{ source: "j" }], ["j"])).toEqual([])
    expect(checkFeedback([{ source: "j" }, { source: "j" }], ["j", "k"])).toEqual([
      "the score of j is in the log twice",
      "the score of k was taken and is lost",
    ])
    const before = { ...row, id: "l", seq: 0, startedAtMs: 25, finishedAtMs: 26 }
    const order = (unordered: ReadonlyArray<string>) =>
      checkOrder(
        { ...contents, messages: [before, row] },
        { isSerial: () => true, unordered: new Set(unordered) },
      ).join()
    expect(order([])).toBe("a/x ran m before the earlier l")
    expect(order(["l"])).toBe("")
    const inRuns = (...ids: ReadonlyArray<string>) =>
      checkRunOrder(
        { ...contents, messages: [before, row] },
        ids.map((messageId) => ({ ...run, messageId })),
        { isSerial: () => true },
      ).join()
    expect(inRuns("l", "m")).toBe("")
    expect(inRuns("m", "l")).toBe("a/x ran m before the earlier l")
    expect(inRuns("l", "m", "l")).toBe("a/x ran m before the earlier l")
  })
})

describe("3b the judges of what was handed on find", () => {
  const row = (via: ReadonlyArray<string>) => ({ id: "m", via: JSON.stringify(via) }) as MessageRow
  const holding = (state: ReadonlyArray<string>): LogContents["actors"] => [
    {
      address: { type: "a", id: "x" },
      lifecycle: "ready",
      state: JSON.stringify(state),
      version: 1,
      restarts: 0,
      updatedAtMs: 0,
    },
  ]
  const contents = (via: ReadonlyArray<string>, state: ReadonlyArray<string>): LogContents => ({
    messages: [row(via)],
    actors: holding(state),
    steps: new Map(),
    chunks: new Map(),
    attempts: new Map(),
  })
  const check = (via: ReadonlyArray<string>, state: ReadonlyArray<string>) =>
    checkHandOns(contents(via, state), (type) => type === "a", JSON.parse).join()

  it("3b.1 an effect too many, or too few; pools and actors without a state have none", () => {
    expect(check(["a/x", "pool a", "b/y"], ["m"])).toBe("")
    expect(check(["a/x", "a/x"], ["m"])).toBe("a/x has handed m on 2 times, and holds 1 effects of it")
    expect(check([], ["m"])).toBe("a/x has handed m on 0 times, and holds 1 effects of it")
  })
  it("3b.2 a hop that the log does not know of, or too many", () => {
    expect(checkHops(contents(["a/x"], []), new Map([["m", 1]]))).toEqual([])
    expect(checkHops(contents(["a/x"], []), new Map()).join()).toBe(
      "message m was handed on 0 times, and the log says by a/x",
    )
  })
})

describe("4 a failure", () => {
  const tamper = (writes: ReadonlyArray<Write>): ReadonlyArray<Write> =>
    writes.filter((write) => write._tag !== "PutActor" || write.state === undefined || write.address.type === "shop")

  it("4.1 is shrunk to the shortest history that still fails, and told with it", () => {
    const failed = simulate(5, { tamper })
    expect(failed.violations.length).toBeGreaterThan(0)
    const text = describeFailure(failed, { tamper })
    expect(text).toContain("seed 5 failed:")
    expect(text).toMatch(/of its 30 actions and \d+ faults, 1 and 0 do:\n {2}action /)
    expect(text).toContain("\n  0 process 1 starts ")
    // Messages have names by then, and the history is one of a handful of them.
    expect(text).toMatch(/so that \w+\/\d has (answered m\d[.\d]* and holds no effect of it|handed m\d on)/)
    expect(text.split("\n").length).toBeLessThan(60)
  })
  it("4.2 that needs two things keeps the two", () => {
    const plan = makePlan(7, 20)
    const [, second, , , fifth] = plan.actions
    const shortest = shrinkPlan(
      plan,
      ({ actions }) => actions.some((one) => one === second) && actions.some((one) => one === fifth),
    )
    expect(shortest.actions).toEqual([second, fifth])
    expect(shortest.faults).toEqual([])
    expect(shortest.scripts.every(({ acts }) => acts.length === 0)).toBe(true)
    expect(simulatePlan(shortest).violations).toEqual([])
  })
  it("4.3 tries no more than 2,000 plans", () => {
    let tries = 0
    shrinkPlan(makePlan(7, 3_000), () => {
      tries++
      return tries % 3 === 0
    })
    expect(tries).toBe(2_000)
  })
})

describe("5 the command", () => {
  const refused = (...args: ReadonlyArray<string>): string => {
    try {
      execFileSync(process.execPath, [simulateCommand, ...args], { encoding: "utf8", stdio: "pipe" })
    } catch (error) {
      const { status, stderr } = error as { readonly status: number; readonly stderr: string }
      return `${status} ${stderr}`
    }
    return "done"
  }
  it("5.1 says what is wrong with its arguments, and exits with 2", () => {
    expect(refused("--seeds", "0")).toMatch(/^2 --seeds must be a whole number, 1 or more; it is "0"\.\nusage: /)
    expect(refused("--from", "x")).toMatch(/^2 --from must be a whole number, 1 or more; it is "x"\.\nusage: /)
    expect(refused("--sides")).toMatch(/^2 Unknown option '--sides'/)
  })
})
