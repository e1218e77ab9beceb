/**
 * Steps 1 to 3 of a message's life in sequence, and its answer: the boundary between whoever calls and the message that
 * comes of it. What a caller sees is here; what the message goes through is in `life.ts`.
 */
import { Effect, Exit, Stream } from "effect"
import type { DispatchNote } from "../actor/ActorContext.ts"
import type { AskFailure } from "../message/DeliveryFailure.ts"
import type { MessageStatus } from "../message/Envelope.ts"
import { childMessageId } from "../message/MessageId.ts"
import { whenAnswered } from "./answer.ts"
import { whenDone } from "./commit.ts"
import type { Request } from "./compose.ts"
import type { DeliverFailure } from "./deliver.ts"
import type { Dispatch } from "./makeContext.ts"
import { type Prepared, type PrepareFailure, prepare } from "./prepare.ts"
import { readUntilItCan } from "./readPatiently.ts"
import type { System } from "./System.ts"
import { streamAccepted } from "./streams/readChunks.ts"
import { type CutShort, comesBack } from "./waiting/CutShort.ts"
import type { Intake } from "./waiting/Intake.ts"
import { WaitGraph } from "./waiting/WaitGraph.ts"

/** An accepted message, or the earlier one that it repeats. */
export interface Accepted {
  readonly id: string
  readonly codec: Prepared["draft"]["codec"]
  /** Whether a caller who leaves may come back for the answer, so that the message goes on without it. */
  readonly kept: boolean
}

type AcceptFailure = PrepareFailure | DeliverFailure

/** Ends without an answer: a handler that runs again may ask anew. */
const unanswered = (status: MessageStatus): boolean =>
  status === "cancelled" || status === "expired" || status === "dead"

/** Tells the id to a sender who wants to know it; what he makes of it must not break the store that calls back. */
const accepted = ({ options }: Request, each: Accepted): Exit.Exit<Accepted> => {
  if (options.onAccepted === undefined) return Exit.succeed(each)
  try {
    options.onAccepted(each.id)
    return Exit.succeed(each)
  } catch (error) {
    return Exit.die(error)
  }
}

export class Senders implements Dispatch {
  readonly #system: System
  readonly #intake: Intake
  readonly #cutShort: CutShort
  readonly #waits: WaitGraph

  constructor(system: System, intake: Intake, cutShort: CutShort) {
    this.#system = system
    this.#intake = intake
    this.#cutShort = cutShort
    this.#waits = new WaitGraph(system.live)
  }

  /**
   * Accepts a message; gives its id, and how to read its answer. Interrupted while it waits for a place, it leaves the line;
   * later it is not: what is on disk is known to memory.
   *
   * @param noted called with what was accepted, also where the sender does not hear of it any more
   */
  accept(
    request: Request,
    note?: DispatchNote,
    noted?: (accepted: Accepted) => void,
  ): Effect.Effect<Accepted, AcceptFailure> {
    return Effect.callback((resume) => {
      let over: (() => void) | undefined
      let isOver = false
      const told = (exit: Exit.Exit<Accepted, AcceptFailure>): void => {
        isOver = true
        if (Exit.isSuccess(exit)) noted?.(exit.value)
        resume(exit)
        over?.()
      }
      this.#accept(request, note, told)
      return Effect.callback<void>((left) => {
        over = () => left(Effect.void)
        if (isOver) left(Effect.void)
        else this.#intake.leave(told)
      })
    })
  }

  #accept(
    request: Request,
    note: DispatchNote | undefined,
    then: (exit: Exit.Exit<Accepted, AcceptFailure>) => void,
    again = 0,
  ): void {
    const { parent } = request
    const asked = again === 0 || parent === undefined ? request : { ...request, parent: { ...parent, again } }
    whenDone(this.#system, prepare(this.#system, asked, note, this.#waits), (prepared) => {
      if (Exit.isFailure(prepared)) return then(Exit.failCause(prepared.cause))
      const { codec, envelope } = prepared.value.draft
      request.attach?.(envelope.id)
      this.#intake.place(parent?.message, prepared.value, then, (delivered) => {
        if (Exit.isFailure(delivered)) return then(Exit.failCause(delivered.cause))
        if (delivered.value._tag === "Accepted") {
          return then(accepted(request, { id: envelope.id, codec, kept: envelope.idempotencyKey !== null }))
        }
        const { row } = delivered.value
        const anew = (): void => this.#accept(request, note, then, again + 1)
        const repeat = (): void => {
          // Another message gives the answer: the earlier one of its key.
          if (parent?.wait !== undefined) parent.wait.childId = row.id
          request.attach?.(row.id)
          // The handler's own, from an earlier attempt, is nobody else's.
          const kept = row.id !== envelope.id || envelope.idempotencyKey !== null
          then(accepted(request, { id: row.id, codec, kept }))
        }
        // An earlier attempt of the handler asked, and nobody answered: ask anew. There was one ask an attempt at most.
        if (parent === undefined || again >= parent.message.attempt - 1) repeat()
        else if (unanswered(row.status)) anew()
        else if (row.id !== envelope.id) repeat()
        else {
          // An earlier attempt may have asked anew for all that: what it was answered stands, whoever redrove the first ask.
          const next = childMessageId(parent.message.id, parent.ordinal, again + 1)
          whenDone(this.#system, readUntilItCan(this.#system, this.#system.store.message(next)), (found) => {
            if (Exit.isFailure(found)) then(Exit.failCause(found.cause))
            else if (found.value === undefined) repeat()
            else anew()
          })
        }
      })
    })
  }

  /** One wait from the call to the answer; what comes between them, the acceptance, wakes nobody. */
  readonly ask = <A, E>(request: Request, note?: DispatchNote): Effect.Effect<A, E | AskFailure> => {
    const { parent } = request
    if (parent !== undefined && parent.wait === undefined) {
      return Effect.acquireUseRelease(
        Effect.sync(() => this.#waits.begin(parent.message)),
        (wait) => this.ask<A, E>({ ...request, parent: { ...parent, wait } }, note),
        (wait) => Effect.sync(() => this.#waits.end(wait)),
      )
    }
    const asked = Effect.callback<unknown, unknown>((resume) => {
      let accepted: Exit.Exit<Accepted, unknown> | undefined
      let stop = (): void => {}
      let whenAccepted = (): void => {}
      const told = (exit: Exit.Exit<Accepted, AcceptFailure>): void => {
        accepted = exit
        if (Exit.isFailure(exit)) resume(exit)
        else stop = whenAnswered(this.#system, exit.value.codec, exit.value.id, resume)
        whenAccepted()
      }
      this.#accept(request, note, told)
      const leave = (): void => {
        stop()
        if (accepted !== undefined && Exit.isSuccess(accepted)) this.#leave(request, accepted.value)
      }
      // An asker that is interrupted while its message is being accepted takes it back once it is.
      return Effect.callback<void>((left) => {
        whenAccepted = () => {
          leave()
          left(Effect.void)
        }
        if (accepted !== undefined) whenAccepted()
        else this.#intake.leave(told)
      })
    })
    // The codec that decodes the reply is the one of the task that says `A` and `E`.
    return asked as Effect.Effect<A, E | AskFailure>
  }

  readonly stream = <A, E>(request: Request, note?: DispatchNote): Stream.Stream<A, E | AskFailure> => {
    const { parent } = request
    if (parent !== undefined && parent.wait === undefined) {
      const opened = Effect.acquireRelease(
        Effect.sync(() => this.#waits.begin(parent.message)),
        (wait) => Effect.sync(() => this.#waits.end(wait)),
      )
      return Stream.unwrap(
        Effect.map(opened, (wait) => this.stream<A, E>({ ...request, parent: { ...parent, wait } }, note)),
      )
    }
    const streamed = streamAccepted<Accepted, AcceptFailure>(
      this.#system,
      request.options,
      (attach, noted) => this.accept({ ...request, attach }, note, noted),
      (accepted) => this.#leave(request, accepted),
    )
    return streamed as Stream.Stream<A, E | AskFailure>
  }

  readonly prepareSend = (request: Request, note: DispatchNote | undefined, outgoing: Array<Prepared>) =>
    Effect.flatMap(prepare(this.#system, request, note, undefined), (prepared) =>
      this.#intake.hold(request.parent?.message, prepared, outgoing),
    )

  readonly sent = (prepared: Prepared): void => this.#intake.sent(prepared)

  readonly takeBack = (messageId: string): Effect.Effect<boolean> => this.#cutShort.cancel(messageId)

  /** The asker has left: nobody waits for the message any more, unless it may be asked for again. */
  #leave(request: Request, accepted: Accepted): void {
    const interruption = request.parent?.message.interruption
    // A handler that runs again finds the answer.
    if (this.#system.closed || comesBack(interruption)) return
    if (accepted.kept || this.#system.askers.has(accepted.id)) return
    this.#cutShort.leave(accepted.id)
  }
}
