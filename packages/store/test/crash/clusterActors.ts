/**
 * The actors of the cluster that is killed: counters, workflows with steps, asks and sends, a talker that streams, a pool of
 * two that fails now and then; sagas that compensate, a front that hands on, tills that put aside, rooms that watch.
 */
import { Actor, makePool, Task, Terminated } from "@pontoon/runtime"
import { Effect, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"

/** A message is interrupted by every death: none may die of too many. */
const retry = { attemptsMax: 1_000, backoff: { baseMs: 1, factor: 2, maxMs: 20, jitter: 0.5 } }

class RetryableBusy extends Schema.TaggedError<RetryableBusy>()("RetryableBusy", { message: Schema.String }) {}

const Add = Rpc.make("Add", { payload: { by: Schema.Number }, success: Schema.Number })

export const Counter = Actor.make("counter", {
  protocol: [Add],
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

export const Talker = Actor.make("talker", {
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

export const Model = Actor.make("model", {
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
export const models = makePool("models", { targets: [Model.ref("a"), Model.ref("b")] })

export const Workflow = Actor.make("workflow", {
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

class TerminalNoRoom extends Schema.TaggedError<TerminalNoRoom>()("TerminalNoRoom", { message: Schema.String }) {}

/** Books, and takes it back where it fails in the end: what it has done to a counter is then nothing. */
export const Saga = Actor.make("saga", {
  protocol: [Rpc.make("Book", { payload: { n: Schema.Number }, success: Schema.Number })],
  retry,
  handlers: {
    Book: ({ n }, actor) =>
      Effect.gen(function* () {
        const book = (name: string, by: number) =>
          actor.step(name, Schema.Number, actor.ask(Counter.ref("booked"), "Add", { by }), {
            compensate: () => actor.ask(Counter.ref("booked"), "Add", { by: -by }),
          })
        yield* book("room", n)
        yield* actor.all([book("flight", 2 * n), actor.sleep(n % 4)])
        if (n % 3 === 0) return yield* new TerminalNoRoom({ message: `${n} is one too many` })
        return n
      }),
  },
})

/** Hands on to a counter. */
export const Front = Actor.make("front", {
  protocol: [Add],
  state: Schema.Number,
  initialState: 0,
  retry,
  handlers: {
    Add: ({ by }, actor) =>
      Effect.gen(function* () {
        actor.setState(actor.state + by)
        return yield* actor.forward(Counter.ref(`${by % 4}`))
      }),
  },
})

/** Sells while it is open; what comes while it is shut is put aside. */
export const Till = Actor.make("till", {
  protocol: [
    Rpc.make("Open", { payload: { open: Schema.Boolean }, success: Schema.Boolean }),
    Rpc.make("Sell", { payload: { by: Schema.Number }, success: Schema.Number }),
  ],
  state: Schema.Struct({ open: Schema.Boolean, sum: Schema.Number }),
  initialState: { open: true, sum: 0 },
  retry,
  handlers: {
    Open: ({ open }, actor) =>
      Effect.gen(function* () {
        actor.setState({ ...actor.state, open })
        if (open) yield* actor.unstashAll
        return open
      }),
    Sell: ({ by }, actor) =>
      Effect.gen(function* () {
        const { open, sum } = actor.state
        if (!open) return yield* actor.stash
        actor.setState({ open, sum: sum + by })
        return sum + by
      }),
  },
})

/** Is watched, and stopped. */
export const Session = Actor.make("session", {
  protocol: [Rpc.make("Begin", { success: Schema.Boolean })],
  retry,
  handlers: { Begin: () => Effect.succeed(true) },
})

export const Room = Actor.make("room", {
  protocol: [Rpc.make("Join", { payload: { session: Schema.String } }), Terminated],
  state: Schema.Number,
  initialState: 0,
  retry,
  handlers: {
    Join: ({ session }, actor) => actor.watch(Session.ref(session)),
    Terminated: (_, actor) => Effect.sync(() => actor.setState(actor.state + 1)),
  },
})
