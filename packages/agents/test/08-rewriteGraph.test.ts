import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import fc from "fast-check"
import { InferenceSession } from "onnxruntime-node"
import { describe, expect, it } from "vitest"
import { outputFreshRows } from "../src/inference/graph/rewriteGraph.ts"
import { answer, fixture, openDecoder, trained, user } from "./support/engines.ts"

const read = (folder: string, file: string): Uint8Array => readFileSync(join(folder, "onnx", file))
const tiny = read(fixture("tiny-decoder"), "model.onnx")

describe("outputFreshRows", () => {
  it("refuses what is no model, cut off wherever, without throwing", () => {
    expect(outputFreshRows(new Uint8Array(0))).toBeUndefined()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(outputFreshRows(bytes)).toBeUndefined()
      }),
    )
    fc.assert(
      // Six bytes, the operator set, follow the graph: without them it is onnxruntime that refuses it.
      fc.property(fc.nat({ max: tiny.length - 7 }), (length) => {
        expect(outputFreshRows(tiny.subarray(0, length))).toBeUndefined()
      }),
    )
  })

  it("leaves alone a graph without a cache", () => {
    expect(outputFreshRows(read(fixture("tiny-encoder"), "model.onnx"))).toBeUndefined()
  })

  it.each([
    { name: "tiny-decoder", folder: fixture("tiny-decoder"), file: "model.onnx" },
    { name: "tiny-decoder, fp16", folder: fixture("tiny-decoder"), file: "model_fp16.onnx" },
    { name: "barista", folder: trained("barista"), file: "model.onnx" },
    { name: "barista, int8", folder: trained("barista"), file: "model_quantized.onnx" },
  ])("makes a model of $name that gives logits and the new rows", async ({ file, folder }) => {
    const original = await InferenceSession.create(join(folder, "onnx", file))
    const rewritten = outputFreshRows(read(folder, file))
    const session = await InferenceSession.create(rewritten!.bytes)
    expect(session.inputNames).toEqual(original.inputNames)
    expect(rewritten!.inputNames).toEqual(original.inputNames)
    expect(session.outputNames).toEqual(original.outputNames.map((name) => rewritten!.freshOf.get(name) ?? name))
    expect([...rewritten!.freshOf.keys()]).toEqual(original.outputNames.filter((name) => name.startsWith("present.")))
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
