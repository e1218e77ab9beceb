import { readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Result } from "effect"
import { InferenceSession } from "onnxruntime-node"
import { afterAll, describe, expect, it, vi } from "vitest"
import { checkedWeights, rememberChecked } from "../../src/engine/CheckedWeights.ts"
import { settingsOf } from "../../src/engine/EngineOptions.ts"
import type { Loaded } from "../../src/engine/protocol.ts"
import type { Dtype } from "../../src/index.ts"
import { BatchDecoder } from "../../src/inference/decoding/BatchDecoder.ts"
import { makeConcatDecoder } from "../../src/inference/decoding/ConcatDecoder.ts"
import { checkRewrite, PROBE_ROWS, planRoom, runProbe } from "../../src/inference/decoding/checkRewrite.ts"
import { openStep } from "../../src/inference/decoding/openStep.ts"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"
import { readDecoderGraph } from "../../src/inference/graph/DecoderGraph.ts"
import { readPatched } from "../../src/inference/graph/readPatched.ts"
import { outputFreshRows } from "../../src/inference/graph/rewriteGraph.ts"
import { fixture } from "../support/engines.ts"
import { GENAI_CONFIG, makeVariants } from "../support/variants.ts"

// As in the engine's own process (engineWorker.ts), which says why.
Reflect.deleteProperty(globalThis, "Float16Array")

const variants = makeVariants()
afterAll(() => variants.remove())

const open = (folder: string, options: { readonly dtype?: Dtype; readonly checkRewrite?: boolean } = {}) => {
  const settings = settingsOf("decoder", { folder, name: "m", ...options })
  return Effect.gen(function* () {
    return yield* openStep(settings, yield* readModelFolder("m", folder, settings.dtype))
  })
}
const refusal = async (folder: string, dtype: Dtype = "auto") => {
  const { message, reason } = await Effect.runPromise(Effect.flip(open(folder, { dtype })))
  return `${reason}: ${message}`
}

/** genai_config.json with another decoder. */
const genaiWith = (decoder: object) => ({
  ...GENAI_CONFIG,
  model: { ...GENAI_CONFIG.model, decoder: { ...GENAI_CONFIG.model.decoder, ...decoder } },
})

describe("weights in several files", () => {
  it("lack one of them", async () => {
    const folder = variants.make("external")
    unlinkSync(join(folder, "onnx/model.onnx_data"))
    expect(await refusal(folder)).toBe(
      'incomplete: Model "m": model.onnx_data is missing beside onnx/model.onnx, which keeps weights in it; copy it there.',
    )
  })

  it("have one that is too short", async () => {
    const folder = variants.make("external")
    truncateSync(join(folder, "onnx/model.onnx_data"), 70_000)
    expect(await refusal(folder)).toBe(
      'incomplete: Model "m": model.onnx_data has 70000 bytes and onnx/model.onnx wants 71296 of it; it is cut off or another ' +
        "model's.",
    )
  })

  it("give another hash when one of them changes", async () => {
    const folder = variants.make("external")
    const hash = () => Effect.runPromise(Effect.map(readModelFolder("m", folder, "auto"), (read) => read.weightsHash))
    const before = await hash()
    const data = join(folder, "onnx/model.onnx_data")
    writeFileSync(data, readFileSync(data).fill(1, 0, 1))
    expect(await hash()).not.toBe(before)
  })
})

describe("a folder of onnxruntime-genai", () => {
  it("names weights that are not there", async () => {
    const folder = variants.makeGenai(genaiWith({ filename: "other.onnx" }))
    expect(await refusal(folder)).toBe(
      `incomplete: Model "m": other.onnx, which genai_config.json names as the decoder, is missing in ${folder}.`,
    )
  })

  it("holds other weights than were asked for", async () => {
    const folder = variants.makeGenai()
    expect(await refusal(folder, "fp32")).toBe(
      `incomplete: Model "m": there are no fp32 weights in ${folder}; weights.onnx holds q4f16.`,
    )
  })

  it.each([
    {
      what: "another number of layers",
      config: genaiWith({ num_hidden_layers: 3 }),
      says: "genai_config.json says that it has 3 layers and its graph has caches of 2; they do not belong together",
    },
    {
      what: "other heads",
      config: genaiWith({ num_key_value_heads: 2 }),
      says: 'genai_config.json says that a cache has 2 heads and "cache_0_k" of its graph has 1; they do not belong together',
    },
    {
      what: "names that are not the graph's",
      config: genaiWith({ inputs: { input_ids: "ids" } }),
      says: 'it wants an input "tokens", which nobody knows how to fill',
    },
    {
      what: "a cache that nothing continues",
      config: genaiWith({ outputs: { logits: "scores", present_key_names: "next_%d_q" } }),
      says: '"cache_0_k" is continued by no output "next_0_q"',
    },
  ])("says $what", async ({ config, says }) => {
    expect(await refusal(variants.makeGenai(config))).toBe(
      `unsupported: Model "m": not a decoder with a cache that can be run (model_type llama): ${says}.`,
    )
  })

  it("lacks what has to be said", async () => {
    const folder = variants.makeGenai({ model: { type: "llama" } })
    expect(await refusal(folder)).toMatch(
      /^damaged: Model "m": genai_config.json is not what it should be: .*vocab_size/,
    )
  })
})

describe("a configuration that contradicts itself", () => {
  it.each([
    { config: { eos_token_id: [3, 900] }, says: "eos_token_id 900 is none of its 269 token ids (vocab_size)" },
    {
      config: { num_attention_heads: 3, num_key_value_heads: 2 },
      says: "num_attention_heads 3 is no multiple of num_key_value_heads 2",
    },
  ])("$says", async ({ config, says }) => {
    const folder = variants.make("gqa", { config })
    expect(await refusal(folder)).toBe(`damaged: Model "m": config.json contradicts itself: ${says}.`)
  })
})

describe("weights that are no decoder's", () => {
  it("are cut off", async () => {
    const folder = variants.make("gqa", { file: "model.onnx" })
    truncateSync(join(folder, "model.onnx"), 40_000)
    expect(await refusal(folder)).toBe(
      `damaged: Model "m": ${join(folder, "model.onnx")} is truncated or damaged; copy it again.`,
    )
    rmSync(folder, { recursive: true })
  })

  it("are of another size than the configuration says", async () => {
    expect(await refusal(variants.make("mha"))).toContain(
      'config.json says that a cache has 1 heads and "past_key_0" of its graph has 2; they do not belong together',
    )
  })
})

describe("the rewrite", () => {
  const read = async (name: string) => {
    const folder = await Effect.runPromise(readModelFolder("m", variants.make(name), "auto"))
    return { folder, graph: Result.getOrThrow(readDecoderGraph(folder)), bytes: readFileSync(folder.weightsPath) }
  }

  it("is not taken for right where it gives other rows than the new ones", async () => {
    const { bytes, folder, graph } = await read("cumsum")
    const model = outputFreshRows(folder.graph, graph)
    if ("refused" in model) throw new Error(model.refused)
    const plan = { vocabSize: 269, roomTokens: 0, coarse: false }
    const [original, session] = [
      await InferenceSession.create(bytes),
      await InferenceSession.create(readPatched(folder.weightsPath, model.pieces)),
    ]
    const expected = await runProbe(makeConcatDecoder(original, graph), plan)
    const check = (freshOutputs: ReadonlyArray<string>) => {
      const step = new BatchDecoder({ session, graph: model.graph, freshOutputs, rowsMax: PROBE_ROWS })
      return checkRewrite(expected, step, model.graph.kv, plan)
    }
    expect(await check(model.freshOutputs)).toBeUndefined()
    const [first = "", second = "", ...rest] = model.freshOutputs
    expect(await check([second, first, ...rest])).toMatch(/^it appends to its cache in a way that is not known/)
    await Promise.all([original.release(), session.release()])
  })

  it("is refused to a graph that is too old", async () => {
    const { folder, graph } = await read("cumsum")
    const old = outputFreshRows({ ...folder.graph, opset: 10 }, graph)
    expect("refused" in old && old.refused).toContain("operator set 10")
  })

  it("is trusted unchecked where that is asked for, but not to know what a graph counts positions by", async () => {
    const trusted = await Effect.runPromise(open(variants.make("gqa"), { checkRewrite: false }))
    expect(trusted.path.kind).toBe("batched")
    expect(trusted.path.reason).not.toContain("checked")
    const unknown = await Effect.runPromise(open(variants.make("cumsum"), { checkRewrite: false }))
    expect(unknown.path).toMatchObject({ kind: "turns", reason: expect.stringContaining("checkRewrite is off") })
  })

  it("is said not to be made for a graph whose positions follow from its cache's room", async () => {
    const opened = await Effect.runPromise(open(fixture("tiny-decoder"), { dtype: "fp16" }))
    expect(opened.path).toMatchObject({ kind: "turns", reason: expect.stringContaining("counts holes") })
  })
})

describe("weights that were checked before", () => {
  const settings = { ...settingsOf("decoder", { folder: "/models/a", name: "m" }), provider: "cpu" }
  const loaded = (kind: "batched" | "turns", weightsHash: string): Loaded => ({
    ...{ _tag: "Loaded", dtype: "fp32", weightsHash, tokenizerHash: "", labels: [] },
    path: { kind, reason: "" },
  })

  it("are those of the last load that shared steps and was checked, of the same folder, dtype and provider", () => {
    expect(checkedWeights(settings)).toEqual({})
    rememberChecked(settings, loaded("turns", "t"))
    rememberChecked({ ...settings, checkRewrite: false }, loaded("batched", "u"))
    expect(checkedWeights(settings)).toEqual({})
    rememberChecked(settings, loaded("batched", "a"))
    rememberChecked(settings, loaded("batched", "b"))
    expect(checkedWeights(settings)).toEqual({ checkedWeights: "b" })
    expect(checkedWeights({ ...settings, dtype: "q4" })).toEqual({})
    expect(checkedWeights({ ...settings, provider: "webgpu" })).toEqual({})
  })

  it("are forgotten when 64 others came after them", () => {
    rememberChecked(settings, loaded("batched", "c"))
    for (let other = 0; other < 64; other++)
      rememberChecked({ ...settings, folder: `/${other}` }, loaded("batched", "d"))
    expect(checkedWeights(settings)).toEqual({})
    expect(checkedWeights({ ...settings, folder: "/0" })).toEqual({ checkedWeights: "d" })
  })

  it("are not checked again, unless they are others by now", async () => {
    const folder = variants.make("cumsum")
    const read = await Effect.runPromise(readModelFolder("m", folder, "auto"))
    const runs = async (hash: string) => {
      const spy = vi.spyOn(InferenceSession, "create")
      await Effect.runPromise(openStep({ ...settingsOf("decoder", { folder }), checkedWeights: hash }, read))
      const opened = spy.mock.calls.length
      spy.mockRestore()
      return opened
    }
    expect(await runs(read.weightsHash)).toBe(1)
    expect(await runs("others")).toBe(2)
  })
})

describe("planRoom", () => {
  const kv = (bytes: number) => [
    { past: "", present: "", joined: false, type: "float32" as const, heads: 1, headDim: bytes / 4 },
  ]
  it("is bounded by context, tokens and bytes, in whole steps of the arena", () => {
    expect(planRoom(kv(64), 256, undefined)).toBe(192)
    expect(planRoom(kv(64), undefined, undefined)).toBe(512)
    expect(planRoom(kv(2 ** 18), undefined, undefined)).toBe(256)
    expect(planRoom(kv(64), 16, undefined)).toBe(0)
  })
  it("goes past a window that the configuration names, or says that it is too wide", () => {
    expect(planRoom(kv(64), 8192, 4096)).toBe(4104)
    expect(planRoom(kv(64), 8192, 100)).toBe(512)
    // Never reached.
    expect(planRoom(kv(64), 256, 4096)).toBe(192)
    expect(planRoom(kv(2 ** 18), 131_072, 4096)).toContain("look back on 4096 tokens, too many")
  })
})
