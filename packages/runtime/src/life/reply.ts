/**
 * Step 5 of a message's life, carried out: the sealing commit, and then everything that may only happen once it stands:
 * the asker is told, memory follows the log.
 */
import { Effect } from "effect"
import type { Cell } from "../actor/Cell.ts"
import type { CommitFailure } from "../ports/StoreFailure.ts"
import type { Write } from "../ports/Write.ts"
import { failed, freshSignals, released, succeeded, withdrawn } from "../supervision/adaptive/signals.ts"
import { backoffMs } from "../supervision/restartPolicy.ts"
import { closing } from "./answer.ts"
import { countAssigned, poolOf } from "./deliver.ts"
import { LiveMessage } from "./LiveMessage.ts"
import type { System } from "./System.ts"
import type { Seal } from "./seal.ts"
import type { Verdict } from "./verdict.ts"

/** Waits between tries of a commit that the store cannot take now: a full disk is looked at again once a second. */
const STORE_BACKOFF = { baseMs: 20, factor: 2, maxMs: 1_000, jitter: 0.5 }

/**
 * Commits, and while the store says that it cannot now, waits and tries again for as long as the system lives: what a
 * handler has done is not thrown away because a disk is full. The actor is busy meanwhile, and so takes nothing new.
 */
export const commitPatiently = Effect.fnUntraced(function* (system: System, writes: ReadonlyArray<Write>) {
  for (let tries = 1; ; tries++) {
    const result = yield* Effect.result(system.store.commit(writes))
    if (result._tag === "Success") return
    const failure: CommitFailure = result.failure
    if (failure._tag !== "RetryableStoreFailure" || system.closing) return yield* failure
    if (tries === 1)
      yield* Effect.logWarning(`The store cannot write now: ${failure.message} Trying again until it can.`)
    yield* Effect.sleep(backoffMs(STORE_BACKOFF, tries, system.random()))
  }
})

/** Tells the pool what its target did. */
export const noteSignals = (system: System, message: LiveMessage, verdict: Verdict): void => {
  const pool = poolOf(system, message.envelope)
  if (pool === undefined) return
  const { key } = message.cell
  const nowMs = system.now()
  const signals = pool.signals.get(key) ?? freshSignals(nowMs)
  if (verdict._tag === "Done") {
    pool.signals.set(key, succeeded(signals, message.id, nowMs - message.claimedAtMs, nowMs))
  } else if (verdict._tag === "Retry") {
    message.triedTargets.add(key)
    pool.signals.set(key, failed(signals, message.id, nowMs))
  } else {
    pool.signals.set(key, released(signals, message.id))
  }
}

/** The message leaves its target's queue for another's. */
export const noteWithdrawn = (system: System, message: LiveMessage): void => {
  const pool = poolOf(system, message.envelope)
  const signals = pool?.signals.get(message.cell.key)
  if (signals !== undefined) pool?.signals.set(message.cell.key, withdrawn(signals))
}

/** The message is over, in memory too. */
export const forget = (system: System, message: LiveMessage): void => {
  message.cell.running.delete(message)
  message.cancelDeadline?.()
  message.cancelDue?.()
  system.live.delete(message.id)
}

/**
 * Memory follows the commit. Gives the messages that now wait in a mailbox, in order: a retry, and what the handler sent.
 */
export const follow = (system: System, message: LiveMessage, sealed: Seal): ReadonlyArray<LiveMessage> => {
  const { outcome } = sealed
  const waiting: Array<LiveMessage> = []
  if (outcome._tag === "Ended") {
    if (outcome.state !== undefined) message.cell.state = outcome.state.value
    forget(system, message)
    system.askers.end(message.id, { _tag: "Replied", reply: outcome.reply })
  } else {
    requeue(message, outcome.cell, outcome.dueAtMs)
    countAssigned(system, message.envelope, outcome.cell.key)
    waiting.push(message)
  }
  for (const { envelope, cell } of sealed.sent) {
    const sent = new LiveMessage(envelope, cell, 0, false, system.nextOrder++)
    system.live.set(sent.id, sent)
    countAssigned(system, envelope, cell.key)
    waiting.push(sent)
  }
  return waiting
}

/** Puts a message that ran, or waited elsewhere, back to waiting at `cell`. */
export const requeue = (message: LiveMessage, cell: Cell, dueAtMs: number): void => {
  message.cell.running.delete(message)
  message.cell = cell
  message.envelope = { ...message.envelope, actorType: cell.address.type, actorId: cell.address.id }
  message.dueAtMs = dueAtMs
  message.running = false
  message.fiber = undefined
  message.interruption = undefined
}

/** A message whose end this process cannot write: it stays in the log as it is, for the next start. */
export const abandon = (system: System, message: LiveMessage, failure: CommitFailure | undefined): void => {
  forget(system, message)
  const end = failure?._tag === "TerminalStoreFailure" ? failure : closing(message.id)
  system.askers.end(message.id, { _tag: "Unknown", failure: end })
}
