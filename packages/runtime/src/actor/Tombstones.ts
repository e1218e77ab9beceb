/**
 * The boundary to actors that are gone and not in memory: what they are and why, so that whoever writes to one is refused
 * as before. A few words each, and not for ever: the log has all of them.
 */
import type { LifecycleState } from "./lifecycle.ts"

export interface Tombstone {
  readonly state: Extract<LifecycleState, "failed" | "stopped">
  readonly reason: string
}

/**
 * Some 200 bytes each. Past this the oldest is forgotten, and its actor begins anew with its next message, as after a
 * restart of the process.
 */
const TOMBSTONES_MAX = 100_000

export class Tombstones {
  readonly #max: number
  readonly #byKey = new Map<string, Tombstone>()

  constructor(max = TOMBSTONES_MAX) {
    this.#max = max
  }

  get size(): number {
    return this.#byKey.size
  }

  put(key: string, tombstone: Tombstone): void {
    this.#byKey.delete(key)
    this.#byKey.set(key, tombstone)
    if (this.#byKey.size <= this.#max) return
    const oldest = this.#byKey.keys().next()
    if (oldest.done !== true) this.#byKey.delete(oldest.value)
  }

  /** What the actor is; it is in memory from now on. */
  take(key: string): Tombstone | undefined {
    if (this.#byKey.size === 0) return undefined
    const found = this.#byKey.get(key)
    this.#byKey.delete(key)
    return found
  }
}
