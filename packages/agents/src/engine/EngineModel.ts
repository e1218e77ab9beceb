/**
 * The boundary of one model in an engine's process: its requests, and its part in the process's death.
 */
import { Deferred, type Effect, Exit } from "effect"
import { type CrashReason, RetryableModelCrash } from "../ModelTarget.ts"
import type { ChildMessage, HostMessage } from "./protocol.ts"

/** What a model needs of its process. */
export interface ModelHost {
  readonly pid: number
  /** What messages call it, e.g. `process (4711)`. */
  readonly title: string
  /** Different for every request to the same process. */
  readonly nextId: () => number
  readonly send: (model: number, message: HostMessage) => void
  /** To be called before a request is sent. */
  readonly noteRequest: () => void
  /** Ends it, and all its models, at once. */
  readonly kill: (reason: CrashReason, why: string) => void
}

/** Called with each message about one request, and once with the crash if there is one. */
export interface RequestListener {
  readonly onMessage: (message: Exclude<ChildMessage, { _tag: "Loaded" | "Refused" | "Working" }>) => void
  readonly onCrash: (crash: RetryableModelCrash) => void
}

type LoadAnswer = Extract<ChildMessage, { _tag: "Loaded" | "Refused" }>

/** How an engine's process ended; `how` completes "its process (pid) …". */
export interface Death {
  readonly reason: CrashReason
  readonly how: string
  readonly code: number | null
  readonly signal: string | null
  readonly cause: unknown
}

export class EngineModel {
  readonly #process: ModelHost
  readonly #id: number
  readonly #name: string
  readonly #listeners = new Map<number, RequestListener>()
  readonly #died = Deferred.makeUnsafe<never, RetryableModelCrash>()
  readonly #answer = Deferred.makeUnsafe<LoadAnswer, RetryableModelCrash>()
  #crash: RetryableModelCrash | undefined

  constructor(process: ModelHost, id: number, name: string) {
    this.#process = process
    this.#id = id
    this.#name = name
  }

  get pid(): number {
    return this.#process.pid
  }

  /** Fails when the process is gone. */
  get died(): Effect.Effect<never, RetryableModelCrash> {
    return Deferred.await(this.#died)
  }

  /** What it answers to `Load`. */
  get loadAnswer(): Effect.Effect<LoadAnswer, RetryableModelCrash> {
    return Deferred.await(this.#answer)
  }

  get isLoading(): boolean {
    return !Deferred.isDoneUnsafe(this.#answer)
  }

  /** Requests that have not been answered. */
  get openRequests(): number {
    return this.#listeners.size
  }

  /** Different for every request to the same process. */
  nextId(): number {
    return this.#process.nextId()
  }

  send(message: HostMessage): void {
    this.#process.send(this.#id, message)
  }

  /** Sends a request and hears of it until `close`. */
  open(id: number, message: HostMessage, listener: RequestListener): void {
    if (this.#crash !== undefined) {
      listener.onCrash(this.#crash)
      return
    }
    this.#process.noteRequest()
    this.#listeners.set(id, listener)
    this.send(message)
  }

  /** Hears no more of a request; true where it was still open. */
  close(id: number): boolean {
    return this.#listeners.delete(id)
  }

  /** Ends the whole process at once. */
  kill(reason: CrashReason, why: string): void {
    this.#process.kill(reason, why)
  }

  receive(message: ChildMessage): void {
    if (message._tag === "Working") return
    if (message._tag === "Loaded" || message._tag === "Refused") {
      Deferred.doneUnsafe(this.#answer, Exit.succeed(message))
      return
    }
    this.#listeners.get(message.id)?.onMessage(message)
  }

  /** Goes, while its process may stay: for others, or because it is about to be stopped. */
  leave(): void {
    for (const id of this.#listeners.keys()) this.send({ _tag: "Cancel", id })
    this.send({ _tag: "Unload" })
    this.die({ reason: "stopped", how: "was stopped", code: null, signal: null, cause: null })
  }

  die({ cause, code, how, reason, signal }: Death): void {
    if (this.#crash !== undefined) return
    const message = `Model "${this.#name}": its ${this.#process.title} ${how}.`
    const crash = new RetryableModelCrash({ model: this.#name, reason, code, signal, message, cause })
    this.#crash = crash
    Deferred.doneUnsafe(this.#answer, Exit.fail(crash))
    Deferred.doneUnsafe(this.#died, Exit.fail(crash))
    const listeners = [...this.#listeners.values()]
    this.#listeners.clear()
    for (const listener of listeners) listener.onCrash(crash)
  }
}
