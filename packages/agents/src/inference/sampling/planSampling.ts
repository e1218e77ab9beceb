/**
 * The boundary between what a request says about sampling, what the model folder recommends, and what is done. Pure.
 */
import type { Sampling } from "../../ModelTarget.ts"
import type { GenerationConfig } from "../folder/modelFolder.ts"
import type { SamplingPlan } from "./sample.ts"

export interface GenerationPlan extends SamplingPlan {
  readonly stop: ReadonlyArray<string>
  readonly maxTokens: number
}

/** New tokens where neither the request nor the folder says: a few paragraphs. */
export const DEFAULT_TOKENS_MAX = 256

/**
 * Fills in what a request leaves open: the folder's generation_config.json, then the defaults of `Sampling`.
 *
 * @param contextLength where nobody asked for a number of tokens, at most half of it is taken, so that short contexts
 * keep room for a prompt
 */
export const planSampling = (
  asked: Sampling,
  config: GenerationConfig,
  contextLength: number | undefined,
): GenerationPlan => {
  // As in transformers: a recommended temperature counts only where sampling is recommended.
  const temperature = config.do_sample === true ? (config.temperature ?? 1) : 0
  const room = contextLength === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(contextLength / 2))
  return {
    temperature: asked.temperature ?? temperature,
    topK: asked.topK ?? config.top_k ?? 0,
    topP: asked.topP ?? config.top_p ?? 1,
    repetitionPenalty: asked.repetitionPenalty ?? config.repetition_penalty ?? 1,
    seed: asked.seed ?? 0,
    stop: asked.stop ?? [],
    maxTokens: asked.maxTokens ?? Math.min(config.max_new_tokens ?? DEFAULT_TOKENS_MAX, room),
  }
}
