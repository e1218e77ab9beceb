/**
 * The boundary to config.json and generation_config.json: the parts of them that decide how a model is run.
 */
import { Schema } from "effect"

export const TokenIds = Schema.NullOr(Schema.Union([Schema.Int, Schema.Array(Schema.Int)]))
export const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))
const MaybeInt = Schema.optionalKey(Schema.NullOr(PositiveInt))

export const ModelConfig = Schema.Struct({
  model_type: Schema.String,
  is_encoder_decoder: Schema.optionalKey(Schema.Boolean),
  vocab_size: Schema.optionalKey(PositiveInt),
  max_position_embeddings: Schema.optionalKey(PositiveInt),
  n_positions: Schema.optionalKey(PositiveInt),
  n_ctx: Schema.optionalKey(PositiveInt),
  num_hidden_layers: Schema.optionalKey(PositiveInt),
  n_layer: Schema.optionalKey(PositiveInt),
  num_attention_heads: Schema.optionalKey(PositiveInt),
  n_head: Schema.optionalKey(PositiveInt),
  num_key_value_heads: MaybeInt,
  hidden_size: Schema.optionalKey(PositiveInt),
  /** The same of encoder-decoders (T5, BART), and the heads of a decoder's layer. */
  d_model: Schema.optionalKey(PositiveInt),
  d_kv: Schema.optionalKey(PositiveInt),
  num_heads: Schema.optionalKey(PositiveInt),
  decoder_attention_heads: Schema.optionalKey(PositiveInt),
  /** What an encoder-decoder's answer begins with; it is no part of it. */
  decoder_start_token_id: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  n_embd: Schema.optionalKey(PositiveInt),
  head_dim: MaybeInt,
  tie_word_embeddings: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  /** Tokens that a layer looks back on at most: Mistral, Gemma, Phi 3, Qwen 2 (which may switch it off). */
  sliding_window: MaybeInt,
  use_sliding_window: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  /** The same of GPT-Neo. */
  window_size: MaybeInt,
  eos_token_id: Schema.optionalKey(TokenIds),
  problem_type: Schema.optionalKey(Schema.NullOr(Schema.String)),
  id2label: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})
export type ModelConfig = typeof ModelConfig.Type

export const GenerationConfig = Schema.Struct({
  eos_token_id: Schema.optionalKey(TokenIds),
  do_sample: Schema.optionalKey(Schema.Boolean),
  temperature: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  top_k: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  top_p: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  min_p: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  typical_p: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  no_repeat_ngram_size: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  repetition_penalty: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  decoder_start_token_id: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  forced_bos_token_id: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  bad_words_ids: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Array(Schema.Int)))),
  max_new_tokens: Schema.optionalKey(Schema.NullOr(PositiveInt)),
})
export type GenerationConfig = typeof GenerationConfig.Type

/** How many layers, query heads and numbers a token there are, whichever name the model's family has for it. */
export const layersOf = (config: ModelConfig): number | undefined => config.num_hidden_layers ?? config.n_layer
export const queryHeadsOf = (config: ModelConfig): number | undefined => config.num_attention_heads ?? config.n_head
export const widthOf = (config: ModelConfig): number | undefined => config.hidden_size ?? config.n_embd

/** Tokens that some layer looks back on at most; undefined where every layer sees all. */
export const slidingWindowOf = (config: ModelConfig): number | undefined => {
  if (config.use_sliding_window === false) return undefined
  return config.sliding_window ?? config.window_size ?? undefined
}
