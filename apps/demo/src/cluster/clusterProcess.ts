/**
 * The entry of the cluster's process: a backend with Pontoon embedded, which serves the stage over its IPC channel as it
 * would serve clients over HTTP. It can be killed at any moment; the file is all that it leaves behind.
 */
import type { DecoderHandle } from "@pontoon/agents"
import { ActorSystem, LogReader } from "@pontoon/runtime"
import { SqliteStore } from "@pontoon/store"
import { Deferred, Effect, Layer, Logger, Queue, Schema, Stream } from "effect"
import { type News, Order } from "./clusterProtocol.ts"
import { makeCluster } from "./makeCluster.ts"

type Open = Extract<Order, { readonly _tag: "Open" }>
/** What comes while it is open. */
type Task = Exclude<Order, { readonly _tag: "Open" | "Close" }>
type Say = Extract<Order, { readonly _tag: "Say" }>

const tell = (news: News): Effect.Effect<void> =>
  Effect.sync(() => {
    // Disconnected: the stage is gone, and this process is about to be.
    if (process.connected) process.send?.(news, () => {})
  })

const decodeOrder = Schema.decodeUnknownSync(Order)

/** How often it looks whether the models are up. */
const STARTING_LOOK_MS = 20
/** Events of the lifecycle that are looked through for a reason. */
const LIFECYCLE_LOOK_MAX = 10_000

/** Waits until every model is up; gives the reason of one that can not be. */
const whenStarted = Effect.fnUntraced(function* (
  addresses: ReadonlyArray<{ readonly type: string; readonly id: string }>,
) {
  const system = yield* ActorSystem
  const reader = yield* LogReader
  for (;;) {
    const states = yield* Effect.forEach(addresses, system.lifecycle)
    const failed = addresses.find((_, index) => states[index] === "failed")
    if (failed !== undefined) {
      const events = yield* reader.lifecycle(0, LIFECYCLE_LOOK_MAX)
      const last = events.findLast(
        ({ actorId, actorType, to }) => actorType === failed.type && actorId === failed.id && to === "failed",
      )
      return last?.reason ?? `${failed.type}/${failed.id} failed to start.`
    }
    if (states.every((state) => state === "ready" || state === "degraded")) return undefined
    yield* Effect.sleep(STARTING_LOOK_MS)
  }
})

/** One message of a customer, to its end; what goes wrong is news like any other. */
const serve = Effect.fnUntraced(
  function* (cluster: ReturnType<typeof makeCluster>, { conversation, key, text }: Say) {
    const system = yield* ActorSystem
    const ref = cluster.frontDesk.ref(conversation)
    const terms = { idempotencyKey: key }
    yield* Stream.runForEach(system.stream(ref, "Hear", { text }, terms), (chunk) =>
      tell({ _tag: "Chunk", key, chunk }),
    )
    // The same key again: the recorded reply, as a client that comes back would get it.
    const heard = yield* system.ask(ref, "Hear", { text }, terms)
    yield* tell({ _tag: "Answered", key, heard })
  },
  (effect, _cluster, { key }) =>
    Effect.catch(effect, (failure) => tell({ _tag: "Failed", key, tag: failure._tag, message: failure.message })),
)

const host = Effect.fnUntraced(function* (tasks: Queue.Dequeue<Task>, { db, device, seed }: Open) {
  const replicas = new Map<string, DecoderHandle>()
  const cluster = makeCluster({
    device,
    seed,
    onStarted: (replica, handle) => {
      replicas.set(replica, handle)
      return tell({ _tag: "ModelStarted", replica, pid: handle.pid })
    },
  })
  const run = Effect.gen(function* () {
    const reason = yield* whenStarted(cluster.started)
    if (reason !== undefined) return yield* tell({ _tag: "Unavailable", message: reason })
    yield* tell({ _tag: "Up" })
    for (;;) {
      const task = yield* Queue.take(tasks)
      if (task._tag === "Say") yield* Effect.forkScoped(serve(cluster, task))
      if (task._tag === "Slow") yield* replicas.get(task.replica)?.setStepDelayMs(task.delayMs) ?? Effect.void
    }
  })
  const system = ActorSystem.layer({ actors: cluster.actors, pools: cluster.pools })
  yield* Effect.scoped(run).pipe(Effect.provide(system.pipe(Layer.provideMerge(SqliteStore.layer(db)))))
})

const main = Effect.gen(function* () {
  const tasks = yield* Queue.unbounded<Task>()
  const opened = yield* Deferred.make<Open>()
  // Beside the queue: a program that is told to close while its models start must not wait for them.
  const closing = yield* Deferred.make<void>()
  const close = () => Deferred.doneUnsafe(closing, Effect.void)
  process.on("message", (raw) => {
    const order = decodeOrder(raw)
    if (order._tag === "Open") Deferred.doneUnsafe(opened, Effect.succeed(order))
    else if (order._tag === "Close") close()
    else Queue.offerUnsafe(tasks, order)
  })
  process.once("disconnect", close)
  // Ctrl-C reaches the whole group; the stage decides when this process ends.
  process.on("SIGINT", () => {})
  yield* Deferred.await(opened).pipe(
    Effect.flatMap((open) => host(tasks, open)),
    Effect.catch((failure) => tell({ _tag: "Unavailable", message: failure.message })),
    Effect.raceFirst(Deferred.await(closing)),
  )
})

// Standard output is the stage's.
const logger = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

const fiber = Effect.runFork(Effect.scoped(main).pipe(Effect.provide(logger)))
fiber.addObserver(() => {
  if (process.connected) process.disconnect()
})
