/**
 * Streamed replies through the whole runtime, beside the same rows in a plain loop without Effect: what a token costs from
 * the model's hand to its reader's, both in one process, on disk in between. `npm run bench -- streams`.
 *
 * On both sides tokens come at the same times, from one timer that wakes every millisecond, and are written in one
 * transaction every 50 ms, the runtime's default. A reader gets each token decoded, after its commit.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor, ActorSystem, makeMessageIds, Task } from "@pontoon/runtime"
import { Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { SqliteStore } from "../src/index.ts"
import { openDatabase } from "../src/openDatabase.ts"
import { prepareStatements } from "../src/statements.ts"

const TOKENS_PER_SECOND = 100
const LINGER_MS = 50
/** Of one run; what comes before it, to warm up, is not counted. */
const SECONDS = 4
const WARM_SECONDS = 2
const PERIOD_MS = 1_000 / TOKENS_PER_SECOND
const TOKENS = (WARM_SECONDS + SECONDS) * TOKENS_PER_SECOND

interface Token {
  readonly text: string
  readonly token: number
}
const tokenAt = (index: number): Token => ({ text: ` word${index % 100}`, token: 1_000 + (index % 30_000) })

/** When each token of a stream was emitted, and how long it was until it was read, of those that count. */
class Meter {
  readonly #startMs = performance.now()
  readonly #emittedMs = new Map<string, number>()
  readonly #latencies: Array<number> = []
  #cpu: NodeJS.CpuUsage | undefined
  #cpuFromMs = 0

  emitted(stream: number, index: number): void {
    const nowMs = performance.now()
    if (this.#cpu === undefined && nowMs - this.#startMs >= WARM_SECONDS * 1_000) {
      this.#cpu = process.cpuUsage()
      this.#cpuFromMs = nowMs
    }
    if (this.#cpu !== undefined) this.#emittedMs.set(`${stream}.${index}`, nowMs)
  }

  read(stream: number, index: number): void {
    const key = `${stream}.${index}`
    const emittedMs = this.#emittedMs.get(key)
    if (emittedMs === undefined) return
    this.#emittedMs.delete(key)
    this.#latencies.push(performance.now() - emittedMs)
  }

  get result() {
    const { system, user } = process.cpuUsage(this.#cpu)
    const elapsedMs = performance.now() - this.#cpuFromMs
    const sorted = this.#latencies.toSorted((a, b) => a - b)
    const percentile = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
    return {
      "% of a core": (user + system) / 10 / elapsedMs,
      "us CPU/token": (user + system) / sorted.length,
      "p50 ms": percentile(0.5),
      "p99 ms": percentile(0.99),
    }
  }
}

/** Calls `due(stream)` for each token at its time: `TOKENS` of each stream, evenly, the streams one after the other. */
const tick = (streams: number, due: (stream: number) => void): Promise<void> =>
  new Promise((resolve) => {
    const startMs = performance.now()
    const given = Array.from({ length: streams }, () => 0)
    const timer = setInterval(() => {
      const elapsedMs = performance.now() - startMs
      let left = false
      for (let stream = 0; stream < streams; stream++) {
        const offsetMs = (stream * PERIOD_MS) / streams
        while (given[stream]! < TOKENS && offsetMs + given[stream]! * PERIOD_MS <= elapsedMs) {
          given[stream]!++
          due(stream)
        }
        left ||= given[stream]! < TOKENS
      }
      if (left) return
      clearInterval(timer)
      resolve()
    }, 1)
  })

const Say = Task.stream("Say", {
  payload: { stream: Schema.Int },
  chunk: Schema.Struct({ text: Schema.String, token: Schema.Int }),
  whole: Schema.Int,
})

/** What a handler waits at for its next token. */
class Tap {
  #due = 0
  #wake: (() => void) | undefined = undefined

  give(): void {
    this.#due++
    this.#wake?.()
  }

  readonly next = Effect.callback<void>((resume) => {
    const take = () => {
      this.#wake = undefined
      this.#due--
      resume(Effect.void)
    }
    if (this.#due > 0) take()
    else this.#wake = take
  })
}

const runRuntime = (streams: number) => (file: string) => {
  const meter = new Meter()
  const taps = Array.from({ length: streams }, () => new Tap())
  const Model = Actor.make("model", {
    protocol: [Say],
    concurrency: streams,
    handlers: {
      Say: ({ stream }, actor) =>
        Effect.gen(function* () {
          for (let index = 0; index < TOKENS; index++) {
            yield* taps[stream]!.next
            meter.emitted(stream, index)
            yield* actor.emit(tokenAt(index))
          }
          return TOKENS
        }),
    },
  })
  const program = Effect.gen(function* () {
    const system = yield* ActorSystem
    const open = yield* Deferred.make<void>()
    const readers = yield* Effect.forEach(taps, (_, stream) => {
      let index = 0
      const read = Stream.runForEach(system.stream(Model.ref("m"), "Say", { stream }), () =>
        Effect.sync(() => meter.read(stream, index++)),
      )
      return Effect.forkChild(Effect.andThen(Deferred.await(open), read))
    })
    yield* Deferred.succeed(open, undefined)
    yield* Effect.promise(() => tick(streams, (stream) => taps[stream]!.give()))
    yield* Effect.forEach(readers, Fiber.join)
    return meter.result
  })
  const system = ActorSystem.layer({ actors: [Model], chunkLingerMs: LINGER_MS })
  return Effect.runPromise(Effect.provide(program, Layer.provide(system, SqliteStore.layer(file))))
}

const runPlain = (streams: number) => async (file: string) => {
  const meter = new Meter()
  const { database, close } = openDatabase(file)
  const statements = prepareStatements(database)
  const ids = makeMessageIds(Date.now, Math.random)
  const messages = Array.from({ length: streams }, () => ({ id: ids.next(), said: 0 }))
  const nowMs = Date.now()
  statements.begin.run()
  for (const [stream, { id }] of messages.entries()) {
    const fields = [id, "model", "m", null, "Say", "json", "running", 0, 1, nowMs, nowMs, null, nowMs, null, id, null]
    statements.append.run(...fields, null, null, id, JSON.stringify({ stream }))
  }
  statements.commit.run()
  let waiting: Array<{ readonly stream: number; readonly index: number; readonly data: string }> = []
  const flush = (): void => {
    if (waiting.length === 0) return
    const batch = waiting
    waiting = []
    const atMs = Date.now()
    statements.begin.run()
    for (const { data, index, stream } of batch) statements.appendChunk.run(messages[stream]!.id, 1, index, data, atMs)
    statements.commit.run()
    for (const { data, index, stream } of batch) {
      JSON.parse(data)
      meter.read(stream, index)
    }
  }
  const timer = setInterval(flush, LINGER_MS)
  await tick(streams, (stream) => {
    const index = messages[stream]!.said++
    meter.emitted(stream, index)
    waiting.push({ stream, index, data: JSON.stringify(tokenAt(index)) })
  })
  clearInterval(timer)
  flush()
  statements.begin.run()
  for (const { id } of messages) statements.settle.run("done", `${TOKENS}`, null, Date.now(), id, 1)
  statements.commit.run()
  const { result } = meter
  close()
  return result
}

const inFolder = async <A>(run: (file: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-bench-"))
  try {
    return await run(join(folder, "bench.db"))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export default {
  conditions: [
    "schema and indexes: Pontoon's own, on both sides",
    `durability: WAL, synchronous=FULL; one transaction every ${LINGER_MS} ms, and here one more for the first token of each`,
    `arrivals: ${TOKENS_PER_SECOND} tokens a second and stream, evenly, of some 30 bytes; one reader a stream, in the same process`,
    `CPU: of the whole process, timer included; ${SECONDS} s a run after ${WARM_SECONDS} s of warming up, a new file a run`,
  ],
  cases: [1, 64].map((streams) => ({
    name: `${streams} streams`,
    peer: "the same rows in a plain loop",
    runOurs: () => inFolder(runRuntime(streams)),
    runPeer: () => inFolder(runPlain(streams)),
  })),
}
