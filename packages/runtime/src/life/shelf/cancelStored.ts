/**
 * Beside the steps of a life: the boundary between a message that is on disk alone and whoever takes it back. One that never
 * ran is ended where it is; one that did may have to be compensated, and so comes to memory for it.
 */
import { Effect } from "effect"
import { isFinal, type MessageRow } from "../../message/Envelope.ts"
import { commitPatiently } from "../commit.ts"
import { recordedEnd, uncompensated } from "../journal/compensate.ts"
import type { LiveCell, LiveMessage } from "../LiveMessage.ts"
import { cancelWrites } from "../operator/operatorWrites.ts"
import { readPatiently } from "../readPatiently.ts"
import { recover } from "../recover.ts"
import type { System } from "../System.ts"
import { CANCELLED } from "../verdict.ts"
import { isOnDiskAlone } from "./isOnDiskAlone.ts"
import { ReadAhead } from "./ReadAhead.ts"

/** A message that is being written comes to memory as soon as it is; about as long as a commit takes. */
const EXPECTED_MS = 2

export interface CancellingLife {
  /** Takes back a message that is in memory, or was not found there. */
  readonly cancel: (messageId: string) => Effect.Effect<boolean>
  readonly enqueue: (message: LiveMessage) => void
  /** Runs what the actor has room for. */
  readonly pump: (cell: LiveCell) => void
}

/** Ends a message that never ran, or cannot be run, on disk; what it did and cannot compensate, its end says. */
const endThere = (system: System, row: MessageRow): Effect.Effect<boolean> => {
  system.reserved.add(row.id)
  const steps = row.attempt === 0 ? Effect.succeed([]) : system.store.steps(row.id)
  return Effect.map(readPatiently(system, steps), (rows = []) =>
    // It comes to that end, once a program has its actor.
    recordedEnd(rows, row.attemptsBefore) !== undefined
      ? undefined
      : uncompensated(CANCELLED, rows, row.attemptsBefore, `this system has no actor ${row.actorType}`),
  ).pipe(
    Effect.tap((error) =>
      error === undefined ? Effect.void : commitPatiently(system, cancelWrites(row, system.now(), error)),
    ),
    Effect.match({
      onSuccess: (error) => {
        if (error === undefined) return false
        const reply = { messageId: row.id, status: "cancelled" as const, reply: null, error }
        system.askers.end(row.id, { _tag: "Replied", reply })
        return true
      },
      onFailure: () => false,
    }),
    Effect.ensuring(Effect.sync(() => system.reserved.delete(row.id))),
    Effect.uninterruptible,
  )
}

/** True once the message has ended so, on disk; false where it has ended, or never was. */
export const cancelStored = Effect.fnUntraced(function* (
  system: System,
  messageId: string,
  life: CancellingLife,
): Effect.fn.Return<boolean> {
  const row = yield* readPatiently(system, system.store.message(messageId))
  if (system.live.has(messageId)) return yield* life.cancel(messageId)
  if (system.agenda?.expects(messageId) === true) {
    yield* Effect.sleep(EXPECTED_MS)
    return yield* life.cancel(messageId)
  }
  if (row === undefined || isFinal(row.status) || !isOnDiskAlone(system, row)) return false
  const actor = system.actors.get(row.actorType)
  if (row.attempt === 0 || actor === undefined) return yield* endThere(system, row)
  const cell = system.registry.cell({ type: row.actorType, id: row.actorId }, actor)
  // It comes before all that is accepted while it is brought, and nobody counts it among what is unread any more.
  if (actor.concurrency === 1) cell.ending++
  const brought = recover(system, [row], {
    readAhead: new ReadAhead(1),
    commit: (writes) => commitPatiently(system, writes),
    enqueue: (message) => {
      message.interruption = "cancelled"
      life.enqueue(message)
    },
  })
  const there = Effect.sync(() => {
    if (actor.concurrency === 1) cell.ending--
    life.pump(cell)
  })
  // It is in memory from the first step of this on.
  const bring = Effect.ensuring(Effect.ignore(brought), there)
  const [, cancelled] = yield* Effect.all([bring, life.cancel(messageId)], { concurrency: 2 })
  return cancelled
})
