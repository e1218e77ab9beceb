/** Schedules: messages that come round by the calendar, over deaths, summer time and clocks that jump. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, makeSchedule } from "@pontoon/runtime"
import { Clock, Effect, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { nextTickMs, parseCron, planTicks, TICKS_MAX } from "../src/patterns/planTicks.ts"
import { pass, steppedClock } from "./support/clocks.ts"
import { everyCommit } from "./support/everyCommit.ts"
import { makeWorld, rows, turns, type World } from "./support/World.ts"

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const Jobs = makeSchedule("jobs", { payload: Schema.String })

/** An actor that notes its ticks. */
const makeClerk = (options: { readonly capacity?: number } = {}) => {
  const ticks: Array<readonly [schedule: string, atMs: number, missed: number]> = []
  const Clerk = Actor.make("clerk", {
    protocol: [Jobs.Tick],
    mailbox: options,
    handlers: {
      "jobs.Tick": ({ atMs, missed, schedule }) =>
        Effect.sync(() => {
          ticks.push([schedule, atMs, missed])
        }),
    },
  })
  return { Clerk, ticks }
}

const main = Jobs.ref("main")
const put = (world: World, name: string, cron: string, more: object = {}) =>
  world.system.ask(main, "Put", { name, cron, to: { type: "clerk", id: "1" }, payload: "p", ...more })

const cronOf = (expression: string, timeZone = "UTC") => Result.getOrThrow(parseCron(expression, timeZone))

describe("1 a plan", () => {
  const hourly = cronOf("0 * * * *")
  it("1.1 of what was missed sends none, the last, or all, and says how many are left out", () => {
    const plan = (missed: "skip" | "once" | "all", nowMs: number) => planTicks(hourly, HOUR, nowMs, missed)
    expect(plan("once", HOUR - 1)).toEqual([])
    for (const missed of ["skip", "once", "all"] as const) {
      expect(plan(missed, HOUR)).toEqual([{ atMs: HOUR, missed: 0 }])
    }
    expect(plan("skip", 3 * HOUR + 2 * MINUTE)).toEqual([])
    expect(plan("skip", 3 * HOUR + MINUTE)).toEqual([{ atMs: 3 * HOUR, missed: 2 }])
    expect(plan("once", 3 * HOUR + 2 * MINUTE)).toEqual([{ atMs: 3 * HOUR, missed: 2 }])
    expect(plan("all", 3 * HOUR).map(({ atMs }) => atMs)).toEqual([HOUR, 2 * HOUR, 3 * HOUR])
  })
  it("1.2 sends no more than the last hundred", () => {
    const all = planTicks(hourly, HOUR, 1_000 * HOUR, "all")
    expect(all.length).toBe(TICKS_MAX)
    expect(all.at(-1)).toEqual({ atMs: 1_000 * HOUR, missed: 0 })
    expect(all[0]).toEqual({ atMs: 901 * HOUR, missed: 1 })
  })
  it("1.2b of a list of ticks, looked at now and then, sends each once and in order, and counts those it leaves out", () => {
    const looks = fc.array(fc.integer({ min: 1, max: 40 * MINUTE }), { minLength: 1, maxLength: 30 })
    const everyMinutes = fc.constantFrom(1, 2, 5, 15, 30)
    const policies = fc.constantFrom("skip" as const, "once" as const, "all" as const)
    fc.assert(
      fc.property(looks, everyMinutes, policies, (gaps, every, missed) => {
        const cron = cronOf(every === 1 ? "* * * * *" : `*/${every} * * * *`)
        const sent: Array<number> = []
        let [dueMs, nowMs, left] = [every * MINUTE, 0, 0]
        for (const gapMs of gaps) {
          nowMs += gapMs
          const plan = planTicks(cron, dueMs, nowMs, missed)
          for (const tick of plan) {
            sent.push(tick.atMs)
            left += tick.missed
            // "skip" sends only what is found in time.
            if (missed === "skip") expect(nowMs - tick.atMs).toBeLessThanOrEqual(MINUTE)
          }
          if (dueMs <= nowMs && plan.length === 0) expect(missed).toBe("skip")
          if (dueMs <= nowMs) dueMs = nextTickMs(cron, nowMs) ?? Number.POSITIVE_INFINITY
        }
        const ticks = Array.from({ length: Math.floor(nowMs / (every * MINUTE)) }, (_, n) => (n + 1) * every * MINUTE)
        expect(sent).toEqual(ticks.filter((atMs) => sent.includes(atMs)))
        if (missed === "all") expect(sent).toEqual(ticks)
        if (missed === "once") expect(sent.length + left).toBe(ticks.length)
      }),
    )
  })
  it("1.3 knows summer time: what falls into the gap comes an hour later, what comes twice comes once", () => {
    const berlin = cronOf("30 2 * * *", "Europe/Berlin")
    const ticksFrom = (start: string, count: number) => {
      let atMs = Date.parse(start)
      return Array.from({ length: count }, () => {
        atMs = nextTickMs(berlin, atMs) ?? Number.NaN
        return new Date(atMs).toISOString().slice(5, 16)
      })
    }
    expect(ticksFrom("2026-03-28T00:00:00Z", 3)).toEqual(["03-28T01:30", "03-29T01:30", "03-30T00:30"])
    expect(ticksFrom("2026-10-24T00:00:00Z", 3)).toEqual(["10-24T00:30", "10-25T00:30", "10-26T01:30"])
  })
})

describe("2 a schedule", () => {
  it.effect("2.1 that is none is refused in a sentence, and one too many", () =>
    Effect.gen(function* () {
      expect(() => makeSchedule("jobs", { payload: Schema.String, schedulesMax: 0 })).toThrow(
        "schedulesMax must be a whole number from 1 to 10000, and is 0",
      )
      const Two = makeSchedule("two", { payload: Schema.String, schedulesMax: 2 })
      const world = yield* makeWorld({ actors: [Jobs, Two] })
      const refused = (cron: string, more: object = {}) =>
        Effect.map(Effect.flip(put(world, "x", cron, more)), (error) => `${error._tag} ${error.message}`)
      expect(yield* refused("every day")).toContain(
        "TerminalInvalidSchedule The schedule x was not put: Invalid number",
      )
      expect(yield* refused("0 0 31 2 *")).toContain('"0 0 31 2 *" never comes')
      expect(yield* refused("* * * * *", { timeZone: "Mars/Olympus" })).toContain("time zone Mars/Olympus")
      expect(yield* refused("* * * * *", { name: "" })).toContain("TerminalInvalidMessage")
      const putTwo = (name: string) =>
        world.system.ask(Two.ref("a"), "Put", {
          ...{ name, cron: "* * * * *", payload: "p" },
          to: { type: "clerk", id: "1" },
        })
      for (const name of ["a", "b", "a"]) yield* putTwo(name)
      expect((yield* Effect.flip(putTwo("c"))).message).toContain("there are 2 already")
    }),
  )
  it.effect("2.2 ticks at its times, each once, is listed, replaced and removed", () =>
    Effect.gen(function* () {
      const { Clerk, ticks } = makeClerk()
      const world = yield* makeWorld({ actors: [Jobs, Clerk] })
      expect(yield* put(world, "minutely", "* * * * *")).toEqual({ nextAtMs: MINUTE })
      expect(yield* put(world, "hourly", "0 * * * *")).toEqual({ nextAtMs: HOUR })
      yield* pass(3 * MINUTE + 1)
      expect(ticks).toEqual([1, 2, 3].map((minute) => ["minutely", minute * MINUTE, 0]))
      expect(yield* put(world, "minutely", "*/30 * * * *")).toEqual({ nextAtMs: 30 * MINUTE })
      expect(yield* world.system.ask(main, "Next", { name: "minutely" })).toBe(30 * MINUTE)
      const listed = yield* world.system.ask(main, "List", undefined)
      expect(listed.map(({ name, nextAtMs, missed }) => [name, nextAtMs, missed])).toEqual([
        ["minutely", 30 * MINUTE, "once"],
        ["hourly", HOUR, "once"],
      ])
      expect(yield* world.system.ask(main, "Remove", { name: "minutely" })).toBe(true)
      expect(yield* world.system.ask(main, "Remove", { name: "minutely" })).toBe(false)
      expect(yield* world.system.ask(main, "Next", { name: "minutely" })).toBe(null)
      yield* pass(HOUR)
      expect(ticks.slice(3)).toEqual([["hourly", HOUR, 0]])
      const sent = rows(world).filter(({ task }) => task === "jobs.Tick")
      expect(sent[0]).toMatchObject({ idempotencyKey: `main/minutely@${MINUTE}` })
    }),
  )
  it.effect("2.3 makes good what a process that was down has missed, as it says", () =>
    Effect.gen(function* () {
      const { Clerk, ticks } = makeClerk()
      const world = yield* makeWorld({ actors: [Jobs, Clerk] })
      for (const missed of ["skip", "once", "all"]) yield* put(world, missed, "0 * * * *", { missed })
      yield* turns
      yield* world.close
      yield* TestClock.adjust(3.5 * HOUR)
      yield* world.crash
      yield* turns
      expect(ticks).toEqual([
        ["once", 3 * HOUR, 2],
        ["all", HOUR, 0],
        ["all", 2 * HOUR, 0],
        ["all", 3 * HOUR, 0],
      ])
      yield* pass(HOUR, MINUTE / 2)
      expect(ticks.slice(4)).toEqual(["skip", "once", "all"].map((name) => [name, 4 * HOUR, 0]))
    }),
  )
  it.effect("2.4 waits for a target whose mailbox is full, and holds up no other", () =>
    Effect.gen(function* () {
      const { Clerk, ticks } = makeClerk({ capacity: 1 })
      const world = yield* makeWorld({ actors: [Jobs, Clerk] })
      for (const name of ["a", "b", "c"]) yield* put(world, name, "* * * * *")
      yield* pass(MINUTE + 5_000, 1_000)
      expect(ticks.map(([name]) => name).sort()).toEqual(["a", "b", "c"])
    }),
  )
  it.effect("2.5 goes round whatever becomes of its target, and says what the trouble is", () =>
    Effect.gen(function* () {
      const { Clerk, ticks } = makeClerk()
      const world = yield* makeWorld({ actors: [Jobs, Clerk] })
      yield* put(world, "lost", "* * * * *", { to: { type: "nobody", id: "1" } })
      yield* put(world, "fine", "* * * * *")
      yield* pass(2 * MINUTE + 1)
      expect(ticks.length).toBe(2)
      const [lost, fine] = yield* world.system.ask(main, "List", undefined)
      expect(lost?.problem).toContain("There is no actor nobody in this system")
      expect([lost?.nextAtMs, fine?.problem]).toEqual([3 * MINUTE, null])
    }),
  )
  it.effect("2.6 neither loses a tick nor doubles one, whatever commit it dies at", () =>
    Effect.gen(function* () {
      let ticks: Array<number> = []
      const Clerk = Actor.make("clerk", {
        protocol: [Jobs.Tick],
        state: Schema.Array(Schema.Int),
        initialState: [],
        handlers: {
          "jobs.Tick": ({ atMs }, actor) => Effect.sync(() => actor.setState([...actor.state, atMs])),
        },
      })
      const deaths = yield* everyCommit({
        actors: [Jobs, Clerk],
        drive: (world) =>
          world.system.ask(
            main,
            "Put",
            { name: "m", cron: "* * * * *", to: { type: "clerk", id: "1" }, payload: "p", missed: "all" },
            { idempotencyKey: "put" },
          ),
        lastsMs: 2 * MINUTE,
        check: (world) =>
          Effect.sync(() => {
            ticks = JSON.parse(world.log.actors.get("clerk/1")?.state ?? "[]")
            const answer = rows(world).find(({ task }) => task === "Put")?.reply ?? "{}"
            const { nextAtMs } = JSON.parse(answer)
            expect(ticks.length).toBeGreaterThan(0)
            expect(ticks).toEqual(ticks.map((_, index) => nextAtMs + index * MINUTE))
          }),
      })
      expect(deaths).toBeGreaterThan(5)
    }),
  )
  it.effect(
    "2.7 is late by half a minute at most when the clock jumps forward, and ticks no second time when it jumps back",
    () =>
      Effect.gen(function* () {
        const { stepped, wall } = yield* steppedClock
        const { Clerk, ticks } = makeClerk()
        const world = yield* Effect.provideService(makeWorld({ actors: [Jobs, Clerk] }), Clock.Clock, stepped)
        yield* put(world, "daily", "0 0 * * *")
        yield* turns
        wall.setMs = 2 * DAY
        yield* pass(MINUTE, 1_000)
        expect(ticks).toEqual([["daily", 2 * DAY, 1]])
        wall.setMs = DAY - 10 * MINUTE
        yield* pass(20 * MINUTE)
        expect(ticks.length).toBe(1)
        wall.setMs = 3 * DAY - 21 * MINUTE
        yield* pass(MINUTE, 1_000)
        expect(ticks.slice(1)).toEqual([["daily", 3 * DAY, 0]])
      }),
  )
})
