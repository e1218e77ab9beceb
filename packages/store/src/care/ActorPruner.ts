/**
 * The boundary of forgetting about actors: of the life story of each the newest changes stay, however old; of rows of
 * `actors` none that holds a state, or that somebody watches or has put on hold.
 */
import type { Database, Statement } from "better-sqlite3"
import { type StepBudget, TableWalk } from "./TableWalk.ts"

/** Changes of one actor's lifecycle that stay: three or four crashes with their restarts. */
export const EVENTS_KEPT = 16

/**
 * Nothing of an actor is deleted before it is so old, in milliseconds, whatever the log's size: how often it crashed within
 * its window is counted from its events, and a row that has just been written is that of an actor in use. A day is above
 * every window in use.
 */
export const ACTORS_MS_MIN = 86_400_000

/** Rows of `actors` that are looked at in a pass: a million of them take less than two hours. */
export const ACTORS_IN_PASS = 10_000

/** Rows read at once. */
const PAGE = 50

interface EventRow {
  readonly seq: number
  readonly actorType: string
  readonly actorId: string
  readonly atMs: number
}

interface ActorKey {
  readonly actorType: string
  readonly actorId: string
  readonly isForgotten: number
}

/** Why a row is kept; a state is the application's, and only it knows when nobody asks for it any more. */
const FORGOTTEN = `state is null and updated_at_ms <= ? and lifecycle <> 'suspended'
    and not exists (select 1 from watches where watched_type = actor_type and watched_id = actor_id)
    and not exists (select 1 from watches where watcher_type = actor_type and watcher_id = actor_id)`

export class ActorPruner {
  readonly #events: TableWalk<EventRow>
  readonly #newerEvents: Statement<[string, string, number, number], { readonly 1: number }>
  readonly #deleteEvent: Statement<[number]>
  readonly #actors: Statement<[number, string, string, number], ActorKey>
  readonly #deleteActor: Statement<[string, string]>
  #type = ""
  #id = ""
  #actorsLeft = ACTORS_IN_PASS

  /** @param againMax events that are looked at again in one pass */
  constructor(database: Database, againMax: number) {
    const events = database.prepare<[number, number], EventRow>(
      `select seq, actor_type as actorType, actor_id as actorId, at_ms as atMs from lifecycle_events
       where seq > ? order by seq limit ?`,
    )
    this.#events = new TableWalk((afterSeq, limit) => events.all(afterSeq, limit), againMax)
    // Itself is among them.
    this.#newerEvents = database.prepare(
      `select 1 from lifecycle_events where actor_type = ? and actor_id = ? and at_ms >= ? limit 1 offset ?`,
    )
    this.#deleteEvent = database.prepare("delete from lifecycle_events where seq = ?")
    this.#actors = database.prepare(
      `select actor_type as actorType, actor_id as actorId, (${FORGOTTEN}) as isForgotten from actors
       where (actor_type, actor_id) > (?, ?) order by actor_type, actor_id limit ?`,
    )
    this.#deleteActor = database.prepare("delete from actors where actor_type = ? and actor_id = ?")
  }

  endPass(): void {
    this.#events.endPass()
    this.#actorsLeft = ACTORS_IN_PASS
  }

  /**
   * @param beforeMs what is older may go
   * @param isOver whether the log is too large: then of each life story only the last change stays
   */
  prune(budget: StepBudget, wallMs: number, beforeMs: number, isOver: boolean): "more" | "done" {
    const olderMs = Math.min(beforeMs, wallMs - ACTORS_MS_MIN)
    const kept = isOver ? 1 : EVENTS_KEPT
    const state = this.#events.go(
      budget,
      ({ atMs }) => atMs > olderMs,
      ({ seq, actorType, actorId, atMs }) => {
        if (this.#newerEvents.get(actorType, actorId, atMs, kept) === undefined) return 0
        return this.#deleteEvent.run(seq).changes
      },
    )
    return state === "more" ? "more" : this.#pruneRows(budget, olderMs)
  }

  #pruneRows(budget: StepBudget, beforeMs: number): "more" | "done" {
    while (this.#actorsLeft > 0) {
      const page = this.#actors.all(beforeMs, this.#type, this.#id, PAGE)
      for (const { actorType, actorId, isForgotten } of page) {
        if (budget.isSpent()) return "more"
        this.#type = actorType
        this.#id = actorId
        this.#actorsLeft--
        budget.rowsLeft -= 1 + (isForgotten === 1 ? this.#deleteActor.run(actorType, actorId).changes : 0)
      }
      if (page.length < PAGE) {
        this.#type = ""
        this.#id = ""
        this.#actorsLeft = 0
      }
    }
    return "done"
  }
}
