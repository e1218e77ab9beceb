/**
 * The boundary between the stage and the cluster: its process as a value that can be spoken to, and killed. It knows what
 * a client of a backend would know, and the process ids of the models, for the faults.
 */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Cause, Deferred, Effect, Queue, Schema, Stream } from "effect"
import type { Device } from "../options.ts"
import { News, type Order } from "./clusterProtocol.ts"

/** The cluster's process cannot start; the message says why, and what to do. */
export class TerminalClusterUnavailable extends Schema.TaggedError<TerminalClusterUnavailable>()(
  "TerminalClusterUnavailable",
  { message: Schema.String },
) {}

/** The cluster's process is gone; what it had accepted is finished when it is started again. */
export class RetryableClusterGone extends Schema.TaggedError<RetryableClusterGone>()("RetryableClusterGone", {
  message: Schema.String,
}) {}

export interface Utterance {
  /** Saying the same again under the same key is safe: it is answered once. */
  readonly key: string
  readonly conversation: string
  readonly text: string
}

export type Answering = Extract<News, { readonly _tag: "Chunk" | "Answered" | "Failed" }>

export interface Cluster {
  /** Says something; ends after `Answered` or `Failed`. */
  readonly say: (utterance: Utterance) => Stream.Stream<Answering, RetryableClusterGone>
  /** Fault injection: the replica (`type/id`) waits before each step. */
  readonly slow: (replica: string, delayMs: number) => Effect.Effect<void>
  /** Process ids of the decoders, by replica. */
  readonly models: ReadonlyMap<string, number>
  /** SIGKILL, to the whole of it. */
  readonly kill: Effect.Effect<void>
  readonly pid: number
}

export interface ClusterTerms {
  readonly db: string
  readonly device: Device
  readonly seed: number
}

const entry = fileURLToPath(new URL("./clusterProcess.ts", import.meta.url))

/** A drain may take as long as the system's own bound, and a little. */
const CLOSE_MS_MAX = 12_000

const decodeNews = Schema.decodeUnknownSync(News)

type Listener = Queue.Queue<Answering, RetryableClusterGone | Cause.Done>

/** Starts the cluster's process, and waits until all of its models are up. It is drained when the scope closes. */
export const startCluster = Effect.fnUntraced(function* (terms: ClusterTerms) {
  const listeners = new Map<string, Listener>()
  const models = new Map<string, number>()
  const up = yield* Deferred.make<void, TerminalClusterUnavailable>()
  const gone = yield* Deferred.make<void>()
  const child = fork(entry, { serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] })
  const order = (what: Order) =>
    Effect.sync(() => {
      // The callback takes the error of a process that is ending at this very moment; its exit says the rest.
      if (child.connected) child.send(what, () => {})
    })
  const answer = (news: Answering) => {
    const listener = listeners.get(news.key)
    if (listener === undefined) return
    Queue.offerUnsafe(listener, news)
    if (news._tag !== "Chunk") Queue.endUnsafe(listener)
  }
  child.on("message", (raw) => {
    const news = decodeNews(raw)
    if (news._tag === "Up") Deferred.doneUnsafe(up, Effect.void)
    else if (news._tag === "ModelStarted") models.set(news.replica, news.pid)
    else if (news._tag === "Unavailable") {
      Deferred.doneUnsafe(up, Effect.fail(new TerminalClusterUnavailable({ message: news.message })))
    } else answer(news)
  })
  child.once("exit", (code, signal) => {
    const message = `The cluster's process ended (${signal ?? `status ${code}`}).`
    Deferred.doneUnsafe(up, Effect.fail(new TerminalClusterUnavailable({ message })))
    Deferred.doneUnsafe(gone, Effect.void)
    for (const listener of listeners.values()) {
      Queue.failCauseUnsafe(listener, Cause.fail(new RetryableClusterGone({ message })))
    }
  })
  const kill = Effect.suspend(() => {
    child.kill("SIGKILL")
    return Deferred.await(gone)
  })
  yield* Effect.addFinalizer(() =>
    order({ _tag: "Close" }).pipe(
      Effect.andThen(Deferred.await(gone)),
      Effect.timeoutOrElse({ duration: CLOSE_MS_MAX, orElse: () => kill }),
    ),
  )
  yield* order({ _tag: "Open", ...terms })
  yield* Deferred.await(up)
  const cluster: Cluster = {
    say: (utterance) =>
      Stream.callback<Answering, RetryableClusterGone>((queue) =>
        Effect.gen(function* () {
          if (!child.connected) return yield* new RetryableClusterGone({ message: "The cluster's process has ended." })
          listeners.set(utterance.key, queue)
          yield* Effect.addFinalizer(() => Effect.sync(() => listeners.delete(utterance.key)))
          yield* order({ _tag: "Say", ...utterance })
        }),
      ),
    slow: (replica, delayMs) => order({ _tag: "Slow", replica, delayMs }),
    models,
    kill,
    pid: child.pid ?? 0,
  }
  return cluster
})
