/** Steps 1 and 2: what is refused before anything is written, and what a message says once it is. */
import { describe, expect, it } from "@effect/vitest"
import { Actor, ActorSystem, type ActorSystemOptions, makePool } from "@pontoon/runtime"
import { MemoryStore } from "@pontoon/runtime/testing"
import { Effect, Exit, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { TestClock } from "effect/testing"
import { Counter, makeWorker } from "./support/actors.ts"
import { makeWorld, row, type World } from "./support/World.ts"

const Note = Actor.make("note", {
  protocol: [
    Rpc.make("Keep", { payload: Schema.String, success: Schema.String }),
    Rpc.make("Buy", {
      payload: { order: Schema.String, amount: Schema.Number },
      success: Schema.String,
      primaryKey: ({ order }) => order,
    }),
  ],
  handlers: { Keep: (text) => Effect.succeed(text), Buy: ({ order }) => Effect.succeed(order) },
})
const Stranger = makeWorker("stranger", (n) => Effect.succeed(n))
const strangers = makePool("strangers", { targets: [Stranger.ref("a")] })
const world = makeWorld({ actors: [Counter, Note], messageBytesMax: 64 })

describe("1 a message is refused before anything is written", () => {
  const cases: ReadonlyArray<
    readonly [string, (system: World["system"]) => Effect.Effect<unknown, unknown>, string, RegExp]
  > = [
    [
      "1 whose actor the system does not have",
      (system) => system.ask(Stranger.ref("a"), "Work", { n: 1 }),
      "TerminalUnknownActor",
      /^There is no actor stranger in this system; it has counter, note\. Add it/,
    ],
    [
      "2 whose pool it does not have",
      (system) => system.ask(strangers.ref, "Work", { n: 1 }),
      "TerminalUnknownActor",
      /^There is no pool strangers in this system; it has none\./,
    ],
    [
      "3 whose task the actor does not have",
      (system) => system.ask(Counter.ref("a"), "Subtract" as "Add", { by: 1 }),
      "TerminalUnknownTask",
      /^counter\/a has no task Subtract; it has Add, Read\.$/,
    ],
    [
      "4 whose data does not fit its schema",
      (system) => system.ask(Counter.ref("a"), "Add", { by: "two" } as never),
      "TerminalInvalidMessage",
      /^The message Add to counter\/a is not valid: [\s\S]*"by"/,
    ],
    [
      "5 that is too large in bytes, although not in characters",
      (system) => system.tell(Note.ref("a"), "Keep", "€".repeat(22)),
      "TerminalMessageTooLarge",
      /^The message Keep to note\/a has 66 bytes, and the limit is 64; send less, or raise messageBytesMax\.$/,
    ],
    [
      "6 with a timeout of nothing",
      (system) => system.tell(Note.ref("a"), "Keep", "x", { timeoutMs: 0 }),
      "TerminalInvalidMessage",
      /timeoutMs must be above 0 and finite, and is 0/,
    ],
    [
      "7 with a timeout without end",
      (system) => system.tell(Note.ref("a"), "Keep", "x", { timeoutMs: Number.POSITIVE_INFINITY }),
      "TerminalInvalidMessage",
      /timeoutMs must be above 0 and finite, and is Infinity; leave it out/,
    ],
    [
      "8 with a delay into the past",
      (system) => system.tell(Note.ref("a"), "Keep", "x", { delayMs: -1 }),
      "TerminalInvalidMessage",
      /delayMs must be 0 or more and finite, and is -1/,
    ],
    [
      "9 with half a priority",
      (system) => system.tell(Note.ref("a"), "Keep", "x", { priority: 0.5 }),
      "TerminalInvalidMessage",
      /priority must be a whole number from -100 to 100, and is 0.5/,
    ],
    [
      "9b with a priority beyond all others",
      (system) => system.tell(Note.ref("a"), "Keep", "x", { priority: 101 }),
      "TerminalInvalidMessage",
      /priority must be a whole number from -100 to 100, and is 101/,
    ],
    [
      "10 with an empty idempotency key",
      (system) => system.tell(Note.ref("a"), "Keep", "x", { idempotencyKey: "" }),
      "TerminalInvalidMessage",
      /idempotencyKey must not be empty/,
    ],
    [
      "11 with an endless idempotency key",
      (system) => system.tell(Note.ref("a"), "Keep", "x", { idempotencyKey: "k".repeat(513) }),
      "TerminalInvalidMessage",
      /idempotencyKey has 513 characters, and the limit is 512/,
    ],
  ]
  for (const [name, send, tag, message] of cases) {
    it.effect(`1.${name}`, () =>
      Effect.gen(function* () {
        const { log, system } = yield* world
        expect(yield* Effect.flip(send(system))).toMatchObject({ _tag: tag, message: expect.stringMatching(message) })
        expect(log.messages.size).toBe(0)
      }),
    )
  }
  it.effect("1.12 but not one that just fits", () =>
    Effect.gen(function* () {
      const { system } = yield* world
      const text = "€".repeat(21)
      expect(yield* system.ask(Note.ref("a"), "Keep", text)).toBe(text)
      expect(yield* system.ask(Note.ref("a"), "Keep", "x".repeat(64))).toBe("x".repeat(64))
    }),
  )
})

describe("2 a definition is refused where it is written", () => {
  const handler = { Keep: (text: string) => Effect.succeed(text) }
  const Keep = Rpc.make("Keep", { payload: Schema.String, success: Schema.String })
  const define = (options: object) => () => Actor.make("note", { protocol: [Keep], handlers: handler, ...options })
  const system = (options: Partial<ActorSystemOptions<Actor.AnyActor>>) =>
    Effect.exit(
      Layer.build(ActorSystem.layer({ actors: [Note], ...options }).pipe(Layer.provide(MemoryStore.layer))).pipe(
        Effect.scoped,
        Effect.catchDefect((defect) => Effect.fail(String(defect))),
      ) as Effect.Effect<unknown, unknown>,
    )

  it("2.1 an actor without a name, a handler, room, or a state to begin with", () => {
    expect(() => Actor.make("Note Book", { protocol: [Keep], handlers: handler })).toThrow(
      '"Note Book/x" names no actor or pool: a type is kebab-case',
    )
    expect(define({ handlers: {} })).toThrow("The actor note is not defined well: it has no handler for its task Keep.")
    expect(define({ protocol: [Keep, Keep] })).toThrow("its protocol has the task Keep twice")
    expect(define({ state: Schema.Number })).toThrow("it has a state and no initialState")
    expect(define({ supervision: { onCrash: "resume" } as never })).toThrow("its supervision.onCrash is not a function")
    expect(define({ concurrency: 0 })).toThrow("concurrency must be a whole number, 1 or more, and is 0")
    expect(define({ retry: { attemptsMax: 0 } })).toThrow("retry.attemptsMax must be a whole number, 1 or more")
    expect(define({ supervision: { restartsMax: -1 } })).toThrow("supervision.restartsMax must be")
    expect(define({ mailbox: { capacity: 0 } })).toThrow("mailbox.capacity must be")
    for (const ageingMs of [0, 86_400_001, 0.5, Number.NaN]) {
      expect(define({ mailbox: { ageingMs } })).toThrow(
        `mailbox.ageingMs must be a whole number from 1 to 86400000, and is ${ageingMs}`,
      )
    }
    expect(define({ version: 1.5 })).toThrow("version must be")
  })
  it("2.2 a reference to nothing", () => {
    expect(() => Note.ref("")).toThrow("an id has 1 to 256 printable ones")
    expect(() => Note.ref("a\nb")).toThrow("names no actor or pool")
    expect(() => Note.ref("x".repeat(257))).toThrow("names no actor or pool")
    expect(Note.ref("x".repeat(256)).id.length).toBe(256)
    expect(() => makePool("notes", { targets: [] })).toThrow("The pool notes has no targets; give it at least one.")
  })
  it.effect("2.3 a system with two of one name, a pool over nothing, a limit that is none", () =>
    Effect.gen(function* () {
      const failure = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && String(exit.cause)
      expect(failure(yield* system({ actors: [Note, Note] }))).toContain("two actors or pools called note")
      expect(failure(yield* system({ pools: [strangers] }))).toContain(
        "The pool strangers has the target stranger/a, and the system no actor stranger",
      )
      expect(failure(yield* system({ residentMax: 0 }))).toContain("residentMax must be a whole number, 1 or more")
      expect(failure(yield* system({ drainMsMax: Number.NaN }))).toContain("drainMsMax must be a whole number")
    }),
  )
})

describe("3 an envelope", () => {
  it.effect("3.1 says who, what, when and on which terms", () =>
    Effect.gen(function* () {
      const open = yield* world
      yield* TestClock.adjust(1_000)
      const id = yield* open.system.tell(
        Counter.ref("a"),
        "Add",
        { by: 2 },
        { timeoutMs: 500.5, delayMs: 20, priority: 3, traceId: "t", idempotencyKey: "k" },
      )
      expect(row(open)).toMatchObject({
        id,
        actorType: "counter",
        actorId: "a",
        pool: null,
        task: "Add",
        codec: "json",
        body: '{"by":2}',
        status: "pending",
        createdAtMs: 1_000,
        deliverAtMs: 1_020,
        deadlineAtMs: 1_501,
        priority: 3,
        sender: null,
        correlationId: id,
        causationId: null,
        idempotencyKey: "k",
        traceId: "t",
      })
    }),
  )
  it.effect("3.2 holds bare text where the task is text in and text out, and the task's own key", () =>
    Effect.gen(function* () {
      const open = yield* world
      yield* open.system.ask(Note.ref("a"), "Keep", 'a "quote"')
      expect(row(open)).toMatchObject({ codec: "text", body: 'a "quote"', reply: 'a "quote"', traceId: row(open).id })
      yield* open.system.ask(Note.ref("a"), "Buy", { order: "7", amount: 2 })
      expect(row(open, 1)).toMatchObject({ codec: "json", idempotencyKey: "7", reply: '"7"' })
    }),
  )
})
