/**
 * The life of a message. Read this file first.
 *
 *     compose   task + data + codec  ->  a validated envelope
 *     route     address or pool      ->  a target actor, the choice written down
 *     deliver   one durable append   ->  only now is the sender told "accepted"
 *     process   decode, state, execute, encode
 *     reply     ONE commit           ->  state, sends, reply, acknowledgement, lifecycle: all or nothing
 *     feedback  a score on a reply
 *     recover   on start: every unfinished life goes on where its last commit left it
 *
 * Each step is a file of that name; none of them calls another. Control flow is here, and only here: what follows what,
 * who runs next, what an interruption means.
 */
import { Effect, Exit, Stream } from "effect"
import type { DispatchNote } from "../actor/ActorContext.ts"
import type { Cell } from "../actor/Cell.ts"
import { takesMessages } from "../actor/lifecycle.ts"
import type { AskFailure, SendFailure } from "../message/DeliveryFailure.ts"
import type { MessageStatus } from "../message/Envelope.ts"
import type { FailureRecord } from "../message/Reply.ts"
import { began, freshSignals } from "../supervision/adaptive/signals.ts"
import { alarm } from "./alarm.ts"
import { answer } from "./answer.ts"
import type { Request } from "./compose.ts"
import { deliver, poolOf } from "./deliver.ts"
import { ChunkWriter } from "./emit.ts"
import type { Interruption, LiveMessage } from "./LiveMessage.ts"
import { makeContext } from "./makeContext.ts"
import { type Prepared, prepare } from "./prepare.ts"
import { loadState, process } from "./process.ts"
import { readChunks } from "./readChunks.ts"
import { abandon, commitPatiently, follow, noteSignals, noteWithdrawn } from "./reply.ts"
import type { System } from "./System.ts"
import { putActor, type Seal, seal, sealUnstarted } from "./seal.ts"
import { type Verdict, verdict } from "./verdict.ts"

/** What a life reports to the supervisor; it answers by starting, restarting and stopping actors. */
export interface Supervision {
  /** An actor with a start is wanted, and may not be started yet. */
  readonly wanted: (cell: Cell) => void
  /** A handler of the actor threw. */
  readonly crashed: (cell: Cell, reason: string) => void
  /** The actor can never go on. */
  readonly gaveUp: (cell: Cell, reason: string) => void
}

export interface Life {
  /** Accepts a message; gives its id, and how to read its answer. */
  readonly accept: (request: Request, note?: DispatchNote) => Effect.Effect<Accepted, SendFailure>
  /** `A` and `E` are what the request's task says: its codec decodes them. */
  readonly ask: <A, E>(request: Request, note?: DispatchNote) => Effect.Effect<A, E | AskFailure>
  readonly stream: <A, E>(request: Request, note?: DispatchNote) => Stream.Stream<A, E | AskFailure>
  /** Composes and routes a message that leaves with a seal. */
  readonly prepare: (request: Request, note?: DispatchNote) => Effect.Effect<Prepared, SendFailure>
  /** Takes a message back; false where it has ended, or never was. */
  readonly cancel: (messageId: string) => boolean
  /** Puts an accepted message into its actor's queue. */
  readonly enqueue: (message: LiveMessage) => void
  /** Runs what the actor has room for. */
  readonly pump: (cell: Cell) => void
  /** Ends a message that waits. */
  readonly endWaiting: (message: LiveMessage, status: "expired" | "cancelled" | "dead", record: FailureRecord) => void
  /** Resolves when no handler runs. */
  readonly quiet: Effect.Effect<void>
}

/** An accepted message, or the earlier one that it repeats. */
export interface Accepted {
  readonly id: string
  readonly codec: Prepared["draft"]["codec"]
  /** Whether a caller who leaves may come back for the answer, so that the message goes on without it. */
  readonly kept: boolean
}

const EXPIRED: FailureRecord = {
  tag: "TerminalExpired",
  message: "The deadline passed before the message was run.",
  retry: "terminal",
}
const CANCELLED: FailureRecord = {
  tag: "TerminalCancelled",
  message: "The message was cancelled before it was run.",
  retry: "terminal",
}

/** Ends without an answer: a handler that runs again may ask anew. */
const unanswered = (status: MessageStatus): boolean =>
  status === "cancelled" || status === "expired" || status === "dead"

export const makeLife = (system: System, supervision: () => Supervision): Life => {
  let quietThen: Array<() => void> = []
  let busy = 0

  /** What a handler's run costs in memory ends here. */
  const rest = () => {
    busy--
    if (busy > 0) return
    const waiting = quietThen
    quietThen = []
    for (const then of waiting) then()
  }

  const interrupt = (message: LiveMessage, why: Interruption): void => {
    message.interruption ??= why
    message.fiber?.interruptUnsafe()
  }

  /** While the system closes, only what a running handler waits for is still begun. */
  const mayBegin = (message: LiveMessage): boolean => !system.closing || message.envelope.causationId !== null

  /** The message to run next on a place that is free, or becomes free with the commit that claims it. */
  const takeNext = (cell: Cell): LiveMessage | undefined => {
    const next = cell.mailbox.take(system.now())
    if (next === undefined || mayBegin(next)) return next
    cell.mailbox.push(next, 0)
    return undefined
  }

  const claimOf = (message: LiveMessage) =>
    ({ _tag: "Claim", messageId: message.id, attempt: message.attempt + 1, atMs: system.now() }) as const

  const claimed = (message: LiveMessage, atMs: number): void => {
    message.attempt++
    message.running = true
    message.claimedAtMs = atMs
    message.cell.running.add(message)
  }

  /** The claim stands: run it. */
  const begin = (message: LiveMessage): void => {
    const pool = poolOf(system, message.envelope)
    const { key } = message.cell
    if (pool !== undefined) {
      const nowMs = system.now()
      pool.signals.set(key, began(pool.signals.get(key) ?? freshSignals(nowMs), message.id, nowMs))
    }
    busy++
    message.fiber = system.fork(Effect.ensuring(work(message), Effect.sync(rest)))
  }

  const pump = (cell: Cell): void => {
    while (cell.freeSlots > 0) {
      const next = takeNext(cell)
      if (next === undefined) return
      const claim = claimOf(next)
      claimed(next, claim.atMs)
      busy++
      system.fork(
        Effect.matchEffect(commitPatiently(system, [claim]), {
          onSuccess: () => Effect.sync(() => begin(next)),
          onFailure: (failure) => Effect.sync(() => abandon(system, next, failure)),
        }).pipe(Effect.ensuring(Effect.sync(rest)), Effect.uninterruptible),
      )
    }
  }

  const watchDeadline = (message: LiveMessage): void => {
    const { deadlineAtMs } = message.envelope
    if (deadlineAtMs === null || message.cancelDeadline !== undefined) return
    message.cancelDeadline = alarm(system, deadlineAtMs, () => expire(message))
  }

  const enqueue = (message: LiveMessage): void => {
    const { cell } = message
    const nowMs = system.now()
    system.live.set(message.id, message)
    watchDeadline(message)
    cell.mailbox.push(message, nowMs)
    if (message.dueAtMs > nowMs) {
      message.cancelDue = alarm(system, message.dueAtMs, () => {
        message.cell.mailbox.due(message)
        pump(message.cell)
      })
    }
    supervision().wanted(cell)
    pump(cell)
  }

  const endWaiting: Life["endWaiting"] = (message, status, record) => {
    if (message.ending) return
    message.ending = true
    message.cell.mailbox.remove(message)
    noteWithdrawn(system, message)
    const sealed = sealUnstarted(message, status, record, system.now())
    system.fork(
      Effect.matchEffect(commitPatiently(system, sealed.writes), {
        onSuccess: () => Effect.sync(() => follow(system, message, sealed)),
        onFailure: (failure) => Effect.sync(() => abandon(system, message, failure)),
      }).pipe(Effect.uninterruptible),
    )
  }

  const expire = (message: LiveMessage): void => {
    if (message.running) interrupt(message, "expired")
    else endWaiting(message, "expired", EXPIRED)
  }

  const cancel = (messageId: string): boolean => {
    const message = system.live.get(messageId)
    if (message === undefined) return false
    if (message.running) interrupt(message, "cancelled")
    else endWaiting(message, "cancelled", CANCELLED)
    return true
  }

  /** From claim to seal: steps 4 and 5 of a message's life, on a fiber of its own. */
  const work = (message: LiveMessage): Effect.Effect<void> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const { cell } = message
        const codec = cell.actor.tasks.get(message.envelope.task)
        const writer = codec?.streaming === true ? new ChunkWriter(system, message, codec) : undefined
        const outgoing: Array<Prepared> = []
        const run = Effect.gen(function* () {
          yield* loadState(system, cell)
          return yield* process(system, message, makeContext(system, life, message, writer, outgoing))
        })
        // A message that was taken back while its claim was written has no fiber to interrupt.
        const exit = message.interruption === undefined ? yield* Effect.exit(restore(run)) : Exit.interrupt()
        const found = yield* verdict(exit, message.id, message.interruption, codec)
        system.crashPoint("seal.before")
        noteSignals(system, message, found)
        if (found._tag === "Abandoned") return abandon(system, message, undefined)
        yield* finish(message, found, seal(system, message, found, writer?.takeUnwritten() ?? [], outgoing))
      }),
    )

  /** The sealing commit, and what follows from it. */
  const finish = Effect.fnUntraced(function* (
    message: LiveMessage,
    found: Exclude<Verdict, { readonly _tag: "Abandoned" }>,
    sealed: Seal,
  ) {
    const { cell } = message
    const broken = found._tag === "ActorFailed" || (found._tag === "Retry" && found.defect)
    // The successor's claim rides in this commit, on the place that this message gives up.
    const next = !broken && takesMessages(cell.lifecycle.state) ? takeNext(cell) : undefined
    const claim = next === undefined ? undefined : claimOf(next)
    if (claim !== undefined) sealed.writes.push(claim)
    if (cell.unwritten.length > 0) {
      sealed.writes.push(putActor(cell, undefined, system.now()), ...cell.unwritten)
      cell.unwritten = []
    }
    const failure = yield* commitPatiently(system, sealed.writes).pipe(
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error)),
    )
    if (failure !== undefined) {
      // Memory may now be ahead of the log, or behind it: read it anew.
      cell.loaded = false
      abandon(system, message, failure)
      if (next !== undefined) cell.mailbox.push(next, 0)
      return
    }
    system.crashPoint("seal.after")
    const waiting = follow(system, message, sealed)
    if (next !== undefined && claim !== undefined) {
      claimed(next, claim.atMs)
      begin(next)
    }
    if (found._tag === "ActorFailed") supervision().gaveUp(cell, found.record.message)
    else if (broken) supervision().crashed(cell, found.record.message)
    for (const each of waiting) enqueue(each)
    pump(cell)
  })

  /** Delivers, and sets going what was accepted; nothing may come between the two. */
  const place = (prepared: Prepared) =>
    Effect.map(deliver(system, prepared), (delivered) => {
      if (delivered._tag === "Accepted") {
        const { message } = delivered
        if (message.running) {
          watchDeadline(message)
          begin(message)
        } else enqueue(message)
      }
      return delivered
    }).pipe(Effect.ensuring(Effect.sync(() => pump(prepared.to.cell))), Effect.uninterruptible)

  const accept: Life["accept"] = Effect.fnUntraced(function* (request, note) {
    for (let again = 0; ; again++) {
      const { parent } = request
      const asked = parent === undefined ? request : { ...request, parent: { ...parent, again } }
      const prepared = yield* prepare(system, asked, note, true)
      const { codec, envelope } = prepared.draft
      const delivered = yield* place(prepared)
      if (delivered._tag === "Accepted") {
        return { id: delivered.message.id, codec, kept: envelope.idempotencyKey !== null }
      }
      const { row } = delivered
      // An earlier attempt of the handler asked, and nobody answered: ask anew. There was one ask an attempt at most.
      const stale = parent !== undefined && unanswered(row.status) && again < parent.message.attempt - 1
      if (!stale) return { id: row.id, codec, kept: true }
    }
  })

  /** The asker has left: nobody waits for the message any more, unless it may be asked for again. */
  const leave = (request: Request, accepted: Accepted): void => {
    const interruption = request.parent?.message.interruption
    if (system.closing || interruption === "closing" || interruption === "restarted") return
    if (accepted.kept || system.askers.has(accepted.id)) return
    cancel(accepted.id)
  }

  const life: Life = {
    accept,
    ask: <A, E>(request: Request, note?: DispatchNote) => {
      const asked = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(accept(request, note), (accepted) =>
          restore(answer(system, accepted.codec, accepted.id)).pipe(
            Effect.onInterrupt(() => Effect.sync(() => leave(request, accepted))),
          ),
        ),
      )
      // The codec that decodes the reply is the one of the task that says `A` and `E`.
      return asked as Effect.Effect<A, E | AskFailure>
    },
    stream: <A, E>(request: Request, note?: DispatchNote) => {
      const streamed = Stream.unwrap(
        Effect.map(accept(request, note), (accepted) =>
          readChunks(system, accepted.codec, accepted.id).pipe(
            Stream.ensuring(
              Effect.sync(() => {
                if (system.live.has(accepted.id)) leave(request, accepted)
              }),
            ),
          ),
        ),
      )
      return streamed as Stream.Stream<A, E | AskFailure>
    },
    prepare: (request, note) => prepare(system, request, note, false),
    cancel,
    enqueue,
    pump,
    endWaiting,
    quiet: Effect.callback((resume) => {
      if (busy === 0) resume(Effect.void)
      else quietThen.push(() => resume(Effect.void))
    }),
  }
  return life
}
