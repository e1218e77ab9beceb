/**
 * The boundary between an engine's settings and the memory of its contexts: what is kept, and what may run.
 */
import type { EngineSettings } from "../../engine/protocol.ts"
import type { DecoderStep } from "../decoding/DecoderStep.ts"
import type { ModelFolder } from "../folder/modelFolder.ts"
import { ContextBudget } from "./ContextBudget.ts"
import { makePrefixCache, type PrefixCache } from "./PrefixCache.ts"

export interface Contexts {
  readonly cache: PrefixCache
  readonly budget: ContextBudget
}

/** @param draft the draft model's step, where there is one: it has a context for each answer, too */
export const makeContexts = (
  settings: EngineSettings,
  folder: ModelFolder,
  step: DecoderStep,
  draft: DecoderStep | undefined,
): Contexts => {
  const { contextBytesMax: bytesMax, slots } = settings
  const cache = makePrefixCache(step, {
    conversationsMax: settings.cachedConversationsMax,
    bytesMax: Math.min(settings.cachedBytesMax, bytesMax),
    alignTokens: folder.stepSensitive ? settings.prefillChunkTokens : 1,
  })
  const bytesFor: DecoderStep["bytesFor"] = (lengths) => step.bytesFor(lengths) + (draft?.bytesFor(lengths) ?? 0)
  return { cache, budget: new ContextBudget({ step: { bytesFor }, cache, bytesMax }, slots) }
}
