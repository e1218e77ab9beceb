/**
 * The boundary of one actor in memory: its queue, what it runs, its lifecycle and its cached state. An idle actor
 * without a resource may be dropped at any time; the next message brings it back from the store.
 */
import type { Scope } from "effect"
import type { LiveMessage } from "../life/LiveMessage.ts"
import { type Address, formatAddress } from "../message/Address.ts"
import type { Write } from "../ports/Write.ts"
import type { AnyActor } from "./Actor.ts"
import { takesMessages } from "./lifecycle.ts"
import { Mailbox } from "./Mailbox.ts"
import { initialLifecycle, type Lifecycle } from "./stepLifecycle.ts"

export class Cell {
  readonly address: Address
  /** The address in written form. */
  readonly key: string
  readonly actor: AnyActor
  readonly mailbox: Mailbox
  /** What runs, and what holds a place while its claim is written. */
  readonly running = new Set<LiveMessage>()
  /** Places held for messages that are not accepted yet. */
  reserved = 0
  lifecycle: Lifecycle
  /** How often it was restarted in its whole life. */
  restarts = 0
  /** Whether the actor's row has been read. */
  loaded = false
  /** Decoded; meaningful once loaded. */
  state: unknown = undefined
  resource: unknown = undefined
  /** Holds the resource while there is one. */
  scope: Scope.Closeable | undefined = undefined
  /** Lifecycle changes that wait to ride in the next commit. */
  unwritten: Array<Write> = []

  constructor(address: Address, actor: AnyActor) {
    this.address = address
    this.key = formatAddress(address)
    this.actor = actor
    this.mailbox = new Mailbox(actor.mailbox.strict)
    this.lifecycle = initialLifecycle(actor.supervision)
  }

  /** Messages accepted, or about to be, and not ended. */
  get depth(): number {
    return this.running.size + this.reserved + this.mailbox.size
  }

  get freeSlots(): number {
    return takesMessages(this.lifecycle.state) ? this.actor.concurrency - this.running.size - this.reserved : 0
  }

  /** Not dropped: the actor has failed, which is nowhere else than in its lifecycle until it is written. */
  get pinned(): boolean {
    return this.lifecycle.state !== "ready"
  }

  get idle(): boolean {
    return this.depth === 0 && this.scope === undefined && this.unwritten.length === 0
  }
}
