/**
 * The boundary to onnxruntime-node: opens the weights on one execution provider, and tells a device that is not there
 * from weights that are no good.
 */
import { dirname } from "node:path"
import { Effect } from "effect"
import { InferenceSession } from "onnxruntime-node"
import type { EngineSettings, Threads } from "../../engine/protocol.ts"
import { type ModelFolder, modelFailure, oneLine } from "../folder/modelFolder.ts"
import { decideThreads, weightsBytes } from "./decideThreads.ts"

/** Warnings of onnxruntime are about its own placement of nodes; errors come as exceptions anyway. */
const LOG_SEVERITY_ERROR = 3

/** What onnxruntime says when the bytes are not a model, whatever the provider. */
const DAMAGED = /protobuf parsing failed|invalid[ _]protobuf|not a valid model|ir_version|out of bounds|InvalidGraph/i
/** What it says when weights beside the model file are not there, or are shorter than the model says. */
const EXTERNAL_DATA = /external data|external initializer|model_path must not be empty/i

interface SessionPlan {
  readonly folder: Pick<ModelFolder, "name" | "weightsPath"> & Partial<Pick<ModelFolder, "externalPaths">>
  /** The model's bytes, where they are not those of the file. */
  readonly bytes?: Uint8Array
  readonly provider: string
  /** What else the provider is told, e.g. `deviceId`. */
  readonly providerOptions: EngineSettings["providerOptions"]
  readonly intraOpNumThreads: Threads
  /** Opens sooner and runs slower: no optimisation but what has to be, no weights laid out anew. Default false. */
  readonly brief?: boolean
  /** Outputs that stay where the provider computes them; all others come to the CPU. */
  readonly keepOnDevice: ReadonlyArray<string>
}

const sessionEntries = (plan: SessionPlan): Readonly<Record<string, string>> => ({
  ...(plan.brief ? { disable_prepacking: "1" } : {}),
  // Bytes have no place on disk that files could lie beside.
  ...(plan.bytes !== undefined && (plan.folder.externalPaths ?? []).length > 0
    ? { model_external_initializers_file_folder_path: dirname(plan.folder.weightsPath) }
    : {}),
})

const sessionOptions = (plan: SessionPlan): InferenceSession.SessionOptions => {
  const options: InferenceSession.SessionOptions = {
    executionProviders: [{ ...plan.providerOptions, name: plan.provider }],
    intraOpNumThreads: decideThreads(plan.intraOpNumThreads, weightsBytes(plan.folder.weightsPath)),
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: plan.brief ? "disabled" : "all",
    logSeverityLevel: LOG_SEVERITY_ERROR,
    extra: { session: sessionEntries(plan) },
  }
  if (plan.keepOnDevice.length === 0) return options
  return {
    ...options,
    preferredOutputLocation: Object.fromEntries(plan.keepOnDevice.map((name) => [name, "gpu-buffer" as const])),
  }
}

/**
 * Opens one session. The caller tries the next provider where this fails with reason `device`.
 *
 * @returns fails with reason `damaged` or `incomplete` (the weights), else `device`
 */
export const openSession = (plan: SessionPlan) =>
  Effect.tryPromise({
    try: () =>
      plan.bytes === undefined
        ? InferenceSession.create(plan.folder.weightsPath, sessionOptions(plan))
        : InferenceSession.create(plan.bytes, sessionOptions(plan)),
    catch: (cause) => {
      const fail = modelFailure(plan.folder.name)
      // Where in its sources onnxruntime was is of no use to anybody who reads the message.
      const said = oneLine(cause).replace(/^\/\S*onnxruntime\S* .*? was false\. /, "")
      if (EXTERNAL_DATA.test(said)) {
        return fail("incomplete", `data beside ${plan.folder.weightsPath} is missing or too short: ${said}.`, cause)
      }
      if (DAMAGED.test(said)) {
        return fail("damaged", `${plan.folder.weightsPath} is truncated or damaged; copy it again (${said}).`, cause)
      }
      return fail("device", `execution provider ${plan.provider} cannot run it: ${said}.`, cause)
    },
  })
