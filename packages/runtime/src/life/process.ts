/**
 * Step 4 of a message's life. The boundary between the runtime and the handler: decode, bring the actor's state, execute,
 * encode. Nothing of the outcome is durable yet.
 */
import { Effect, Exit } from "effect"
import type { ErasedContext } from "../actor/ActorContext.ts"
import { migrateState } from "../actor/migrateState.ts"
import type { TaskCodec } from "../actor/Task.ts"
import { TerminalActorFailed, TerminalInvalidMessage, TerminalUnknownTask } from "../message/DeliveryFailure.ts"
import { TerminalStateTooLarge } from "../message/StepFailure.ts"
import type { Write } from "../ports/Write.ts"
import { recallCrashes } from "../supervision/recallCrashes.ts"
import { poolOf } from "./deliver.ts"
import type { HandOver } from "./handOn.ts"
import { plannedEnd, recall } from "./journal/compensate.ts"
import type { Journal } from "./journal/Journal.ts"
import type { LiveCell, LiveMessage, PlannedEnd } from "./LiveMessage.ts"
import { readUntilItCan } from "./readPatiently.ts"
import type { System } from "./System.ts"
import type { Watching } from "./Watches.ts"

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
  /** Set where the message is not answered but handed on; `journal` as `handOnWrites` takes it. */
  readonly handOver?: { readonly over: HandOver; readonly journal: number | undefined }
}

/** The handler is not run: its message comes to an end that an earlier attempt, or somebody else, has decided. */
export class Ending {
  readonly _tag = "Ending"
  readonly end: PlannedEnd
  constructor(end: PlannedEnd) {
    this.end = end
  }
}

/** The context of one attempt, and what the handler did through it that waits for the seal. */
export interface Attempt {
  readonly context: ErasedContext
  readonly stateChanged: boolean
  /** Set where the message is to be handed on when its handler is done. */
  readonly handOver: Processed["handOver"]
  /** Undefined where the handler has watched and unwatched nobody. */
  readonly watching: Watching | undefined
  /** The journal, opened by whoever asks first. */
  readonly journal: Journal
  /** The same, undefined where nobody has had a use for it. */
  readonly openJournal: Journal | undefined
}

/** Decodes a stored state; an older one is brought forward first, and written with the next commit of the actor. */
const readState = Effect.fnUntraced(function* (cell: LiveCell, stored: string, version: number) {
  const { actor, key } = cell
  const isOld = version < actor.version && actor.migrations !== undefined
  const text = isOld
    ? yield* Effect.mapError(
        migrateState(actor.migrations ?? {}, stored, version, actor.version),
        ({ message }) => new UnreadableState(`the state of ${key} ${message}.`),
      )
    : stored
  const since = isOld ? `, brought from version ${version} to ${actor.version},` : ""
  const state = yield* Effect.mapError(
    actor.decodeState(text),
    (error) => new UnreadableState(`the state of ${key}${since} does not fit its schema: ${error.message}`),
  )
  if (isOld) cell.migrated = text
  return state
})

/** Reads an actor's row the first time it is needed. */
export const loadState = Effect.fnUntraced(function* (system: System, cell: LiveCell) {
  if (cell.loaded) return
  const { actor } = cell
  // What cannot be read now is no failure of the message.
  const row = yield* readUntilItCan(system, system.store.actor(cell.address))
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
    cell.state = yield* readState(cell, row.state, row.version)
  }
  if ((row?.restarts ?? 0) > cell.restarts) yield* recallCrashes(system, cell)
  cell.loaded = true
  const from = row?.lifecycle ?? "starting"
  // The first message is what starts an actor without a start, and brings back one that had failed in another process.
  if (actor.start !== undefined || from === "ready" || cell.lifecycle.state !== "ready") return
  const started: Write = {
    _tag: "LifecycleEvent",
    address: cell.address,
    from,
    to: "ready",
    event: "STARTED",
    reason: row === undefined ? "first message" : "first message since the system was opened",
    atMs: system.now(),
  }
  cell.unwritten = [...cell.unwritten, started]
})

/** `Effect.orDie`, that costs nothing where there is nothing to die of. */
const orDieEager = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A> =>
  Exit.isExit(effect) && Exit.isSuccess(effect) ? (effect as Exit.Exit<A>) : Effect.orDie(effect)

/** The outcome of a handler, as text; what does not fit its own schema is a mistake of the handler. */
const encodeOutcome = (
  system: System,
  message: LiveMessage,
  codec: TaskCodec,
  attempt: Attempt,
  value: unknown,
): Effect.Effect<Processed, TerminalStateTooLarge> =>
  Effect.flatMapEager(
    // What a handler gives that has handed its message on is nobody's answer.
    attempt.handOver === undefined ? orDieEager(codec.encodeReply(value)) : Effect.succeed(""),
    (reply): Effect.Effect<Processed, TerminalStateTooLarge> => {
      const { cell } = message
      if (!attempt.stateChanged) return Effect.succeed({ reply, state: undefined })
      const next = attempt.context.state
      return Effect.flatMapEager(orDieEager(cell.actor.encodeState(next)), (text) => {
        const processed = { reply, state: { text, value: next } }
        // A UTF-16 unit is at most three bytes: most states need no count.
        const small = text.length * 6 <= system.settings.stateBytesMax
        return small ? Effect.succeed(processed) : Effect.as(checkStateSize(system, message, text), processed)
      })
    },
  )

/** Refuses a state that is too large, and warns once an actor of one that has half that size. */
const checkStateSize = Effect.fnUntraced(function* (system: System, { cell, id }: LiveMessage, text: string) {
  const limitBytes = system.settings.stateBytesMax
  const sizeBytes = Buffer.byteLength(text)
  const facts = `The state of ${cell.key} has ${sizeBytes} bytes after message ${id}, and the limit is ${limitBytes}`
  if (sizeBytes > limitBytes) {
    const message = `${facts}; keep less in it, or raise stateBytesMax.`
    return yield* new TerminalStateTooLarge({ actor: cell.key, messageId: id, sizeBytes, limitBytes, message })
  }
  if (sizeBytes * 2 <= limitBytes || cell.warnedOfState) return
  cell.warnedOfState = true
  yield* Effect.logWarning(`${facts}; keep less in it before messages are refused.`)
})

/** Whether the journal may be of a handler of another type: a pool may have several, and a retry goes on to the next. */
const mayBeAnothers = (system: System, { cell, envelope }: LiveMessage): boolean =>
  poolOf(system, envelope)?.cells.some((target) => target.cell.actor !== cell.actor) === true

/** A later attempt: what earlier ones recorded comes first, and an end that they came to. */
const runAgain = Effect.fnUntraced(function* (
  system: System,
  message: LiveMessage,
  attempt: Attempt,
  handle: () => Effect.Effect<unknown, unknown, unknown>,
) {
  const { journal } = attempt
  yield* journal.load
  const end = plannedEnd(journal)
  if (end !== undefined) {
    yield* recall(journal, Effect.suspend(handle))
    return yield* Effect.fail(new Ending(end))
  }
  const value = yield* handle()
  const { unasked } = journal
  if (unasked !== undefined && !mayBeAnothers(system, message)) return yield* unasked
  return value
})

/** Runs the handler of a claimed message. To be called within the fiber that runs it: a handler may throw at once. */
export const process = (
  system: System,
  message: LiveMessage,
  attempt: Attempt,
): Effect.Effect<Processed, unknown, unknown> => {
  const { cell, envelope } = message
  system.crashPoint("claim.after")
  const codec = cell.actor.tasks.get(envelope.task)
  if (codec === undefined) {
    return Effect.fail(
      new TerminalUnknownTask({
        actor: cell.key,
        task: envelope.task,
        message: `${cell.key} no longer has the task ${envelope.task} of message ${message.id}.`,
      }),
    )
  }
  if (cell.actor.start !== undefined && cell.scope === undefined) {
    return Effect.fail(new TerminalActorFailed({ actor: cell.key, message: `${cell.key} is not started.` }))
  }
  const payload = Effect.mapErrorEager(codec.decodePayload(envelope.body), (error) => {
    const text = `The message ${message.id} does not fit the schema of ${envelope.task}: ${error.message}`
    return new TerminalInvalidMessage({ actor: cell.key, task: envelope.task, message: text })
  })
  return Effect.flatMapEager(payload, (decoded) => {
    const handle = () => cell.actor.handle(envelope.task, decoded, attempt.context)
    const handled = message.attempt === 1 ? handle() : runAgain(system, message, attempt, handle)
    return Effect.flatMap(handled, (value) => {
      const processed = encodeOutcome(system, message, codec, attempt, value)
      const { handOver } = attempt
      return handOver === undefined ? processed : Effect.map(processed, (each) => ({ ...each, handOver }))
    })
  })
}
