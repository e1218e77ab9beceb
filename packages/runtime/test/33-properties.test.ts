/** Properties: random runs against models, and random deaths against the checkers. A failure prints its seed and path. */
import { describe, expect, it } from "@effect/vitest"
import { Actor } from "@pontoon/runtime"
import {
  checkAccepted,
  checkLog,
  checkReplies,
  checkSums,
  FaultyStore,
  type LogContents,
  type MemoryLog,
} from "@pontoon/runtime/testing"
import { Effect, Fiber, Logger, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { createActor } from "xstate"
import { type LifecycleInput, lifecycle } from "../src/actor/lifecycle.ts"
import { Mailbox, type Queued } from "../src/actor/Mailbox.ts"
import { initialLifecycle, stepLifecycle } from "../src/actor/stepLifecycle.ts"
import { backoffMs } from "../src/supervision/restartPolicy.ts"
import { Counter, makeTalker, makeWorker, RetryableTrouble } from "./support/actors.ts"
import { makeWorld, rows, turns, type World } from "./support/World.ts"

describe("1 a mailbox", () => {
  interface Item extends Queued {
    readonly name: number
  }
  const AGEING_MS = 3

  /** What the queue is, in the fewest words: of each priority the first that may go; of these, the one that waits longest. */
  const firstOf = (items: ReadonlyArray<Item>, strict: boolean, nowMs: number): Item | undefined => {
    const rank = ({ attempt, envelope: { createdAtMs, deliverAtMs, priority } }: Item) =>
      Math.min(attempt > 0 || strict ? createdAtMs : deliverAtMs, nowMs) - priority * AGEING_MS
    const heads = new Map<number, Item>()
    for (const item of items.toSorted((a, b) => a.order - b.order)) {
      const { priority } = item.envelope
      if (!heads.has(priority)) heads.set(priority, item)
    }
    return [...heads.values()].sort((a, b) => rank(a) - rank(b) || a.order - b.order)[0]
  }

  const command = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant("push" as const),
        priority: fc.integer({ min: -2, max: 2 }),
        delay: fc.oneof(fc.constant(0), fc.nat(3)),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("take" as const), admits: fc.integer({ min: 1, max: 4 }) }) },
    /** Also to the past: clocks are set. */
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: -4, max: 8 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), index: fc.nat(10) }) },
    /** Takes the next, and puts it back to its old place, as a retry does. */
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("retry" as const), delay: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("stash" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("unstash" as const) }) },
    /** Begins anew with what waits, as recovery does. */
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("recover" as const) }) },
  )

  it("1.1 gives what a plain list would give, also when it is built anew from what waits", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(command, { maxLength: 80 }), (strict, commands) => {
        let mailbox = new Mailbox<Item>(strict, AGEING_MS)
        let model: Array<Item> = []
        let nowMs = 100
        /** What is due stays so, whatever the clock does. */
        const open = new Set<Item>()
        const aside = new Set<Item>()
        const push = (item: Item) => {
          mailbox.push(item, nowMs)
          model.push(item)
          if (item.dueAtMs <= nowMs) open.add(item)
        }
        const take = (admits: (item: Item) => boolean) => {
          const mayGo = (item: Item) => (strict || open.has(item)) && !aside.has(item) && admits(item)
          const first = firstOf(model.filter(mayGo), strict, nowMs)
          const wanted = first !== undefined && first.dueAtMs <= nowMs ? first : undefined
          expect(mailbox.take(nowMs, admits)).toBe(wanted)
          model = model.filter((each) => each !== wanted)
          return wanted
        }
        commands.forEach((each, name) => {
          if (each.kind === "push") {
            const dueAtMs = nowMs + each.delay
            const envelope = { priority: each.priority, createdAtMs: nowMs, deliverAtMs: dueAtMs }
            push({ name, order: name, attempt: 0, envelope, dueAtMs })
          } else if (each.kind === "pass") {
            nowMs += each.ms
            for (const item of model) {
              if (item.dueAtMs > nowMs) continue
              mailbox.due(item)
              open.add(item)
            }
          } else if (each.kind === "remove") {
            const item = model[each.index]
            if (item !== undefined) expect([mailbox.remove(item), mailbox.remove(item)]).toEqual([true, false])
            model = model.filter((other) => other !== item)
          } else if (each.kind === "retry") {
            const taken = take(() => true)
            if (taken !== undefined) push({ ...taken, attempt: taken.attempt + 1, dueAtMs: nowMs + each.delay })
          } else if (each.kind === "stash") {
            const taken = take(() => true)
            if (taken === undefined) return
            mailbox.stash(taken)
            model.push(taken)
            aside.add(taken)
          } else if (each.kind === "unstash") {
            mailbox.unstash()
            for (const item of aside) open.add(item)
            aside.clear()
          } else if (each.kind === "recover") {
            const waiting = model.toSorted((a, b) => a.order - b.order)
            mailbox = new Mailbox<Item>(strict, AGEING_MS)
            model = []
            open.clear()
            aside.clear()
            for (const item of waiting) push(item)
          } else take((item) => item.name % 4 < each.admits)
          expect(mailbox.size).toBe(model.length)
          expect(new Set(mailbox.all())).toEqual(new Set(model))
          const [oldest] = model
            .filter((item) => !aside.has(item) && item.name % 2 === 0 && item.envelope.priority <= 1)
            .sort((a, b) => a.order - b.order)
          expect(mailbox.oldest(1, (item) => item.name % 2 === 0)).toBe(oldest)
          expect(mailbox.stashed).toBe([...aside].filter((item) => model.includes(item)).length)
        })
      }),
      { numRuns: 300 },
    )
  })
  it("1.2 keeps the order of acceptance at equal priority, whatever the clock does", () => {
    const step = fc.record({ priority: fc.integer({ min: -3, max: 3 }), ms: fc.integer({ min: -1_000, max: 1_000 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(1_000), (steps, laterMs) => {
        const mailbox = new Mailbox<Item>(false, 100)
        let nowMs = 10_000
        steps.forEach(({ ms, priority }, order) => {
          nowMs += ms
          const envelope = { priority, createdAtMs: nowMs, deliverAtMs: nowMs }
          mailbox.push({ name: order, order, attempt: 0, envelope, dueAtMs: 0 }, nowMs)
        })
        const last = new Map<number, number>()
        for (const _ of steps) {
          const taken = mailbox.take(nowMs + laterMs, () => true)
          if (taken === undefined) throw new Error("one was lost")
          expect(taken.order).toBeGreaterThan(last.get(taken.envelope.priority) ?? -1)
          last.set(taken.envelope.priority, taken.order)
        }
      }),
    )
  })
  it("1.2b keeps it in a long queue that is used from both ends, and in its middle", () => {
    const mailbox = new Mailbox<Item>(false, 1_000)
    const envelope = { priority: 0, createdAtMs: 0, deliverAtMs: 0 }
    const model: Array<Item> = []
    let order = 0
    const push = () => {
      const item = { name: order, order: order++, attempt: 0, envelope, dueAtMs: 0 }
      mailbox.push(item, 0)
      model.push(item)
    }
    const take = () => {
      const taken = mailbox.take(0, () => true)
      expect(taken).toBe(model.shift())
      return taken
    }
    for (let n = 0; n < 6_000; n++) push()
    for (let round = 0; round < 5_000; round++) {
      const taken = take()
      // One comes back to its old place, one is taken back, one comes at the end.
      if (round % 7 === 0 && taken !== undefined) {
        mailbox.push(taken, 0)
        model.unshift(taken)
      }
      if (round % 5 === 0) {
        const [gone] = model.splice(model.length >> 1, 1)
        if (gone !== undefined) expect(mailbox.remove(gone)).toBe(true)
      }
      if (round % 3 === 0) push()
    }
    expect(mailbox.all()).toEqual(model)
    while (model.length > 0) take()
    expect([mailbox.size, mailbox.hasQueue, mailbox.take(0, () => true)]).toEqual([0, false, undefined])
  })
  it("1.3 starves nobody: none is overtaken by what came more than a level's time later, for each level between them", () => {
    const ageingMs = 50
    const step = fc.record({ priority: fc.integer({ min: -5, max: 5 }), ms: fc.nat(40), takes: fc.nat(2) })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), (steps) => {
        const mailbox = new Mailbox<Item>(false, ageingMs)
        let nowMs = 0
        const waiting = new Set<Item>()
        const take = () => {
          const taken = mailbox.take(nowMs, () => true)
          if (taken === undefined) return
          waiting.delete(taken)
          for (const passed of waiting) {
            const levels = taken.envelope.priority - passed.envelope.priority
            const laterMs = taken.envelope.createdAtMs - passed.envelope.createdAtMs
            if (taken.order > passed.order) expect(laterMs).toBeLessThan(Math.max(0, levels) * ageingMs)
          }
        }
        steps.forEach(({ ms, priority, takes }, order) => {
          nowMs += ms
          const envelope = { priority, createdAtMs: nowMs, deliverAtMs: nowMs }
          const item = { name: order, order, attempt: 0, envelope, dueAtMs: nowMs }
          mailbox.push(item, nowMs)
          waiting.add(item)
          for (let count = 0; count < takes; count++) take()
        })
        for (const _ of steps) take()
        expect(waiting.size).toBe(0)
      }),
    )
  })
})

describe("2 a lifecycle", () => {
  const input: fc.Arbitrary<LifecycleInput> = fc.oneof(
    fc
      .constantFrom(
        "STARTED",
        "GAVE_UP",
        "RECYCLE",
        "RESTART",
        "DEGRADED",
        "RECOVERED",
        "SUSPEND",
        "RESUME",
        "DRAIN",
        "DRAINED",
        "STOP",
      )
      .map((type) => ({ type }) as LifecycleInput),
    fc.nat(1_000).map((gapMs) => ({ type: "CRASHED" as const, atMs: gapMs })),
  )
  it("2.1 stepped purely is what a running XState actor does", () => {
    const limits = { restartsMax: 2, withinMs: 500 }
    fc.assert(
      fc.property(fc.array(input, { maxLength: 40 }), (events) => {
        const actor = createActor(lifecycle, { input: limits }).start()
        let stepped = initialLifecycle(limits)
        let atMs = 0
        for (const event of events) {
          // Time passes by the random gaps.
          if (event.type === "CRASHED") atMs += event.atMs
          const timed = event.type === "CRASHED" ? { ...event, atMs } : event
          actor.send(timed)
          // Through the log and back, as a restart would.
          stepped = stepLifecycle(JSON.parse(JSON.stringify(stepped)), timed)
          const snapshot = actor.getSnapshot()
          expect(stepped).toEqual({ state: snapshot.value, context: snapshot.context })
          expect(stepped.context.restartsAtMs.length).toBeLessThanOrEqual(limits.restartsMax)
        }
      }),
      { numRuns: 300 },
    )
  })
  it("2.2 reaches every state that it has", () => {
    const types = [
      ...new Set(Object.values(lifecycle.states).flatMap(({ ownEvents }) => ownEvents)),
      "CRASHED",
      "GAVE_UP",
      "STOP",
    ]
    const start = initialLifecycle({ restartsMax: 1, withinMs: 1_000 })
    const reached = new Map([[start.state as string, start]])
    for (const current of reached.values()) {
      for (const type of types) {
        const next = stepLifecycle(current, { type, atMs: 0 } as LifecycleInput)
        if (!reached.has(next.state)) reached.set(next.state, next)
      }
    }
    expect([...reached.keys()].toSorted()).toEqual(Object.keys(lifecycle.states).toSorted())
  })
  it("2.3 gives the same object back where nothing changes, so that nothing is logged", () => {
    const fresh = initialLifecycle({ restartsMax: 1, withinMs: 1 })
    expect(stepLifecycle(fresh, { type: "RECOVERED" })).toBe(fresh)
    const failed = { ...fresh, state: "failed" as const }
    expect(stepLifecycle(failed, { type: "CRASHED", atMs: 1 })).toBe(failed)
  })
  it("2.4 backs off within its bounds", () => {
    const arbitrary = fc.record({
      baseMs: fc.integer({ min: 1, max: 1_000 }),
      factor: fc.double({ min: 1, max: 4, noNaN: true }),
      maxMs: fc.integer({ min: 1_000, max: 60_000 }),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(
        arbitrary,
        fc.integer({ min: 1, max: 2_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (backoff, tries, random) => {
          const waitMs = backoffMs(backoff, tries, random)
          expect(waitMs).toBeLessThanOrEqual(backoff.maxMs)
          expect(waitMs).toBeGreaterThanOrEqual(0)
          if (random === 0) expect(backoffMs(backoff, tries + 1, 0)).toBeGreaterThanOrEqual(waitMs)
        },
      ),
    )
  })
})

describe("3 a random load with random deaths", () => {
  /** Asks two counters, with a step in between. */
  const Transfer = Actor.make("transfer", {
    protocol: [
      Rpc.make("Move", {
        payload: { from: Schema.String, to: Schema.String, amount: Schema.Number },
        success: Schema.Number,
      }),
    ],
    handlers: {
      Move: ({ amount, from, to }, actor) =>
        Effect.orDie(
          Effect.gen(function* () {
            yield* actor.ask(Counter.ref(from), "Add", { by: -amount })
            const twice = yield* actor.step("double", Schema.Number, Effect.succeed(amount * 2))
            yield* actor.send(Counter.ref("ledger"), "Add", { by: twice })
            yield* actor.ask(Counter.ref(to), "Add", { by: amount })
            return twice
          }),
        ),
    },
  })
  const Talker = makeTalker("talker", (n, actor) =>
    Effect.orDie(
      Effect.gen(function* () {
        const before = yield* actor.resume
        for (let index = before.length; index < n; index++) yield* actor.emit(`${index}`)
        return "whole"
      }),
    ),
  )
  /** Fails now and then, so that messages are retried, or die. */
  const Flaky = makeWorker("flaky", (n, actor) =>
    Effect.suspend(() =>
      (n + actor.message.attempt) % 3 === 0
        ? Effect.succeed(n)
        : Effect.fail(new RetryableTrouble({ message: "flaky" })),
    ),
  )
  const actors = [Counter, Transfer, Talker, Flaky]

  const action = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("add" as const),
        to: fc.nat(3),
        by: fc.integer({ min: 1, max: 9 }),
        key: fc.option(fc.nat(4)),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("move" as const),
        from: fc.nat(3),
        to: fc.nat(3),
        amount: fc.integer({ min: 1, max: 9 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("talk" as const), n: fc.nat(30) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("flaky" as const), n: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), index: fc.nat(30) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("turns" as const), count: fc.nat(12) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.nat(300) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("die" as const, "close" as const) }) },
  )
  /** At most half of them, and often none. */
  const refusals = fc
    .array(fc.boolean(), { maxLength: 8 })
    .map((pattern) => [...pattern, ...pattern.map(() => false), false])
  type Action = typeof action extends fc.Arbitrary<infer A> ? A : never

  const contentsOf = (log: MemoryLog): LogContents => ({
    messages: [...log.messages.values()],
    actors: [...log.actors.values()],
    steps: log.steps,
    chunks: new Map([...log.chunks].map(([id, chunks]) => [id, chunks.toSorted((a, b) => a.ordinal - b.ordinal)])),
    attempts: log.attempts,
  })

  const perform = (world: World, each: Action, accepted: Set<string>) =>
    Effect.gen(function* () {
      const { system } = world
      const tell = (send: Effect.Effect<string, unknown>) =>
        // Nobody waits: the next action may be a death between the append and its answer.
        Effect.forkDetach(Effect.ignore(Effect.tap(send, (id) => Effect.sync(() => accepted.add(id)))), {
          startImmediately: true,
        })
      switch (each.kind) {
        case "add": {
          const options = each.key === null ? {} : { idempotencyKey: `${each.key}` }
          return yield* tell(
            system.tell(Counter.ref(`${each.to}`), "Add", { by: each.key === null ? each.by : 1 }, options),
          )
        }
        case "move": {
          const { amount, from, to } = each
          return yield* tell(system.tell(Transfer.ref(`${from}`), "Move", { from: `${from}`, to: `${to}`, amount }))
        }
        case "talk":
          return yield* tell(system.tell(Talker.ref("a"), "Talk", { n: each.n }))
        case "flaky":
          return yield* tell(system.tell(Flaky.ref("a"), "Work", { n: each.n }))
        case "cancel":
          // It waits for the end, which may need what comes after.
          return yield* Effect.forkDetach(system.cancel(rows(world)[each.index]?.id ?? ""), { startImmediately: true })
        case "turns":
          for (let turn = 0; turn < each.count; turn++) yield* Effect.yieldNow
          return
        case "time":
          return yield* TestClock.adjust(each.ms)
        case "die":
          return yield* world.crash
        case "close": {
          const closing = yield* Effect.forkDetach(world.close, { startImmediately: true })
          yield* turns
          yield* TestClock.adjust(20_000)
          yield* Fiber.join(closing)
          return yield* world.crash
        }
      }
    })

  /** @param refusals which commits the store refuses, over and over */
  const run = (actions: ReadonlyArray<Action>, refusals: ReadonlyArray<boolean>) =>
    Effect.gen(function* () {
      const world = yield* makeWorld({
        actors,
        wrap: (store) =>
          FaultyStore.wrap(store, (nth, writes) =>
            // Recovery is not tried again: whoever opens the system is told.
            refusals[nth % refusals.length] === true && !JSON.stringify(writes).includes("RetryableProcessDied")
              ? { _tag: "refuse", reason: "busy" }
              : undefined,
          ).store,
      })
      const accepted = new Set<string>()
      const closed = actions.some(({ kind }) => kind === "close")
      for (const each of actions) {
        yield* perform(world, each, accepted)
        expect(checkLog(contentsOf(world.log), { drained: false, closed, isSerial: () => true })).toEqual([])
      }
      for (let step = 0; step < 30; step++) yield* TestClock.adjust(1_000)
      yield* turns
      expect(yield* world.system.unfinished).toBe(0)
      const contents = contentsOf(world.log)
      const amountOf = ({ body }: { readonly body: string }): number => JSON.parse(body).by ?? 0
      expect([
        ...checkLog(contents, { drained: true, closed, isSerial: () => true }),
        ...checkAccepted(contents, accepted),
        ...checkSums(contents, "counter", amountOf),
      ]).toEqual([])
      // A transfer that was answered has taken and given exactly once, and told the ledger exactly once.
      for (const { body, id, status } of contents.messages.filter(({ actorType }) => actorType === "transfer")) {
        const children = contents.messages.filter(({ causationId }) => causationId === id)
        // A child that was cancelled is asked for anew, under another id.
        const numbers = new Set(children.map((child) => child.id.replace(/~\d+$/, "")))
        if (status === "done") expect(numbers).toEqual(new Set([`${id}.0`, `${id}.2`, `${id}.3`]))
        const { amount } = JSON.parse(body)
        const done = children.filter((child) => child.status === "done" && child.actorId !== "ledger").map(amountOf)
        if (status === "done") expect(done.toSorted()).toEqual([-amount, amount].toSorted())
      }
    }).pipe(Effect.scoped, Effect.provide([TestClock.layer(), Logger.layer([])]), Effect.runPromise)

  it("3.1 ends every accepted message exactly once, in order, and adds up", () =>
    fc.assert(fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 60 }), refusals, run), {
      numRuns: Number(process.env.PONTOON_RUNS ?? 60),
    }))
})

describe("4 the checkers find", () => {
  const base = makeWorld({ actors: [Counter] })
  it.effect("4.1 a message lost, doubled, out of order, without an end; a sum, a step, a chunk that is wrong", () =>
    Effect.gen(function* () {
      const world = yield* base
      yield* world.system.ask(Counter.ref("a"), "Add", { by: 1 })
      yield* TestClock.adjust(10)
      yield* world.system.ask(Counter.ref("a"), "Add", { by: 2 }, { idempotencyKey: "k" })
      yield* turns
      const contents: LogContents = {
        messages: rows(world),
        actors: [...world.log.actors.values()],
        steps: new Map(),
        chunks: new Map(),
        attempts: new Map(),
      }
      const options = { drained: true, isSerial: () => true }
      expect(checkLog(contents, options)).toEqual([])
      const [first, second] = contents.messages
      if (first === undefined || second === undefined) throw new Error("two messages")
      const found = (changes: Partial<LogContents>) => checkLog({ ...contents, ...changes }, options).join("; ")
      expect(found({ messages: [first, first] })).toContain("is in the log twice")
      expect(found({ messages: [{ ...first, status: "running", reply: null }] })).toContain("has not ended")
      expect(found({ messages: [{ ...first, reply: null }] })).toContain("is done without a reply")
      expect(found({ messages: [{ ...first, status: "dead" }] })).toContain("ended badly without an error")
      expect(found({ messages: [second, first] })).toContain("before the earlier")
      expect(found({ messages: [{ ...first, finishedAtMs: 11 }, second] })).toContain("beside")
      expect(found({ messages: [second, { ...second, id: "x" }] })).toContain("have the same key")
      const step = { messageId: first.id, ordinal: 0, kind: "step" as const, name: "pay", result: "1", atMs: 1 }
      expect(found({ steps: new Map([[first.id, [step, step]]]) })).toContain("is recorded twice")
      const child = { ...second, id: `${first.id}.0` }
      expect(found({ messages: [first, child], steps: new Map([[first.id, [step]]]) })).toContain("of a child")
      const chunk = { messageId: first.id, attempt: 2, ordinal: 0, data: "1", atMs: 1 }
      expect(found({ chunks: new Map([[first.id, [chunk, { ...chunk, ordinal: 2 }]]]) })).toContain(
        "stands where 1 should",
      )
      expect(found({ chunks: new Map([[first.id, [chunk, { ...chunk, ordinal: 1, attempt: 1 }]]]) })).toContain(
        "older attempt",
      )
      expect(checkAccepted(contents, ["lost"])).toEqual(["message lost was accepted and is lost"])
      expect(checkReplies(contents, new Map([[first.id, "2"]]))).toHaveLength(1)
      expect(checkReplies(contents, new Map([[first.id, "1"]]))).toEqual([])
      expect(checkSums(contents, "counter", () => 1)).toEqual([
        "counter/a holds 3, and its answered messages add up to 2",
      ])
    }),
  )
})
