/**
 * The boundary between what a request says about sampling, what the model folder recommends, and what is done. Pure.
 */
import type { Sampling } from "../../ModelTarget.ts"
import type { GenerationConfig } from "../folder/modelFolder.ts"
import type { SamplingPlan } from "./sample.ts"

export interface GenerationPlan extends SamplingPlan {
  readonly stop: ReadonlyArray<string>
  readonly stopTokenIds: ReadonlySet<number>
  readonly maxTokens: number
  /** Whether the model's end tokens end nothing. */
  readonly ignoreEnd: boolean
  /** How many alternatives are told beside each token's log-probability; undefined where nothing is told. */
  readonly logprobs: number | undefined
}

/** New tokens where neither the request nor the folder says: a few paragraphs. */
export const DEFAULT_TOKENS_MAX = 256

/** What is wrong with how a request wants to be sampled, in one sentence; its schema has seen to the single numbers. */
export const checkSampling = (asked: Sampling, vocabSize: number): string | undefined => {
  const { bannedTokenIds = [], ignoreEnd, logitBias = [], maxTokens, minTokens = 0, stopTokenIds = [] } = asked
  if ((asked.stop ?? []).some((stop) => stop === "" || !stop.isWellFormed())) {
    return "a stop string is empty or not well-formed Unicode; leave it out."
  }
  for (const [name, ids] of Object.entries({ bannedTokenIds, logitBias: logitBias.map(([id]) => id), stopTokenIds })) {
    const strange = ids.find((id) => id >= vocabSize)
    if (strange !== undefined) return `${name} holds ${strange}, and its token ids end at ${vocabSize - 1}.`
  }
  if (maxTokens !== undefined && minTokens > maxTokens) {
    return `minTokens is ${minTokens} and maxTokens ${maxTokens}; ask for at most as many as it may write.`
  }
  if (asked.format === undefined) return undefined
  if (ignoreEnd === true)
    return "a format and ignoreEnd exclude each other: an answer of a format ends where it is complete."
  return minTokens > 0
    ? "a format and minTokens exclude each other; say in the format how long it has to be."
    : undefined
}

/**
 * Fills in what a request leaves open: the folder's generation_config.json, then the defaults of `Sampling`.
 *
 * @param model its end tokens; and its context, for where nobody asked for a number of tokens, at most half of it is taken,
 * so that short contexts keep room for a prompt
 */
export const planSampling = (
  asked: Sampling,
  config: GenerationConfig,
  model: { readonly contextLength: number | undefined; readonly endTokenIds: Iterable<number> },
): GenerationPlan => {
  // As in transformers: a recommended temperature counts only where sampling is recommended.
  const temperature = config.do_sample === true ? (config.temperature ?? 1) : 0
  const { contextLength } = model
  const room = contextLength === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(contextLength / 2))
  const stopTokenIds = asked.stopTokenIds ?? []
  const minTokens = asked.minTokens ?? 0
  return {
    temperature: asked.temperature ?? temperature,
    topK: asked.topK ?? config.top_k ?? 0,
    topP: asked.topP ?? config.top_p ?? 1,
    minP: asked.minP ?? config.min_p ?? 0,
    typicalP: asked.typicalP ?? config.typical_p ?? 1,
    repetitionPenalty: asked.repetitionPenalty ?? config.repetition_penalty ?? 1,
    presencePenalty: asked.presencePenalty ?? 0,
    frequencyPenalty: asked.frequencyPenalty ?? 0,
    noRepeatNgram: asked.noRepeatNgram ?? config.no_repeat_ngram_size ?? 0,
    logitBias: asked.logitBias ?? [],
    bannedTokenIds: asked.bannedTokenIds ?? [],
    minTokens,
    endTokenIds: [...model.endTokenIds, ...stopTokenIds],
    seed: asked.seed ?? 0,
    stop: asked.stop ?? [],
    stopTokenIds: new Set(stopTokenIds),
    maxTokens: asked.maxTokens ?? Math.max(minTokens, Math.min(config.max_new_tokens ?? DEFAULT_TOKENS_MAX, room)),
    ignoreEnd: asked.ignoreEnd ?? false,
    logprobs: asked.logprobs,
  }
}
