/**
 * The boundary that a handler sees from inside: makes the context of one attempt.
 *
 * Every durable act of a handler (step, ask, stream, send) has a number, in the order in which the handler asks for it.
 * The number is what finds the recorded result again when the handler is run a second time; so a handler must ask for the
 * same acts in the same order, whatever its clock and its dice say. `nowMs` and `random` are there for that.
 */
import { Effect, Stream } from "effect"
import type { ChildStreamOptions, DispatchNote, ErasedContext } from "../actor/ActorContext.ts"
import type { Ref } from "../actor/Ref.ts"
import type { AnyTask } from "../actor/Task.ts"
import type { Address } from "../message/Address.ts"
import { type AskFailure, type SendFailure, TerminalInvalidMessage } from "../message/DeliveryFailure.ts"
import { childOrdinal } from "../message/MessageId.ts"
import type { Request } from "./compose.ts"
import { type HandOver, handOn } from "./handOn.ts"
import { all, branches, race } from "./journal/branch.ts"
import { childOf, sentBy } from "./journal/child.ts"
import { Journal } from "./journal/Journal.ts"
import { sleep } from "./journal/sleep.ts"
import { step } from "./journal/step.ts"
import type { LiveMessage } from "./LiveMessage.ts"
import { mulberry32 } from "./mulberry32.ts"
import type { Prepared } from "./prepare.ts"
import type { Attempt } from "./process.ts"
import type { System } from "./System.ts"
import type { ChunkWriter } from "./streams/emit.ts"
import type { Watching } from "./Watches.ts"

/** Seeded from the message's id by FNV-1a: the same in every attempt. */
const seededRandom = (seed: string): (() => number) => {
  let hash = 0x811c9dc5
  for (let index = 0; index < seed.length; index++) hash = Math.imul(hash ^ seed.charCodeAt(index), 0x01000193)
  return mulberry32(hash)
}

/** What a handler does to other actors; `life` does it. */
export interface Dispatch {
  /** `A` and `E` are what the request's task says: its codec decodes them. */
  readonly ask: <A, E>(request: Request, note?: DispatchNote) => Effect.Effect<A, E | AskFailure>
  readonly stream: <A, E>(request: Request, note?: DispatchNote) => Stream.Stream<A, E | AskFailure>
  /** Composes and routes a message that leaves with the seal, holds its place in a mailbox, and gives its id. */
  readonly prepareSend: (
    request: Request,
    note: DispatchNote | undefined,
    outgoing: Array<Prepared>,
  ) => Effect.Effect<string, SendFailure>
  /** Takes back a message; false where it has ended, or never was. */
  readonly takeBack: (messageId: string) => Effect.Effect<boolean>
  /** Gives up the place of what was to be sent. */
  readonly sent: (prepared: Prepared) => void
}

/**
 * The context of one attempt. A class of getters, and nothing made before it is asked for: this is on the way of every
 * message, and an object with a getter, an error and a dozen closures each were a tenth of a message's processor time. A
 * handler may take the context apart, so its acts are functions of their own, and not methods.
 */
class HandlerContext implements ErasedContext, Attempt {
  #state: unknown
  #changed = false
  #ordinal = 0
  #random: (() => number) | undefined = undefined
  #journal: Journal | undefined = undefined
  #handOver: HandOver | undefined = undefined
  #watching: Watching | undefined = undefined
  readonly #system: System
  readonly #dispatch: Dispatch
  readonly #live: LiveMessage
  readonly #writer: ChunkWriter | undefined
  readonly #outgoing: Array<Prepared>
  readonly resource: unknown
  readonly nowMs: number

  constructor(
    system: System,
    dispatch: Dispatch,
    live: LiveMessage,
    writer: ChunkWriter | undefined,
    outgoing: Array<Prepared>,
  ) {
    this.#system = system
    this.#dispatch = dispatch
    this.#live = live
    this.#writer = writer
    this.#outgoing = outgoing
    this.#state = live.cell.state
    // A message that moves on, an actor that is restarted: this attempt's are what they were when it began.
    this.resource = live.cell.resource
    this.nowMs = live.claimedAtMs
  }

  get self(): Address {
    return this.#live.cell.address
  }

  get message(): ErasedContext["message"] {
    const { attempt, envelope } = this.#live
    const { correlationId, createdAtMs: acceptedAtMs, deadlineAtMs, id, sender, task } = envelope
    return { id, task, attempt, sender, correlationId, acceptedAtMs, deadlineAtMs }
  }

  get state(): unknown {
    return this.#state
  }

  // What the runtime asks of an attempt.

  get context(): ErasedContext {
    return this
  }

  get stateChanged(): boolean {
    return this.#changed
  }

  get setState(): ErasedContext["setState"] {
    return (next: unknown): void => {
      this.#state = next
      this.#changed = true
    }
  }

  get random(): ErasedContext["random"] {
    return (): number => {
      this.#random ??= seededRandom(this.#live.id)
      return this.#random()
    }
  }

  /** The journal, opened with the first act that is recorded. */
  get journal(): Journal {
    this.#journal ??= new Journal(this.#system, this.#live, this.#ordinal)
    return this.#journal
  }

  get openJournal(): Journal | undefined {
    return this.#journal
  }

  #child(ref: Ref<AnyTask>, task: string, payload: unknown, options: ChildStreamOptions = {}): Request {
    return { ref, task, payload, options, parent: { message: this.#live, ordinal: this.#ordinal++ } }
  }

  // Suspended: an act has its number from when it is done, and a second time it is another act. Without a journal it is a
  // count; with one, it depends on where the fiber is, and is looked up.
  get ask(): ErasedContext["ask"] {
    return (ref, task, payload, options) =>
      Effect.suspend(() =>
        this.#journal === undefined
          ? this.#dispatch.ask(this.#child(ref, task, payload, options), options?.dispatch)
          : childOf(this.#journal, { ref, task, payload, options: options ?? {} }, (request) =>
              this.#dispatch.ask(request, options?.dispatch),
            ),
      )
  }

  get stream(): ErasedContext["stream"] {
    return (ref, task, payload, options) =>
      Stream.suspend(() =>
        this.#journal === undefined
          ? this.#dispatch.stream(this.#child(ref, task, payload, options), options?.dispatch)
          : Stream.unwrap(
              childOf(this.#journal, { ref, task, payload, options: options ?? {} }, (request) =>
                Effect.succeed(this.#dispatch.stream(request, options?.dispatch)),
              ),
            ),
      )
  }

  get send(): ErasedContext["send"] {
    return (ref, task, payload, options) =>
      Effect.suspend(() =>
        this.#journal === undefined
          ? this.#dispatch.prepareSend(this.#child(ref, task, payload, options), options?.dispatch, this.#outgoing)
          : sentBy(this.#journal, { ref, task, payload, options: options ?? {} }, (request) =>
              this.#dispatch.prepareSend(request, options?.dispatch, this.#outgoing),
            ),
      )
  }

  readonly cancel: ErasedContext["cancel"] = (childId) =>
    Effect.suspend(() => {
      const { id } = this.#live
      if (!childId.startsWith(`${id}.`)) {
        const message = `The handler of message ${id} cannot take back ${childId}, which it neither asked nor sent.`
        return Effect.fail(new TerminalInvalidMessage({ actor: this.#live.cell.key, task: this.message.task, message }))
      }
      const index = this.#outgoing.findIndex(({ draft }) => draft.envelope.id === childId)
      if (index < 0) return this.#dispatch.takeBack(childId)
      for (const sent of this.#outgoing.splice(index, 1)) this.#dispatch.sent(sent)
      return Effect.succeed(true)
    })

  #dropSends(isLost: (ordinal: number) => boolean): void {
    const dropped = this.#outgoing.filter(({ draft }) => isLost(childOrdinal(draft.envelope.id)))
    for (const each of dropped) {
      this.#outgoing.splice(this.#outgoing.indexOf(each), 1)
      this.#dispatch.sent(each)
    }
  }

  get handOver(): Attempt["handOver"] {
    if (this.#handOver === undefined) return undefined
    // A later attempt has a journal anyway; a first one that has asked or sent has used numbers of the first.
    const journal = this.#journal?.index ?? (this.#ordinal > 0 ? 0 : undefined)
    return { over: this.#handOver, journal }
  }

  readonly forward: ErasedContext["forward"] = (ref) =>
    Effect.suspend(() => {
      // Recalled for its compensations, it stops where its records end.
      if (this.#journal?.mode === "recall") return Effect.never
      if (this.#handOver !== undefined) {
        return Effect.die(new Error(`Message ${this.#live.id} is handed on already; a handler can do so once.`))
      }
      return Effect.map(handOn(this.#system, this.#live, ref, this.#writer), (over) => {
        this.#handOver = over
        this.#writer?.close()
        // Nobody's answer: the type is that of whoever answers in its place.
        return undefined as never
      })
    })

  get watching(): Watching | undefined {
    return this.#watching
  }

  // Getters, and not fields: no closure for the many that watch nobody.
  get watch(): ErasedContext["watch"] {
    return (ref) => this.#watch(ref, false)
  }

  get link(): ErasedContext["link"] {
    return (ref) => this.#watch(ref, true)
  }

  #watch(ref: Ref<AnyTask>, linked: boolean): ReturnType<ErasedContext["watch"]> {
    return Effect.suspend(() => {
      this.#watching ??= { writes: [], held: [] }
      return this.#system.watches.watch(this.#live, this.#watching, ref, linked)
    })
  }

  get unwatch(): ErasedContext["unwatch"] {
    return (ref) =>
      Effect.suspend(() => {
        this.#watching ??= { writes: [], held: [] }
        return this.#system.watches.unwatch(this.#live, this.#watching, ref)
      })
  }

  get stash(): ErasedContext["stash"] {
    return Effect.suspend(() => {
      // Recalled for its compensations, it stops where its records end.
      if (this.#journal?.mode === "recall") return Effect.never
      // Whoever takes the message back, or restarts its actor, has said so before.
      this.#live.interruption ??= "stashed"
      this.#live.fiber?.interruptUnsafe()
      return Effect.interrupt
    })
  }

  get unstashAll(): ErasedContext["unstashAll"] {
    return Effect.sync(() => {
      this.#live.unstashes = true
    })
  }

  get step(): ErasedContext["step"] {
    return (name, schema, effect, options) => Effect.suspend(() => step(this.journal, name, schema, effect, options))
  }

  get sleep(): ErasedContext["sleep"] {
    return (duration, options) => Effect.suspend(() => sleep(this.journal, duration, options))
  }

  // The tuples of their types are made of the effects that are given, one by one.
  get all(): ErasedContext["all"] {
    return (effects, options) => Effect.suspend(() => all(this.journal, effects as never, options)) as never
  }

  get race(): ErasedContext["race"] {
    return (effects) =>
      Effect.suspend(() => race(this.journal, effects as never, (isLost) => this.#dropSends(isLost))) as never
  }

  get branches(): ErasedContext["branches"] {
    return (effects) => Effect.suspend(() => branches(this.journal, effects as never)) as never
  }

  get emit(): ErasedContext["emit"] {
    return (chunk) => {
      // Recalled for its compensations, a handler says nothing new.
      if (this.#journal?.mode === "recall") return Effect.void
      return this.#writer?.emit(chunk) ?? this.#noStream()
    }
  }

  get resume(): ErasedContext["resume"] {
    return this.#writer?.resume ?? this.#noStream()
  }

  #noStream(): Effect.Effect<never> {
    const { task } = this.#live.envelope
    return Effect.die(new Error(`${task} does not stream; define it with Task.stream to emit chunks.`))
  }
}

/** Makes the context of one attempt; `outgoing` gathers what the seal has to send. */
export const makeContext = (
  system: System,
  dispatch: Dispatch,
  message: LiveMessage,
  writer: ChunkWriter | undefined,
  outgoing: Array<Prepared>,
): Attempt => {
  return new HandlerContext(system, dispatch, message, writer, outgoing)
}
