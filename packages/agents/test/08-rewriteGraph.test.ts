import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Result } from "effect"
import fc from "fast-check"
import { InferenceSession } from "onnxruntime-node"
import { describe, expect, it } from "vitest"
import { readModelFolder } from "../src/inference/folder/modelFolder.ts"
import { readDecoderGraph } from "../src/inference/graph/DecoderGraph.ts"
import { readOnnx } from "../src/inference/graph/readOnnx.ts"
import { readPatched } from "../src/inference/graph/readPatched.ts"
import { outputFreshRows } from "../src/inference/graph/rewriteGraph.ts"
import { answer, fixture, openDecoder, trained, user } from "./support/engines.ts"

const tiny: Uint8Array = readFileSync(join(fixture("tiny-decoder"), "onnx/model.onnx"))

describe("readOnnx", () => {
  it("refuses what is no model, cut off wherever, without throwing", () => {
    expect(readOnnx(new Uint8Array(0))).toBeUndefined()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(readOnnx(bytes)).toBeUndefined()
      }),
    )
    fc.assert(
      // Six bytes, the operator set, follow the graph: without them it is onnxruntime that refuses it.
      fc.property(fc.nat({ max: tiny.length - 7 }), (length) => {
        expect(readOnnx(tiny.subarray(0, length))).toBeUndefined()
      }),
    )
  })
})

describe("outputFreshRows", () => {
  it.each([
    { name: "tiny-decoder", folder: fixture("tiny-decoder"), dtype: "fp32" },
    { name: "tiny-decoder", folder: fixture("tiny-decoder"), dtype: "fp16" },
    { name: "barista", folder: trained("barista"), dtype: "fp32" },
    { name: "barista", folder: trained("barista"), dtype: "int8" },
  ] as const)("makes a model of $name, $dtype, that gives logits and the new rows", async ({ dtype, folder }) => {
    const read = await Effect.runPromise(readModelFolder("m", folder, dtype))
    const decoder = Result.getOrThrow(readDecoderGraph(read))
    const rewritten = outputFreshRows(read.graph, decoder)
    if ("refused" in rewritten) throw new Error(rewritten.refused)
    const original = await InferenceSession.create(read.weightsPath)
    const session = await InferenceSession.create(readPatched(read.weightsPath, rewritten.pieces))
    expect(session.inputNames).toEqual(original.inputNames)
    expect([...session.outputNames].sort()).toEqual(["logits", ...rewritten.freshOutputs].sort())
    expect(rewritten.freshOutputs.length).toBe(original.outputNames.length - 1)
    expect(rewritten.freshOutputs.filter((name) => name.startsWith("present."))).toEqual([])
    await Promise.all([original.release(), session.release()])
  })
})

describe("answers that share steps", () => {
  it("are what they are alone, in far fewer steps, however ragged", async () => {
    const requests = Array.from({ length: 12 }, (_, index) => ({
      prompt: [user("the ring ".repeat((index * 7) % 20))],
      sampling: { temperature: 0.9, topK: 20, seed: index, maxTokens: 8 + ((index * 5) % 40) },
      cacheKey: `c${index % 5}`,
    }))
    const shared = await openDecoder({ folder: fixture("tiny-decoder"), dtype: "fp32", slots: 5 })
    const alone = await openDecoder({ folder: fixture("tiny-decoder"), dtype: "fp32", slots: 5, batching: false })
    const ask = (engine: typeof shared) =>
      Effect.all(
        requests.map((request) => answer(engine.handle.target, request)),
        { concurrency: "unbounded" },
      )
    // Steps are shared by who is there: a first answer must not be over before the last request has come.
    await Effect.runPromise(shared.handle.setStepDelayMs(5))
    const together = await Effect.runPromise(ask(shared))
    const apart = await Effect.runPromise(ask(alone))
    expect(together.map(({ tokenIds }) => tokenIds)).toEqual(apart.map(({ tokenIds }) => tokenIds))
    const [few, many] = await Promise.all([shared, alone].map((engine) => Effect.runPromise(engine.handle.counters)))
    expect(few!.steps).toBeLessThan(many!.steps / 2)
    await Promise.all([shared.close(), alone.close()])
  })
})
