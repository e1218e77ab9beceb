/**
 * The boundary between a benchmark and the harness that runs it: what `packages/x/bench/NAME.bench.ts` exports as
 * its default. A bench file needs to import nothing of this; what it exports is checked when it is loaded.
 */
import { Schema } from "effect"

/** What one run measured: metric to value, e.g. `{ "asks/s": 51200, "p99 ms": 4.1 }`. Both sides give the same metrics. */
export type Measurements = Readonly<Record<string, number>>

/** One comparison: ours beside one peer, under the same conditions. */
export interface BenchCase {
  /** What is varied, e.g. `64 callers`. */
  readonly name: string
  /** What ours is held against, e.g. `the same SQL in a plain loop`. */
  readonly peer: string
  /** One whole run of ours from a fresh start; what it sets up, it also takes down. */
  readonly runOurs: () => Promise<Measurements>
  readonly runPeer: () => Promise<Measurements>
}

export interface Bench {
  /** Conditions that both sides share, one a line, printed above the table: schema, durability, sizes. */
  readonly conditions: ReadonlyArray<string>
  readonly cases: ReadonlyArray<BenchCase>
}

/** One metric of one case. `ours` and `theirs` are medians over `runs` rounds; see `compareRuns` for `ratio`. */
export interface BenchRow {
  readonly bench: string
  readonly case: string
  readonly metric: string
  readonly ours: number
  readonly peer: string
  readonly theirs: number
  /** ours / theirs: the median of the rounds' own ratios. */
  readonly ratio: number
  readonly runs: number
}

const isFunction = Schema.declare((value): value is () => Promise<Measurements> => typeof value === "function", {
  expected: "a function without parameters that returns a promise of measurements",
})

const BenchSchema = Schema.Struct({
  conditions: Schema.Array(Schema.String),
  cases: Schema.Array(
    Schema.Struct({ name: Schema.String, peer: Schema.String, runOurs: isFunction, runPeer: isFunction }),
  ).check(Schema.isMinLength(1)),
})

/** Checks what a bench file exports as its default; throws one sentence that says what is wrong with it. */
export const decodeBench = (file: string, exported: unknown): Bench => {
  try {
    return Schema.decodeUnknownSync(BenchSchema)(exported)
  } catch (error) {
    throw new Error(`${file}: its default export is no benchmark: ${error instanceof Error ? error.message : error}`)
  }
}
