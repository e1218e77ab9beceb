/** Variants that were made here, run by the engine and by transformers.js, beside the int8 that was made in Python. */
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"
import { measureDecoder } from "../../src/quantization/measureDecoder.ts"
import { QUANTIZE_RULES, type QuantizeRules } from "../../src/quantization/quantizeGraph.ts"
import { quantizeModel } from "../../src/quantization/quantizeModel.ts"
import { openDecoderStep } from "../support/decoderSteps.ts"
import { answer, fixture, openDecoder, openEncoder, trained, user } from "../support/engines.ts"
import { openPeerClassifier, openPeerDecoder } from "../support/transformers.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-quantized-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const make = (name: string, file: string, rules: QuantizeRules) =>
  Effect.runPromise(
    quantizeModel({ from: join(folder, name, "onnx/model.onnx"), to: join(folder, name, "onnx", file), rules }),
  )

const { int8: INT8, q4: Q4 } = QUANTIZE_RULES
const DYNAMIC: QuantizeRules = { products: "tensor", accuracyLevel: 0, embeddings: "int8" }

beforeAll(async () => {
  cpSync(trained("barista"), join(folder, "barista"), { recursive: true })
  cpSync(trained("barista"), join(folder, "dynamic"), { recursive: true })
  cpSync(trained("barista"), join(folder, "rows"), { recursive: true })
  cpSync(fixture("tiny-encoder"), join(folder, "tiny-encoder"), { recursive: true })
  await make("barista", "model_q4.onnx", Q4)
  await make("barista", "model_quantized.onnx", INT8)
  await make("rows", "model_quantized.onnx", { ...DYNAMIC, products: "rows" })
  await make("dynamic", "model_quantized.onnx", DYNAMIC)
  await make("tiny-encoder", "model_q4.onnx", Q4)
  await make("tiny-encoder", "model_quantized.onnx", INT8)
})

const PROMPTS = ["A large latte with oat milk, please.", "What does a mocha cost?", "Hello!"]

describe("greedy answers equal those of transformers.js on the same file", () => {
  it.each([
    ["barista", "q4", "q4", "batched"],
    ["barista", "int8", "q8", "batched"],
    ["rows", "int8", "q8", "batched"],
    // One scale for all activations of a step: company would change an answer.
    ["dynamic", "int8", "q8", "turns"],
  ] as const)("1. %s as %s", async (name, dtype, peerDtype, path) => {
    const { close, handle } = await openDecoder({ folder: join(folder, name), dtype })
    const peer = await openPeerDecoder(join(folder, name), peerDtype)
    expect(handle.target.describe.path?.kind).toBe(path)
    const sampling = { temperature: 0, maxTokens: 24, repetitionPenalty: 1 }
    const ours = await Effect.runPromise(
      Effect.forEach(PROMPTS, (prompt) => answer(handle.target, { prompt: [user(prompt)], sampling }), {
        concurrency: "unbounded",
      }),
    )
    for (const [index, prompt] of PROMPTS.entries()) {
      expect(ours[index]?.tokenIds).toEqual(await peer.answer([user(prompt)], 24, 1))
    }
    await peer.close()
    await close()
  })
})

const DIALOGUES = [
  "<|begin|><|user|>Hi, I'd like a large iced latte with oat milk.<|end|><|agent|>Sure. Would you like any syrup in that?<|end|><|user|>Vanilla, please.<|end|><|agent|>Okay, a large iced vanilla latte with oat milk. Anything else?<|end|><|user|>No, that's all.<|end|><|agent|>Great, your order will be ready soon.<|end|>",
  "<|begin|><|user|>Can I get two cappuccinos?<|end|><|agent|>Of course. What size would you like?<|end|><|user|>Small.<|end|><|agent|>Hot or iced?<|end|><|user|>Hot, with whole milk.<|end|><|agent|>Two small hot cappuccinos with whole milk. Is that correct?<|end|><|user|>Yes, thank you!<|end|><|agent|>Thank you, have a nice day.<|end|>",
]

describe("the loss on dialogues", () => {
  it("2. is at most that of the int8 that was made in Python, and 4 bits keep within 3 % of the perplexity", async () => {
    const read = await Effect.runPromise(readModelFolder("barista", trained("barista"), "fp32"))
    const tokenizer = new Tokenizer(read.rawTokenizer, read.rawTokenizerConfig)
    const windows = DIALOGUES.map((text) => tokenizer.encode(text, { add_special_tokens: false }).ids)
    const before = await openDecoderStep({ folder: trained("barista"), dtype: "fp32", slots: 1 })
    const loss = async (path: string, dtype: "int8" | "q4") =>
      measureDecoder(before, await openDecoderStep({ folder: path, dtype, slots: 1 }), windows)
    const python = await loss(trained("barista"), "int8")
    const int8 = await loss(join(folder, "barista"), "int8")
    const rows = await loss(join(folder, "rows"), "int8")
    const dynamic = await loss(join(folder, "dynamic"), "int8")
    const q4 = await loss(join(folder, "barista"), "q4")
    const after = (one: typeof python) => Math.abs(one.perplexityAfter / one.perplexityBefore - 1)
    expect(int8.divergence).toBeLessThan(python.divergence / 4)
    expect(dynamic.divergence).toBeLessThan(python.divergence * 1.5)
    expect(rows.divergence).toBeLessThan(python.divergence)
    expect(after(rows)).toBeLessThan(0.02)
    expect(after(int8)).toBeLessThan(0.005)
    expect(after(dynamic)).toBeLessThan(0.02)
    expect(after(q4)).toBeLessThan(0.03)
    expect(q4.agreement).toBeGreaterThan(0.85)
  })
  it("3. of a model beside itself is none, and of half a window is that of its tokens", async () => {
    const step = await openDecoderStep({ folder: trained("barista"), dtype: "fp32", slots: 2 })
    const none = await measureDecoder(step, step, [
      [0, 1, 300, 301, 302, 3],
      Array.from({ length: 150 }, (_, at) => at + 5),
    ])
    expect(none).toMatchObject({ tokens: 5 + 149, agreement: 1, divergence: 0 })
    expect(none.perplexityAfter).toBe(none.perplexityBefore)
  })
})

describe("encoders", () => {
  it.each([
    ["q4", "q4"],
    ["int8", "q8"],
  ] as const)("4. give the scores of transformers.js as %s", async (dtype, peerDtype) => {
    const { close, handle } = await openEncoder({ folder: join(folder, "tiny-encoder"), dtype })
    const peer = await openPeerClassifier(join(folder, "tiny-encoder"), peerDtype)
    const [found] = await Effect.runPromise(handle.target.classify(["a large latte"]))
    const wanted = await peer.run("a large latte")
    for (const [index, label] of handle.target.describe.labels.entries()) {
      expect(found?.scores.find((each) => each.label === label)?.score).toBeCloseTo(wanted.scores[index] ?? -1, 4)
    }
    await peer.close()
    await close()
  })
})
