/**
 * The boundary between this process and an engine's, which holds one model or several: hears when it dies or goes silent,
 * says why, and ends it.
 *
 * It never starts a second one: restarting is the supervisor's decision, which waits on `EngineModel.died`.
 */
import { Deferred, Effect, Exit, Result, type Scope } from "effect"
import { oneLine } from "../inference/folder/modelFolder.ts"
import type { CrashReason } from "../ModelTarget.ts"
import { type EngineChannel, forkChannel, threadChannel } from "./EngineChannel.ts"
import { type Death, EngineModel, type ModelHost } from "./EngineModel.ts"
import { decodeChildFrame, encodeHostFrame, type HostMessage } from "./protocol.ts"
import { StepWatch } from "./StepWatch.ts"

/**
 * Of what the child writes to stderr, this much is kept for what is said about its death. Node says the cause first and then
 * a stack for each of its threads, some 3 KB each: with 2,000 characters two of three deaths for want of memory lost it.
 */
const STDERR_LENGTH_MAX = 65_536
/** Where no line of it tells the cause, so much of its end is quoted. */
const QUOTED_LENGTH_MAX = 2_000

/** The line that says what went wrong, else all of it: Node puts its source before it and the stack behind. */
const lastWords = (stderr: string): string =>
  oneLine(
    stderr.split("\n").find((line) => /^\w*Error\b.*: |terminate called|what\(\):|fatal|abort/i.test(line)) ??
      stderr.slice(-QUOTED_LENGTH_MAX),
  )

/** What V8, the C++ library, onnxruntime and the kernel say when there is no memory left. */
const OUT_OF_MEMORY = /out of memory|allocation failed|bad_alloc|failed to allocate|cannot allocate memory|ENOMEM/i

export interface ProcessOptions {
  readonly isolation: "process" | "thread"
  readonly env: Readonly<Record<string, string>>
  readonly heapBytesMax: number | undefined
  readonly silenceMsMin: number
  readonly silenceMsMax: number
  readonly stopMsMax: number
}

export class EngineProcess implements ModelHost {
  readonly #channel: EngineChannel
  readonly #models = new Map<number, EngineModel>()
  readonly #gone = Deferred.makeUnsafe<void>()
  readonly #watch: StepWatch
  #stderr = ""
  #silentMs = 0
  #heardAtMs = 0
  #lastId = 0
  #death: Death | undefined
  /** Why we ended it ourselves, where we did. */
  #ended: Pick<Death, "reason" | "how"> | undefined

  constructor(options: ProcessOptions) {
    this.#watch = new StepWatch({ boundMsMin: options.silenceMsMin, boundMsMax: options.silenceMsMax })
    const open = options.isolation === "thread" ? threadChannel : forkChannel
    this.#channel = open(options, {
      onMessage: (raw) => this.#receive(raw),
      onError: (cause) => {
        const how = `could not be started or spoken with: ${oneLine(cause)}`
        this.#die({ reason: "unreachable", how, code: null, signal: null, cause })
      },
      onSaid: (text) => {
        this.#stderr = (this.#stderr + text).slice(-STDERR_LENGTH_MAX)
      },
      onEnd: (code, signal) => this.#end(code, signal),
    })
  }

  get pid(): number {
    return this.#channel.pid
  }

  get title(): string {
    return this.#channel.title
  }

  get isGone(): boolean {
    return this.#death !== undefined
  }

  /** Succeeds when the process is gone. */
  get gone(): Effect.Effect<void> {
    return Deferred.await(this.#gone)
  }

  nextId(): number {
    return ++this.#lastId
  }

  /** A model that is yet to be loaded. */
  addModel(name: string): EngineModel {
    const id = this.nextId()
    const model = new EngineModel(this, id, name)
    if (this.#death === undefined) this.#models.set(id, model)
    else model.die(this.#death)
    return model
  }

  /** Has the process forget a model; what it is asked still fails as if the process had been stopped. */
  removeModel(model: EngineModel): void {
    model.leave()
    for (const [id, other] of this.#models) if (other === model) this.#models.delete(id)
  }

  send(model: number, message: HostMessage): void {
    if (this.#death === undefined) this.#channel.send(encodeHostFrame({ model, message }))
  }

  /** To be called before a request is sent. */
  noteRequest(): void {
    if (this.#owes) return
    this.#silentMs = 0
    this.#heardAtMs = performance.now()
  }

  /** A step may take this long; see `StepWatch`. */
  expectStep(stepMs: number): void {
    this.#watch.expect(stepMs)
  }

  /** How long it may be silent while it owes an answer. */
  get silenceMsBound(): number {
    return this.#watch.boundMs
  }

  /**
   * To be called after each `passedMs` of waiting: how much of it came after the last word of a process that owes an answer.
   * Loading a model holds up those that are there, for as long as `loadMsMax` allows, and is no silence.
   */
  checkSilence(passedMs: number): number {
    const isLoading = [...this.#models.values()].some((model) => model.isLoading)
    this.#silentMs = this.#owes && !isLoading ? this.#silentMs + passedMs : 0
    return this.#silentMs
  }

  /** Ends it at once; `why` completes "its process (pid) was killed because …". */
  kill(reason: CrashReason, why: string): void {
    this.#ended ??= { reason, how: `${this.#channel.killed} because ${why}` }
    this.#channel.kill()
  }

  /** Asks it to end, and kills it where it does not within `stopMsMax`. */
  readonly stop = (stopMsMax: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.#ended ??= { reason: "stopped", how: "was stopped" }
      if (this.#death !== undefined) return Effect.void
      this.send(0, { _tag: "Stop" })
      return this.gone.pipe(
        Effect.timeoutOrElse({
          duration: stopMsMax,
          orElse: () =>
            Effect.suspend(() => {
              this.#channel.kill()
              return this.gone
            }),
        }),
      )
    })

  get #owes(): boolean {
    for (const model of this.#models.values()) if (model.openRequests > 0) return true
    return false
  }

  #receive(raw: unknown): void {
    const atMs = performance.now()
    if (this.#owes) this.#watch.note(atMs - this.#heardAtMs)
    this.#silentMs = 0
    this.#heardAtMs = atMs
    const decoded = decodeChildFrame(raw)
    if (Result.isFailure(decoded)) {
      this.kill("unreachable", `it sent what is no message (${oneLine(decoded.failure)})`)
      return
    }
    this.#models.get(decoded.success.model)?.receive(decoded.success.message)
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    const said = lastWords(this.#stderr)
    const withWords = (how: string) => (said === "" ? how : `${how}; it said: ${said}`)
    const ending = { code, signal, cause: null }
    if (this.#ended !== undefined) this.#die({ ...this.#ended, ...ending, how: withWords(this.#ended.how) })
    else if (OUT_OF_MEMORY.test(this.#stderr)) {
      this.#die({ ...ending, reason: "memory", how: withWords("ran out of memory") })
    } else {
      const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}`
      const reason = signal === "SIGKILL" ? "killed" : signal === null ? "ended" : "aborted"
      this.#die({ ...ending, reason, how: withWords(how) })
    }
  }

  #die(death: Death): void {
    if (this.#death !== undefined) return
    this.#death = death
    const models = [...this.#models.values()]
    this.#models.clear()
    for (const model of models) model.die(death)
    Deferred.doneUnsafe(this.#gone, Exit.void)
  }
}

/** How often the silence of a process is checked within what it may last. */
const CHECKS = 4

/**
 * Kills a process that owes an answer and is silent for too long, at most a quarter of that span late. It counts the time
 * that it has waited itself, and reads no clock: where this process was held up, its timers come before the messages that
 * have piled up, and by the clock a child that did its work would seem to have been silent.
 */
const watchSilence = (engine: EngineProcess): Effect.Effect<never> =>
  Effect.forever(
    Effect.suspend(() => {
      const boundMs = engine.silenceMsBound
      const passedMs = boundMs / CHECKS
      return Effect.andThen(
        Effect.sleep(passedMs),
        Effect.sync(() => {
          // The first check may come right after the request.
          if (engine.checkSilence(passedMs) <= boundMs) return
          engine.kill("hang", `it had not answered for ${Math.round(boundMs)} ms (silenceMsMax)`)
        }),
      )
    }),
  )

/** Processes of this program that run engines: what its threads have to share the cores with. */
let running = 0
export const countProcesses = (): number => running

/** Starts an engine's process, without a model; it is stopped when the scope closes. */
export const startProcess = (options: ProcessOptions): Effect.Effect<EngineProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const engine = yield* Effect.acquireRelease(
      Effect.sync(() => {
        running++
        return new EngineProcess(options)
      }),
      (engine) =>
        Effect.ensuring(
          engine.stop(options.stopMsMax),
          Effect.sync(() => running--),
        ),
    )
    yield* Effect.forkScoped(watchSilence(engine))
    return engine
  })
