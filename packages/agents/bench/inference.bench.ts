/**
 * Answers of a small decoder: the engine beside @huggingface/transformers on the same weights, prompts and threads.
 *
 * Both answer greedily, so both make the same tokens. The event loop is this process's: the engine's work happens in
 * another one, the peer's in this.
 */

import { dirname } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import { AutoModelForCausalLM, AutoTokenizer, env, type Tensor } from "@huggingface/transformers"
import { Effect, Exit, Scope, Stream } from "effect"
import { type ChatMessage, Engine, type ModelTarget } from "../src/index.ts"

const FOLDER = fileURLToPath(new URL("../../../apps/demo/models/barista", import.meta.url))
/** Enough answers that starting and ending weigh little, few enough that a round takes seconds. */
const ANSWERS = 64
const TOKENS_MAX = 48

const ORDERS = [
  "a large latte with oat milk",
  "two espressos",
  "an iced mocha, no whip",
  "a chai tea latte and a muffin",
]
/** Conversations of one, three and five turns. */
const prompts: ReadonlyArray<ReadonlyArray<ChatMessage>> = Array.from({ length: ANSWERS }, (_, index) => {
  const order: ChatMessage = { role: "user", content: `Hi, can I get ${ORDERS[index % ORDERS.length]} please?` }
  const more: ReadonlyArray<ChatMessage> = [
    { role: "assistant", content: "Sure, what size would you like?" },
    { role: "user", content: index % 2 === 0 ? "large please" : "the small one" },
  ]
  return [order, ...Array.from({ length: index % 3 }).flatMap(() => more)]
})

/** Runs all prompts, `atOnce` at a time, and says what that took. */
const measure = async (atOnce: number, answer: (prompt: ReadonlyArray<ChatMessage>) => Promise<number>) => {
  // Caches and compilers warm up outside of what is measured.
  await answer(prompts[0]!)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const queue = [...prompts]
  let tokens = 0
  const work = async () => {
    for (let prompt = queue.shift(); prompt !== undefined; prompt = queue.shift()) {
      // Not `tokens += await …`: that adds to what `tokens` was before the others' answers came.
      const made = await answer(prompt)
      tokens += made
    }
  }
  delay.enable()
  const startedAtMs = performance.now()
  await Promise.all(Array.from({ length: atOnce }, work))
  const seconds = (performance.now() - startedAtMs) / 1000
  delay.disable()
  return { "tokens/s": tokens / seconds, "loop p99 ms": delay.percentile(99) / 1e6 }
}

const countTokens = (target: ModelTarget["Service"], prompt: ReadonlyArray<ChatMessage>) =>
  Effect.runPromise(
    Stream.runFold(
      target.generate({ prompt, sampling: { temperature: 0, maxTokens: TOKENS_MAX } }),
      () => 0,
      (tokens, event) => (event._tag === "Tokens" ? tokens + event.tokenIds.length : tokens),
    ),
  )

const runOurs = (dtype: "fp32" | "int8", atOnce: number) => async () => {
  const scope = Scope.makeUnsafe()
  const { target } = await Effect.runPromise(
    Engine.decoder({ folder: FOLDER, dtype, slots: atOnce }).pipe(Scope.provide(scope)),
  )
  const measured = await measure(atOnce, (prompt) => countTokens(target, prompt))
  await Effect.runPromise(Scope.close(scope, Exit.void))
  return measured
}

const runPeer = (dtype: "fp32" | "q8", atOnce: number) => async () => {
  env.allowRemoteModels = false
  env.localModelPath = `${dirname(FOLDER)}/`
  const tokenizer = await AutoTokenizer.from_pretrained("barista")
  const model = await AutoModelForCausalLM.from_pretrained("barista", {
    dtype,
    session_options: { intraOpNumThreads: 1 },
  })
  const measured = await measure(atOnce, async (prompt) => {
    const inputs = tokenizer.apply_chat_template([...prompt], { add_generation_prompt: true, return_dict: true })
    const made = await model.generate({ ...inputs, max_new_tokens: TOKENS_MAX, do_sample: false })
    return (made as Tensor).size - inputs.input_ids.size
  })
  await model.dispose()
  return measured
}

const cases = (["fp32", "int8"] as const).flatMap((dtype) =>
  [1, 8].map((atOnce) => ({
    name: `${dtype}, ${atOnce} at once`,
    peer: "transformers.js",
    runOurs: runOurs(dtype, atOnce),
    runPeer: runPeer(dtype === "int8" ? "q8" : dtype, atOnce),
  })),
)

export default {
  conditions: [
    `barista (2.5M parameters), ${ANSWERS} answers of at most ${TOKENS_MAX} tokens, greedy, one thread inside a step`,
    "prompts of one to five turns; loading is not measured; loop: delay of the event loop of the process that asks",
  ],
  cases,
}
