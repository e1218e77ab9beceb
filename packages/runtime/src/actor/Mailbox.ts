/**
 * The boundary of one actor's queue in memory: which of its waiting messages runs next. The messages themselves are in
 * the store; losing this loses nothing.
 *
 * Order: equal priorities in the order of acceptance, always. Between priorities by rank, the lowest first: when a message
 * began to wait, less `ageingMs` for each level of its priority. So a message that has waited `ageingMs` longer is worth
 * one level more, and nothing has to be sorted again while it waits. The rank of a priority is that of its first message,
 * and follows from what the log holds: after a restart the same messages run in the same order.
 *
 * A message that is not due (delayed, or in backoff) is passed by later ones, unless the mailbox is strict.
 */
import { Lane } from "./Lane.ts"

/** What the queue has to know of a message. */
export interface Queued {
  readonly envelope: { readonly priority: number; readonly createdAtMs: number; readonly deliverAtMs: number }
  /** Times it was claimed. */
  readonly attempt: number
  /** The order of acceptance; no two have the same. */
  readonly order: number
  /** Not run before this time, in milliseconds since the epoch. */
  readonly dueAtMs: number
}

/** How many messages wait in all mailboxes that share it. */
export interface Tally {
  count: number
}

export class Mailbox<M extends Queued> {
  readonly #strict: boolean
  readonly #ageingMs: number
  readonly #tally: Tally
  /** What is due, or every waiting message of a strict mailbox: a lane a priority, the highest first. One may be empty. */
  readonly #lanes: Array<Lane<M>> = []
  /** How many are in the lanes. */
  #queued = 0
  /** Not due yet; made when something is not. */
  #delayed: Set<M> | undefined = undefined
  /** Put aside by the actor; made when it does so. */
  #stashed: Set<M> | undefined = undefined

  /**
   * @param strict whether what is not due holds back what comes after it
   * @param ageingMs what a message waits for one level of priority, in milliseconds
   * @param tally counts every waiting message in and out
   */
  constructor(strict: boolean, ageingMs: number, tally: Tally = { count: 0 }) {
    this.#strict = strict
    this.#ageingMs = ageingMs
    this.#tally = tally
  }

  get size(): number {
    return this.#queued + (this.#delayed?.size ?? 0) + this.stashed
  }

  /** How many are put aside. */
  get stashed(): number {
    return this.#stashed?.size ?? 0
  }

  /** Whether anything could run before a message that arrives now. */
  get hasQueue(): boolean {
    return this.#queued > 0
  }

  push(message: M, nowMs: number): void {
    this.#tally.count++
    if (message.dueAtMs > nowMs && !this.#strict) this.#delay(message)
    else this.#insert(message)
  }

  /** The time has come for a delayed message. */
  due(message: M): void {
    if (this.#delayed?.delete(message) === true) this.#insert(message)
  }

  /** Puts a message aside. It holds nobody back, in a strict mailbox either. */
  stash(message: M): void {
    this.#tally.count++
    this.#stashed ??= new Set()
    this.#stashed.add(message)
  }

  /** Puts all that was put aside back to its old place. */
  unstash(): void {
    const stashed = this.#stashed
    this.#stashed = undefined
    if (stashed !== undefined) for (const message of stashed) this.#insert(message)
  }

  /** Removes and gives the message to run now, if there is one: the first that `admits` lets through. */
  take(nowMs: number, admits: (message: M) => boolean): M | undefined {
    const lane = this.#firstLane(nowMs)
    const first = lane?.first
    if (lane === undefined || first === undefined) return undefined
    // Only while the system closes is anything passed over.
    if (!admits(first)) return this.#takeAdmitted(nowMs, admits)
    if (first.dueAtMs > nowMs) return undefined
    lane.shift()
    this.#left(lane)
    this.#tally.count--
    return first
  }

  remove(message: M): boolean {
    if (this.#delayed?.delete(message) !== true && this.#stashed?.delete(message) !== true) {
      const lane = this.#lanes.find(({ priority }) => priority === message.envelope.priority)
      if (lane?.remove(message) !== true) return false
      this.#left(lane)
    }
    this.#tally.count--
    return true
  }

  /**
   * The first accepted of those of at most `priority` that are `wanted`, due or not; none that was put aside. It is nearly
   * always the first of its lane: only where others of another kind are in front of it are they looked at, all of them.
   */
  oldest(priority: number, wanted: (message: M) => boolean): M | undefined {
    let oldest: M | undefined
    const consider = (found: M | undefined): void => {
      if (found !== undefined && found.order < (oldest?.order ?? Number.POSITIVE_INFINITY)) oldest = found
    }
    for (const lane of this.#lanes) if (lane.priority <= priority) consider(lane.find(wanted))
    for (const message of this.#delayed ?? []) {
      if (message.envelope.priority <= priority && wanted(message)) consider(message)
    }
    return oldest
  }

  /** Every waiting message: the due ones, the highest priority first, then the others, then what was put aside. */
  all(): ReadonlyArray<M> {
    return [...this.#lanes.flatMap((lane) => lane.all()), ...(this.#delayed ?? []), ...(this.#stashed ?? [])]
  }

  #delay(message: M): void {
    this.#delayed ??= new Set()
    this.#delayed.add(message)
  }

  #insert(message: M): void {
    this.#laneOf(message.envelope.priority).add(message)
    this.#queued++
  }

  #laneOf(priority: number): Lane<M> {
    const lanes = this.#lanes
    let index = 0
    while (index < lanes.length && lanes[index]!.priority > priority) index++
    const known = lanes[index]
    if (known?.priority === priority) return known
    const lane = new Lane<M>(priority)
    if (this.#queued === 0) lanes.splice(0, lanes.length, lane)
    else lanes.splice(index, 0, lane)
    return lane
  }

  /** A message has left the lane: one that is empty goes too, but for the last, which is nearly always used again. */
  #left(lane: Lane<M>): void {
    this.#queued--
    if (lane.length === 0 && this.#lanes.length > 1) this.#lanes.splice(this.#lanes.indexOf(lane), 1)
  }

  /** The lane whose first message runs next; of several lanes none is empty. */
  #firstLane(nowMs: number): Lane<M> | undefined {
    if (this.#lanes.length <= 1) return this.#lanes[0]
    return this.#lanes.reduce((best, lane) => (this.#isBefore(lane.first!, best.first!, nowMs) ? lane : best))
  }

  /**
   * What was put off by its sender ages from when it is due; what has been tried keeps the age of its acceptance. A strict
   * mailbox knows only acceptance, or what waits behind a message in backoff would outgrow it. Nothing is from the future:
   * should the clock have jumped back, the message is as young as a new one.
   */
  #rank({ attempt, envelope }: M, nowMs: number): number {
    const sinceMs = attempt > 0 || this.#strict ? envelope.createdAtMs : envelope.deliverAtMs
    return Math.min(sinceMs, nowMs) - envelope.priority * this.#ageingMs
  }

  #isBefore(message: M, other: M, nowMs: number): boolean {
    const lead = this.#rank(other, nowMs) - this.#rank(message, nowMs)
    return lead === 0 ? message.order < other.order : lead > 0
  }

  /** Takes the first that is admitted, past others. */
  #takeAdmitted(nowMs: number, admits: (message: M) => boolean): M | undefined {
    let best: M | undefined
    for (const lane of this.#lanes) {
      const found = lane.find(admits)
      if (found === undefined) continue
      if (best === undefined || this.#isBefore(found, best, nowMs)) best = found
    }
    if (best === undefined || best.dueAtMs > nowMs) return undefined
    this.remove(best)
    return best
  }
}
