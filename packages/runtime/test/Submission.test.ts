/** A commit that can be started without a fiber: the runtime over a store of them, and what it is as an Effect. */
import { Actor, ActorSystem, type CommitExit, CrashPoints, MessageStore, Submission } from "@pontoon/runtime"
import { applyCommit, MemoryStore } from "@pontoon/runtime/testing"
import { Effect, Exit, Fiber, Layer, Logger, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { describe, expect, it } from "vitest"

const Echo = Actor.make("echo", {
  protocol: [Rpc.make("Say", { payload: { text: Schema.String }, success: Schema.String })],
  handlers: { Say: ({ text }) => Effect.succeed(text) },
})

/** Answers the commits of a turn together, as a store on SQLite does. */
const submitting = Effect.map(MemoryStore.make, ({ log, store }) => {
  let waiting: Array<() => void> = []
  return MessageStore.of({
    ...store,
    commit: (writes) =>
      new Submission((done) => {
        if (waiting.length === 0) {
          setImmediate(() => {
            const batch = waiting
            waiting = []
            for (const tell of batch) tell()
          })
        }
        waiting.push(() => done(Exit.succeed(applyCommit(log, writes))))
      }),
  })
})

const system = (crash: () => void = () => {}) =>
  ActorSystem.layer({ actors: [Echo], drainMsMax: 0 }).pipe(
    Layer.provide(Layer.effect(MessageStore, submitting)),
    Layer.provide(Layer.succeed(CrashPoints, (point) => (point === "append.after" ? crash() : undefined))),
    Layer.provide(Logger.layer([])),
  )

const say = (text: string) => Effect.flatMap(ActorSystem, (each) => each.ask(Echo.ref(text), "Say", { text }))

describe("a commit that is submitted", () => {
  it("1. serves a system", async () => {
    const said = Effect.all(["a", "b", "c"].map(say), { concurrency: "unbounded" })
    expect(await Effect.runPromise(Effect.provide(said, system()))).toEqual(["a", "b", "c"])
  })

  it("2. tells the rest of its batch where the runtime breaks over one of them", async () => {
    let breaks = 1
    const crash = (): void => {
      if (breaks-- > 0) throw new Error("a mistake of ours")
    }
    const both = Effect.gen(function* () {
      const broken = yield* Effect.forkDetach(say("broken"), { startImmediately: true })
      const whole = yield* say("whole")
      return [whole, broken.pollUnsafe()]
    })
    // Never closed: it would wait for what broke, as long as it waits for anything that is stuck.
    const open = Layer.buildWithScope(system(crash), Scope.makeUnsafe())
    const run = Effect.flatMap(open, (context) => Effect.provideContext(both, context))
    expect(await Effect.runPromise(run)).toEqual(["whole", undefined])
  })

  it("3. is an Effect like any other, started each time it is run, and carried out where its fiber is interrupted", async () => {
    let started = 0
    let finish: (exit: CommitExit) => void = () => {}
    const commit = new Submission((done) => {
      started++
      finish = done
    })
    const run = Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(commit, { startImmediately: true })
      finish(Exit.succeed({ duplicates: [] }))
      const receipt = yield* Fiber.join(fiber)
      const left = yield* Effect.forkChild(commit, { startImmediately: true })
      yield* Fiber.interrupt(left)
      finish(Exit.succeed({ duplicates: [] }))
      return [receipt, started]
    })
    expect(await Effect.runPromise(run)).toEqual([{ duplicates: [] }, 2])
  })
})
