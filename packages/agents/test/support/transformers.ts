/**
 * The boundary to the peer: what @huggingface/transformers makes of the same folders, as plain numbers.
 */
import { basename, dirname } from "node:path"
import {
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForSeq2SeqLM,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
  AutoTokenizer,
  env,
  type PreTrainedTokenizer,
  type Tensor,
} from "@huggingface/transformers"
import type { ChatMessage } from "../../src/index.ts"

export type PeerDtype = "fp32" | "q8" | "fp16" | "q4" | "bnb4"

const locate = (folder: string, dtype: PeerDtype) => {
  env.allowRemoteModels = false
  env.localModelPath = `${dirname(folder)}/`
  return { name: basename(folder), options: { dtype, session_options: { intraOpNumThreads: 1 } } }
}

const numbers = (tensor: Tensor): ReadonlyArray<number> => Array.from(tensor.data, Number)
const chat = (messages: ReadonlyArray<ChatMessage>) => messages.map(({ content, role }) => ({ content, role }))

export const openPeerTokenizer = async (folder: string) => {
  const tokenizer = await AutoTokenizer.from_pretrained(locate(folder, "fp32").name)
  return {
    encodeChat: (messages: ReadonlyArray<ChatMessage>): ReadonlyArray<number> =>
      numbers(
        tokenizer.apply_chat_template(chat(messages), { add_generation_prompt: true, return_dict: true }).input_ids,
      ),
    renderChat: (messages: ReadonlyArray<ChatMessage>) =>
      tokenizer.apply_chat_template(chat(messages), { add_generation_prompt: true, tokenize: false }),
  }
}

/** Greedy answers, end token included. */
export const openPeerDecoder = async (folder: string, dtype: PeerDtype) => {
  const { name, options } = locate(folder, dtype)
  const tokenizer: PreTrainedTokenizer = await AutoTokenizer.from_pretrained(name)
  const model = await AutoModelForCausalLM.from_pretrained(name, options)
  return {
    answer: async (messages: ReadonlyArray<ChatMessage>, maxTokens: number, repetitionPenalty: number) => {
      const inputs = tokenizer.apply_chat_template(chat(messages), { add_generation_prompt: true, return_dict: true })
      const sequences = await model.generate({
        ...inputs,
        max_new_tokens: maxTokens,
        do_sample: false,
        repetition_penalty: repetitionPenalty,
      })
      return numbers(sequences as Tensor).slice(inputs.input_ids.size)
    },
    close: () => model.dispose(),
  }
}

/** Probabilities by label of one text. */
export const openPeerClassifier = async (folder: string, dtype: PeerDtype) => {
  const { name, options } = locate(folder, dtype)
  const tokenizer = await AutoTokenizer.from_pretrained(name)
  const model = await AutoModelForSequenceClassification.from_pretrained(name, options)
  return {
    run: async (text: string) => {
      const outputs = await model(tokenizer(text, { truncation: true }))
      const logits = numbers(outputs.logits)
      const most = Math.max(...logits)
      const weights = logits.map((logit) => Math.exp(logit - most))
      const total = weights.reduce((a, b) => a + b, 0)
      return {
        scores: weights.map((weight) => weight / total),
        embedding: outputs.sentence_embedding === undefined ? undefined : numbers(outputs.sentence_embedding),
      }
    },
    close: () => model.dispose(),
  }
}

/** The hidden state of each token of one text. */
export const openPeerEncoder = async (folder: string, dtype: PeerDtype) => {
  const { name, options } = locate(folder, dtype)
  const tokenizer = await AutoTokenizer.from_pretrained(name)
  const model = await AutoModel.from_pretrained(name, options)
  return {
    run: async (text: string) => {
      const { last_hidden_state: states } = await model(tokenizer(text, { truncation: true }))
      const width = states.dims.at(-1)
      const values = numbers(states)
      return Array.from({ length: values.length / width }, (_, at) => values.slice(at * width, (at + 1) * width))
    },
    close: () => model.dispose(),
  }
}

/** The logits of one text, or of two as a pair. */
export const openPeerLogits = async (folder: string, kind: "text" | "token") => {
  const { name, options } = locate(folder, "fp32")
  const tokenizer = await AutoTokenizer.from_pretrained(name)
  const from = kind === "text" ? AutoModelForSequenceClassification : AutoModelForTokenClassification
  const model = await from.from_pretrained(name, options)
  return {
    run: async (text: string, pair?: string) => {
      const inputs = tokenizer(text, { truncation: true, ...(pair === undefined ? {} : { text_pair: pair }) })
      return numbers((await model(inputs)).logits)
    },
    close: () => model.dispose(),
  }
}

/** Greedy answers of an encoder-decoder, end token included. */
export const openPeerSeq2Seq = async (folder: string) => {
  const { name, options } = locate(folder, "fp32")
  const tokenizer = await AutoTokenizer.from_pretrained(name)
  const model = await AutoModelForSeq2SeqLM.from_pretrained(name, options)
  return {
    answer: async (text: string, maxTokens: number, repetitionPenalty = 1) => {
      const inputs = tokenizer(text, { truncation: true })
      const made = await model.generate({
        ...inputs,
        max_new_tokens: maxTokens,
        do_sample: false,
        repetition_penalty: repetitionPenalty,
      })
      // The first is the token that decoding starts with.
      return numbers(made as Tensor).slice(1)
    },
    close: () => model.dispose(),
  }
}
