/**
 * The boundary to the peer: @huggingface/transformers on the same folder, in this process, as its documentation uses it.
 */
import { basename, dirname } from "node:path"
import { AutoModelForCausalLM, AutoTokenizer, env, Tensor, TextStreamer } from "@huggingface/transformers"
import type { BenchRequest, TimedAnswer } from "./Requests.ts"

/** Notes when each step's tokens come; what is put first is the prompt. */
class StepTimes extends TextStreamer {
  readonly atMs: Array<number> = []
  #hasPrompt = false

  override put(): void {
    if (this.#hasPrompt) this.atMs.push(performance.now())
    this.#hasPrompt = true
  }

  override end(): void {}
}

export interface Peer {
  readonly answer: (request: BenchRequest) => Promise<TimedAnswer>
  /** All in one batch, padded on the left to the longest, until the one that may write most has ended. */
  readonly answerBatch: (requests: ReadonlyArray<BenchRequest>) => Promise<ReadonlyArray<TimedAnswer>>
  readonly close: () => Promise<void>
}

const makePeer = async (folder: string, dtype: "fp32" | "q8", threads: number): Promise<Peer> => {
  env.allowRemoteModels = false
  env.localModelPath = `${dirname(folder)}/`
  const name = basename(folder)
  const tokenizer = await AutoTokenizer.from_pretrained(name)
  const model = await AutoModelForCausalLM.from_pretrained(name, {
    dtype,
    session_options: { intraOpNumThreads: threads },
  })
  const encode = ({ messages }: BenchRequest): ReadonlyArray<bigint> => {
    const inputs =
      tokenizer.chat_template === null
        ? tokenizer(messages[0]?.content ?? "", { add_special_tokens: false })
        : tokenizer.apply_chat_template([...messages], { add_generation_prompt: true, return_dict: true })
    return Array.from(inputs.input_ids.data, BigInt)
  }
  const answerBatch: Peer["answerBatch"] = async (requests) => {
    const startedAtMs = performance.now()
    const rows = requests.map(encode)
    const width = Math.max(...rows.map((row) => row.length))
    const dims = [rows.length, width]
    const padded = (fill: (row: ReadonlyArray<bigint>) => ReadonlyArray<bigint>, pad: bigint) =>
      new Tensor(
        "int64",
        BigInt64Array.from(
          rows.flatMap((row) => [...Array.from({ length: width - row.length }, () => pad), ...fill(row)]),
        ),
        dims,
      )
    const streamer = new StepTimes(tokenizer)
    const made = await model.generate({
      input_ids: padded((row) => row, 0n),
      attention_mask: padded((row) => row.map(() => 1n), 0n),
      max_new_tokens: Math.max(...requests.map((request) => request.tokensMax)),
      do_sample: false,
      streamer,
    })
    if (!(made instanceof Tensor)) throw new TypeError("transformers gave no tensor")
    // What a batch writes on for an answer that has ended is of no use to anybody.
    return requests.map(({ tokensMax }) => ({ startedAtMs, tokenAtMs: streamer.atMs.slice(0, tokensMax) }))
  }
  const answer: Peer["answer"] = async (request) => {
    const [only] = await answerBatch([request])
    if (only === undefined) throw new Error("one request, no answer")
    return only
  }
  return {
    answer,
    answerBatch,
    close: async () => {
      await model.dispose()
    },
  }
}

export const openPeer = makePeer
