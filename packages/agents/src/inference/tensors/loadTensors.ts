/**
 * The boundary between one ONNX file and a model that takes named tensors. Runs in the model's process.
 */
import { existsSync, statSync } from "node:fs"
import { basename, dirname } from "node:path"
import { Effect, Result } from "effect"
import type { InferenceSession } from "onnxruntime-node"
import type { EngineSettings, Loaded } from "../../engine/protocol.ts"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import type { TensorSpec } from "../../TensorValue.ts"
import type { LoadedEngine, WorkerContext } from "../decoding/loadDecoder.ts"
import { modelFailure } from "../folder/modelFailure.ts"
import { dtypeOfGraph, readWeights } from "../folder/weightFiles.ts"
import { openSession } from "../graph/openSession.ts"
import { whyNoBatches } from "./joinTensors.ts"
import { TensorBatcher } from "./TensorBatcher.ts"

const readSpecs = (
  metadata: ReadonlyArray<InferenceSession.ValueMetadata>,
  fail: ReturnType<typeof modelFailure>,
): Result.Result<ReadonlyArray<TensorSpec>, TerminalModelFailure> => {
  const strange = metadata.find((value) => !value.isTensor)
  if (strange !== undefined) {
    return Result.fail(
      fail("unsupported", `"${strange.name}" is a sequence or a map; only tensors can be given or taken.`),
    )
  }
  return Result.succeed(
    metadata.flatMap((value) =>
      value.isTensor ? [{ name: value.name, type: value.type, dims: [...value.shape] }] : [],
    ),
  )
}

/**
 * Opens an ONNX file.
 *
 * @returns what to tell the host about it, and its batcher; fails with reason `missing` (no such file), `damaged`,
 * `incomplete`, `device` or `unsupported` (it takes what is no tensor, or batches are asked for and it has none)
 */
export const loadTensors = Effect.fnUntraced(function* (
  settings: EngineSettings,
  world: WorkerContext,
): Effect.fn.Return<LoadedEngine, TerminalModelFailure> {
  const { folder: weightsPath, intraOpNumThreads, name, provider, providerOptions, tensors } = settings
  const fail = modelFailure(name)
  const { batchMax, bytesMax, nanAllowed } = tensors ?? { batchMax: 1, bytesMax: 0, nanAllowed: false }
  if (!existsSync(weightsPath) || !statSync(weightsPath).isFile()) {
    return yield* fail("missing", `there is no file ${weightsPath}; set \`file\` to where the ONNX file is.`)
  }
  const weights = yield* readWeights(dirname(weightsPath), basename(weightsPath), fail)
  const session = yield* openSession({
    ...{ folder: { name, weightsPath }, provider, providerOptions, intraOpNumThreads },
    keepOnDevice: [],
  })
  const inputs = yield* Effect.fromResult(readSpecs(session.inputMetadata, fail))
  const outputs = yield* Effect.fromResult(readSpecs(session.outputMetadata, fail))
  const noBatches = batchMax > 1 ? whyNoBatches(inputs, outputs) : undefined
  if (noBatches !== undefined)
    return yield* fail("unsupported", `${noBatches}, so requests cannot share runs; set batchMax to 1.`)
  const batcher = new TensorBatcher({ ...world, model: name, session, batchMax, bytesMax, nanAllowed })
  const loaded: Loaded = {
    _tag: "Loaded",
    dtype: dtypeOfGraph(weights.graph),
    weightsHash: weights.hash,
    tokenizerHash: "",
    labels: [],
    inputs,
    outputs,
  }
  return {
    loaded,
    run: (request) => batcher.submit(request),
    cancel: (id) => batcher.cancel(id),
    setStepDelayMs: (delayMs) => batcher.delay.setDelayMs(delayMs),
    counters: () => ({ ...batcher.counters(), cachedConversations: 0, cachedBytes: 0 }),
  }
})
