/**
 * The boundary between text and token ids, for one model: its tokenizer and its chat template, checked against the size
 * of its vocabulary. @huggingface/tokenizers and @huggingface/jinja do the work.
 */
import { Template } from "@huggingface/jinja"
import { Tokenizer } from "@huggingface/tokenizers"
import { Result } from "effect"
import type { ChatMessage, TerminalModelFailure, ToolTerms } from "../../ModelTarget.ts"
import { type ModelFolder, modelFailure, oneLine, specialToken } from "../folder/modelFolder.ts"
import { makeDisarm } from "./disarm.ts"
import { locateBytes, locatePieces, type Place } from "./locateTokens.ts"
import { tokenSpeller } from "./tokenBytes.ts"
import { withPlainTools } from "./toolPrompt.ts"

export interface ModelTokenizer {
  /** One more than the greatest token id. */
  readonly vocabSize: number
  readonly padTokenId: number
  /** A stranger's text, special tokens of the model's own (as [CLS]) around it and none of them in it. */
  readonly encode: (text: string) => ReadonlyArray<number>
  /** The same text alone. */
  readonly encodePlain: (text: string) => ReadonlyArray<number>
  /** Special tokens are left out. */
  readonly decode: (tokenIds: ReadonlyArray<number>) => string
  readonly isSpecial: (tokenId: number) => boolean
  /** Two texts as one input, as cross-encoders read them; 1 marks the tokens that belong to the second. */
  readonly encodePair: (
    first: string,
    second: string,
  ) => { readonly tokenIds: ReadonlyArray<number>; readonly typeIds: ReadonlyArray<number> | undefined }
  /** Where tokens stand in the text that they were made of; control tokens are nowhere. */
  readonly locate: (text: string, tokenIds: ReadonlyArray<number>) => ReadonlyArray<Place | undefined>
  /** By token id the bytes that it reads as, undefined where it is no text; or why that cannot be known, in one clause. */
  readonly tokenBytes: () => Result.Result<ReadonlyArray<Uint8Array | undefined>, string>
  /**
   * A conversation up to where the assistant's answer begins; a message in place of the ids where that cannot be. Tools are
   * said where the chat template has a place for them, else in plain words (`toolPrompt.ts`).
   */
  readonly encodeChat: (
    messages: ReadonlyArray<ChatMessage>,
    tools?: ToolTerms,
  ) => Result.Result<ReadonlyArray<number>, string>
}

/** The names under which chat templates expect special tokens. */
const TEMPLATE_TOKENS = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const

/**
 * Embedding tables are padded to a round number of rows (Qwen 2.5 by 267), so a model may know more ids than its
 * tokenizer; by more than this it is the wrong tokenizer.
 */
const PADDED_ROWS_MAX = 1024

const greatestId = (tokenizer: Tokenizer): number => {
  let greatest = -1
  for (const id of tokenizer.get_vocab(true).values()) if (id > greatest) greatest = id
  return greatest
}

/** Whether a template makes something of a variable `tools`: in its statements, outside of their texts. */
const mentionsTools = (template: string): boolean =>
  [...template.matchAll(/\{[%{][\s\S]*?[%}]\}/g)].some(([tag]) => /\btools\b/.test(tag.replace(/'[^']*'|"[^"]*"/g, "")))

/** Renders the chat template with what it expects, as transformers does. */
const makeRender = (folder: ModelFolder) => {
  if (folder.chatTemplate === undefined) return undefined
  const template = new Template(folder.chatTemplate)
  const special: Record<string, string> = {}
  for (const key of TEMPLATE_TOKENS) {
    const token = specialToken(folder.tokenizerConfig[key])
    if (token !== undefined) special[key] = token
  }
  const knowsTools = mentionsTools(folder.chatTemplate)
  const render = (messages: ReadonlyArray<ChatMessage>, tools: ToolTerms | undefined): string => {
    const definitions = tools?.definitions.map((definition) => ({ type: "function", function: definition })) ?? null
    return template.render({ messages, add_generation_prompt: true, tools: definitions, documents: null, ...special })
  }
  return { render, knowsTools }
}

const makeEncodeChat = (
  tokenizer: Tokenizer,
  folder: ModelFolder,
  disarm: (text: string) => string,
): ModelTokenizer["encodeChat"] => {
  const chat = makeRender(folder)
  if (chat === undefined) {
    return (messages, tools) => {
      const [only] = tools === undefined ? messages : withPlainTools(messages, tools)
      return messages.length === 1 && only !== undefined
        ? Result.succeed(tokenizer.encode(disarm(only.content)).ids)
        : Result.fail(`it has no chat template, so a prompt is one message to be continued, not ${messages.length}`)
    }
  }
  return (messages, tools) =>
    Result.try({
      try: () => {
        const isPlain = tools !== undefined && !chat.knowsTools
        const disarmed = (isPlain ? withPlainTools(messages, tools) : messages).map(({ content, role }) => ({
          role,
          content: disarm(content),
        }))
        // The template writes the special tokens itself.
        return tokenizer.encode(chat.render(disarmed, tools), { add_special_tokens: false }).ids
      },
      catch: (cause) => `its chat template refuses the prompt: ${oneLine(cause)}`,
    })
}

/** The token id that fills up rows of a batch; any will do, because attention_mask hides it. */
const padTokenId = (tokenizer: Tokenizer, folder: ModelFolder): number => {
  const token = specialToken(folder.tokenizerConfig.pad_token)
  return token === undefined ? 0 : (tokenizer.token_to_id(token) ?? 0)
}

/** An unknown token is a special one, and stands for a part of the text all the same. */
const makeLocate = (
  tokenizer: Tokenizer,
  folder: ModelFolder,
  special: ReadonlyMap<number, string>,
): ModelTokenizer["locate"] => {
  const unknown = specialToken(folder.tokenizerConfig.unk_token)
  const isBytes = JSON.stringify(folder.rawTokenizer.decoder ?? null).includes('"ByteLevel"')
  return (text, tokenIds) => {
    const isOfText = (id: number) => !special.has(id) || special.get(id) === unknown
    const tokens = tokenIds.filter(isOfText).map((id) => tokenizer.id_to_token(id) ?? "")
    const places = isBytes
      ? locateBytes(text, tokens)
      : locatePieces(text, tokens, (token) => token === unknown && token !== "")
    let at = 0
    return tokenIds.map((id) => (isOfText(id) ? places[at++] : undefined))
  }
}

const readTokenBytes = (tokenizer: Tokenizer, folder: ModelFolder, special: ReadonlyMap<number, string>) =>
  Result.map(tokenSpeller(folder.rawTokenizer), (spell) => {
    const bytes = new Array<Uint8Array | undefined>(greatestId(tokenizer) + 1).fill(undefined)
    const added = tokenizer.get_added_tokens_decoder()
    for (const [token, id] of tokenizer.get_vocab(true)) {
      if (special.has(id)) continue
      // Added tokens stand for themselves, whatever the decoder makes of others.
      bytes[id] = added.has(id) ? new TextEncoder().encode(token) : spell(token)
    }
    return bytes
  })

/**
 * Makes the tokenizer of a folder.
 *
 * @param modelVocabSize the rows of the model's vocabulary, where known
 * @returns fails with reason `tokenizer`
 */
export const makeModelTokenizer = (
  folder: ModelFolder,
  modelVocabSize: number | undefined,
): Result.Result<ModelTokenizer, TerminalModelFailure> => {
  const fail = modelFailure(folder.name)
  const made = Result.try(() => {
    const tokenizer = new Tokenizer(folder.rawTokenizer, folder.rawTokenizerConfig)
    const special = new Map<number, string>()
    for (const [id, token] of tokenizer.get_added_tokens_decoder()) if (token.special) special.set(id, token.content)
    const disarm = makeDisarm(special.values())
    return { tokenizer, special, disarm, encodeChat: makeEncodeChat(tokenizer, folder, disarm) }
  })
  if (Result.isFailure(made)) {
    const message = `its tokenizer or chat template cannot be used: ${oneLine(made.failure)}.`
    return Result.fail(fail("tokenizer", message, made.failure))
  }
  const { disarm, encodeChat, special, tokenizer } = made.success
  const vocabSize = greatestId(tokenizer) + 1
  if (modelVocabSize !== undefined && (vocabSize > modelVocabSize || vocabSize < modelVocabSize - PADDED_ROWS_MAX)) {
    const message = `tokenizer.json has ${vocabSize} tokens and the model ${modelVocabSize}; they do not belong together.`
    return Result.fail(fail("tokenizer", message))
  }
  return Result.succeed({
    vocabSize,
    padTokenId: padTokenId(tokenizer, folder),
    encode: (text) => tokenizer.encode(disarm(text)).ids,
    encodePlain: (text) => tokenizer.encode(disarm(text), { add_special_tokens: false }).ids,
    // The library refuses an empty list. Cleaning up would change text that readers already have.
    decode: (tokenIds) =>
      tokenIds.length === 0
        ? ""
        : tokenizer.decode([...tokenIds], { skip_special_tokens: true, clean_up_tokenization_spaces: false }),
    isSpecial: (tokenId) => special.has(tokenId),
    encodePair: (first, second) => {
      const pair = { text_pair: disarm(second), return_token_type_ids: true } as const
      const { ids, token_type_ids: typeIds } = tokenizer.encode(disarm(first), pair)
      return { tokenIds: ids, typeIds }
    },
    locate: makeLocate(tokenizer, folder, special),
    tokenBytes: () => readTokenBytes(tokenizer, folder, special),
    encodeChat,
  })
}
