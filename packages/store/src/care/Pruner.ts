/**
 * The boundary of forgetting: deletes, in steps of bounded size, what retention allows of messages and of actors, and gives
 * the room back.
 */
import type { Database } from "better-sqlite3"
import { ActorPruner } from "./ActorPruner.ts"
import { MessagePruner } from "./MessagePruner.ts"
import type { RetentionLimits } from "./RetentionOptions.ts"
import type { StepBudget } from "./TableWalk.ts"

export interface StepLimits {
  /** Rows looked at or deleted in one step; a step may end one message's few rows later. */
  readonly rowsMax: number
  /** Milliseconds after which a step ends. */
  readonly stepMsMax: number
  /**
   * Rows of a table that were kept and are looked at again in a pass, of which there is one a minute: 40 steps, and of a
   * million kept messages each once in 50 minutes.
   */
  readonly againMax: number
}

/** As long as one flush may take by default; the rows bound it where the clock stands still. */
export const STEP_LIMITS: StepLimits = { rowsMax: 500, stepMsMax: 4, againMax: 20_000 }

/** Pages given back to the file system in one step: 1 MB of WAL, if each had to be moved. */
const VACUUM_PAGES = 256

/** Free pages that are kept, 4 MB: new messages would take them again at once. */
export const FREE_PAGES_KEPT = 1_000

export type Step =
  /** There is more to do. */
  | "more"
  /** Nothing more is to be deleted or given back now. */
  | "rest"
  /** As `rest`, but the log is still larger than `bytesMax`: all that is left must be kept. */
  | "over"

export class Pruner {
  readonly #database: Database
  readonly #limits: RetentionLimits
  readonly #stepLimits: StepLimits
  /** Milliseconds that never step back. */
  readonly #now: () => number
  readonly #messages: MessagePruner
  readonly #actors: ActorPruner

  constructor(database: Database, limits: RetentionLimits, now: () => number, stepLimits: StepLimits = STEP_LIMITS) {
    this.#database = database
    this.#limits = limits
    this.#now = now
    this.#stepLimits = stepLimits
    this.#messages = new MessagePruner(database, limits, stepLimits.againMax)
    this.#actors = new ActorPruner(database, stepLimits.againMax)
  }

  /**
   * One transaction of at most `rowsMax` rows and `stepMsMax` milliseconds.
   *
   * @param wallMs the time now, in milliseconds since 1970
   * @throws an error of SQLite, with nothing of the step done
   */
  step(wallMs: number): Step {
    const isOver = this.#usedBytes() > this.#limits.bytesMax
    const state = this.#database.transaction(() => this.#prune(wallMs, isOver)).immediate()
    if (state === "more" || this.#giveBack()) return "more"
    this.#messages.endPass()
    this.#actors.endPass()
    return this.#usedBytes() > this.#limits.bytesMax ? "over" : "rest"
  }

  #prune(wallMs: number, isOver: boolean): "more" | "done" {
    const endMs = this.#now() + this.#stepLimits.stepMsMax
    const budget: StepBudget = {
      rowsLeft: this.#stepLimits.rowsMax,
      isSpent: () => budget.rowsLeft <= 0 || this.#now() >= endMs,
    }
    // Without an age, and within the size, nothing is to be deleted.
    const beforeMs = isOver ? Number.POSITIVE_INFINITY : wallMs - this.#limits.ageMsMax
    const state = this.#messages.prune(budget, wallMs, beforeMs)
    return state === "more" || beforeMs === Number.NEGATIVE_INFINITY
      ? state
      : this.#actors.prune(budget, wallMs, beforeMs, isOver)
  }

  #pragma(name: string): number {
    return Number(this.#database.pragma(name, { simple: true }))
  }

  #usedBytes(): number {
    if (this.#limits.bytesMax === Number.POSITIVE_INFINITY) return 0
    return (this.#pragma("page_count") - this.#pragma("freelist_count")) * this.#pragma("page_size")
  }

  /** True where there may be more to give back. */
  #giveBack(): boolean {
    const spare = this.#pragma("freelist_count") - FREE_PAGES_KEPT
    if (spare <= 0 || this.#pragma("auto_vacuum") !== 2) return false
    this.#database.pragma(`incremental_vacuum(${Math.min(spare, VACUUM_PAGES)})`)
    return true
  }
}
