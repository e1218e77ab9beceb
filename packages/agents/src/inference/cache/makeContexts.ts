/**
 * The boundary between an engine's settings and the memory of its contexts: what is kept, where it goes, and what may run.
 */
import { Result } from "effect"
import type { EngineSettings } from "../../engine/protocol.ts"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import type { DecoderStep } from "../decoding/DecoderStep.ts"
import { type ModelFolder, modelFailure, oneLine } from "../folder/modelFolder.ts"
import type { DecoderGraph } from "../graph/DecoderGraph.ts"
import { ContextBudget } from "./ContextBudget.ts"
import type { KvShape } from "./KvSegment.ts"
import { makePrefixCache, type PrefixCache } from "./PrefixCache.ts"
import { SpillFolder } from "./SpillFolder.ts"
import { layoutOf } from "./spillFile.ts"

export interface Contexts {
  readonly cache: PrefixCache
  readonly budget: ContextBudget
  readonly spill: SpillFolder | undefined
}

export interface ContextsOf {
  readonly settings: EngineSettings
  readonly folder: ModelFolder
  readonly graph: Partial<Pick<DecoderGraph, "kv">>
  readonly step: DecoderStep
  /** The draft model's step, where there is one: it has a context for each answer, too. */
  readonly draft: DecoderStep | undefined
}

/** Fails with reason `request` where `spillFolder` cannot be used. */
export const makeContexts = (of: ContextsOf): Result.Result<Contexts, TerminalModelFailure> => {
  const { draft, folder, settings, step } = of
  const shapes = of.graph.kv
  const { contextBytesMax, slots, spillBytesMax, spillFolder } = settings
  const alignTokens = folder.stepSensitive ? settings.prefillChunkTokens : 1
  const openSpill = (path: string, kv: ReadonlyArray<KvShape>) =>
    new SpillFolder({
      folder: path,
      bytesMax: spillBytesMax,
      weightsHash: folder.weightsHash,
      layout: layoutOf(kv, alignTokens),
      shapes: kv,
      blockTokens: alignTokens,
    })
  const opened = Result.try({
    try: () => (spillFolder === undefined || shapes === undefined ? undefined : openSpill(spillFolder, shapes)),
    catch: (cause) =>
      modelFailure(settings.name)("request", `spillFolder ${spillFolder} cannot be used: ${oneLine(cause)}.`, cause),
  })
  return Result.map(opened, (spill) => {
    const cache = makePrefixCache(step, {
      conversationsMax: settings.cachedConversationsMax,
      bytesMax: Math.min(settings.cachedBytesMax, contextBytesMax),
      alignTokens,
      ...(spill === undefined ? {} : { spill }),
    })
    const bytesFor: DecoderStep["bytesFor"] = (lengths) => step.bytesFor(lengths) + (draft?.bytesFor(lengths) ?? 0)
    const budget = new ContextBudget({ step: { bytesFor }, cache, bytesMax: contextBytesMax }, slots)
    return { cache, budget, spill }
  })
}
