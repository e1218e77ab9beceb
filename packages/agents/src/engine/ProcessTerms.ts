/**
 * The boundary of what a user may ask of the process, or the thread, that runs an engine.
 */
import type { ProcessOptions } from "./EngineProcess.ts"

/** What runs an engine, and when it is given up. */
export interface ProcessTerms {
  /**
   * `process` (default): killed at any moment without harm, and what native code does to it is its own. `thread`: a thread
   * of this process, which saves some 40 MB and 0.2 s a start and gives up three things: an abort in native code takes this
   * process down; one that hangs is abandoned and keeps its memory; and while a step runs this process must not `exit`.
   */
  readonly isolation?: "process" | "thread"
  /** Environment variables of the process, on top of this one's. Not for a thread, which has this one's. */
  readonly env?: Readonly<Record<string, string>>
  /** Bytes of its JavaScript heap, from 16 MiB. Default Node's own; weights and caches lie outside it. */
  readonly heapBytesMax?: number
  /**
   * One that owes an answer and says nothing for this long is killed, as long as it is not known how long its steps take, and
   * at the latest afterwards. Default 30,000 ms; it must be longer than the longest step. Raising it makes a hang be noticed
   * later.
   */
  readonly silenceMsMax?: number
  /**
   * When its steps are known it is killed after ten times the longest, but not before this. Default 5,000 ms: what a machine
   * that is far overloaded may take to come back to it. Raising it makes a hang be noticed later.
   */
  readonly silenceMsMin?: number
  /** How long it may take to end when it is asked to, before it is killed. Default 2,000 ms: one long step. */
  readonly stopMsMax?: number
}

const DEFAULTS = { silenceMsMin: 5_000, silenceMsMax: 30_000, stopMsMax: 2_000 } as const

/** Node does not start with less. */
const HEAP_BYTES_MIN = 16 * 1024 * 1024

/** The first of some spans that is none, as a clause. */
export const findWrongSpan = (spans: Readonly<Record<string, number | undefined>>): string | undefined => {
  const wrong = Object.entries(spans).find(([, ms]) => ms !== undefined && !(ms > 0 && ms < Number.POSITIVE_INFINITY))
  return wrong === undefined ? undefined : `${wrong[0]} is a number of milliseconds above 0, not ${wrong[1]}`
}

/** What is wrong with the terms, as a clause; undefined where nothing is. */
export const findWrongTerm = (terms: ProcessTerms): string | undefined => {
  const { env, heapBytesMax = HEAP_BYTES_MIN, isolation = "process", silenceMsMax, silenceMsMin, stopMsMax } = terms
  if (isolation !== "process" && isolation !== "thread") return `isolation is "process" or "thread", not "${isolation}"`
  if (isolation === "thread" && env !== undefined) {
    return "a thread has the environment of this process; set env on that, or take a process"
  }
  if (!(heapBytesMax >= HEAP_BYTES_MIN))
    return `heapBytesMax is at least ${HEAP_BYTES_MIN} (16 MiB), not ${heapBytesMax}`
  return findWrongSpan({ silenceMsMax, silenceMsMin, stopMsMax })
}

export const processOptionsOf = (terms: ProcessTerms): ProcessOptions => ({
  isolation: terms.isolation ?? "process",
  env: terms.env ?? {},
  heapBytesMax: terms.heapBytesMax,
  silenceMsMin: terms.silenceMsMin ?? DEFAULTS.silenceMsMin,
  silenceMsMax: terms.silenceMsMax ?? DEFAULTS.silenceMsMax,
  stopMsMax: terms.stopMsMax ?? DEFAULTS.stopMsMax,
})
