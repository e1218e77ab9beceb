/** The boundary between links in the log and the actors in memory that are restarted with one that crashed. */
import { Effect } from "effect"
import type { LiveCell } from "../life/LiveMessage.ts"
import type { System } from "../life/System.ts"
import { WATCHES_MAX } from "../life/Watches.ts"
import { formatAddress } from "../message/Address.ts"

/** Actors looked at for one crash; whoever links more of them has one unit of failure, and wants a supervisor. */
export const LINKED_MAX = 1_000

/**
 * Whoever is linked to one of `cells`, or to one of those, without `cells`. Who is not in memory has nothing that could be
 * restarted; what cannot be read is not restarted.
 */
export const linkedTo = Effect.fnUntraced(function* (system: System, cells: ReadonlyArray<LiveCell>) {
  const seen = new Set(cells.map(({ key }) => key))
  const open = cells.map(({ address }) => address)
  const found: Array<LiveCell> = []
  for (let address = open.pop(); address !== undefined && seen.size < LINKED_MAX; address = open.pop()) {
    const rows = yield* Effect.orElseSucceed(system.store.watches({ watched: address }, WATCHES_MAX), () => [])
    for (const { linked, watcher } of rows) {
      const key = formatAddress(watcher)
      if (!linked || seen.has(key)) continue
      seen.add(key)
      open.push(watcher)
      const cell = system.registry.find(key)
      if (cell !== undefined) found.push(cell)
    }
  }
  return found
})
