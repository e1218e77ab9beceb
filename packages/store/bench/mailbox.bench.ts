/**
 * Durable asks through the whole runtime, beside the same SQL in a plain loop without Effect: how much of the machine the
 * mailbox, the fibers and the supervision leave over. `npm run bench -- mailbox`.
 *
 * An ask on both sides: the message is appended (claimed, where its actor is free) and committed; then it is settled with a
 * reply, the actor's state is written, and that is committed; then the caller is told, and asks another actor.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor, ActorSystem } from "@pontoon/runtime"
import { Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { SqliteStore } from "../src/index.ts"
import { plainLoop } from "./plainLoop.ts"

const ACTORS = 1_024
const BODY_LENGTH = 256
/** Of one run; the first quarter again before it, to warm up, is not counted. */
const SECONDS = 1.5
/** Every so many asks a caller pauses for one turn of the loop, so that callers do not move in lockstep. */
const PAUSE_EVERY = 16

/** What a body of `length` characters holds: on both sides the reply and the state are as long. */
const text = "x".repeat(BODY_LENGTH - '{"text":""}'.length)

const Bench = Actor.make("bench", {
  protocol: [Rpc.make("ask", { payload: { text: Schema.String }, success: Schema.Struct({ text: Schema.String }) })],
  state: Schema.Struct({ text: Schema.String }),
  initialState: { text },
  handlers: {
    ask: (payload, actor) =>
      Effect.sync(() => {
        actor.setState(payload)
        return payload
      }),
  },
})

interface Result {
  readonly asksPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN

/** Asks from `callers` fibers for `seconds`. */
const askFor = (callers: number, seconds: number) =>
  Effect.gen(function* () {
    const system = yield* ActorSystem
    const durations: Array<number> = []
    const startMs = performance.now()
    const endMs = startMs + seconds * 1_000
    const caller = (first: number) =>
      Effect.gen(function* () {
        // A fraction of a turn's worth of head start each, and pauses at other times.
        for (let count = first; performance.now() < endMs; count++) {
          if (count % PAUSE_EVERY === 0) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          const askedMs = performance.now()
          yield* system.ask(Bench.ref(`${Math.floor(Math.random() * ACTORS)}`), "ask", { text })
          durations.push(performance.now() - askedMs)
        }
      })
    const all = Array.from({ length: callers }, (_, index) => caller(index))
    yield* Effect.all(all, { concurrency: "unbounded", discard: true })
    const elapsedSeconds = (performance.now() - startMs) / 1_000
    const sorted = durations.toSorted((a, b) => a - b)
    const result: Result = {
      asksPerSecond: sorted.length / elapsedSeconds,
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
    }
    return result
  })

const inFolder = async <A>(run: (file: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-bench-"))
  try {
    return await run(join(folder, "bench.db"))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const runRuntime = (callers: number): Promise<Result> =>
  inFolder((file) => {
    const layer = ActorSystem.layer({ actors: [Bench] }).pipe(Layer.provide(SqliteStore.layer(file)))
    const measured = Effect.andThen(askFor(callers, SECONDS / 4), askFor(callers, SECONDS))
    return Effect.runPromise(Effect.provide(measured, layer))
  })

const runPlain = (callers: number): Promise<Result> =>
  inFolder(async (file) => {
    const options = { file, callers, actors: ACTORS, bodyLength: BODY_LENGTH }
    await plainLoop({ ...options, seconds: SECONDS / 4 })
    return plainLoop({ ...options, seconds: SECONDS })
  })

const metrics = ({ asksPerSecond, p50Ms, p99Ms }: Result) => ({
  "asks/s": asksPerSecond,
  "p50 ms": p50Ms,
  "p99 ms": p99Ms,
})

export default {
  conditions: [
    "schema and indexes: Pontoon's own (migrations/0001-log.ts), on both sides",
    "durability: WAL, synchronous=FULL, one transaction per turn of the event loop, on both sides",
    `actors: ${ACTORS}, chosen at random; body, reply and state ${BODY_LENGTH} characters of JSON, on both sides`,
    `arrivals: closed loop; a caller pauses for a turn at every ${PAUSE_EVERY}th ask (runtime), half start a turn later (plain)`,
    `${SECONDS} s a run after ${SECONDS / 4} s of warming up, in one process, a new file a run`,
  ],
  cases: [1, 64, 1_024].map((callers) => ({
    name: `${callers} callers`,
    peer: "the same SQL in a plain loop",
    runOurs: async () => metrics(await runRuntime(callers)),
    runPeer: async () => metrics(await runPlain(callers)),
  })),
}
