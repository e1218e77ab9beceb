/** The Promise API: the same system for those who do not use Effect, on the real clock. */
import { Actor, type CallOptions, MessageStore, Pontoon, Task } from "@pontoon/runtime"
import { MemoryStore, makeMemoryLog, openMemoryLog } from "@pontoon/runtime/testing"
import { Context, Deferred, Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { describe, expect, it } from "vitest"
import { Counter, Declared } from "./support/actors.ts"

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

/** An actor that waits until it is interrupted, and says so. */
const makeWaiter = () => {
  const running = Deferred.makeUnsafe<void>()
  const interrupted = Deferred.makeUnsafe<void>()
  const Waiter = Actor.make("waiter", {
    protocol: [
      Rpc.make("Wait", { success: Schema.String }),
      Task.stream("Talk", { payload: { n: Schema.Number }, chunk: Schema.Number, whole: Schema.Number }),
    ],
    concurrency: 10,
    handlers: {
      Wait: () => wait,
      Talk: ({ n }, actor) =>
        Effect.gen(function* () {
          for (let index = 0; index < n; index++) yield* actor.emit(index)
          yield* wait
          return n
        }),
    },
  })
  const wait = Effect.andThen(Deferred.succeed(running, undefined), Effect.never).pipe(
    Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)),
  )
  return {
    Waiter,
    running: () => Effect.runPromise(Deferred.await(running)),
    interrupted: () => Effect.runPromise(Deferred.await(interrupted)),
  }
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => {
      throw new Error(`resolved with ${String(value)}`)
    },
    (error: unknown) => error,
  )

describe("1 open", () => {
  it("1.1 rejects with what is wrong with the options, or with the store's own error", async () => {
    const store = MemoryStore.layer
    expect(String(await rejection(Pontoon.open({ store, actors: [Counter, Counter] })))).toContain(
      "The system cannot be opened: there are two actors or pools called counter; give each a name of its own.",
    )
    const broken = Layer.effect(MessageStore, Effect.fail({ _tag: "TerminalStoreFailure", message: "locked" } as const))
    expect(await rejection(Pontoon.open({ store: broken, actors: [Counter] }))).toEqual({
      _tag: "TerminalStoreFailure",
      message: "locked",
    })
  })
  it("1.2 takes the services that handlers need", async () => {
    const Greeter = Actor.make("greeter", {
      protocol: [Rpc.make("Greet", { payload: Schema.String, success: Schema.String })],
      handlers: { Greet: (name) => Effect.map(Greeting, (greeting) => `${greeting}, ${name}`) },
    })
    const pontoon = await Pontoon.open({
      store: MemoryStore.layer,
      actors: [Greeter],
      services: Layer.succeed(Greeting, "Good day"),
    })
    expect(await pontoon.ask(Greeter.ref("a"), "Greet", "Ada")).toBe("Good day, Ada")
    await pontoon.close()
  })
})

describe("2 a call", () => {
  it("2.1 answers, tells, scores and looks up", async () => {
    const pontoon = await Pontoon.open({ store: MemoryStore.layer, actors: [Counter] })
    expect(await pontoon.ask(Counter.ref("a"), "Add", { by: 2 })).toBe(2)
    const id = await pontoon.tell(Counter.ref("a"), "Add", { by: 3 })
    expect(await pontoon.outcome(id)).toEqual({ messageId: id, status: "done", reply: "5", error: null })
    await pontoon.feedback(id, { score: 1, source: "test" })
    expect(await pontoon.cancel(id)).toBe(false)
    await pontoon.close()
  })
  it("2.2 rejects with the tagged error itself", async () => {
    const Refuser = Actor.make("refuser", {
      protocol: [Rpc.make("Refuse", { success: Schema.String, error: Declared })],
      handlers: { Refuse: () => new Declared({ message: "no" }) },
    })
    const pontoon = await Pontoon.open({ store: MemoryStore.layer, actors: [Refuser] })
    const error = await rejection(pontoon.ask(Refuser.ref("a"), "Refuse", undefined))
    expect(error).toBeInstanceOf(Declared)
    expect(await rejection(pontoon.ask(Counter.ref("a"), "Add", { by: 1 }))).toMatchObject({
      _tag: "TerminalUnknownActor",
    })
    expect(await rejection(pontoon.feedback("none", { score: 1, source: "test" }))).toMatchObject({
      _tag: "TerminalInvalidMessage",
    })
    await pontoon.close()
  })
  it("2.3 that is aborted rejects with the signal's reason, and its handler is interrupted; a key keeps it", async () => {
    const { Waiter, interrupted, running } = makeWaiter()
    const pontoon = await Pontoon.open({ store: MemoryStore.layer, actors: [Waiter], drainMsMax: 0 })
    const ask = async (options: CallOptions) => rejection(pontoon.ask(Waiter.ref("a"), "Wait", undefined, options))
    const before = AbortSignal.abort("too late")
    expect(await ask({ signal: before })).toBe("too late")
    const keyed = new AbortController()
    const kept = ask({ signal: keyed.signal, idempotencyKey: "k" })
    await running()
    const controller = new AbortController()
    const aborted = ask({ signal: controller.signal })
    // The message is accepted in a later turn; only then is there something to interrupt.
    await pontoon.tell(Waiter.ref("b"), "Wait", undefined)
    controller.abort("changed my mind")
    keyed.abort("back later")
    expect(await aborted).toBe("changed my mind")
    expect(await kept).toBe("back later")
    await interrupted()
    const again = rejection(pontoon.ask(Waiter.ref("a"), "Wait", undefined, { idempotencyKey: "k" }))
    await pontoon.close()
    expect(await again).toMatchObject({ _tag: "RetryableClosing" })
  })
})

describe("3 a stream", () => {
  it("3.1 is an async iterable; leaving the loop interrupts the handler", async () => {
    const { Waiter, interrupted } = makeWaiter()
    const pontoon = await Pontoon.open({ store: MemoryStore.layer, actors: [Waiter] })
    const seen: Array<number> = []
    for await (const chunk of pontoon.stream(Waiter.ref("a"), "Talk", { n: 300 })) {
      seen.push(chunk)
      if (seen.length === 300) break
    }
    expect(seen).toEqual(Array.from({ length: 300 }, (_, index) => index))
    await interrupted()
    await pontoon.close()
  })
  it("3.2 ends with the signal's reason, and with the tagged error", async () => {
    const { Waiter, interrupted } = makeWaiter()
    const pontoon = await Pontoon.open({ store: MemoryStore.layer, actors: [Waiter] })
    const read = async (options: CallOptions, onChunk: () => void) => {
      for await (const _ of pontoon.stream(Waiter.ref("a"), "Talk", { n: 1 }, options)) onChunk()
    }
    const controller = new AbortController()
    expect(await rejection(read({ signal: controller.signal }, () => controller.abort("enough")))).toBe("enough")
    await interrupted()
    expect(await rejection(read({ signal: AbortSignal.abort("never") }, () => {}))).toBe("never")
    expect(await rejection(read({ timeoutMs: -1 }, () => {}))).toMatchObject({ _tag: "TerminalInvalidMessage" })
    await pontoon.close()
  })
})

describe("4 close", () => {
  it("4.1 drains, may be called twice, and then everything is refused", async () => {
    const door = Deferred.makeUnsafe<void>()
    const started = Deferred.makeUnsafe<void>()
    const Slow = Actor.make("slow", {
      protocol: [Rpc.make("Do", { success: Schema.Number })],
      handlers: { Do: () => Effect.as(Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(door)), 7) },
    })
    const pontoon = await Pontoon.open({ store: MemoryStore.layer, actors: [Slow] })
    const answer = pontoon.ask(Slow.ref("a"), "Do", undefined)
    await Effect.runPromise(Deferred.await(started))
    const closing = pontoon.close()
    Deferred.doneUnsafe(door, Effect.void)
    await Promise.all([closing, pontoon.close()])
    expect(await answer).toBe(7)
    expect(await rejection(pontoon.ask(Slow.ref("a"), "Do", undefined))).toMatchObject({
      _tag: "RetryableClosing",
      message: "The system is closed and takes no messages; open it again, and send it then.",
    })
    expect(
      await rejection(pontoon.stream(Slow.ref("a"), "Do", undefined)[Symbol.asyncIterator]().next()),
    ).toMatchObject({ _tag: "RetryableClosing" })
  })
  it("4.2 leaves what could not end to the next open, which answers by the key", async () => {
    const log = makeMemoryLog()
    const store = Layer.effect(
      MessageStore,
      Effect.map(openMemoryLog(log), (handle) => handle.store),
    )
    const { Waiter, running } = makeWaiter()
    const first = await Pontoon.open({ store, actors: [Waiter], drainMsMax: 0 })
    const lost = rejection(first.ask(Waiter.ref("a"), "Wait", undefined, { idempotencyKey: "k" }))
    await running()
    await first.close()
    expect(await lost).toMatchObject({ _tag: "RetryableClosing" })
    const Quick = Actor.make("waiter", {
      protocol: [Rpc.make("Wait", { success: Schema.String })],
      handlers: { Wait: (_, actor) => Effect.succeed(`attempt ${actor.message.attempt}`) },
    })
    const second = await Pontoon.open({ store, actors: [Quick] })
    expect(await second.ask(Quick.ref("a"), "Wait", undefined, { idempotencyKey: "k" })).toBe("attempt 2")
    await second.close()
  })
})
