/** The life of a message out of the log, and what it comes to: of made-up lives, then of real ones. */
import { describe, expect, it } from "@effect/vitest"
import {
  Actor,
  diagnose,
  type HistoryAttempt,
  type MessageHistory,
  makePool,
  readError,
  readHistory,
} from "@pontoon/runtime"
import { appendClaimed, lifecycleEvent, MemoryStore, START_MS, sampleEnvelope, settle } from "@pontoon/runtime/testing"
import { Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { makeWorker, RetryableTrouble } from "./support/actors.ts"
import { makeWorld, row, turns } from "./support/World.ts"

const boom = { tag: "Boom", message: "no milk.", retry: "retryable", cause: undefined } as const

const attempt = (n: number, fields: Partial<HistoryAttempt> = {}): HistoryAttempt => ({
  attempt: n,
  target: "barista/1",
  startedAtMs: START_MS + n * 10,
  finishedAtMs: START_MS + n * 10 + 5,
  error: boom,
  lifecycle: undefined,
  ...fields,
})

const history = (
  fields: Partial<MessageHistory> = {},
  message: Partial<MessageHistory["message"]> = {},
): MessageHistory => ({
  message: {
    ...sampleEnvelope("M"),
    seq: 1,
    status: "dead",
    attempt: 3,
    attemptsBefore: 0,
    startedAtMs: START_MS + 30,
    finishedAtMs: START_MS + 35,
    reply: null,
    error: JSON.stringify(boom),
    ...message,
  },
  error: boom,
  attempts: [attempt(1), attempt(2), attempt(3)],
  routes: [],
  redrives: [],
  poolTargets: [],
  actor: undefined,
  around: { answered: 0, sameError: 0, ahead: 0 },
  ...fields,
})

const sentences = (each: MessageHistory) => diagnose(each).map(({ cause, sentence }) => `${cause}: ${sentence}`)
const failing = (tag: string, message = "") => ({ ...boom, tag, message })

describe("1 the diagnosis of a made-up life", () => {
  const around = (fields: Partial<MessageHistory["around"]>) => ({ answered: 0, sameError: 0, ahead: 0, ...fields })
  const inPool = { pool: "bar" }
  const onTwo = [attempt(1), attempt(2, { target: "barista/2" })]
  const cases: ReadonlyArray<readonly [string, MessageHistory, ReadonlyArray<string>]> = [
    [
      "the same error each time, and nothing to compare with",
      history(),
      [
        "input: It failed 3 times on the same error, Boom: no milk, within 25 ms: the input is the likely cause, unless what its actor needs was away all that time.",
      ],
    ],
    [
      "the same error, while others were answered",
      history({ around: around({ answered: 4, sameError: 1 }) }),
      [
        "input: It failed 3 times on the same error, Boom: no milk, within 25 ms, while 4 other messages for brew got an answer: the input is the likely cause. Redrive it with another body (--body), or mend its handler.",
      ],
    ],
    [
      "the same error as others, of which none was answered",
      history({ around: around({ sameError: 1 }), attempts: [attempt(1)] }, { attempt: 1 }),
      [
        "surroundings: It failed once, Boom: no milk, within 5 ms, and so did another message, while none was answered: what its actor needs is the likely cause. Redrive them together when it is back (pontoon redrive --error Boom).",
      ],
    ],
    [
      "different errors",
      history({
        attempts: [
          attempt(1),
          attempt(2, { error: failing("Bang", "x") }),
          attempt(3, { finishedAtMs: START_MS + 600_000 }),
        ],
      }),
      ["varied: It failed 3 times on 2 different errors within 10 minutes, the last Boom: no milk."],
    ],
    [
      "the process died each time",
      history({
        attempts: [
          attempt(1, { error: failing("RetryableProcessDied") }),
          attempt(2, { error: failing("RetryableProcessDied") }),
        ],
      }),
      [
        "process: Each of its 2 attempts ended with the death of the process: it likely kills its process. Redrive it only where a death does no harm.",
      ],
    ],
    [
      "the process died once, between two failures",
      history({ attempts: [attempt(1), attempt(2, { error: failing("RetryableProcessDied") }), attempt(3)] }),
      [
        "process: 1 of its 3 attempts ended with the death of the process.",
        "input: It failed 2 times on the same error, Boom: no milk, within 25 ms: the input is the likely cause, unless what its actor needs was away all that time.",
      ],
    ],
    [
      "restarts of its actor",
      history({ attempts: [attempt(1, { error: failing("RetryableRestarted") })] }),
      [
        "restarts: Every attempt was cut short because barista/1 was restarted while it ran: another message, or its start, crashed it.",
      ],
    ],
    [
      "every target of its pool",
      history({ attempts: onTwo, poolTargets: ["barista/1", "barista/2"] }, inPool),
      [
        "pool: It failed on every target of the pool bar (barista/1, barista/2): the cause is not one target's.",
        "input: It failed 2 times on the same error, Boom: no milk, within 15 ms: the input is the likely cause, unless what its actor needs was away all that time.",
      ],
    ],
    [
      "some targets of its pool",
      history({ attempts: onTwo, poolTargets: ["barista/1", "barista/2", "barista/3"] }, inPool),
      [
        "pool: It failed on 2 targets of the pool bar (barista/1, barista/2): the cause is not one target's.",
        "input: It failed 2 times on the same error, Boom: no milk, within 15 ms: the input is the likely cause, unless what its actor needs was away all that time.",
      ],
    ],
    [
      "an actor that was gone, and still is",
      history({
        attempts: [],
        error: failing("TerminalActorFailed", "barista/1 is failed: no milk"),
        actor: { state: "failed", event: "CRASHED", reason: null, atMs: 0 },
      }),
      [
        "actor: Its actor took no messages (barista/1 is failed: no milk). Bring it back first (pontoon restart barista/1), then redrive the message.",
      ],
    ],
    [
      "an actor that has come back since",
      history({
        attempts: [],
        error: failing("TerminalActorFailed", "gone"),
        actor: { state: "ready", event: "STARTED", reason: null, atMs: 0 },
      }),
      ["actor: Its actor took no messages (gone). It is ready now: redrive the message."],
    ],
    [
      "a degraded actor, and a redrive before",
      history(
        {
          attempts: [
            attempt(1),
            attempt(2, { lifecycle: { state: "degraded", event: "DEGRADED", reason: "on the CPU", atMs: 0 } }),
          ],
          redrives: [{ attempt: 2, atMs: 0, target: "barista/1", diedOf: boom, replacedBody: "{}" }],
        },
        { attempt: 2, attemptsBefore: 1 },
      ),
      [
        "input: It failed once, Boom: no milk, within 5 ms: the input is the likely cause, unless what its actor needs was away all that time.",
        "surroundings: Every attempt began while barista/1 was degraded (on the CPU).",
        "redriven: It was redriven once, each time with another body, and died of Boom again each time.",
      ],
    ],
    [
      "no attempt at all",
      history({ attempts: [], error: undefined }),
      ["varied: It died before it was run: no error was recorded."],
    ],
    [
      "a deadline behind others",
      history(
        { attempts: [], around: around({ ahead: 7 }) },
        { status: "expired", attempt: 0, finishedAtMs: START_MS + 90_000 },
      ),
      [
        "expired: It expired after 90 s of waiting, behind 7 others of barista/1: that actor has more to do than it can.",
      ],
    ],
    [
      "a deadline behind nothing",
      history(
        { attempts: [], actor: { state: "restarting", event: "CRASHED", reason: null, atMs: 0 } },
        { status: "expired", attempt: 0 },
      ),
      [
        "expired: It expired after 35 ms of waiting, with nothing before it: barista/1 was restarting, or its process away.",
      ],
    ],
    [
      "a deadline while it ran",
      history({ attempts: [attempt(1, { error: failing("TerminalExpired") })] }, { status: "expired", attempt: 1 }),
      [
        "expired: Its deadline passed 35 ms after it was accepted, in or after attempt 1: give it more time, or see why it failed.",
      ],
    ],
    [
      "one that waits",
      history({}, { status: "pending", attempt: 2 }),
      ["unfinished: It has not ended: it waits for attempt 3."],
    ],
    ["one that runs", history({}, { status: "running" }), ["unfinished: It has not ended: attempt 3 runs."]],
    ["one that was answered", history({}, { status: "done" }), ["answered: It was answered at attempt 3."]],
    [
      "one that was taken back",
      history({}, { status: "cancelled" }),
      ["cancelled: It was taken back, by its sender or an operator (Boom: no milk)."],
    ],
    [
      "one that was refused",
      history({}, { status: "failed" }),
      [
        "refused: Its handler answered it with an error, Boom: no milk: that is an answer, and the same message gets it again.",
      ],
    ],
  ]
  it.each(cases)("1.1 %s", (_, each, expected) => {
    expect(sentences(each)).toEqual(expected)
  })

  it("1.2 an error that is no failure record is kept as it is", () => {
    expect(readError("disk")).toEqual({ tag: "Unknown", message: "disk", retry: undefined, cause: undefined })
    expect(readError('{"tag":"A","message":"b","retry":"terminal","cause":"c","value":1}')).toEqual({
      tag: "A",
      message: "b",
      retry: "terminal",
      cause: "c",
    })
  })
})

const retry = { attemptsMax: 3, backoff: { baseMs: 10, factor: 1, maxMs: 10, jitter: 0 } }

const diagnosed = (world: { readonly reader: Parameters<typeof readHistory>[0] }, id: string) =>
  Effect.map(readHistory(world.reader, id), (found) => {
    if (found === undefined) throw new Error(`no history of ${id}`)
    return { history: found, sentences: sentences(found) }
  })

describe("2 the history of a real life", () => {
  it.effect("2.1 nobody has none", () =>
    Effect.gen(function* () {
      const { reader } = yield* MemoryStore.make
      expect(yield* readHistory(reader, "nobody")).toBe(undefined)
    }),
  )

  it.effect("2.2 one bad input among good ones: its attempts, what its actor was at each, and the diagnosis", () =>
    Effect.gen(function* () {
      const Strict = Actor.make("worker", {
        protocol: [Rpc.make("Work", { payload: { n: Schema.Number }, success: Schema.Number })],
        retry,
        supervision: { restartsMax: 10, withinMs: 60_000, backoff: { baseMs: 5, factor: 1, maxMs: 5, jitter: 0 } },
        handlers: { Work: ({ n }) => (n < 0 ? Effect.die(new Error("negative")) : Effect.succeed(n)) },
      })
      const world = yield* makeWorld({ actors: [Strict] })
      const bad = yield* world.system.tell(Strict.ref("a"), "Work", { n: -1 })
      yield* world.system.tell(Strict.ref("b"), "Work", { n: 1 })
      for (let step = 0; step < 10; step++) {
        yield* turns
        yield* TestClock.adjust(10)
      }
      const { history: found, sentences: told } = yield* diagnosed(world, bad)
      expect(found.message.status).toBe("dead")
      expect(
        found.attempts.map(({ attempt: n, target, lifecycle, error }) => [n, target, lifecycle?.state, error.message]),
      ).toEqual([
        [1, "worker/a", "ready", "negative"],
        // Restarted twice meanwhile.
        [2, "worker/a", "ready", "negative"],
        [3, "worker/a", "ready", "negative"],
      ])
      expect(found.attempts[0]?.error.cause).toContain("negative")
      expect(told).toEqual([
        expect.stringMatching(
          /^input: It failed 3 times on the same error, Defect: negative, within \d+ ms, while another message for Work got an answer: the input is the likely cause\./,
        ),
      ])
    }),
  )

  it.effect("2.3 a pool whose every target fails, an actor that is stopped, a redrive", () =>
    Effect.gen(function* () {
      const Worker = makeWorker("worker", () => Effect.fail(new RetryableTrouble({ message: "no milk" })), {
        retry: { ...retry, attemptsMax: 2 },
      })
      const pool = makePool("bar", { targets: [Worker.ref("a"), Worker.ref("b")] })
      const world = yield* makeWorld({ actors: [Worker], pools: [pool] })
      const id = yield* world.system.tell(pool.ref, "Work", { n: 1 })
      yield* turns
      expect(row(world).status).toBe("dead")
      const first = yield* diagnosed(world, id)
      expect(first.history.poolTargets).toEqual(["worker/a", "worker/b"])
      expect(first.history.routes.length).toBe(2)
      expect(first.sentences[0]).toMatch(
        /^pool: It failed on every target of the pool bar \(worker\/[ab], worker\/[ab]\)/,
      )
      yield* world.system.redrive(id)
      yield* turns
      const second = yield* diagnosed(world, id)
      expect(second.history.redrives).toMatchObject([{ attempt: 3, diedOf: { tag: "RetryableTrouble" } }])
      expect(second.sentences.at(-1)).toBe(
        "redriven: It was redriven once, and died of RetryableTrouble again each time.",
      )

      const Stuck = makeWorker("worker", () => Effect.never)
      yield* world.crashInto({ actors: [Stuck] })
      yield* world.system.tell(Stuck.ref("c"), "Work", { n: 2 })
      const behind = yield* world.system.tell(Stuck.ref("c"), "Work", { n: 3 })
      yield* turns
      yield* world.system.stop({ type: "worker", id: "c" }, "by hand")
      yield* turns
      const stopped = yield* diagnosed(world, behind)
      expect(stopped.history.actor).toMatchObject({ state: "draining", reason: "by hand" })
      expect(stopped.sentences).toEqual([
        "actor: Its actor took no messages (worker/c is draining: by hand). Bring it back first (pontoon restart worker/c), then redrive the message.",
      ])
    }),
  )

  it.effect("2.4 a message that kills its process, and one that expires behind others", () =>
    Effect.gen(function* () {
      const Stuck = makeWorker("worker", () => Effect.never, { retry: { ...retry, attemptsMax: 2 } })
      const world = yield* makeWorld({ actors: [Stuck] })
      const killer = yield* world.system.tell(Stuck.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.crash
      yield* turns
      yield* world.crash
      yield* turns
      expect((yield* diagnosed(world, killer)).sentences[0]).toMatch(/^process: Each of its 2 attempts ended/)
      yield* world.system.tell(Stuck.ref("b"), "Work", { n: 2 })
      yield* world.system.tell(Stuck.ref("b"), "Work", { n: 3 })
      const late = yield* world.system.tell(Stuck.ref("b"), "Work", { n: 4 }, { timeoutMs: 1_000 })
      yield* turns
      yield* TestClock.adjust(1_000)
      yield* turns
      expect((yield* diagnosed(world, late)).sentences).toEqual([
        "expired: It expired after 1 s of waiting, behind 2 others of worker/b: that actor has more to do than it can.",
      ])
    }),
  )

  it.effect(
    "2.5 past its bounds: only so many messages around it are looked at, and the newest change before counts",
    () =>
      Effect.gen(function* () {
        const { reader, store } = yield* MemoryStore.make
        const others = (from: number) => Array.from({ length: 300 }, (_, n) => `o${from + n}`)
        const claimed = (ids: ReadonlyArray<string>) => ids.map((id) => appendClaimed(id))
        yield* store.commit([
          ...claimed(others(0)),
          appendClaimed("M"),
          ...claimed(others(300)),
          ...others(0).map((id) => settle(id)),
          ...others(300).map((id) => settle(id)),
          lifecycleEvent("ready", "degraded"),
          { ...lifecycleEvent("degraded", "failed"), atMs: START_MS + 1 },
          settle("M", 1, "dead"),
        ])
        const found = yield* readHistory(reader, "M")
        expect(found?.around).toEqual({ answered: 500, sameError: 0, ahead: 0 })
        expect(found?.attempts[0]?.lifecycle?.state).toBe("degraded")
        expect(found?.actor?.state).toBe("failed")
      }),
  )
})
