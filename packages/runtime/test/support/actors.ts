/**
 * The boundary to sample actors: a counter, and a worker that does whatever a test says.
 */
import { Actor, type ActorContext, Task } from "@pontoon/runtime"
import { Deferred, Effect, Schema } from "effect"
import { Rpc } from "effect/rpc"

export class Declared extends Schema.TaggedError<Declared>()("Declared", { message: Schema.String }) {}
export class RetryableTrouble extends Schema.TaggedError<RetryableTrouble>()("RetryableTrouble", {
  message: Schema.String,
}) {}
export class TerminalTrouble extends Schema.TaggedError<TerminalTrouble>()("TerminalTrouble", {
  message: Schema.String,
}) {}

export const Counter = Actor.make("counter", {
  protocol: [
    Rpc.make("Add", { payload: { by: Schema.Number }, success: Schema.Number }),
    Rpc.make("Read", { success: Schema.Number }),
  ],
  state: Schema.Number,
  initialState: 0,
  handlers: {
    Add: ({ by }, actor) =>
      Effect.sync(() => {
        actor.setState(actor.state + by)
        return actor.state
      }),
    Read: (_, actor) => Effect.succeed(actor.state),
  },
})

export const Work = Rpc.make("Work", {
  payload: { n: Schema.Number },
  success: Schema.Number,
  error: Declared,
})
export type Work = typeof Work
export type WorkContext<Resource = undefined> = ActorContext<Work, number, Resource>
type Failure = Declared | Actor.HandlerFailure
export type WorkHandler<Resource = undefined> = (
  n: number,
  actor: WorkContext<Resource>,
) => Effect.Effect<number, Failure>

type WorkerOptions<Resource> = Omit<
  Actor.ActorOptions<Work, typeof Schema.Number, Resource, never>,
  "protocol" | "handlers" | "state" | "initialState"
>

/** An actor of type `name` with a number for state and one task, `Work`. */
export const makeWorker = <Resource = undefined>(
  name: string,
  run: WorkHandler<Resource>,
  options: WorkerOptions<Resource> = {},
) =>
  Actor.make(name, {
    ...options,
    protocol: [Work],
    state: Schema.Number,
    initialState: 0,
    handlers: { Work: ({ n }, actor) => run(n, actor) },
  })

export const Talk = Task.stream("Talk", {
  payload: { n: Schema.Number },
  chunk: Schema.String,
  whole: Schema.String,
  error: Declared,
})
export type Talk = typeof Talk
export type TalkContext = ActorContext<Talk, null, undefined>

export const makeTalker = (
  name: string,
  run: (n: number, actor: TalkContext) => Effect.Effect<string, Failure>,
  options: Omit<
    Actor.ActorOptions<Talk, typeof Schema.Null, undefined, never>,
    "protocol" | "handlers" | "state" | "initialState"
  > = {},
) => Actor.make(name, { ...options, protocol: [Talk], handlers: { Talk: ({ n }, actor) => run(n, actor) } })

/** A door that a handler stops at until the test opens it; says how many stand there. */
export class Gate {
  waiting = 0
  passed = 0
  interrupted = 0
  #door = Deferred.makeUnsafe<void>()

  readonly pass = Effect.suspend(() => {
    this.waiting++
    return Deferred.await(this.#door).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          this.waiting--
          if (exit._tag === "Success") this.passed++
          else this.interrupted++
        }),
      ),
    )
  })

  /** Lets everybody through who waits, and closes again. */
  readonly open = Effect.suspend(() => {
    const door = this.#door
    this.#door = Deferred.makeUnsafe<void>()
    return Deferred.succeed(door, undefined)
  })
}

/** A worker that writes down what it runs, and stops at a gate. */
export const gated = (options: Parameters<typeof makeWorker>[2] = {}) => {
  const gate = new Gate()
  const ran: Array<number> = []
  const Worker = makeWorker(
    "worker",
    (n) =>
      Effect.suspend(() => {
        ran.push(n)
        return Effect.as(gate.pass, n * 10)
      }),
    options,
  )
  return { Worker, gate, ran, ref: Worker.ref("a") }
}
