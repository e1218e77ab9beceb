/** The boundary between an address and its actor in memory, for what is done to actors beside their messages. */
import { Effect } from "effect"
import type { System } from "../life/System.ts"
import { type Address, formatAddress } from "../message/Address.ts"

/** The actor in memory, brought there where it is not; undefined where it is of no type of this system's. */
export const bringActor = Effect.fnUntraced(function* (system: System, address: Address) {
  const actor = system.actors.get(address.type)
  if (actor === undefined) return undefined
  const known = system.registry.find(formatAddress(address))
  if (known !== undefined) return known
  const row = yield* system.store.actor(address)
  const cell = system.registry.cell(address, actor)
  cell.restarts = Math.max(cell.restarts, row?.restarts ?? 0)
  return cell
})
