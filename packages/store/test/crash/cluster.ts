/**
 * A small cluster that is killed: counters, workflows with steps, asks and sends, a talker that streams, a pool of two that
 * fails now and then.
 *
 * argv: FILE, `load` or `drain`, the crash point to die at (or `none`), at which occurrence of it, a seed, and a name that
 * no other run on the file has. `load` sends until it is killed. What was accepted, and what was answered, goes to standard
 * output, a line each: `accepted ID`, `replied ID REPLY`, `answered KEY REPLY`. `drain` sends nothing, and ends with 0 when
 * nothing is unfinished.
 */
import { Actor, ActorSystem, CrashPoints, makePool, Task } from "@pontoon/runtime"
import { seededRandom } from "@pontoon/runtime/testing"
import { Effect, Layer, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteStore } from "../../src/index.ts"
import { say } from "../support/say.ts"

const [, , file = "", mode = "drain", point = "none", occurrence = "1", seed = "1", run = "0"] = process.argv
const CALLERS = 12

/** A message is interrupted by every death: none may die of too many. */
const retry = { attemptsMax: 1_000, backoff: { baseMs: 1, factor: 2, maxMs: 20, jitter: 0.5 } }

class RetryableBusy extends Schema.TaggedError<RetryableBusy>()("RetryableBusy", { message: Schema.String }) {}

const Counter = Actor.make("counter", {
  protocol: [Rpc.make("Add", { payload: { by: Schema.Number }, success: Schema.Number })],
  state: Schema.Number,
  initialState: 0,
  retry,
  handlers: {
    Add: ({ by }, actor) =>
      Effect.sync(() => {
        actor.setState(actor.state + by)
        return actor.state
      }),
  },
})

const Talker = Actor.make("talker", {
  protocol: [Task.stream("Talk", { payload: { words: Schema.Number }, chunk: Schema.String, whole: Schema.String })],
  retry,
  handlers: {
    Talk: ({ words }, actor) =>
      Effect.gen(function* () {
        const said = [...(yield* actor.resume)]
        while (said.length < words) {
          const word = `w${said.length}`
          said.push(word)
          yield* actor.emit(word)
          if (said.length % 8 === 0) yield* Effect.yieldNow
        }
        return said.join(" ")
      }),
  },
})

const Model = Actor.make("model", {
  protocol: [Rpc.make("Infer", { payload: { n: Schema.Number }, success: Schema.Number })],
  concurrency: 2,
  retry,
  handlers: {
    Infer: ({ n }, actor) =>
      n % 5 === 0 && actor.message.attempt === 1
        ? new RetryableBusy({ message: `${actor.self.id} is busy` })
        : Effect.as(Effect.yieldNow, n * 2),
  },
})
const models = makePool("models", { targets: [Model.ref("a"), Model.ref("b")] })

const Workflow = Actor.make("workflow", {
  protocol: [Rpc.make("Run", { payload: { n: Schema.Number }, success: Schema.Number })],
  retry,
  handlers: {
    Run: ({ n }, actor) =>
      Effect.gen(function* () {
        const drawn = yield* actor.step("draw", Schema.Number, Effect.succeed(n % 7))
        yield* actor.ask(Counter.ref("from"), "Add", { by: -drawn })
        yield* actor.send(Counter.ref("ledger"), "Add", { by: drawn })
        const words = yield* Stream.runCollect(actor.stream(Talker.ref(`${n % 3}`), "Talk", { words: drawn }))
        const doubled = yield* actor.ask(models.ref, "Infer", { n })
        yield* actor.step("book", Schema.Number, Effect.succeed(doubled))
        yield* actor.ask(Counter.ref("to"), "Add", { by: drawn })
        return doubled + words.length
      }),
  },
})

let left = Number(occurrence)
const crash = (passed: string): void => {
  if (passed === point && --left === 0) process.kill(process.pid, "SIGKILL")
}

/** Synchronous, so that the line is out before anything else can happen to this process. */
const report = (...words: ReadonlyArray<string>) => Effect.sync(() => say(words.join(" ")))

const caller = Effect.fnUntraced(function* (name: number) {
  const system = yield* ActorSystem
  const random = seededRandom(Number(seed) * 1_000 + name).below
  const told = Effect.fnUntraced(function* (tell: Effect.Effect<string, unknown>) {
    const id = yield* tell
    yield* report("accepted", id)
    const { reply } = yield* system.outcome(id)
    yield* report("replied", id, reply ?? "null")
  })
  for (let n = 0; ; n++) {
    const key = { idempotencyKey: `${run}-${name}-${n}` }
    const choice = random(6)
    if (choice < 2) {
      const sum = yield* system.ask(Counter.ref(`${random(4)}`), "Add", { by: 1 + random(9) }, key)
      yield* report("answered", key.idempotencyKey, JSON.stringify(sum))
    } else if (choice === 2) yield* told(system.tell(Counter.ref(`${random(4)}`), "Add", { by: 1 }, key))
    else if (choice === 3) yield* told(system.tell(Talker.ref(`${random(3)}`), "Talk", { words: random(60) }, key))
    else if (choice === 4) yield* told(system.tell(models.ref, "Infer", { n: random(50) }, key))
    else yield* told(system.tell(Workflow.ref(`${random(5)}`), "Run", { n: random(50) }, key))
  }
})

const drained = Effect.gen(function* () {
  const system = yield* ActorSystem
  while ((yield* system.unfinished) > 0) yield* Effect.sleep(5)
})

const program = Effect.gen(function* () {
  if (mode === "drain") return yield* drained
  const callers = Array.from({ length: CALLERS }, (_, name) => caller(name))
  return yield* Effect.all(callers, { concurrency: "unbounded", discard: true })
})

const layer = ActorSystem.layer({ actors: [Counter, Talker, Model, Workflow], pools: [models] }).pipe(
  Layer.provide(SqliteStore.layer(file)),
  Layer.provide(Layer.succeed(CrashPoints, crash)),
)
await Effect.runPromise(Effect.provide(program, layer))
