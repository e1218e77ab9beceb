/**
 * The entry of the cluster's process: a backend with Pontoon embedded, which serves the stage over its IPC channel as it
 * would serve clients over HTTP. It can be killed at any moment; the file is all that it leaves behind.
 */
import type { DecoderHandle } from "@pontoon/agents"
import { ActorSystem, LogReader } from "@pontoon/runtime"
import { SqliteStore } from "@pontoon/store"
import { Effect, Layer, Queue, Schema, Stream } from "effect"
import { type News, Order } from "./clusterProtocol.ts"
import { makeCluster } from "./makeCluster.ts"

type Open = Extract<Order, { readonly _tag: "Open" }>
type Say = Extract<Order, { readonly _tag: "Say" }>

const tell = (news: News): Effect.Effect<void> =>
  Effect.sync(() => {
    // Disconnected: the stage is gone, and this process is about to be.
    if (process.connected) process.send?.(news)
  })

const decodeOrder = Schema.decodeUnknownEffect(Order)

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

const host = Effect.fnUntraced(function* (orders: Queue.Dequeue<Order>, { db, device, seed }: Open) {
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
      const order = yield* Queue.take(orders)
      if (order._tag === "Close") return
      if (order._tag === "Say") yield* Effect.forkScoped(serve(cluster, order))
      if (order._tag === "Slow") yield* replicas.get(order.replica)?.setStepDelayMs(order.delayMs) ?? Effect.void
    }
  })
  const system = ActorSystem.layer({ actors: cluster.actors, pools: cluster.pools })
  yield* Effect.scoped(run).pipe(Effect.provide(system.pipe(Layer.provideMerge(SqliteStore.layer(db)))))
})

const main = Effect.gen(function* () {
  const orders = yield* Queue.unbounded<Order>()
  process.on("message", (raw) => {
    Effect.runFork(Effect.flatMap(Effect.orDie(decodeOrder(raw)), (order) => Queue.offer(orders, order)))
  })
  process.once("disconnect", () => Queue.offerUnsafe(orders, { _tag: "Close" }))
  // Ctrl-C reaches the whole group; the stage decides when this process ends.
  process.on("SIGINT", () => {})
  const first = yield* Queue.take(orders)
  if (first._tag !== "Open") return
  yield* host(orders, first).pipe(Effect.catch((failure) => tell({ _tag: "Unavailable", message: failure.message })))
})

const fiber = Effect.runFork(Effect.scoped(main))
fiber.addObserver(() => process.disconnect?.())
