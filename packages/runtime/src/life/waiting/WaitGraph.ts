/**
 * The boundary between asks that are only slow and asks that can never be answered: who waits for whom, in this process.
 * It knows nothing of messages from outside, which nobody waits behind; an ask of a handler adds one edge and walks.
 *
 *     a handler ──waits for its ask──▶ a message ──waits, where its actor has no place, for all that runs there──▶ handlers
 *
 * A handler is stuck when every ask that it has open is; a waiting message when all that runs on its actor is: one that
 * comes free is enough. So a handler that races two asks is not called stuck while one of them can still be answered,
 * and one that asks several at a time and needs them all is found only if the last one closes the ring.
 */
import type { IdMap } from "../IdMap.ts"
import type { LiveCell, LiveMessage } from "../LiveMessage.ts"

/** Handlers looked at for one ask. A ring longer than that has a bug of another kind, and deadlines. */
export const WALK_MAX = 256

/** One open ask of a handler. */
export interface Wait {
  readonly parent: LiveMessage
  /** Where it was sent; undefined until it is routed. */
  cell: LiveCell | undefined
  childId: string | undefined
}

export class WaitGraph {
  readonly #live: Pick<IdMap<LiveMessage>, "get">
  readonly #open = new Map<LiveMessage, Set<Wait>>()

  constructor(live: Pick<IdMap<LiveMessage>, "get">) {
    this.#live = live
  }

  /** Handlers that wait for an ask. */
  get size(): number {
    return this.#open.size
  }

  begin(parent: LiveMessage): Wait {
    const wait: Wait = { parent, cell: undefined, childId: undefined }
    const open = this.#open.get(parent)
    if (open === undefined) this.#open.set(parent, new Set([wait]))
    else open.add(wait)
    return wait
  }

  end(wait: Wait): void {
    const open = this.#open.get(wait.parent)
    if (open?.delete(wait) === true && open.size === 0) this.#open.delete(wait.parent)
  }

  /** The actors of the ring that an ask of `parent` to `cell` would close, from `parent`'s back to it. */
  ringOf(parent: LiveMessage, cell: LiveCell): ReadonlyArray<string> | undefined {
    const walk: Walk = { seeker: parent, seen: new Set(), left: WALK_MAX, closed: false }
    const path = this.#behind(cell, walk)
    // Some other ring, which this ask is not part of, is not this ask's mistake.
    return path === undefined || !walk.closed ? undefined : [parent.cell.key, ...path]
  }

  /** What a message that has no place on `cell` waits for; undefined where it need not wait for ever. */
  #behind(cell: LiveCell, walk: Walk): ReadonlyArray<string> | undefined {
    const { actor, reserved, running } = cell
    // One that is on its way onto the actor is looked at when it asks for something itself.
    if (running.size === 0 || reserved > 0 || running.size < actor.concurrency) return undefined
    let path: ReadonlyArray<string> | undefined
    for (const message of running) {
      const found = this.#stuck(message, walk)
      if (found === undefined) return undefined
      if (path === undefined || found.at(-1) === walk.seeker.cell.key) path = found
    }
    return path
  }

  #stuck(message: LiveMessage, walk: Walk): ReadonlyArray<string> | undefined {
    const { key } = message.cell
    if (message === walk.seeker) {
      walk.closed = true
      return [key]
    }
    // Met again on the way: it waits for itself, as far as this walk can tell.
    if (walk.seen.has(message)) return [key]
    const open = this.#open.get(message)
    if (open === undefined || walk.left-- <= 0) return undefined
    walk.seen.add(message)
    let path: ReadonlyArray<string> | undefined
    for (const wait of open) {
      const found = this.#unanswered(wait, walk)
      if (found === undefined) return undefined
      if (path === undefined || found.at(-1) === walk.seeker.cell.key) path = found
    }
    return path === undefined ? undefined : [key, ...path]
  }

  #unanswered(wait: Wait, walk: Walk): ReadonlyArray<string> | undefined {
    const child = wait.childId === undefined ? undefined : this.#live.get(wait.childId)
    if (child !== undefined && child.phase !== "waiting") {
      return child.phase === "running" ? this.#stuck(child, walk) : undefined
    }
    const cell = child?.cell ?? wait.cell
    return cell === undefined ? undefined : this.#behind(cell, walk)
  }
}

interface Walk {
  readonly seeker: LiveMessage
  readonly seen: Set<LiveMessage>
  left: number
  closed: boolean
}
