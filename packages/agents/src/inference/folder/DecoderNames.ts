/**
 * The boundary between what a decoder's inputs and outputs are called and what they are for.
 */

/** What an input that is no cache holds. */
export type InputRole =
  /** [rows, tokens]: the new tokens. */
  | "input_ids"
  /** [rows, room + tokens]: 1 where there is a token, 0 where there is a hole. */
  | "attention_mask"
  /** [rows, tokens]: each new token's place in its own row. */
  | "position_ids"
  /** How many of the last tokens' logits are wanted. */
  | "num_logits_to_keep"
  /** [rows] or [rows, 1]: each row's tokens with the new ones, less one (GroupQueryAttention). */
  | "seqlens_k"
  /** The longest row's tokens with the new ones. */
  | "total_sequence_length"
  /** Tokens that the cache has room for. */
  | "past_sequence_length"
  /** New tokens of each row. */
  | "current_sequence_length"
  /** Whether there is a cache to look at: exports that hold both graphs, one for the first step and one for all others. */
  | "use_cache_branch"

/** A cache's input and the output that continues it; `%d` stands for the layer, `%s` for anything. */
export interface CacheNames {
  readonly past: string
  readonly present: string
}

export interface DecoderNames {
  readonly logits: string
  readonly caches: ReadonlyArray<CacheNames>
  readonly roles: ReadonlyMap<string, InputRole>
}

/** The names of transformers.js and Optimum, and those of onnxruntime's own older exports. */
export const TRANSFORMERS_NAMES: DecoderNames = {
  logits: "logits",
  caches: [
    { past: "past_key_values.%s", present: "present.%s" },
    { past: "past_%d", present: "present_%d" },
    { past: "past_key_%d", present: "present_key_%d" },
    { past: "past_value_%d", present: "present_value_%d" },
  ],
  roles: new Map<string, InputRole>([
    ["input_ids", "input_ids"],
    ["attention_mask", "attention_mask"],
    ["position_ids", "position_ids"],
    ["num_logits_to_keep", "num_logits_to_keep"],
    ["seqlens_k", "seqlens_k"],
    ["total_sequence_length", "total_sequence_length"],
    ["past_sequence_length", "past_sequence_length"],
    ["current_sequence_length", "current_sequence_length"],
    ["use_cache_branch", "use_cache_branch"],
  ]),
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

const matcher = (template: string): RegExp =>
  new RegExp(`^${escape(template).replace("%d", "(\\d+)").replace("%s", "(.+)")}$`)

/** What continues the cache that comes in as `input`; undefined where that is no cache's name. */
export const presentOf = (names: DecoderNames, input: string): string | undefined => {
  for (const { past, present } of names.caches) {
    const match = matcher(past).exec(input)
    if (match !== null) return present.replace(/%[ds]/, () => match[1] ?? "")
  }
  return undefined
}
