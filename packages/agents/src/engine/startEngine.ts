/**
 * The boundary between what was asked for and a model that is loaded: starts a process, or joins one, and tries the providers
 * in order.
 */
import { availableParallelism } from "node:os"
import { Effect, Exit, Result, Schema, Scope } from "effect"
import { modelFailure, oneLine } from "../inference/folder/modelFolder.ts"
import type { RetryableModelCrash, TargetDescription, TerminalModelFailure } from "../ModelTarget.ts"
import { checkedWeights, rememberChecked } from "./CheckedWeights.ts"
import type { EngineModel } from "./EngineModel.ts"
import {
  DEFAULTS,
  type DecoderOptions,
  type EncoderOptions,
  type EngineOptions,
  findWrongOption,
  type OwnSettings,
  type Provider,
  settingsOf,
} from "./EngineOptions.ts"
import { countProcesses, type EngineProcess, startProcess } from "./EngineProcess.ts"
import { processOptionsOf } from "./ProcessTerms.ts"
import { EngineSettings, type Loaded } from "./protocol.ts"

const decodeSettings = Schema.decodeUnknownEffect(EngineSettings)

export interface Started {
  readonly process: EngineModel
  readonly loaded: Loaded
  readonly provider: string
  readonly tried: TargetDescription["tried"]
}

/** Has a process load the model on one provider. */
const loadIn = (process: EngineProcess, settings: EngineSettings, loadMsMax: number) =>
  Effect.gen(function* () {
    const model = yield* Effect.acquireRelease(
      Effect.sync(() => process.addModel(settings.name)),
      (model) => Effect.sync(() => process.removeModel(model)),
    )
    model.send({ _tag: "Load", settings: { ...settings, ...checkedWeights(settings) } })
    const answer = yield* Effect.timeoutOrElse(model.loadAnswer, {
      duration: loadMsMax,
      orElse: () => {
        model.kill("load", `it had not loaded ${settings.name} after ${loadMsMax} ms (loadMsMax)`)
        return model.loadAnswer
      },
    })
    if (answer._tag === "Refused") return yield* answer.failure
    rememberChecked(settings, answer)
    if (answer.longestStepMs !== undefined) process.expectStep(answer.longestStepMs)
    return { process: model, loaded: answer }
  })

/** As many threads as there are cores for each of this program's engines. */
const coresPerEngine = (): number => Math.max(1, Math.floor(availableParallelism() / countProcesses()))

const loadOn = (settings: EngineSettings, options: EngineOptions) =>
  Effect.gen(function* () {
    const process = yield* options.host === undefined ? startProcess(processOptionsOf(options)) : options.host.process
    // Those that are started together, as the targets of a pool, have all been counted by the next turn.
    yield* Effect.yieldNow
    const { intraOpNumThreads } = settings
    const threads = typeof intraOpNumThreads === "number" ? intraOpNumThreads : { autoUpTo: coresPerEngine() }
    return yield* loadIn(process, { ...settings, intraOpNumThreads: threads }, options.loadMsMax ?? DEFAULTS.loadMsMax)
  })

const partsOf = (provider: Provider): Pick<EngineSettings, "provider" | "providerOptions"> => {
  if (typeof provider === "string") return { provider, providerOptions: {} }
  const { name, ...providerOptions } = provider
  return { provider: name, providerOptions }
}

/**
 * Tries the providers in order, each in a process of its own, because a device that fails may take its process with it.
 * Only a device that is not there, or that kills its process, makes it go on to the next: damaged weights are damaged on
 * every device.
 */
export const startEngine = (
  kind: EngineSettings["kind"],
  options: DecoderOptions & EncoderOptions,
  own: OwnSettings = {},
): Effect.Effect<Started, TerminalModelFailure | RetryableModelCrash, Scope.Scope> =>
  Effect.gen(function* () {
    const { name } = settingsOf(kind, options)
    const wrong = findWrongOption(options)
    if (wrong !== undefined) return yield* modelFailure(name)("request", `an option is not valid: ${wrong}.`)
    const settings = yield* decodeSettings(settingsOf(kind, options, own)).pipe(
      Effect.mapError((error) => modelFailure(name)("request", `an option is not valid: ${oneLine(error)}.`)),
    )
    const scope = yield* Effect.scope
    const tried: Array<{ readonly provider: string; readonly reason: string }> = []
    let last: TerminalModelFailure | RetryableModelCrash | undefined
    for (const one of options.providers ?? ["cpu"]) {
      const { provider, providerOptions } = partsOf(one)
      const attempt = yield* Scope.fork(scope)
      const loading = loadOn({ ...settings, provider, providerOptions }, options).pipe(Scope.provide(attempt))
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

/** What a loaded model is and can do, as far as all kinds have it in common. */
export const describe = (name: string, slots: number, started: Started): TargetDescription => ({
  name,
  weightsHash: started.loaded.weightsHash,
  tokenizerHash: started.loaded.tokenizerHash,
  provider: started.provider,
  tried: started.tried,
  slots,
  capabilities: { seed: true, stop: true, resume: true, tokenIds: true, logprobs: true, format: true },
  ...(started.loaded.contextLength === undefined ? {} : { contextLength: started.loaded.contextLength }),
  ...(started.loaded.path === undefined ? {} : { path: started.loaded.path }),
})
