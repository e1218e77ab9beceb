/** What an operator asks of a running system: redrive, through the service and through the port. */
import { describe, expect, it } from "@effect/vitest"
import { makePool, type Operations, OperatorPort } from "@pontoon/runtime"
import { Effect, Exit, Result, Scope } from "effect"
import { makeWorker, RetryableTrouble, TerminalTrouble } from "./support/actors.ts"
import { makeWorld, row, turns } from "./support/World.ts"

const retry = { attemptsMax: 2, backoff: { baseMs: 0, factor: 1, maxMs: 0, jitter: 0 } }

/** Fails until it is mended. */
const makePatient = (name = "worker") => {
  const said: Array<number> = []
  const state = { isMended: false, said }
  const Worker = makeWorker(
    name,
    (n) =>
      Effect.suspend(() => {
        said.push(n)
        return state.isMended ? Effect.succeed(n) : Effect.fail(new RetryableTrouble({ message: "no milk" }))
      }),
    { retry },
  )
  return { Worker, state }
}

const failureOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.result(effect), (result) => (Result.isFailure(result) ? result.failure : undefined))

describe("1 misuse", () => {
  it.effect("1.1 only a dead letter is redriven, and only on a body that its task can read", () =>
    Effect.gen(function* () {
      const { Worker, state } = makePatient()
      const world = yield* makeWorld({ actors: [Worker], messageBytesMax: 20 })
      expect(yield* failureOf(world.system.redrive("nobody"))).toMatchObject({
        _tag: "TerminalInvalidMessage",
        message: "There is no message nobody in the log.",
      })
      state.isMended = true
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(yield* failureOf(world.system.redrive(id))).toMatchObject({
        message: `Message ${id} is done; only a dead letter can be redriven.`,
      })
      state.isMended = false
      const dead = yield* world.system.tell(Worker.ref("a"), "Work", { n: 2 })
      yield* turns
      expect(row(world, 1).status).toBe("dead")
      expect(yield* failureOf(world.system.redrive(dead, '{"n":"x"}'))).toMatchObject({
        _tag: "TerminalInvalidMessage",
        message: expect.stringMatching(
          new RegExp(`^Message ${dead} was not redriven, because its new body does not fit Work: [^\\n]+$`),
        ),
      })
      expect(yield* failureOf(world.system.redrive(dead, `{"n":1${" ".repeat(14)}}`))).toMatchObject({
        message: `Message ${dead} was not redriven, because its new body has 21 bytes, and the limit is 20.`,
      })
      expect(row(world, 1)).toMatchObject({ status: "dead", attemptsBefore: 0, body: '{"n":2}' })
    }),
  )
  it.effect("1.2 not by a system that has no such actor, or whose actor is gone, and not into a full mailbox", () =>
    Effect.gen(function* () {
      const { Worker } = makePatient()
      const world = yield* makeWorld({ actors: [Worker] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      yield* world.system.stop({ type: "worker", id: "a" }, "by hand")
      expect(yield* failureOf(world.system.redrive(id))).toMatchObject({
        message: `worker/a is stopped and takes no messages, so message ${id} was not redriven.`,
      })
      const Narrow = makeWorker("worker", () => Effect.never, { mailbox: { capacity: 1 } })
      yield* world.crashInto({ actors: [Narrow] })
      yield* world.system.tell(Narrow.ref("a"), "Work", { n: 2 })
      yield* world.system.tell(Narrow.ref("a"), "Work", { n: 3 })
      expect(yield* failureOf(world.system.redrive(id))).toMatchObject({ _tag: "RetryableMailboxFull", depth: 1 })
      yield* world.crashInto({ actors: [makeWorker("other", () => Effect.never)] })
      expect(yield* failureOf(world.system.redrive(id))).toMatchObject({
        message: `Message ${id} is for an actor worker, which this system does not have; it was not redriven.`,
      })
      expect(row(world)).toMatchObject({ status: "dead", attemptsBefore: 0 })
    }),
  )
})

describe("2 a redriven message", () => {
  it.effect("2.1 runs again at its id, with a fresh budget, over a crash too, and keeps its history", () =>
    Effect.gen(function* () {
      const { Worker, state } = makePatient()
      const world = yield* makeWorld({ actors: [Worker] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(row(world)).toMatchObject({ status: "dead", attempt: 2 })
      // Not mended yet: both of the new attempts are used up.
      yield* world.system.redrive(id)
      yield* turns
      expect(row(world)).toMatchObject({ status: "dead", attempt: 4, attemptsBefore: 2 })
      yield* world.crash
      state.isMended = true
      yield* world.system.redrive(id, '{"n":7}')
      expect(yield* world.system.outcome(id)).toMatchObject({ status: "done", reply: "7" })
      expect(row(world)).toMatchObject({ id, status: "done", attempt: 5, attemptsBefore: 4, error: null })
      expect(state.said).toEqual([1, 1, 1, 1, 7])
      expect(world.log.attempts.get(id)?.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4])
      const routes = world.log.routes.filter(({ pool }) => pool === "operator")
      expect(routes).toMatchObject([
        { messageId: id, attempt: 3, chosen: "worker/a", reason: "redriven" },
        { messageId: id, attempt: 5, chosen: "worker/a", reason: "redriven with another body" },
      ])
      expect(JSON.parse(routes[1]!.evidence)).toMatchObject({
        body: '{"n":1}',
        diedOf: expect.stringContaining("no milk"),
      })
    }),
  )
  it.effect("2.2 that a crash interrupts is counted by its new budget", () =>
    Effect.gen(function* () {
      const { Worker } = makePatient()
      const world = yield* makeWorld({ actors: [Worker] })
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      const Stuck = makeWorker("worker", () => Effect.never, { retry })
      yield* world.crashInto({ actors: [Stuck] })
      yield* world.system.redrive(id)
      yield* turns
      yield* world.crashInto({ actors: [Stuck] })
      yield* turns
      expect(row(world)).toMatchObject({ status: "running", attempt: 4, attemptsBefore: 2 })
      yield* world.crashInto({ actors: [Stuck] })
      yield* turns
      expect(row(world)).toMatchObject({ status: "dead", attempt: 4 })
    }),
  )
  it.effect("2.3 in a pool goes to a target that lives", () =>
    Effect.gen(function* () {
      const Broken = makeWorker("broken", () => Effect.fail(new RetryableTrouble({ message: "no milk" })), { retry })
      const Sound = makeWorker("sound", (n) => Effect.succeed(n))
      const only = makePool("bar", { targets: [Broken.ref("1")] })
      const world = yield* makeWorld({ actors: [Broken], pools: [only] })
      const id = yield* world.system.tell(only.ref, "Work", { n: 1 })
      yield* turns
      expect(row(world).status).toBe("dead")
      yield* world.crashInto({ actors: [Broken, Sound], pools: [makePool("bar", { targets: [Sound.ref("1")] })] })
      yield* world.system.redrive(id)
      yield* turns
      expect(row(world)).toMatchObject({ status: "done", actorType: "sound", attempt: 3 })
    }),
  )
})

describe("3 the port", () => {
  it.effect("3.1 is given the system's operations while the system is open", () =>
    Effect.gen(function* () {
      let desk: Operations | undefined
      const attach = (operations: Operations) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.sync(() => {
              desk = operations
            }),
            () =>
              Effect.sync(() => {
                desk = undefined
              }),
          ),
        )
      const Worker = makeWorker("worker", () => Effect.fail(new TerminalTrouble({ message: "never" })))
      const scope = yield* Scope.make()
      const world = yield* makeWorld({ actors: [Worker] }).pipe(
        Effect.provideService(OperatorPort, { attach }),
        Scope.provide(scope),
      )
      const id = yield* world.system.tell(Worker.ref("a"), "Work", { n: 1 })
      yield* turns
      expect(yield* failureOf(desk!.redrive(id))).toMatchObject({
        message: `Message ${id} is failed; only a dead letter can be redriven.`,
      })
      expect(yield* desk!.cancel(id)).toBe(false)
      expect(yield* desk!.stop({ type: "worker", id: "a" }, "by hand")).toBe(true)
      expect(yield* desk!.stop({ type: "worker", id: "b" }, "by hand")).toBe(false)
      yield* world.close
      expect(desk).toBe(undefined)
      yield* Scope.close(scope, Exit.void)
    }),
  )
})
