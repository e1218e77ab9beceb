/** Whole files: what is refused, what is written, and that onnxruntime computes with it what the floats gave. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { findProducts } from "../../src/quantization/findProducts.ts"
import { readOnnxFile } from "../../src/quantization/OnnxFile.ts"
import { type QuantizeRules, quantizeGraph } from "../../src/quantization/quantizeGraph.ts"
import { type QuantizePlan, quantizeModel } from "../../src/quantization/quantizeModel.ts"
import { writeOnnx } from "../../src/quantization/writeOnnx.ts"
import { fixture } from "../support/engines.ts"
import { runSmallOnnx, writeSmallOnnx } from "../support/smallOnnx.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-quantize-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)

const Q4: QuantizeRules = { products: "blocks4", accuracyLevel: 1, embeddings: "fp32" }
const tiny = (file: string) => join(fixture("tiny-decoder"), "onnx", file)
const plan = (from: string, to: string, rules = Q4): QuantizePlan => ({ from, to: at(to), rules })
const run = (what: QuantizePlan) => Effect.runPromise(quantizeModel(what))
const refused = (what: QuantizePlan) =>
  Effect.runPromise(Effect.map(Effect.flip(quantizeModel(what)), ({ message }) => message))

const ramp = (length: number, step: number) => Float32Array.from({ length }, (_, index) => Math.sin(index * step))

describe("what is refused, with nothing written", () => {
  it("1. a model that is quantised already", async () => {
    expect(await refused(plan(tiny("model_quantized.onnx"), "no.onnx"))).toMatch(
      /is quantised already \(it has .*MatMulInteger.*\); start from the model of 32-bit floats\.$/,
    )
  })
  it("2. one of 16-bit floats, also where a node widens them", async () => {
    expect(await refused(plan(tiny("model_fp16.onnx"), "no.onnx"))).toMatch(/are 16-bit floats; start from/)
  })
  it("3. one without products", async () => {
    writeSmallOnnx(at("add.onnx"), [{ opType: "Add", name: "add", inputs: ["x", "x"], outputs: ["y"] }], [])
    expect(await refused(plan(at("add.onnx"), "no.onnx"))).toMatch(/has no MatMul or Gemm with weights in it/)
  })
  it("4. what is no model, or half of one, or none at all", async () => {
    writeFileSync(at("text.onnx"), "version https://git-lfs.github.com/spec/v1")
    expect(await refused(plan(at("text.onnx"), "no.onnx"))).toMatch(/cannot be read as an ONNX model: /)
    writeFileSync(at("half.onnx"), readFileSync(tiny("model.onnx")).subarray(0, 20_000))
    expect(await refused(plan(at("half.onnx"), "no.onnx"))).toMatch(/cannot be read as an ONNX model: .*cut off/)
    expect(await refused(plan(at("none.onnx"), "no.onnx"))).toMatch(/cannot be read as an ONNX model: ENOENT/)
  })
  it("5. weights outside of the folder", async () => {
    const file = readOnnxFile(tiny("model.onnx"))
    writeOnnx(
      quantizeGraph(file, { ...findProducts(file), products: [], preparations: new Set() }, Q4),
      at("out.onnx"),
      0,
    )
    const bytes = readFileSync(at("out.onnx"), "latin1").replaceAll("out.onnx_data", "../onnx__data")
    mkdirSync(at("moved"), { recursive: true })
    writeFileSync(at("moved/out.onnx"), bytes, "latin1")
    expect(await refused(plan(at("moved/out.onnx"), "no.onnx"))).toMatch(/a weight lies outside of the model's folder/)
    rmSync(at("out.onnx_data"))
    expect(await refused(plan(at("out.onnx"), "no.onnx"))).toMatch(/out\.onnx_data, which is not there/)
  })
  it("6. a disk that takes no more: the file that was there stays", async () => {
    const target = at("full.onnx")
    writeFileSync(target, "before")
    // Linux alone has a device that is always full.
    mkdirSync(`${target}.part`)
    expect(await refused(plan(tiny("model.onnx"), "full.onnx"))).toMatch(/cannot be written: /)
    expect(readFileSync(target, "utf8")).toBe("before")
    rmSync(`${target}.part`, { recursive: true })
  })
  it("7. and nothing of it is left", () => {
    expect(readdirSync(folder).filter((name) => /no\.onnx|part$/.test(name))).toEqual([])
  })
})

/** Greatest error, in shares of what a sum could be at most: where parts cancel, what is left says little of them. */
const errorOf = (wanted: Float32Array, got: Float32Array, most: number): number =>
  wanted.reduce((error, value, index) => Math.max(error, Math.abs(value - got[index]!)), 0) / most

describe("what is computed with", () => {
  const [rows, k, n] = [3, 40, 6]
  // Rows of unlike size, which one scale for all would serve badly.
  const x = ramp(rows * k, 0.37).map((value, index) => value / 2 ** Math.floor(index / k))
  // Weights are sines, of 1 at most.
  const sumMax = x.subarray(0, k).reduce((sum, value) => sum + Math.abs(value), 0)
  const weights = { name: "w", dims: [k, n], values: ramp(k * n, 0.71) }
  const turned = { name: "w", dims: [n, k], values: ramp(k * n, 0.53) }
  const bias = { name: "c", dims: [n], values: ramp(n, 1.3) }
  const graphs = {
    "a MatMul": { nodes: [{ opType: "MatMul", name: "m", inputs: ["x", "w"], outputs: ["y"] }], weights: [weights] },
    "a MatMul without a name, its weights turned by a Transpose": {
      nodes: [
        { opType: "Transpose", name: "t", inputs: ["w"], outputs: ["wt"], attributes: { perm: [1, 0] } },
        { opType: "MatMul", name: "", inputs: ["x", "wt"], outputs: ["y"] },
      ],
      weights: [turned],
    },
    "a Gemm with turned weights and a bias": {
      nodes: [{ opType: "Gemm", name: "g", inputs: ["x", "w", "c"], outputs: ["y"], attributes: { transB: 1 } }],
      weights: [turned, bias],
    },
    "two products of the same weights, one more use of them": {
      nodes: [
        { opType: "MatMul", name: "m1", inputs: ["x", "w"], outputs: ["a"] },
        { opType: "MatMul", name: "m2", inputs: ["x", "w"], outputs: ["b"] },
        { opType: "ReduceSum", name: "s", inputs: ["w"], outputs: ["total"], attributes: { keepdims: 0 } },
        { opType: "Add", name: "add", inputs: ["a", "b"], outputs: ["ab"] },
        { opType: "Add", name: "add2", inputs: ["ab", "total"], outputs: ["y"] },
      ],
      weights: [weights],
    },
  } as const
  const rules = [
    ["blocks4", 0.025],
    ["blocks8", 0.002],
    ["rows", 0.004],
    ["tensor", 0.004],
  ] as const
  it.each(Object.keys(graphs).flatMap((name) => rules.map(([products, bound]) => [name, products, bound] as const)))(
    "8. %s, as %s, comes to what it came to, up to %d",
    async (name, products, bound) => {
      const graph = Object.entries(graphs).find(([each]) => each === name)![1]
      writeSmallOnnx(at("small.onnx"), graph.nodes, graph.weights)
      await run(plan(at("small.onnx"), "smaller.onnx", { products, accuracyLevel: 1, embeddings: "int8" }))
      const wanted = await runSmallOnnx(at("small.onnx"), x, [rows, k])
      const error = errorOf(wanted, await runSmallOnnx(at("smaller.onnx"), x, [rows, k]), sumMax)
      expect(error).toBeLessThan(bound)
      expect(error).toBeGreaterThan(0)
    },
  )
  it("9. other uses keep the floats that they need, and only they", async () => {
    const kept = async (name: keyof typeof graphs) => {
      writeSmallOnnx(at("small.onnx"), graphs[name].nodes, graphs[name].weights)
      await run(plan(at("small.onnx"), "smaller.onnx"))
      return readOnnxFile(at("smaller.onnx")).tensors.has("w")
    }
    expect(await kept("two products of the same weights, one more use of them")).toBe(true)
    expect(await kept("a MatMul")).toBe(false)
    expect(await kept("a MatMul without a name, its weights turned by a Transpose")).toBe(false)
  })
})

describe("files beside the model", () => {
  it("10. hold the weights of what is too large, and are read again as a source", async () => {
    const [inline] = (await run(plan(tiny("model.onnx"), "inline.onnx"))).files
    const split = await run({ ...plan(tiny("model.onnx"), "split.onnx"), inlineBytesMax: 1000 })
    expect(split.files.map(({ path }) => path)).toEqual([at("split.onnx"), at("split.onnx_data")])
    expect(statSync(at("split.onnx")).size).toBeLessThan(inline!.bytes)
    // The fp32 model, its weights moved out, gives the same file as the one that it was.
    const file = readOnnxFile(tiny("model.onnx"))
    writeOnnx(
      quantizeGraph(file, { ...findProducts(file), products: [], preparations: new Set() }, Q4),
      at("moved.onnx"),
      0,
    )
    const again = await run(plan(at("moved.onnx"), "again.onnx"))
    expect(again.bytesBefore).toBeGreaterThan(statSync(at("moved.onnx")).size)
    expect(readOnnxFile(at("again.onnx")).nodes.length).toBe(readOnnxFile(at("inline.onnx")).nodes.length)
    expect(again.bytesAfter).toBe(inline!.bytes)
  })
  it("11. are computed with as if they were in it", async () => {
    const [k, n] = [256, 64]
    const x = ramp(2 * k, 0.37)
    const nodes = [{ opType: "MatMul", name: "m", inputs: ["x", "w"], outputs: ["y"] }]
    writeSmallOnnx(at("large.onnx"), nodes, [{ name: "w", dims: [k, n], values: ramp(k * n, 0.71) }])
    await run(plan(at("large.onnx"), "within.onnx"))
    const split = await run({ ...plan(at("large.onnx"), "without.onnx"), inlineBytesMax: 1000 })
    expect(split.files.length).toBe(2)
    expect(await runSmallOnnx(at("without.onnx"), x, [2, k])).toEqual(await runSmallOnnx(at("within.onnx"), x, [2, k]))
  })
  it("12. of a former model go when a small one takes its place", async () => {
    await run({ ...plan(tiny("model.onnx"), "twice.onnx"), inlineBytesMax: 1000 })
    copyFileSync(at("twice.onnx_data"), at("other.onnx_data"))
    await run(plan(tiny("model.onnx"), "twice.onnx"))
    expect(readdirSync(folder).filter((name) => name.endsWith("_data") && name.startsWith("twice"))).toEqual([])
  })
})
