import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { inspectFolder } from "../../src/inference/folder/inspectFolder.ts"
import { fixture } from "../support/engines.ts"

describe("inspectFolder", () => {
  it("says what a decoder is, from its files alone", async () => {
    const report = await Effect.runPromise(inspectFolder(fixture("tiny-decoder")))
    expect(report).toMatchObject({
      name: "tiny-decoder",
      layout: "transformers",
      kind: "decoder",
      modelType: "llama",
      dtype: "fp32",
      layers: 2,
      queryHeads: 3,
      kvHeads: 1,
      headDim: 8,
      vocabSize: 269,
      contextLength: 256,
      slidingWindow: undefined,
      endTokenIds: [3],
      hasChatTemplate: true,
      cacheType: "float32",
      // Keys and values of 2 layers, 1 head of 8 numbers, 4 bytes each.
      cacheBytesPerToken: 2 * 2 * 8 * 4,
      attention: "plain",
      stepSensitive: false,
      opset: 17,
    })
    expect(report.dtypes).toEqual([
      { dtype: "fp32", file: "onnx/model.onnx" },
      { dtype: "fp16", file: "onnx/model_fp16.onnx" },
      { dtype: "int8", file: "onnx/model_quantized.onnx" },
    ])
    expect(report.inputs).toEqual([
      "input_ids [batch, length]",
      "attention_mask [batch, total]",
      "position_ids [batch, length]",
    ])
    expect(report.outputs).toEqual(["logits [batch, length, 269]"])
    expect(report.files.map(({ path, role }) => `${role}: ${path}`)).toEqual([
      "weights: onnx/model.onnx",
      "configuration: config.json",
      "configuration: generation_config.json",
      "tokenizer: tokenizer.json",
      "tokenizer: tokenizer_config.json",
    ])
    expect(report.weightsBytes).toBe(report.files[0]?.bytes)
    expect(report.operators.find(({ operator }) => operator === "Concat")?.count).toBe(8)
  })

  it("says what other weights of it are", async () => {
    const half = await Effect.runPromise(inspectFolder(fixture("tiny-decoder"), { dtype: "fp16" }))
    expect(half).toMatchObject({ dtype: "fp16", cacheType: "float16", cacheBytesPerToken: 64, stepSensitive: false })
    const int8 = await Effect.runPromise(inspectFolder(fixture("tiny-decoder"), { dtype: "int8" }))
    expect(int8).toMatchObject({ dtype: "int8", cacheType: "float32", stepSensitive: true })
  })

  it("says what an encoder is", async () => {
    const report = await Effect.runPromise(inspectFolder(fixture("tiny-encoder")))
    expect(report).toMatchObject({ kind: "encoder", modelType: "bert", cacheBytesPerToken: undefined, vocabSize: 98 })
  })
})
