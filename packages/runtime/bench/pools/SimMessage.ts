/** The boundary to what a simulated pool is made of: messages, their attempts, and the targets that these wait for and run on. */
import { DEADLINE_MS } from "./Scenario.ts"
import { HEALTHY, type Truth } from "./Truth.ts"

/** Attempts of which a message has draws; one more uses the first's again. */
export const DRAWS = 6

export interface Draw {
  /** Its service on a healthy target, in milliseconds. */
  readonly serviceMs: number
  /** In [0, 1): below the target's `failShare` it fails. */
  readonly fails: number
  /** In [0, 1): below the target's `oddShare` it is odd. */
  readonly odd: number
}

export interface Attempt {
  readonly message: SimMessage
  readonly target: number
  readonly draw: Draw
  startedAtMs: number | undefined
  /** Milliseconds of work left, at the pace of a healthy target; as of `pacedAtMs`. */
  leftMs: number
  pacedAtMs: number
  /** It will fail when its work is done. */
  failing: boolean
  odd: boolean
  /** Counts its plans, so that one that was changed is known for old. */
  plan: number
  over: boolean
}

export class SimMessage {
  readonly id: number
  readonly arrivedAtMs: number
  readonly draws: ReadonlyArray<Draw>
  readonly attempts: Array<Attempt> = []
  /** Targets that failed it. */
  readonly failedOn = new Set<number>()
  hedged = false
  ended: "answered" | "failed" | "refused" | undefined
  endedAtMs = 0
  retryAfterMs = 0
  /** Milliseconds of slots that its attempts took, and of these what the one took that answered. */
  workMs = 0
  usefulMs = 0

  constructor(id: number, arrivedAtMs: number, draws: ReadonlyArray<Draw>) {
    this.id = id
    this.arrivedAtMs = arrivedAtMs
    this.draws = draws
  }

  get deadlineAtMs(): number {
    return this.arrivedAtMs + DEADLINE_MS
  }

  get open(): ReadonlyArray<Attempt> {
    return this.attempts.filter(({ over }) => !over)
  }
}

export class SimTarget {
  truth: Truth = HEALTHY
  readonly running = new Set<Attempt>()
  queue: Array<Attempt> = []

  get outstanding(): number {
    return this.running.size + this.queue.length
  }
}
