/**
 * The boundary between a model folder and an encoder that takes texts. Runs in the model's process.
 */
import { Effect, Result } from "effect"
import type { Encode, EngineSettings, Loaded } from "../../engine/protocol.ts"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import type { LoadedEngine, WorkerContext } from "../decoding/loadDecoder.ts"
import { contextLengthOf, type ModelFolder, modelFailure, readModelFolder } from "../folder/modelFolder.ts"
import { openSession } from "../graph/openSession.ts"
import { makeModelTokenizer } from "../text/ModelTokenizer.ts"
import { EncoderBatcher } from "./EncoderBatcher.ts"
import { type EncoderGraph, readEncoderGraph } from "./EncoderGraph.ts"
import type { Pooling } from "./encoding.ts"
import { readPooling } from "./poolingFiles.ts"
import type { VectorPlan } from "./readAnswers.ts"

/** Where no file says how long a text may be: BERT's length. */
const DEFAULT_LENGTH_MAX = 512

/** How vectors are made: what the user says, else what the graph has done already, else what the folder says. */
const planVectors = (
  asked: EngineSettings["vectors"] = { normalise: true },
  graph: EncoderGraph,
  folder: ModelFolder,
): Result.Result<VectorPlan, TerminalModelFailure> => {
  const { dimensionsMax, normalise, pooling } = asked
  const fail = modelFailure(folder.name)
  if (pooling !== undefined && graph.statesOutput === undefined) {
    return Result.fail(
      fail("unsupported", `it gives no vectors of tokens, so \`pooling\` ${pooling} has nothing to pool.`),
    )
  }
  if (dimensionsMax !== undefined && dimensionsMax > (graph.width ?? dimensionsMax)) {
    return Result.fail(
      fail("request", `dimensionsMax is ${dimensionsMax}, and its vectors have ${graph.width} dimensions.`),
    )
  }
  const plan = (chosen: Pooling | undefined) => ({ pooling: chosen, normalise, dimensionsMax })
  if (pooling !== undefined) return Result.succeed(plan(pooling))
  if (graph.pooledOutput !== undefined || graph.statesOutput === undefined) return Result.succeed(plan(undefined))
  return Result.map(readPooling(folder), (found = "mean") => plan(found))
}

/** Why a graph cannot answer a question, as a sentence. */
const whyNot = (
  want: Encode["want"],
  { labels, logits, pooledOutput, statesOutput }: EncoderGraph,
): string | undefined => {
  if (want === "vectors") {
    const can = pooledOutput !== undefined || statesOutput !== undefined
    return can ? undefined : "it has no output sentence_embedding or last_hidden_state, so it cannot embed."
  }
  if (logits === undefined) return "it has no output logits, so it can only embed."
  if (want === "spans") return logits === "token" ? undefined : "it labels whole texts, so it cannot tag their parts."
  if (logits === "token") return "it labels the tokens of a text and not the whole; use `tag`."
  const isScorer = labels.length <= 2
  return want === "classes" || isScorer
    ? undefined
    : `it knows ${labels.length} labels; one that scores passages has one, or irrelevant and relevant.`
}

/**
 * Loads an encoder.
 *
 * @returns what to tell the host about it, and its batcher; fails as `readModelFolder`, `makeModelTokenizer`,
 * `openSession`, `readEncoderGraph` and `readPooling` do
 */
export const loadEncoder = Effect.fnUntraced(function* (
  settings: EngineSettings,
  world: WorkerContext,
): Effect.fn.Return<LoadedEngine, TerminalModelFailure> {
  const folder = yield* readModelFolder(settings.name, settings.folder, settings.dtype)
  const session = yield* openSession({ ...settings, folder, keepOnDevice: [] })
  const graph = yield* Effect.fromResult(readEncoderGraph(session.inputMetadata, session.outputMetadata, folder))
  const vectors = yield* Effect.fromResult(planVectors(settings.vectors, graph, folder))
  const tokenizer = yield* Effect.fromResult(makeModelTokenizer(folder, folder.config.vocab_size))
  const lengthMax = contextLengthOf(folder) ?? DEFAULT_LENGTH_MAX
  const batcher = new EncoderBatcher({
    ...world,
    ...{ model: folder.name, session, graph, vectors, tokenizer, lengthMax },
    // Where activations are quantised with one scale for the whole batch, a text's scores would depend on its neighbours.
    batchTextsMax: folder.stepSensitive ? 1 : settings.batchTextsMax,
  })
  const fail = modelFailure(folder.name)
  const refuse = ({ query, want }: Encode): TerminalModelFailure | undefined => {
    const lacking = whyNot(want, graph)
    if (lacking !== undefined) return fail("unsupported", lacking)
    const tokens = query === undefined ? 0 : tokenizer.encodePair(query, "").tokenIds.length
    if (tokens < lengthMax) return undefined
    return fail(
      "request",
      `the query has ${tokens} tokens, and the model reads ${lengthMax} of query and passage; shorten it.`,
    )
  }
  const encode = (request: Encode) => {
    const failure = refuse(request)
    if (failure === undefined) return batcher.submit(request)
    world.tell({ _tag: "Failed", id: request.id, failure })
  }
  const { labels, width } = graph
  const loaded: Loaded = {
    _tag: "Loaded",
    dtype: folder.dtype,
    weightsHash: folder.weightsHash,
    tokenizerHash: folder.tokenizerHash,
    contextLength: lengthMax,
    labels,
    ...(graph.logits === undefined ? {} : { exclusive: graph.exclusive }),
    ...(width === undefined ? {} : { dimensions: Math.min(width, vectors.dimensionsMax ?? width) }),
  }
  return {
    loaded,
    encode,
    cancel: (id) => batcher.cancel(id),
    setStepDelayMs: (delayMs) => batcher.delay.setDelayMs(delayMs),
    counters: () => ({ ...batcher.counters(), cachedConversations: 0, cachedBytes: 0 }),
  }
})
