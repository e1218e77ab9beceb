/**
 * The boundary between an operator's hold on an actor and the process that was restarted under it: who was suspended when
 * the last one ended is so from the first moment of this one, before anything is run.
 */
import { Effect } from "effect"
import type { System } from "../life/System.ts"
import type { Address } from "../message/Address.ts"

/** Rows read at once. */
const PAGE = 1_000

/** Actors of types that this system does not have stay as they are, in the log. */
export const recallSuspended = Effect.fnUntraced(function* (system: System) {
  for (let after: Address | undefined; ; ) {
    const page = yield* system.store.suspended(after, PAGE)
    for (const row of page) {
      after = row.address
      const actor = system.actors.get(row.address.type)
      if (actor === undefined) continue
      const cell = system.registry.cell(row.address, actor)
      cell.lifecycle = { ...cell.lifecycle, state: "suspended" }
      cell.reason = "suspended before the system was opened"
      cell.restarts = row.restarts
    }
    if (page.length < PAGE) break
  }
})
