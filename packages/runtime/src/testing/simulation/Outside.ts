/**
 * The boundary to whoever uses a system from outside: callers who send, wait, read and leave, operators who take back,
 * redrive and score. They tell the witness what they were told.
 */
import { Effect, Exit, Stream } from "effect"
import type { ActorSystem } from "../../ActorSystem.ts"
import { isFinal, type MessageRow } from "../../message/Envelope.ts"
import type { MemoryLog } from "../MemoryLog.ts"
import { type Action, type Call, isCall, type Operation, type Read } from "./Plan.ts"
import type { Cast, Stage } from "./Stage.ts"
import type { Reading } from "./Witness.ts"

type System = ActorSystem["Service"]

/** Something to be run in the process, and who hears its end. */
export interface Running {
  readonly effect: Effect.Effect<unknown, unknown>
  readonly ended: (exit: Exit.Exit<unknown, unknown>) => void
}

/** Somebody who reads, in this process and in those after it. */
interface Reader {
  readonly read: Read
  readonly reading: Reading
  readonly address: string
}

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)

export class Outside {
  readonly #stage: Stage
  readonly #log: MemoryLog
  readonly #readers = new Set<Reader>()
  #count = 0

  constructor(stage: Stage, log: MemoryLog) {
    this.#stage = stage
    this.#log = log
  }

  /** What an action does to the system that serves; undefined where there is nothing to do it to. */
  perform(action: Action, system: System, cast: Cast): Running | undefined {
    const { witness } = this.#stage
    if (action.kind === "read") return this.#come(system, cast, action)
    if (!isCall(action)) return this.#operate(system, action)
    const label = `${++this.#count} ${action.kind} ${action.to} ${action.script}`
    witness.waiting.add(label)
    const call = this.#call(system, cast, action)
    return {
      effect: action.leavesAfterMs === undefined ? call : Effect.timeoutOption(call, action.leavesAfterMs),
      ended: (exit) => {
        witness.waiting.delete(label)
        this.#note(`caller ${label}`, exit, "answered")
      },
    }
  }

  /** How a call or an operation ended; a defect is never an answer. */
  #note(who: string, exit: Exit.Exit<unknown, unknown>, success: string): void {
    const { time, witness } = this.#stage
    const failure = Exit.findErrorOption(exit)
    const end = Exit.isSuccess(exit) ? success : failure._tag === "Some" ? tagOf(failure.value) : "broken"
    if (end === "broken") witness.wrong(`the ${who} met a defect: ${exit}`)
    witness.note(time.nowMs, `${who}: ${end}`)
  }

  // Readers, who come back.

  /** Somebody comes for a message's chunks. */
  #come(system: System, cast: Cast, read: Read): Running | undefined {
    const rows = [...this.#log.messages.values()].filter(({ actorType }) => actorType === "talker")
    const row = rows[read.nth % Math.max(1, rows.length)]
    if (row === undefined) return undefined
    const reading: Reading = { messageId: row.id, from: read.from, chunks: [], complete: false }
    this.#stage.witness.readings.push(reading)
    return this.#read(system, cast, { read, reading, address: `talker/${row.actorId}` })
  }

  /** Those who were reading when the process died, from where they were. */
  resume(system: System, cast: Cast): ReadonlyArray<Running> {
    const readers = [...this.#readers]
    this.#readers.clear()
    return readers.map((reader) => this.#read(system, cast, reader))
  }

  #read(system: System, cast: Cast, reader: Reader): Running {
    const { witness } = this.#stage
    const { address, read, reading } = reader
    const label = `${++this.#count} read ${reading.messageId}`
    witness.waiting.add(label)
    this.#readers.add(reader)
    const chunks = Stream.suspend(() => {
      const from = reading.from + reading.chunks.length
      const talker = cast.talkRef(address)
      if (talker === undefined) return Stream.die(new Error(`${address} does not talk`))
      const pace = read.aheadMax === undefined ? {} : { aheadMax: read.aheadMax, aheadMsMax: 100 }
      return system.read(talker, "Talk", reading.messageId ?? "", { from, ...pace })
    })
    const take = Stream.runForEach(chunks, ({ chunk, number }) => {
      const next = reading.from + reading.chunks.length
      if (number !== next) witness.wrong(`a reader of ${reading.messageId} got chunk ${number} in place of ${next}`)
      witness.readChunk(reading, chunk)
      return read.ms > 0 ? Effect.sleep(read.ms) : Effect.void
    })
    const leaves = read.leavesAfterMs === undefined ? take : Effect.timeoutOption(take, read.leavesAfterMs)
    const all = Effect.andThen(leaves, take)
    return {
      effect: Effect.tap(all, () => Effect.sync(() => witness.readAll(reading))),
      ended: (exit) => {
        this.#readers.delete(reader)
        witness.waiting.delete(label)
        const failure = Exit.findErrorOption(exit)
        const isCutOff = failure._tag === "Some" && tagOf(failure.value) === "RetryableClosing"
        if (isCutOff) this.#readers.add(reader)
        this.#note(`reader ${label}`, exit, `has read ${reading.chunks.length}`)
      },
    }
  }

  // Operators.

  /** What an operator does to a message of the log. */
  #operate(system: System, operation: Operation): Running | undefined {
    const { kind, nth } = operation
    const isMeant = ({ status }: MessageRow) =>
      kind === "feedback" || (kind === "cancel" ? !isFinal(status) : status === "dead")
    const rows = [...this.#log.messages.values()].filter(isMeant)
    const id = rows[nth % Math.max(1, rows.length)]?.id
    if (id === undefined) return undefined
    const label = `${++this.#count} ${kind} ${id}`
    this.#stage.witness.waiting.add(label)
    return {
      effect: this.#operation(system, operation, id),
      ended: (exit) => {
        this.#stage.witness.waiting.delete(label)
        this.#note(`operator ${kind} ${id}`, exit, "done")
      },
    }
  }

  #operation(system: System, operation: Operation, id: string): Effect.Effect<unknown, unknown> {
    switch (operation.kind) {
      case "cancel":
        return system.cancel(id)
      case "redrive":
        return system.redrive(id)
      case "feedback": {
        const source = `judge ${++this.#count}`
        const scored = system.feedback(id, { score: operation.score, source })
        return Effect.tap(scored, () => Effect.sync(() => this.#stage.witness.score(source)))
      }
    }
  }

  /** The reply says the id of its message: that is how an asker knows it. */
  #hear(reply: string): void {
    this.#stage.witness.replied(reply.slice(0, reply.lastIndexOf("@")), JSON.stringify(reply))
  }

  #call(system: System, cast: Cast, { kind, script, terms, to }: Call): Effect.Effect<unknown, unknown> {
    const { witness } = this.#stage
    const talker = cast.talkRef(to)
    const work = cast.workRef
    const payload = { script }
    if (kind === "stream" && talker !== undefined) {
      const reading: Reading = { messageId: undefined, from: 0, chunks: [], complete: false }
      witness.readings.push(reading)
      const chunks = system.stream(talker, "Talk", payload, terms)
      const read = Stream.runForEach(chunks, (chunk) => Effect.sync(() => witness.readChunk(reading, chunk)))
      return Effect.tap(read, () => Effect.sync(() => witness.readAll(reading)))
    }
    if (kind === "tell") {
      const told =
        talker === undefined
          ? system.tell(work(to), "Work", payload, terms)
          : system.tell(talker, "Talk", payload, terms)
      return Effect.flatMap(told, (id) => {
        witness.accept(id)
        return Effect.tap(system.outcome(id), ({ reply }) =>
          Effect.sync(() => (reply === null ? undefined : witness.replied(id, reply))),
        )
      })
    }
    const asked =
      talker === undefined ? system.ask(work(to), "Work", payload, terms) : system.ask(talker, "Talk", payload, terms)
    return Effect.tap(asked, (reply) => Effect.sync(() => this.#hear(reply)))
  }
}
