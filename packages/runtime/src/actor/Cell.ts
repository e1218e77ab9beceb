/**
 * The boundary of one actor in memory: its queue, what it runs, its lifecycle and its cached state. An idle actor
 * without a resource may be dropped at any time; the next message brings it back from the store.
 */
import type { Scope } from "effect"
import { type Address, formatAddress } from "../message/Address.ts"
import type { Write } from "../ports/Write.ts"
import type { AnyActor } from "./Actor.ts"
import { Bag } from "./Bag.ts"
import { takesMessages } from "./lifecycle.ts"
import { Mailbox, type Queued, type Tally } from "./Mailbox.ts"
import { Pace } from "./Pace.ts"
import type { Lifecycle } from "./stepLifecycle.ts"
import type { WaitingLine } from "./WaitingLine.ts"

/** Shared by all that have nothing to write. */
const NOTHING: ReadonlyArray<never> = []

export class Cell<M extends Queued> {
  readonly address: Address
  /** The address in written form. */
  readonly key: string
  readonly actor: AnyActor
  readonly mailbox: Mailbox<M>
  /** What runs, and what holds a place while its claim is written. */
  readonly running = new Bag<M>()
  /** How many of its messages have ended since it is in memory. */
  ended = 0
  /** How fast they do; made when something waits. */
  #pace: Pace | undefined = undefined
  /** Senders that wait for a place in its mailbox, where there are any. */
  line: WaitingLine | undefined = undefined
  /** Places held for messages that are being accepted and run at once. */
  reserved = 0
  /** Places in the mailbox held for messages that are on their way into it; its bound counts them. */
  expected = 0
  /** Those of `expected` whose append is being written. They come before whatever is sent now, and so it must queue too. */
  arriving = 0
  /** Places held past the bound for messages that are on their way, for which others of their kind will go. */
  unpaid = 0
  /** Messages that leave a serial actor's queue and whose end is being written: nothing that is behind them runs before. */
  ending = 0
  lifecycle: Lifecycle
  /** Why its lifecycle is what it is, as last written. */
  reason = "never started"
  /** How often it was restarted in its whole life. */
  restarts = 0
  /** Whether the actor's row has been read. */
  loaded = false
  /** Decoded; meaningful once loaded. */
  state: unknown = undefined
  /** The state, encoded, where it was stored in an older version and is not written in this one yet. */
  migrated: string | undefined = undefined
  resource: unknown = undefined
  /** Holds the resource while there is one. */
  scope: Scope.Closeable | undefined = undefined
  /** Lifecycle changes that wait to ride in the next commit. */
  unwritten: ReadonlyArray<Write> = NOTHING
  /** Whether its log says already that a journal, or the state, has half the size that it may have. */
  warnedOfJournal = false
  warnedOfState = false
  /** The target of a pool, which refers to it. */
  pooled = false

  /** Times it was used since it was last looked at, and before, half of it forgotten each time. */
  uses = 0
  heat = 0
  /** Looks in a row that found it unused. */
  quiet = 0

  /**
   * @param first how its type begins
   * @param tally counts what waits in all mailboxes
   */
  constructor(address: Address, actor: AnyActor, first: Lifecycle, tally?: Tally) {
    this.address = address
    this.key = formatAddress(address)
    this.actor = actor
    this.mailbox = new Mailbox(actor.mailbox.strict, actor.mailbox.ageingMs, tally)
    this.lifecycle = first
  }

  pace(nowMs: number): Pace {
    this.#pace ??= new Pace(nowMs, this.ended)
    return this.#pace
  }

  get freeSlots(): number {
    if (!takesMessages(this.lifecycle.state) || this.ending > 0) return 0
    return this.actor.concurrency - this.running.size - this.reserved
  }

  /** It is looked at: what it was used for counts half as much at the next look. */
  cool(): void {
    this.heat = (this.heat + this.uses) >> 1
    this.uses = 0
  }

  /** Whether nothing is in it, or on its way. */
  get empty(): boolean {
    const messages = this.running.size + this.reserved + this.expected + this.ending + this.mailbox.size
    return messages === 0 && this.line === undefined && this.unwritten.length === 0
  }

  /** Whether it may be dropped: there is nothing that the store could not bring back. */
  get idle(): boolean {
    return this.empty && this.lifecycle.state === "ready" && this.scope === undefined && !this.pooled
  }
}
