/**
 * The boundary between a model folder and an encoder that takes texts. Runs in the model's process.
 */
import { Effect } from "effect"
import type { Encode, EngineSettings, Loaded } from "../../engine/protocol.ts"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import type { LoadedEngine, WorkerContext } from "../decoding/loadDecoder.ts"
import { contextLengthOf, modelFailure, readModelFolder } from "../folder/modelFolder.ts"
import { openSession } from "../graph/openSession.ts"
import { makeModelTokenizer } from "../text/ModelTokenizer.ts"
import { EncoderBatcher } from "./EncoderBatcher.ts"
import { readEncoderGraph } from "./EncoderGraph.ts"

/** Where no file says how long a text may be: BERT's length. */
const DEFAULT_LENGTH_MAX = 512

/**
 * Loads an encoder.
 *
 * @returns what to tell the host about it, and its batcher; fails as `readModelFolder`, `makeModelTokenizer`,
 * `openSession` and `readEncoderGraph` do
 */
export const loadEncoder = Effect.fnUntraced(function* (
  settings: EngineSettings,
  world: WorkerContext,
): Effect.fn.Return<LoadedEngine, TerminalModelFailure> {
  const folder = yield* readModelFolder(settings.name, settings.folder, settings.dtype)
  const session = yield* openSession({ ...settings, folder, keepOnDevice: [] })
  const graph = yield* Effect.fromResult(readEncoderGraph(session.inputMetadata, session.outputMetadata, folder))
  const tokenizer = yield* Effect.fromResult(makeModelTokenizer(folder, folder.config.vocab_size))
  const lengthMax = contextLengthOf(folder) ?? DEFAULT_LENGTH_MAX
  const batcher = new EncoderBatcher({
    ...world,
    session,
    graph,
    tokenizer,
    lengthMax,
    // Where activations are quantised with one scale for the whole batch, a text's scores would depend on its neighbours.
    batchTextsMax: folder.stepSensitive ? 1 : settings.batchTextsMax,
  })
  const encode = (request: Encode) => {
    const fail = modelFailure(folder.name)
    const lacking =
      request.want === "classes" && graph.labels.length === 0
        ? "it has no output logits, so it cannot classify."
        : request.want === "vectors" && graph.embedding === undefined
          ? "it has no output sentence_embedding or last_hidden_state, so it cannot embed."
          : undefined
    if (lacking === undefined) return batcher.submit(request)
    world.tell({ _tag: "Failed", id: request.id, failure: fail("unsupported", lacking) })
  }
  const loaded: Loaded = {
    _tag: "Loaded",
    dtype: folder.dtype,
    weightsHash: folder.weightsHash,
    tokenizerHash: folder.tokenizerHash,
    contextLength: lengthMax,
    labels: graph.labels,
    ...(graph.dimensions === undefined ? {} : { dimensions: graph.dimensions }),
  }
  return {
    loaded,
    encode,
    cancel: (id) => batcher.cancel(id),
    setStepDelayMs: (delayMs) => batcher.delay.setDelayMs(delayMs),
    counters: () => ({ ...batcher.counters(), cachedConversations: 0, cachedBytes: 0 }),
  }
})
