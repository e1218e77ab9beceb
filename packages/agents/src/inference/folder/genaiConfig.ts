/**
 * The boundary to onnxruntime-genai's layout: genai_config.json at the folder's root says which file holds the decoder and
 * what its inputs and outputs are called, `%d` standing for the layer. What it says is put in the words of config.json and
 * generation_config.json, so that nothing behind this file knows of two layouts.
 *
 * https://onnxruntime.ai/docs/genai/reference/config.html
 */
import { Schema } from "effect"
import { type CacheNames, type DecoderNames, TRANSFORMERS_NAMES } from "./DecoderNames.ts"
import { type GenerationConfig, type ModelConfig, PositiveInt, TokenIds } from "./ModelConfig.ts"

const Name = Schema.optionalKey(Schema.NonEmptyString)

const Inputs = Schema.Struct({
  input_ids: Name,
  attention_mask: Name,
  position_ids: Name,
  past_key_names: Name,
  past_value_names: Name,
  past_names: Name,
  past_sequence_length: Name,
  current_sequence_length: Name,
  total_sequence_length: Name,
  seqlens_k: Name,
})

const Outputs = Schema.Struct({
  logits: Name,
  present_key_names: Name,
  present_value_names: Name,
  present_names: Name,
})

export const GenaiConfig = Schema.Struct({
  model: Schema.Struct({
    type: Schema.String,
    vocab_size: PositiveInt,
    context_length: PositiveInt,
    eos_token_id: Schema.optionalKey(TokenIds),
    decoder: Schema.Struct({
      filename: Schema.NonEmptyString,
      head_size: PositiveInt,
      hidden_size: Schema.optionalKey(PositiveInt),
      num_attention_heads: PositiveInt,
      num_hidden_layers: PositiveInt,
      num_key_value_heads: PositiveInt,
      sliding_window: Schema.optionalKey(
        Schema.NullOr(Schema.Struct({ window_size: Schema.optionalKey(PositiveInt) })),
      ),
      inputs: Schema.optionalKey(Inputs),
      outputs: Schema.optionalKey(Outputs),
    }),
  }),
  search: Schema.optionalKey(
    Schema.Struct({
      do_sample: Schema.optionalKey(Schema.Boolean),
      temperature: Schema.optionalKey(Schema.Number),
      top_k: Schema.optionalKey(Schema.Int),
      top_p: Schema.optionalKey(Schema.Number),
      repetition_penalty: Schema.optionalKey(Schema.Number),
    }),
  ),
})
export type GenaiConfig = typeof GenaiConfig.Type

/** The same in the words of config.json. */
export const asModelConfig = ({ model }: GenaiConfig): ModelConfig => {
  const { decoder } = model
  const window = decoder.sliding_window?.window_size
  return {
    model_type: model.type,
    vocab_size: model.vocab_size,
    max_position_embeddings: model.context_length,
    num_hidden_layers: decoder.num_hidden_layers,
    num_attention_heads: decoder.num_attention_heads,
    num_key_value_heads: decoder.num_key_value_heads,
    head_dim: decoder.head_size,
    ...(decoder.hidden_size === undefined ? {} : { hidden_size: decoder.hidden_size }),
    ...(window === undefined ? {} : { sliding_window: window }),
    ...(model.eos_token_id === undefined ? {} : { eos_token_id: model.eos_token_id }),
  }
}

/** The same in the words of generation_config.json. A top_k of 1, which it writes beside do_sample false, says nothing. */
export const asGenerationConfig = ({ search = {} }: GenaiConfig): GenerationConfig => {
  const { top_k, ...rest } = search
  return rest.do_sample === true && top_k !== undefined ? { ...rest, top_k } : rest
}

/** What the graph's inputs and outputs are called; what it does not say is called as in the other layout. */
export const asDecoderNames = ({ model }: GenaiConfig): DecoderNames => {
  const { inputs = {}, outputs = {} } = model.decoder
  const caches: ReadonlyArray<CacheNames> =
    inputs.past_names === undefined
      ? [
          {
            past: inputs.past_key_names ?? "past_key_values.%d.key",
            present: outputs.present_key_names ?? "present.%d.key",
          },
          {
            past: inputs.past_value_names ?? "past_key_values.%d.value",
            present: outputs.present_value_names ?? "present.%d.value",
          },
        ]
      : [{ past: inputs.past_names, present: outputs.present_names ?? "present_%d" }]
  const roles = new Map(TRANSFORMERS_NAMES.roles)
  for (const role of ["input_ids", "attention_mask", "position_ids", "seqlens_k"] as const) {
    const name = inputs[role]
    if (name !== undefined) roles.set(name, role)
  }
  for (const role of ["past_sequence_length", "current_sequence_length", "total_sequence_length"] as const) {
    const name = inputs[role]
    if (name !== undefined) roles.set(name, role)
  }
  return { logits: outputs.logits ?? TRANSFORMERS_NAMES.logits, caches, roles }
}
