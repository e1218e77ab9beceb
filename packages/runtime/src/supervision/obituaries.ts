/**
 * The boundary between an actor's end and those who watch it: which messages go into the commit of the end, and who falls
 * with it. In that commit the watches themselves go, so that nobody is told twice, and nobody is forgotten.
 */
import { Effect } from "effect"
import { terminatedCodec } from "../actor/Terminated.ts"
import type { LiveCell } from "../life/LiveMessage.ts"
import type { System } from "../life/System.ts"
import { WATCHES_MAX } from "../life/Watches.ts"
import { type Address, formatAddress } from "../message/Address.ts"
import type { Envelope } from "../message/Envelope.ts"
import type { WatchRow } from "../ports/MessageStore.ts"
import type { Write } from "../ports/Write.ts"

/** Who has ended, as what, and why. */
export interface End {
  readonly address: Address
  readonly state: "failed" | "stopped"
  readonly reason: string
}

export interface Obituary {
  readonly end: End
  readonly writes: ReadonlyArray<Write>
  /** Messages of the writes, for actors that this system has. */
  readonly told: ReadonlyArray<{ readonly envelope: Envelope; readonly cell: LiveCell }>
  /** Who ends with it; the link stands until that is written. */
  readonly linked: ReadonlyArray<Address>
}

/** An actor's end as memory knows it, or as the log does where memory knows nothing; undefined where it goes on. */
export const endOf = Effect.fnUntraced(function* (system: System, address: Address) {
  const cell = system.registry.find(formatAddress(address))
  const row = cell === undefined ? yield* system.store.actor(address) : undefined
  const state = cell?.lifecycle.state ?? row?.lifecycle
  if (state !== "failed" && state !== "stopped") return undefined
  const end: End = { address, state, reason: cell?.reason ?? "it ended before it was watched" }
  return end
})

const envelopeOf = (system: System, end: End, watcher: Address, body: string): Envelope => {
  const id = system.ids.next()
  const nowMs = system.now()
  return {
    id,
    actorType: watcher.type,
    actorId: watcher.id,
    pool: null,
    task: terminatedCodec.tag,
    codec: terminatedCodec.codec,
    priority: 0,
    createdAtMs: nowMs,
    deliverAtMs: nowMs,
    deadlineAtMs: null,
    sender: formatAddress(end.address),
    correlationId: id,
    causationId: null,
    idempotencyKey: null,
    traceId: id,
    body,
  }
}

/** What the commit of an end is to hold beside it. */
export const obituaryOf = Effect.fnUntraced(function* (system: System, end: End) {
  const rows: ReadonlyArray<WatchRow> = yield* system.store.watches({ watched: end.address }, WATCHES_MAX)
  const body = rows.length === 0 ? "" : yield* Effect.orDie(terminatedCodec.encodePayload(end))
  // It will hear of nobody any more.
  const writes: Array<Write> = [{ _tag: "DropWatch", watched: undefined, watcher: end.address }]
  const told: Array<Obituary["told"][number]> = []
  for (const { linked, watched, watcher } of rows) {
    if (linked) continue
    const envelope = envelopeOf(system, end, watcher, body)
    writes.push({ _tag: "Append", message: envelope, claimedAtMs: null }, { _tag: "DropWatch", watched, watcher })
    const actor = system.actors.get(watcher.type)
    // Without its type the message stays in the log, for a program that has it.
    if (actor !== undefined) told.push({ envelope, cell: system.registry.cell(watcher, actor) })
  }
  const linked = rows.filter((row) => row.linked).map(({ watcher }) => watcher)
  const obituary: Obituary = { end, writes, told, linked }
  return obituary
})
