/**
 * Step 4 of a message's life. The boundary between the runtime and the handler: decode, bring the actor's state, execute,
 * encode. Nothing of the outcome is durable yet.
 */
import { type Context, Effect } from "effect"
import type { ErasedContext } from "../actor/ActorContext.ts"
import { TerminalActorFailed, TerminalInvalidMessage, TerminalUnknownTask } from "../message/DeliveryFailure.ts"
import type { LiveCell, LiveMessage } from "./LiveMessage.ts"
import type { System } from "./System.ts"

/** The actor's stored state is not one that its definition can read. */
export class UnreadableState {
  readonly _tag = "UnreadableState"
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** What a handler achieved, encoded. */
export interface Processed {
  readonly reply: string
  /** Encoded state, where the handler set one; `value` is the same, decoded. */
  readonly state: { readonly text: string; readonly value: unknown } | undefined
}

/** The context of one attempt, and what the handler did through it that waits for the seal. */
export interface Attempt {
  readonly context: ErasedContext
  readonly stateChanged: () => boolean
}

/** Reads an actor's row the first time it is needed. */
export const loadState = Effect.fnUntraced(function* (system: System, cell: LiveCell) {
  if (cell.loaded) return
  const { actor } = cell
  const row = yield* system.store.actor(cell.address)
  // Another message of the actor was quicker.
  if (cell.loaded) return
  if (row === undefined || row.state === null) {
    cell.state = actor.initialState(cell.address.id)
  } else if (row.version > actor.version) {
    return yield* Effect.fail(
      new UnreadableState(
        `the state of ${cell.key} has version ${row.version}, and this program reads up to ${actor.version}; run the newer program.`,
      ),
    )
  } else {
    const unreadable = (error: { readonly message: string }) =>
      new UnreadableState(`the state of ${cell.key} does not fit its schema: ${error.message}`)
    cell.state = yield* Effect.mapError(actor.decodeState(row.state), unreadable)
  }
  cell.restarts = Math.max(cell.restarts, row?.restarts ?? 0)
  cell.loaded = true
  const from = row?.lifecycle ?? "starting"
  // The first message is what starts an actor without a start, and brings back one that had failed in another process.
  if (actor.start !== undefined || from === "ready" || cell.lifecycle.state !== "ready") return
  cell.unwritten.push({
    _tag: "LifecycleEvent",
    address: cell.address,
    from,
    to: "ready",
    event: "STARTED",
    reason: row === undefined ? "first message" : "first message since the system was opened",
    atMs: system.now(),
  })
})

/** Runs the handler of a claimed message. */
export const process = Effect.fnUntraced(function* (system: System, message: LiveMessage, attempt: Attempt) {
  const { cell, envelope } = message
  system.crashPoint("claim.after")
  const codec = cell.actor.tasks.get(envelope.task)
  if (codec === undefined) {
    return yield* new TerminalUnknownTask({
      actor: cell.key,
      task: envelope.task,
      message: `${cell.key} no longer has the task ${envelope.task} of message ${message.id}.`,
    })
  }
  if (cell.actor.start !== undefined && cell.resource === undefined) {
    return yield* new TerminalActorFailed({ actor: cell.key, message: `${cell.key} is not started.` })
  }
  const payload = yield* codec.decodePayload(envelope.body).pipe(
    Effect.mapError((error) => {
      const text = `The message ${message.id} does not fit the schema of ${envelope.task}: ${error.message}`
      return new TerminalInvalidMessage({ actor: cell.key, task: envelope.task, message: text })
    }),
  )
  // The whole context, and not a merge of it into the fiber's: a fiber of `system.fork` has the same one already.
  const value = yield* Effect.updateContext(
    cell.actor.handle(envelope.task, payload, attempt.context),
    (_: Context.Context<never>) => system.services,
  )
  const reply = yield* codec.encodeReply(value).pipe(Effect.orDie)
  if (!attempt.stateChanged()) return { reply, state: undefined } satisfies Processed
  const next = attempt.context.state
  const text = yield* cell.actor.encodeState(next).pipe(Effect.orDie)
  return { reply, state: { text, value: next } } satisfies Processed
})
