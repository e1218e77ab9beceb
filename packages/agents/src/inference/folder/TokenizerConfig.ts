/**
 * The boundary to tokenizer_config.json and the chat template, wherever a folder keeps it.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"

/** A special token is written as text, or as an object that holds it. */
const SpecialToken = Schema.NullOr(Schema.Union([Schema.String, Schema.Struct({ content: Schema.String })]))
const NamedTemplate = Schema.Struct({ name: Schema.String, template: Schema.String })

export const TokenizerConfig = Schema.Struct({
  bos_token: Schema.optionalKey(SpecialToken),
  eos_token: Schema.optionalKey(SpecialToken),
  unk_token: Schema.optionalKey(SpecialToken),
  sep_token: Schema.optionalKey(SpecialToken),
  pad_token: Schema.optionalKey(SpecialToken),
  cls_token: Schema.optionalKey(SpecialToken),
  mask_token: Schema.optionalKey(SpecialToken),
  model_max_length: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  chat_template: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Array(NamedTemplate)]))),
})
export type TokenizerConfig = typeof TokenizerConfig.Type

/** The text of a special token, however it is written. */
export const specialToken = (token: typeof SpecialToken.Type | undefined): string | undefined =>
  typeof token === "string" ? token : (token?.content ?? undefined)

export const readChatTemplate = (folder: string, config: TokenizerConfig): string | undefined => {
  const template = config.chat_template
  if (typeof template === "string") return template
  if (template) return template.find((named) => named.name === "default")?.template
  const path = join(folder, "chat_template.jinja")
  return existsSync(path) ? readFileSync(path, "utf8") : undefined
}
