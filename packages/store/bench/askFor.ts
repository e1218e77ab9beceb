/**
 * The boundary between a benchmark and what it drives: many callers in a closed loop, the same for every side, and what is
 * told of them.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Effect } from "effect"

export const ACTORS = 1_024
export const BODY_LENGTH = 256
/** What a body of `BODY_LENGTH` characters holds: the reply, and the state where a side has one, are as long. */
export const text = "x".repeat(BODY_LENGTH - '{"text":""}'.length)

/** Every so many asks a caller pauses for one turn of the loop, so that callers do not move in lockstep. */
export const PAUSE_EVERY = 16

export const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN

export interface Result {
  readonly asksPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of the event loop, p99. */
  readonly delayMs: number
}

export const resultOf = (durationsMs: Array<number>, elapsedMs: number, delayMs: number): Result => {
  const sorted = durationsMs.sort((a, b) => a - b)
  return {
    asksPerSecond: (sorted.length / elapsedMs) * 1_000,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    delayMs,
  }
}

/** How late a timer of 1 ms rings while `run` lasts: the p99, in milliseconds. */
export const delayDuring = async (run: () => Promise<void>): Promise<number> => {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await run()
  delay.disable()
  return delay.percentile(99) / 1e6
}

const oneTurn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Asks from `callers` fibers for `seconds`, each one actor after the other, at random. */
export const askFor = (
  callers: number,
  seconds: number,
  ask: (actor: string) => Effect.Effect<unknown, unknown>,
): Promise<Result> => {
  const durationsMs: Array<number> = []
  const startMs = performance.now()
  const endMs = startMs + seconds * 1_000
  const caller = (first: number) =>
    Effect.gen(function* () {
      // Pauses at other times than the others'.
      for (let count = first; performance.now() < endMs; count++) {
        if (count % PAUSE_EVERY === 0) yield* oneTurn
        const askedMs = performance.now()
        yield* ask(`${Math.floor(Math.random() * ACTORS)}`)
        durationsMs.push(performance.now() - askedMs)
      }
    })
  const all = Effect.all(
    Array.from({ length: callers }, (_, index) => caller(index)),
    { concurrency: "unbounded", discard: true },
  )
  return delayDuring(() => Effect.runPromise(all)).then((delayMs) =>
    resultOf(durationsMs, performance.now() - startMs, delayMs),
  )
}

/** A new file, in a folder that goes with the run. */
export const inFolder = async <A>(run: (file: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-bench-"))
  try {
    return await run(join(folder, "bench.db"))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
