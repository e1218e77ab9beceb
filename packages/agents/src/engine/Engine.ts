/**
 * The boundary to inference: a model folder becomes a `ModelTarget` or an `EncoderTarget`, run by onnxruntime in a
 * process of its own.
 *
 * Why a process: onnxruntime's `run()` blocks the thread that calls it, ending a worker thread inside it aborts everything,
 * and its memory grows over reloads. A process can be killed at any moment (24 to 35 ms) and costs some 0.1 ms a message.
 */
import { Effect, Layer, type Scope } from "effect"
import { EncoderTarget } from "../EncoderTarget.ts"
import { ModelTarget, type RetryableModelCrash, type TerminalModelFailure } from "../ModelTarget.ts"
import { type EngineHandle, makeHandle } from "./EngineHandle.ts"
import { makeEngineHost } from "./EngineHost.ts"
import { DEFAULTS, type DecoderOptions, type EncoderOptions, settingsOf } from "./EngineOptions.ts"
import type { Gate } from "./Gate.ts"
import { encoderCalls } from "./requestEncoding.ts"
import { generateWith } from "./requestGeneration.ts"
import { describe, startEngine } from "./startEngine.ts"

export type DecoderHandle = EngineHandle<ModelTarget["Service"]>
export type EncoderHandle = EngineHandle<EncoderTarget["Service"]>

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
    const started = yield* startEngine("decoder", options)
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
    const { dimensionsMax, normalise = true, pooling, textsMax = DEFAULTS.textsMax } = options
    const started = yield* startEngine("encoder", options, {
      vectors: {
        normalise,
        ...(pooling === undefined ? {} : { pooling }),
        ...(dimensionsMax === undefined ? {} : { dimensionsMax }),
      },
    })
    const { batchTextsMax: slots, name } = settingsOf("encoder", options)
    const { loaded, process } = started
    const { dimensions, exclusive, labels } = loaded
    const gate = { process, name, slots, queueMax: options.queueMax ?? DEFAULTS.queueMax, labels, textsMax }
    const target = EncoderTarget.of({
      describe: {
        ...describe(name, slots, started),
        capabilities: { seed: false, stop: false, resume: false, tokenIds: false },
        labels,
        ...(exclusive === undefined ? {} : { exclusive }),
        ...(dimensions === undefined ? {} : { dimensions }),
      },
      ...encoderCalls(gate),
      died: process.died,
    })
    return makeHandle(process, target)
  })

export const Engine = {
  decoder,
  encoder,
  /** A process for several models, each opened with `{ host }`. See `EngineHost`. */
  host: makeEngineHost,
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
