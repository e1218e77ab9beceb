/**
 * The boundary to inference: a model folder becomes a `ModelTarget` or an `EncoderTarget`, run by onnxruntime in a
 * process of its own.
 *
 * Why a process: onnxruntime's `run()` blocks the thread that calls it, ending a worker thread inside it aborts everything,
 * and its memory grows over reloads. A process can be killed at any moment (24 to 35 ms) and costs some 0.1 ms a message.
 */
import { totalmem } from "node:os"
import { basename, resolve } from "node:path"
import { Cause, Deferred, Effect, Exit, Layer, Queue, Result, Schema, Scope, Stream } from "effect"
import { type EncodeFailure, EncoderTarget } from "../EncoderTarget.ts"
import { type Dtype, modelFailure, oneLine } from "../inference/folder/modelFolder.ts"
import {
  type GenerateFailure,
  type GenerateRequest,
  type GenerationEvent,
  ModelTarget,
  RetryableModelBusy,
  type RetryableModelCrash,
  type TargetDescription,
  type TerminalModelFailure,
} from "../ModelTarget.ts"
import { type EngineProcess, type RequestListener, startProcess } from "./EngineProcess.ts"
import { Encode, type Encoded, type EngineCounters, EngineSettings, Generate, type Loaded } from "./protocol.ts"

export interface EngineOptions {
  /** The model folder, in the layout of transformers.js. */
  readonly folder: string
  /** What it is called in messages and descriptions. Default: the folder's name. */
  readonly name?: string
  /** Which weights to take. Default `auto`: the most faithful ones that are there (fp32, fp16, int8, q4). */
  readonly dtype?: Dtype
  /**
   * Execution providers, tried in order; why one was not taken is in `describe.tried`. Default `["cpu"]`. `webgpu` is
   * built in on Linux, Windows and macOS, `dml` on Windows, `coreml` on macOS; `cuda` needs libraries of its own.
   */
  readonly providers?: ReadonlyArray<string>
  /**
   * Threads inside one step. Default 1: models of a few million parameters get slower with more on a machine that does
   * other things too; raise it (to at most the number of cores) for larger ones, 27M gain 1.6 times from the second.
   */
  readonly intraOpNumThreads?: number
  /** Environment variables of the model's process, on top of this one's. */
  readonly env?: Readonly<Record<string, string>>
  /** Requests that may wait for a slot; past it a request fails with `RetryableModelBusy`. Default 64. */
  readonly queueMax?: number
  /**
   * A process that owes an answer and says nothing for this long is killed. Default 30,000 ms; it must be longer than the
   * longest step, and raising it makes a hang be noticed later.
   */
  readonly silenceMsMax?: number
  /** Loading that takes longer than this fails. Default 120,000 ms. */
  readonly loadMsMax?: number
  /** How long a process that was asked to end may take before it is killed. Default 2,000 ms: one long step. */
  readonly stopMsMax?: number
}

export interface DecoderOptions extends EngineOptions {
  /** Answers made at once. Default 8, 1 to 256: more of them get through in all, each more slowly, with a cache each. */
  readonly slots?: number
  /**
   * Whether answers share steps. Default true, where the graph allows it: a float cache appended with Concat, inputs
   * attention_mask and position_ids, on the CPU, and no activations quantised as it runs. Sums are rounded differently
   * in larger batches, so where two tokens are equally likely to six digits, company can decide; false rules that out.
   */
  readonly batching?: boolean
  /** Tokens of a prompt that one step reads. Default 128, 1 to 4096: a cancel waits no longer than such a step. */
  readonly prefillChunkTokens?: number
  /**
   * Conversations of which what was read is kept between requests, the last used. Default 16, to 100,000; 0 keeps nothing.
   * What they begin with alike is kept once, and serves new ones too.
   */
  readonly cachedConversationsMax?: number
  /** Bytes that kept contexts may take together. Default 256 MiB; at most what running ones leave of `contextBytesMax`. */
  readonly cachedBytesMax?: number
  /**
   * Bytes that all contexts of the model may take: those of running answers, at the length that each may grow to, and kept
   * ones. Default a quarter of the memory that this process may use (its container's limit, else the machine's). A request
   * that needs more is refused with the numbers; one that needs more than is free waits. Weights are not counted.
   */
  readonly contextBytesMax?: number
}

export interface EncoderOptions extends EngineOptions {
  /** Texts that one step takes. Default 8, 1 to 256: batching gains 1.1 to 1.3 times on short texts, and nothing beyond. */
  readonly batchTextsMax?: number
}

/** A model in its process. */
export interface EngineHandle<Target> {
  readonly target: Target
  /** The process that runs it. */
  readonly pid: number
  /** What it has done and holds, as it says itself. */
  readonly counters: Effect.Effect<EngineCounters, RetryableModelCrash>
  /** Fault injection for tests and demos: it waits this long before each step. 0 ends it. */
  readonly setStepDelayMs: (delayMs: number) => Effect.Effect<void>
}

export type DecoderHandle = EngineHandle<ModelTarget["Service"]>
export type EncoderHandle = EngineHandle<EncoderTarget["Service"]>

const DEFAULTS = {
  intraOpNumThreads: 1,
  queueMax: 64,
  silenceMsMax: 30_000,
  loadMsMax: 120_000,
  stopMsMax: 2_000,
  slots: 8,
  batching: true,
  prefillChunkTokens: 128,
  cachedConversationsMax: 16,
  cachedBytesMax: 256 * 1024 * 1024,
  batchTextsMax: 8,
} as const

/** Bytes that this process may use: its container's limit where it has one, which the kernel tells as a very great one. */
const usableBytes = (): number => {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

export const settingsOf = (kind: EngineSettings["kind"], options: DecoderOptions & EncoderOptions): EngineSettings => ({
  kind,
  name: options.name ?? basename(resolve(options.folder)),
  folder: resolve(options.folder),
  dtype: options.dtype ?? "auto",
  provider: "cpu",
  intraOpNumThreads: options.intraOpNumThreads ?? DEFAULTS.intraOpNumThreads,
  slots: options.slots ?? DEFAULTS.slots,
  batching: options.batching ?? DEFAULTS.batching,
  prefillChunkTokens: options.prefillChunkTokens ?? DEFAULTS.prefillChunkTokens,
  cachedConversationsMax: options.cachedConversationsMax ?? DEFAULTS.cachedConversationsMax,
  cachedBytesMax: options.cachedBytesMax ?? DEFAULTS.cachedBytesMax,
  contextBytesMax: options.contextBytesMax ?? Math.floor(usableBytes() / 4),
  batchTextsMax: options.batchTextsMax ?? DEFAULTS.batchTextsMax,
})

const decodeSettings = Schema.decodeUnknownEffect(EngineSettings)

interface Started {
  readonly process: EngineProcess
  readonly loaded: Loaded
  readonly provider: string
  readonly tried: TargetDescription["tried"]
}

/** Starts a process and has it load the model on one provider. */
const loadOn = (settings: EngineSettings, options: EngineOptions) =>
  Effect.gen(function* () {
    const loadMsMax = options.loadMsMax ?? DEFAULTS.loadMsMax
    const process = yield* startProcess({
      model: settings.name,
      env: options.env ?? {},
      silenceMsMax: options.silenceMsMax ?? DEFAULTS.silenceMsMax,
      stopMsMax: options.stopMsMax ?? DEFAULTS.stopMsMax,
    })
    process.send({ _tag: "Load", settings })
    const answer = yield* Effect.timeoutOrElse(process.loadAnswer, {
      duration: loadMsMax,
      orElse: () => {
        process.kill(`was killed because it had not loaded after ${loadMsMax} ms (loadMsMax)`)
        return process.loadAnswer
      },
    })
    if (answer._tag === "Refused") return yield* answer.failure
    return { process, loaded: answer }
  })

/**
 * Tries the providers in order, each in a process of its own, because a device that fails may take its process with it.
 * Only a device that is not there, or that kills its process, makes it go on to the next: damaged weights are damaged on
 * every device.
 */
const start = (
  kind: EngineSettings["kind"],
  options: DecoderOptions & EncoderOptions,
): Effect.Effect<Started, TerminalModelFailure | RetryableModelCrash, Scope.Scope> =>
  Effect.gen(function* () {
    const settings = yield* decodeSettings(settingsOf(kind, options)).pipe(
      Effect.mapError((error) =>
        modelFailure(String(options.name))("request", `an option is not valid: ${oneLine(error)}.`),
      ),
    )
    const scope = yield* Effect.scope
    const tried: Array<{ readonly provider: string; readonly reason: string }> = []
    let last: TerminalModelFailure | RetryableModelCrash | undefined
    for (const provider of options.providers ?? ["cpu"]) {
      const attempt = yield* Scope.fork(scope)
      const loading = loadOn({ ...settings, provider }, options).pipe(Scope.provide(attempt))
      const result = yield* Effect.result(loading)
      if (Result.isSuccess(result)) return { ...result.success, provider, tried }
      yield* Scope.close(attempt, Exit.void)
      last = result.failure
      if (last._tag === "TerminalModelFailure" && last.reason !== "device") return yield* last
      // The sentence that quotes it names the model itself.
      tried.push({ provider, reason: last.message.replace(`Model "${settings.name}": `, "") })
    }
    if (last?._tag === "RetryableModelCrash") return yield* last
    const reasons = tried.map((attempt) => attempt.reason).join(" ")
    const found = tried.length === 0 ? "`providers` is empty." : `no provider that was asked for can run it. ${reasons}`
    return yield* modelFailure(settings.name)("device", found, last?.cause ?? null)
  })

const describe = (name: string, slots: number, started: Started): TargetDescription => ({
  name,
  weightsHash: started.loaded.weightsHash,
  tokenizerHash: started.loaded.tokenizerHash,
  provider: started.provider,
  tried: started.tried,
  slots,
  capabilities: { seed: true, stop: true, resume: true, tokenIds: true },
  ...(started.loaded.contextLength === undefined ? {} : { contextLength: started.loaded.contextLength }),
  ...(started.loaded.path === undefined ? {} : { path: started.loaded.path }),
})

/** Refuses what would have to wait longer than the queue allows. */
const admit = ({ name, process, queueMax, slots }: Gate) =>
  Effect.suspend(() => {
    const open = process.openRequests
    if (open < slots + queueMax) return Effect.void
    const message =
      `Model "${name}": ${slots} requests run and ${open - slots} wait, and queueMax is ${queueMax}; ` +
      `try again later, or raise it.`
    return Effect.fail(new RetryableModelBusy({ model: name, message }))
  })

const decodeGenerate = Schema.decodeUnknownEffect(Generate)
const decodeEncode = Schema.decodeUnknownEffect(Encode)

const invalid = (name: string) => (error: Schema.SchemaError) =>
  modelFailure(name)("request", `the request is not valid: ${oneLine(error)}.`)

interface Gate {
  readonly process: EngineProcess
  readonly name: string
  readonly slots: number
  readonly queueMax: number
}

/** Sends a request; when the scope closes before it is answered, it is cancelled. */
const openRequest = (process: EngineProcess, message: Generate | Encode, listener: RequestListener) =>
  Effect.acquireRelease(
    Effect.sync(() => process.open(message.id, message, listener)),
    () =>
      Effect.sync(() => {
        if (process.close(message.id)) process.send({ _tag: "Cancel", id: message.id })
      }),
  )

const generateWith =
  (gate: Gate) =>
  (request: GenerateRequest): Stream.Stream<GenerationEvent, GenerateFailure> =>
    // The queue holds at most one answer, which maxTokens bounds: a slow reader gets its own buffer, not a model's slot.
    Stream.callback<GenerationEvent, GenerateFailure>((queue) =>
      Effect.gen(function* () {
        yield* admit(gate)
        const { cacheKey, deadlineAtMs, overflow = "refuse", prompt, resumeTokenIds = [], sampling } = request
        const id = gate.process.nextId()
        const message = yield* decodeGenerate({
          ...{ _tag: "Generate", id, prompt, sampling, overflow, resumeTokenIds },
          ...(cacheKey === undefined ? {} : { cacheKey }),
          ...(deadlineAtMs === undefined ? {} : { deadlineAtMs }),
        }).pipe(Effect.mapError(invalid(gate.name)))
        yield* openRequest(gate.process, message, {
          onMessage: (answer) => {
            if (answer._tag === "Tokens") {
              Queue.offerUnsafe(queue, { _tag: "Tokens", tokenIds: answer.tokenIds, text: answer.text })
              return
            }
            gate.process.close(id)
            if (answer._tag === "Failed") Queue.failCauseUnsafe(queue, Cause.fail(answer.failure))
            if (answer._tag !== "Finished") return
            const { cut, reason, timing, usage } = answer
            Queue.offerUnsafe(queue, { _tag: "Finished", reason, usage, timing, ...(cut === undefined ? {} : { cut }) })
            Queue.endUnsafe(queue)
          },
          onCrash: (crash) => {
            Queue.failCauseUnsafe(queue, Cause.fail(crash))
          },
        })
      }),
    )

const encodeWith = (gate: Gate) => (want: Encode["want"], texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* admit(gate)
    const id = gate.process.nextId()
    const message = yield* decodeEncode({ _tag: "Encode", id, want, texts }).pipe(Effect.mapError(invalid(gate.name)))
    const answer = Deferred.makeUnsafe<Encoded, EncodeFailure>()
    yield* openRequest(gate.process, message, {
      onMessage: (reply) => {
        gate.process.close(id)
        if (reply._tag === "Encoded") Deferred.doneUnsafe(answer, Exit.succeed(reply))
        // An encoder cuts what is too long; the decoder's failure is in the union of the protocol only.
        else if (reply._tag === "Failed" && reply.failure._tag !== "TerminalPromptTooLong") {
          Deferred.doneUnsafe(answer, Exit.fail(reply.failure))
        }
      },
      onCrash: (crash) => {
        Deferred.doneUnsafe(answer, Exit.fail(crash))
      },
    })
    return yield* Deferred.await(answer)
  }).pipe(Effect.scoped)

const askCounters = (process: EngineProcess): Effect.Effect<EngineCounters, RetryableModelCrash> =>
  Effect.callback((resume) => {
    const id = process.nextId()
    process.open(
      id,
      { _tag: "AskCounters", id },
      {
        onMessage: (reply) => {
          process.close(id)
          if (reply._tag === "Counters") resume(Effect.succeed(reply.counters))
        },
        onCrash: (crash) => resume(Effect.fail(crash)),
      },
    )
    return Effect.sync(() => process.close(id))
  })

const makeHandle = <Target>(process: EngineProcess, target: Target): EngineHandle<Target> => ({
  target,
  pid: process.pid,
  counters: askCounters(process),
  setStepDelayMs: (delayMs) => Effect.sync(() => process.send({ _tag: "SetStepDelay", delayMs })),
})

/**
 * Loads a decoder; it is stopped when the scope closes.
 *
 * Fails with `TerminalModelFailure` (the folder is missing, incomplete, damaged, not supported, its tokenizer is another
 * model's, or no provider can run it) or `RetryableModelCrash` (the process died while it loaded, or took too long).
 */
const decoder = (
  options: DecoderOptions,
): Effect.Effect<DecoderHandle, TerminalModelFailure | RetryableModelCrash, Scope.Scope> =>
  Effect.gen(function* () {
    const started = yield* start("decoder", options)
    const { name, slots } = settingsOf("decoder", options)
    const { process } = started
    const gate: Gate = { process, name, slots, queueMax: options.queueMax ?? DEFAULTS.queueMax }
    const target = ModelTarget.of({
      describe: describe(name, slots, started),
      generate: generateWith(gate),
      died: process.died,
    })
    return makeHandle(process, target)
  })

/** Loads an encoder; it is stopped when the scope closes. Fails as `decoder` does. */
const encoder = (
  options: EncoderOptions,
): Effect.Effect<EncoderHandle, TerminalModelFailure | RetryableModelCrash, Scope.Scope> =>
  Effect.gen(function* () {
    const started = yield* start("encoder", options)
    const { batchTextsMax: slots, name } = settingsOf("encoder", options)
    const { loaded, process } = started
    const encode = encodeWith({ process, name, slots, queueMax: options.queueMax ?? DEFAULTS.queueMax })
    const target = EncoderTarget.of({
      describe: {
        ...describe(name, slots, started),
        capabilities: { seed: false, stop: false, resume: false, tokenIds: false },
        labels: loaded.labels,
        ...(loaded.dimensions === undefined ? {} : { dimensions: loaded.dimensions }),
      },
      classify: (texts) => Effect.map(encode("classes", texts), ({ classes }) => classes),
      embed: (texts) => Effect.map(encode("vectors", texts), ({ vectors }) => vectors),
      died: process.died,
    })
    return makeHandle(process, target)
  })

export const Engine = {
  decoder,
  encoder,
  /** `decoder` as a layer. */
  decoderLayer: (options: DecoderOptions): Layer.Layer<ModelTarget, TerminalModelFailure | RetryableModelCrash> =>
    Layer.effect(
      ModelTarget,
      Effect.map(decoder(options), ({ target }) => target),
    ),
  /** `encoder` as a layer. */
  encoderLayer: (options: EncoderOptions): Layer.Layer<EncoderTarget, TerminalModelFailure | RetryableModelCrash> =>
    Layer.effect(
      EncoderTarget,
      Effect.map(encoder(options), ({ target }) => target),
    ),
} as const
