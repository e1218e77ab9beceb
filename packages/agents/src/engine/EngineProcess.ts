/**
 * The boundary between this process and a model's: starts it, speaks with it, hears when it dies or goes silent, ends it.
 *
 * It never starts a second one: restarting is the supervisor's decision, which waits on `died`.
 */
import { type ChildProcess, fork } from "node:child_process"
import { Deferred, Effect, Exit, Result, type Scope } from "effect"
import { oneLine } from "../inference/folder/modelFolder.ts"
import { RetryableModelCrash } from "../ModelTarget.ts"
import { type ChildMessage, decodeChildMessage, encodeHostMessage, type HostMessage } from "./protocol.ts"

/** Sources run as they are, an installed package as it was built: the worker lies beside this file either way. */
const WORKER = new URL(`./engineWorker.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url)

/** Of what the child writes to stderr, this much is kept for the message about its death. */
const STDERR_LENGTH_MAX = 2000

/** The line that says what went wrong, else all of it: Node puts its source before it and the stack behind. */
const lastWords = (stderr: string): string =>
  oneLine(stderr.split("\n").find((line) => /^\w*Error: |terminate called|what\(\):|fatal|abort/i.test(line)) ?? stderr)

export interface ProcessOptions {
  readonly model: string
  readonly env: Readonly<Record<string, string>>
  readonly silenceMsMax: number
  readonly stopMsMax: number
}

/** Called with each message about one request, and once with the crash if there is one. */
export interface RequestListener {
  readonly onMessage: (message: Exclude<ChildMessage, { _tag: "Loaded" | "Refused" | "Working" }>) => void
  readonly onCrash: (crash: RetryableModelCrash) => void
}

type LoadAnswer = Extract<ChildMessage, { _tag: "Loaded" | "Refused" }>

export class EngineProcess {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #model: string
  readonly #listeners = new Map<number, RequestListener>()
  readonly #died = Deferred.makeUnsafe<never, RetryableModelCrash>()
  readonly #answer = Deferred.makeUnsafe<LoadAnswer, RetryableModelCrash>()
  #stderr = ""
  #silentChecks = 0
  #lastId = 0
  #crash: RetryableModelCrash | undefined
  /** Why we ended it ourselves, where we did. */
  #ended: string | undefined

  constructor(child: ChildProcess, model: string) {
    this.#child = child
    this.#model = model
    this.pid = child.pid ?? -1
    child.stderr?.on("data", (bytes) => {
      this.#stderr = (this.#stderr + String(bytes)).slice(-STDERR_LENGTH_MAX)
    })
    child.on("message", (raw) => this.#receive(raw))
    child.on("error", (cause) => this.#die(`could not be started or spoken with: ${oneLine(cause)}`, cause))
    child.on("exit", (code, signal) => {
      const how = this.#ended ?? (signal === null ? `ended with code ${code}` : `was killed by ${signal}`)
      const said = lastWords(this.#stderr)
      this.#die(said === "" ? how : `${how}; it said: ${said}`, null)
    })
  }

  /** Fails when the process is gone. */
  get died(): Effect.Effect<never, RetryableModelCrash> {
    return Deferred.await(this.#died)
  }

  /** What it answers to `Load`. */
  get loadAnswer(): Effect.Effect<LoadAnswer, RetryableModelCrash> {
    return Deferred.await(this.#answer)
  }

  /** Requests that have not been answered. */
  get openRequests(): number {
    return this.#listeners.size
  }

  nextId(): number {
    return ++this.#lastId
  }

  send(message: HostMessage): void {
    if (this.#child.connected) this.#child.send(encodeHostMessage(message), () => {})
  }

  /** Sends a request and hears of it until `close`. */
  open(id: number, message: HostMessage, listener: RequestListener): void {
    if (this.#crash !== undefined) {
      listener.onCrash(this.#crash)
      return
    }
    if (this.#listeners.size === 0) this.#silentChecks = 0
    this.#listeners.set(id, listener)
    this.send(message)
  }

  /** Hears no more of a request; true where it was still open. */
  close(id: number): boolean {
    return this.#listeners.delete(id)
  }

  /** To be called at even intervals: how many times in a row it owed an answer and had not said a word in between. */
  checkSilence(): number {
    this.#silentChecks = this.#listeners.size === 0 ? 0 : this.#silentChecks + 1
    return this.#silentChecks
  }

  /** Ends it at once; `reason` completes "its process (pid) …". */
  kill(reason: string): void {
    this.#ended ??= reason
    this.#child.kill("SIGKILL")
  }

  /** Asks it to end, and kills it where it does not within `stopMsMax`. */
  readonly stop = (stopMsMax: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.#ended ??= "was stopped"
      if (this.#crash !== undefined) return Effect.void
      this.send({ _tag: "Stop" })
      return Effect.exit(this.died).pipe(
        Effect.timeoutOrElse({
          duration: stopMsMax,
          orElse: () =>
            Effect.suspend(() => {
              this.#child.kill("SIGKILL")
              return Effect.exit(this.died)
            }),
        }),
      )
    })

  #receive(raw: unknown): void {
    this.#silentChecks = 0
    const decoded = decodeChildMessage(raw)
    if (Result.isFailure(decoded)) {
      this.kill(`was killed because it sent what is no message (${oneLine(decoded.failure)})`)
      return
    }
    const message = decoded.success
    if (message._tag === "Working") return
    if (message._tag === "Loaded" || message._tag === "Refused") {
      Deferred.doneUnsafe(this.#answer, Exit.succeed(message))
      return
    }
    this.#listeners.get(message.id)?.onMessage(message)
  }

  #die(how: string, cause: unknown): void {
    if (this.#crash !== undefined) return
    const message = `Model "${this.#model}": its process (${this.pid}) ${how}.`
    const crash = new RetryableModelCrash({ model: this.#model, message, cause })
    this.#crash = crash
    Deferred.doneUnsafe(this.#answer, Exit.fail(crash))
    Deferred.doneUnsafe(this.#died, Exit.fail(crash))
    const listeners = [...this.#listeners.values()]
    this.#listeners.clear()
    for (const listener of listeners) listener.onCrash(crash)
  }
}

/** How often the silence of a process is checked within what it may last. */
const CHECKS = 4

/**
 * Kills a process that owes an answer and is silent for too long, at most a quarter of that span late. It counts checks
 * and not milliseconds: where this process itself was held up, its timers come before the messages that have piled up,
 * and by the clock a child that did its work would seem to have been silent.
 */
const watch = (process: EngineProcess, silenceMsMax: number): Effect.Effect<never> =>
  Effect.forever(
    Effect.andThen(
      Effect.sleep(silenceMsMax / CHECKS),
      Effect.sync(() => {
        // The first check may come right after the request.
        if (process.checkSilence() <= CHECKS) return
        process.kill(`was killed because it had not answered for ${silenceMsMax} ms (silenceMsMax)`)
      }),
    ),
  )

/** Starts a model's process; it is stopped when the scope closes. */
export const startProcess = (options: ProcessOptions): Effect.Effect<EngineProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const engine = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = fork(WORKER, [], {
          serialization: "advanced",
          // Flags of this process, as a test runner's loaders or a debugger's port, are not for the child.
          execArgv: [],
          env: { ...process.env, ...options.env },
          stdio: ["ignore", "ignore", "pipe", "ipc"],
          // A process group of its own: Ctrl-C reaches the host alone, which may then finish what it has begun.
          detached: process.platform !== "win32",
        })
        return new EngineProcess(child, options.model)
      }),
      (engine) => engine.stop(options.stopMsMax),
    )
    yield* Effect.forkScoped(watch(engine, options.silenceMsMax))
    return engine
  })
