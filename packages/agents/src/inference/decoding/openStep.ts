/**
 * The boundary between the weights of a decoder and the way that its answers share steps: the better way where the graph
 * allows it and was seen to give the same numbers, and taking turns, with the reason, where not. Every graph that can be
 * opened runs.
 */
import { Effect } from "effect"
import type { InferenceSession } from "onnxruntime-node"
import type { EngineSettings } from "../../engine/protocol.ts"
import type { DecodingPath, TerminalModelFailure } from "../../ModelTarget.ts"
import { slidingWindowOf } from "../folder/ModelConfig.ts"
import { modelFailure, oneLine } from "../folder/modelFailure.ts"
import { contextLengthOf, type ModelFolder } from "../folder/modelFolder.ts"
import { type DecoderGraph, readDecoderGraph } from "../graph/DecoderGraph.ts"
import { openSession } from "../graph/openSession.ts"
import { readPatched } from "../graph/readPatched.ts"
import { outputFreshRows, type RewrittenModel } from "../graph/rewriteGraph.ts"
import { BatchDecoder } from "./BatchDecoder.ts"
import { makeConcatDecoder } from "./ConcatDecoder.ts"
import { checkRewrite, PROBE_ROWS, type ProbePlan, type ProbeStages, planRoom, runProbe } from "./checkRewrite.ts"
import type { DecoderStep } from "./DecoderStep.ts"
import { isSeq2Seq, openSeq2Seq } from "./openSeq2Seq.ts"

export interface OpenedStep {
  /** `kv` is absent where a sequence's cache is more than its keys and values, and cannot be kept apart from its step. */
  readonly graph: Pick<DecoderGraph, "vocabSize"> & Partial<Pick<DecoderGraph, "kv">>
  readonly step: DecoderStep
  readonly path: DecodingPath
  /** Where the weights are not in one file: SHA-256 of all, hex. */
  readonly weightsHash?: string
}

interface Refused {
  readonly refused: string
}

/** A model's parts, and how it is to be run. */
interface Opening {
  readonly settings: EngineSettings
  readonly folder: ModelFolder
  readonly graph: DecoderGraph
}

/** Why answers are not to share steps, where that is known without running anything. */
const mayNotShare = ({ folder, graph, settings }: Opening): string | undefined => {
  if (!settings.batching) return "batching is switched off"
  if (settings.provider !== "cpu") return `the execution provider ${settings.provider} keeps the cache on its device`
  if (folder.stepSensitive) return "it quantises activations as it runs, so company would change an answer"
  const has = (role: string) => graph.inputs.some((input) => input.role === role)
  if (!has("attention_mask") && !has("seqlens_k")) {
    return "its graph has no input attention_mask, so only rows of equal length could share a step"
  }
  if (settings.checkRewrite || graph.append === "at-length" || has("position_ids")) return undefined
  return "its graph has no input position_ids, and checkRewrite is off, so nobody knows what it counts positions by"
}

/** Operators whose numbers are coarser than 32-bit floats. */
const COARSE = ["MatMulNBits", "MatMulBnb4", "MatMulInteger", "QLinearMatMul", "QuantizeLinear"]

const planProbe = ({ folder, graph }: Opening): ProbePlan | Refused => {
  // Who is told each row's length counts no holes.
  const window = graph.append === "behind" ? slidingWindowOf(folder.config) : undefined
  const room = planRoom(graph.kv, contextLengthOf(folder), window)
  if (typeof room === "string") return { refused: room }
  const halves = folder.graph.inputs.some(({ elementType }) => elementType === 10)
  const coarse = halves || COARSE.some((operator) => folder.graph.operators.has(operator))
  return { vocabSize: graph.vocabSize ?? folder.config.vocab_size ?? 16, roomTokens: room, coarse }
}

/** Runs the probe on the graph as it is, in a session that is closed again: two at once would take the memory of two. */
const takeReference = Effect.fnUntraced(function* (opening: Opening, plan: ProbePlan) {
  const { folder, graph, settings } = opening
  const session = yield* openSession({ ...settings, folder, keepOnDevice: [], brief: !plan.coarse })
  const stages = yield* Effect.tryPromise({
    try: () => runProbe(makeConcatDecoder(session, graph), plan),
    catch: (cause) =>
      modelFailure(folder.name)("unsupported", `its graph cannot be run as it is written: ${oneLine(cause)}.`, cause),
  })
  yield* Effect.promise(() => session.release())
  return stages
})

/** What is wrong with a rewritten graph; undefined where nothing is. */
const findWrong = (
  session: InferenceSession,
  model: RewrittenModel,
  expected: ProbeStages,
  plan: ProbePlan,
): Effect.Effect<string | undefined> => {
  const step = new BatchDecoder({ session, ...model, rowsMax: PROBE_ROWS })
  return Effect.promise(() =>
    checkRewrite(expected, step, model.graph.kv, plan).catch(
      (cause: unknown) => `its rewritten graph cannot be run (${oneLine(cause)})`,
    ),
  )
}

const because = (model: RewrittenModel, checked: boolean): string => {
  const how = {
    "at-length": "its graph appends each row at its own length",
    behind: "its graph is told where the holes of shorter rows are",
  }[model.graph.append]
  return `${how}, and gives only the new rows of its cache${checked ? ", as was checked" : ""}`
}

/** Answers that share steps, where the graph is seen to allow it. */
const openInBatches = Effect.fnUntraced(function* (
  opening: Opening,
): Effect.fn.Return<OpenedStep | Refused, TerminalModelFailure> {
  const { folder, settings } = opening
  const { checkedWeights, checkRewrite, slots: rowsMax } = settings
  const plan = planProbe(opening)
  if ("refused" in plan) return plan
  const model = outputFreshRows(folder.graph, opening.graph)
  if ("refused" in model) return model
  const check = checkRewrite && checkedWeights !== folder.weightsHash
  const expected = check ? yield* takeReference(opening, plan) : undefined
  const bytes = readPatched(folder.weightsPath, model.pieces)
  const opened = yield* Effect.result(openSession({ ...settings, folder, bytes, keepOnDevice: [] }))
  // The graph may still be opened as it is; if not, that failure is the true one.
  if (opened._tag === "Failure") return { refused: "its graph cannot be opened once rewritten" }
  const session = opened.success
  const wrong = expected === undefined ? undefined : yield* findWrong(session, model, expected, plan)
  if (wrong !== undefined) {
    yield* Effect.promise(() => session.release())
    return { refused: wrong }
  }
  const step = new BatchDecoder({ session, ...model, rowsMax })
  return { graph: model.graph, step, path: { kind: "batched", reason: because(model, checkRewrite) } }
})

/** Answers in turns: what every graph allows. */
const openInTurns = Effect.fnUntraced(function* ({ folder, graph, settings }: Opening) {
  // The cache never has to leave the device: it is fed back as it is.
  const keepOnDevice = settings.provider === "webgpu" ? graph.kv.map(({ present }) => present) : []
  const session = yield* openSession({ ...settings, folder, keepOnDevice })
  return { graph, step: makeConcatDecoder(session, graph) }
})

/**
 * Opens the weights in the better way, where they allow it.
 *
 * @returns fails as `readDecoderGraph`, `openSeq2Seq` and `openSession` do
 */
export const openStep = Effect.fnUntraced(function* (
  settings: EngineSettings,
  folder: ModelFolder,
): Effect.fn.Return<OpenedStep, TerminalModelFailure> {
  if (isSeq2Seq(folder)) return yield* openSeq2Seq(settings, folder)
  const opening: Opening = { settings, folder, graph: yield* Effect.fromResult(readDecoderGraph(folder)) }
  const known = mayNotShare(opening)
  const batched = known === undefined ? yield* openInBatches(opening) : { refused: known }
  if ("step" in batched) return batched
  return { ...(yield* openInTurns(opening)), path: { kind: "turns", reason: batched.refused } }
})
