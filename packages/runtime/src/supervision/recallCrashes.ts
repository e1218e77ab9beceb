/**
 * The boundary between the crashes of earlier processes and the limits of this one: those within an actor's window still
 * count, so that a process which is restarted for ever does not restart its actors for ever.
 */
import { Effect } from "effect"
import type { LiveCell } from "../life/LiveMessage.ts"
import type { System } from "../life/System.ts"

/** Reads them where the actor's row tells of restarts that this process has not seen; for one that never crashed, a row. */
export const recallCrashes = Effect.fnUntraced(function* (system: System, cell: LiveCell) {
  const { store } = system
  const row = yield* Effect.orElseSucceed(store.actor(cell.address), () => undefined)
  if (row === undefined || row.restarts <= cell.restarts) return
  cell.restarts = row.restarts
  const { context, state } = cell.lifecycle
  const sinceMs = system.now() - context.withinMs
  const crashes = yield* Effect.orElseSucceed(store.crashes(cell.address, sinceMs, context.restartsMax), () => [])
  // It crashed, or was stopped, meanwhile: that has been counted.
  if (cell.lifecycle.state !== state) return
  cell.lifecycle = { state, context: { ...context, restartsAtMs: crashes } }
})
