import { Effect, Result } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import type { DecodingPath, Dtype } from "../../src/index.ts"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"
import { makeModelTokenizer } from "../../src/inference/text/ModelTokenizer.ts"
import { answer, openDecoder, user } from "../support/engines.ts"
import { int32, int64, ones, openPlainLoop, type PlainGraph } from "../support/plainLoop.ts"
import { openPeerDecoder, type PeerDtype } from "../support/transformers.ts"
import { CONFIG, makeVariants } from "../support/variants.ts"

const variants = makeVariants()
afterAll(() => variants.remove())

/** From one token to more than a prefill chunk of 128, so that rows are as ragged as they come. */
const prompts = Array.from({ length: 16 }, (_, index) => [
  user("the ring an".repeat(index % 5 === 0 ? 1 + index : index % 4) + String.fromCharCode(97 + index)),
])
const TOKENS = 16

interface Case {
  readonly name: string
  readonly folder: string
  readonly dtype: Dtype
  readonly kind: DecodingPath["kind"]
  readonly reason: RegExp
}

const HOLES = /told where the holes of shorter rows are/
const LENGTHS = /appends each row at its own length/
const BATCHED = { dtype: "fp32", kind: "batched", reason: HOLES } as const

/** What the engine answers: all at once in shared steps, and some of them alone. */
const ask = async ({ dtype, folder, kind, reason }: Case) => {
  const engine = await openDecoder({ folder, dtype, slots: 16 })
  const { target } = engine.handle
  expect(target.describe.path?.reason).toMatch(reason)
  expect(target.describe.path?.kind).toBe(kind)
  const run = (some: typeof prompts, concurrency: number) => {
    const asked = some.map((prompt) => answer(target, { prompt, sampling: { temperature: 0, maxTokens: TOKENS } }))
    return Effect.runPromise(Effect.all(asked, { concurrency }))
  }
  const together = (await run(prompts, 16)).map(({ tokenIds }) => tokenIds)
  const alone = (await run(prompts.slice(0, 4), 1)).map(({ tokenIds }) => tokenIds)
  expect(alone).toEqual(together.slice(0, 4))
  // Answers that repeat one token, or end at once, would be equal for nothing.
  expect(new Set(together.flat()).size).toBeGreaterThan(12)
  await engine.close()
  return together
}

describe("greedy answers are transformers' token for token, in batches of 16 and alone", () => {
  const own = (name: string, more: Partial<Case> & { file?: string; config?: object; theirs?: PeerDtype }) => {
    const { config = {}, file = "onnx/model.onnx", theirs = "fp32", ...rest } = more
    return { ...BATCHED, name, theirs, folder: variants.make(name, { file, config }), ...rest }
  }
  it.each([
    own("cumsum", {}),
    own("maskless", { kind: "turns", reason: /no input attention_mask/ }),
    own("window", { kind: "turns", reason: /counts holes in its cache as tokens/ }),
    own("half", { dtype: "fp16", theirs: "fp16", file: "onnx/model_fp16.onnx" }),
    own("q4", { dtype: "q4", theirs: "q4", file: "onnx/model_q4.onnx" }),
    own("bnb4", { dtype: "bnb4", theirs: "bnb4", file: "onnx/model_bnb4.onnx" }),
    own("merged", {}),
    own("external", { config: { "transformers.js_config": { use_external_data_format: true } } }),
  ])("$name", async (one) => {
    const ours = await ask(one)
    const peer = await openPeerDecoder(one.folder, one.theirs)
    for (const [index, prompt] of prompts.entries()) expect(ours[index]).toEqual(await peer.answer(prompt, TOKENS, 1))
    await peer.close()
  })
})

const layers = [0, 1]
const positionsFrom = (count: number, past: number) => Array.from({ length: count }, (_, at) => past + at)

describe("greedy answers are those of a plain loop, where transformers cannot load the graph", () => {
  const heads = { config: { num_key_value_heads: 2 } }
  const withPositions: PlainGraph["feed"] = (ids, past) => ({
    input_ids: int64(ids, [1, ids.length]),
    attention_mask: int64(ones(past + ids.length), [1, past + ids.length]),
    position_ids: int64(positionsFrom(ids.length, past), [1, ids.length]),
  })
  const plainCaches = layers.flatMap((layer) =>
    ["key", "value"].map((part) => ({
      ...{ past: `past_key_values.${layer}.${part}`, present: `present.${layer}.${part}` },
      ...{ type: "float32" as const, dims: [1, 1, 0, 16] },
    })),
  )
  it.each<Case & { readonly graph: PlainGraph; readonly file: string }>([
    {
      ...BATCHED,
      // transformers.js feeds an empty cache of 0 rows, which GroupQueryAttention refuses.
      name: "gqa",
      folder: variants.make("gqa"),
      file: "onnx/model.onnx",
      reason: LENGTHS,
      graph: {
        logits: "logits",
        caches: plainCaches,
        feed: (ids, past) => ({
          input_ids: int64(ids, [1, ids.length]),
          attention_mask: int64(ones(past + ids.length), [1, past + ids.length]),
        }),
      },
    },
    {
      ...BATCHED,
      name: "genai",
      folder: variants.makeGenai(),
      file: "weights.onnx",
      dtype: "q4f16",
      reason: LENGTHS,
      graph: {
        logits: "scores",
        caches: layers.flatMap((layer) =>
          ["k", "v"].map((part) => ({
            ...{ past: `cache_${layer}_${part}`, present: `next_${layer}_${part}` },
            ...{ type: "float16" as const, dims: [1, 1, 0, 16] },
          })),
        ),
        feed: (ids, past) => ({
          tokens: int64(ids, [1, ids.length]),
          mask: int32(ones(past + ids.length), [1, past + ids.length]),
        }),
      },
    },
    {
      ...BATCHED,
      name: "gqa_lengths",
      folder: variants.make("gqa_lengths", { config: { sliding_window: 12 } }),
      file: "onnx/model.onnx",
      reason: LENGTHS,
      graph: {
        logits: "logits",
        caches: plainCaches,
        feed: (ids, past) => ({
          input_ids: int64(ids, [1, ids.length]),
          seqlens_k: int32([past + ids.length - 1], [1]),
          total_sequence_length: int32([past + ids.length], []),
        }),
      },
    },
    {
      ...BATCHED,
      name: "attention",
      folder: variants.make("attention", heads),
      file: "onnx/model.onnx",
      graph: {
        logits: "logits",
        caches: layers.map((layer) => ({
          ...{ past: `past_${layer}`, present: `present_${layer}` },
          ...{ type: "float32" as const, dims: [2, 1, 2, 0, 16] },
        })),
        feed: withPositions,
      },
    },
    {
      ...BATCHED,
      name: "mha",
      folder: variants.make("mha", heads),
      file: "onnx/model.onnx",
      graph: {
        logits: "logits",
        caches: layers.flatMap((layer) =>
          ["key", "value"].map((part) => ({
            ...{ past: `past_${part}_${layer}`, present: `present_${part}_${layer}` },
            ...{ type: "float32" as const, dims: [1, 2, 0, 16] },
          })),
        ),
        feed: withPositions,
      },
    },
  ])("$name", async (one) => {
    const ours = await ask(one)
    const folder = await Effect.runPromise(readModelFolder("m", one.folder, "auto"))
    const tokenizer = Result.getOrThrow(makeModelTokenizer(folder, undefined))
    const loop = await openPlainLoop(`${one.folder}/${one.file}`, one.graph)
    for (const [index, prompt] of prompts.entries()) {
      const ids = Result.getOrThrow(tokenizer.encodeChat(prompt))
      expect(ours[index]).toEqual(await loop.answer(ids, TOKENS, CONFIG.eos_token_id))
    }
    await loop.close()
  })
})
