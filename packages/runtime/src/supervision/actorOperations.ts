/**
 * The boundary between an address and what a program or an operator does to the actor behind it: stop, suspend, resume,
 * restart.
 */
import { Effect } from "effect"
import type { LiveCell } from "../life/LiveMessage.ts"
import type { System } from "../life/System.ts"
import { type Address, formatAddress } from "../message/Address.ts"
import { type ActorOperations, TerminalTooManySuspended } from "../ports/OperatorPort.ts"
import { bringActor } from "./bringActor.ts"
import type { Supervisor } from "./Supervisor.ts"

/** Each suspended actor is kept in memory, so that nothing has to look up whether an actor is. */
const checkRoom = (system: System): Effect.Effect<void, TerminalTooManySuspended> => {
  const { suspendedMax } = system.settings
  let count = 0
  for (const { lifecycle } of system.registry.all()) if (lifecycle.state === "suspended") count++
  if (count < suspendedMax) return Effect.void
  const message = `${count} actors are suspended, as many as the system keeps; resume some, or raise suspendedMax.`
  return Effect.fail(new TerminalTooManySuspended({ limit: suspendedMax, message }))
}

export const actorOperations = (system: System, supervisor: Supervisor): ActorOperations => {
  const ifResident = (address: Address, then: (cell: LiveCell) => boolean) =>
    Effect.sync(() => {
      const cell = system.registry.find(formatAddress(address))
      return cell !== undefined && then(cell)
    })
  return {
    stop: (address, reason) => ifResident(address, (cell) => supervisor.stop(cell, reason)),
    suspend: (address, reason) =>
      Effect.andThen(
        checkRoom(system),
        Effect.map(bringActor(system, address), (cell) => cell !== undefined && supervisor.suspend(cell, reason)),
      ),
    resume: (address, reason) => ifResident(address, (cell) => supervisor.resume(cell, reason)),
    restart: (address, reason) =>
      Effect.map(bringActor(system, address), (cell) => cell !== undefined && supervisor.restart(cell, reason)),
  }
}
