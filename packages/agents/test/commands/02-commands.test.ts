/** What the commands say, without a process of their own. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { benchModel, median } from "../../src/commands/benchModel.ts"
import { classifyText } from "../../src/commands/classifyText.ts"
import { inspectModel } from "../../src/commands/inspectModel.ts"
import { formatBytes, formatColumns, formatPairs } from "../../src/commands/Output.ts"
import { parseConcurrency } from "../../src/commands/parseConcurrency.ts"
import { type QuantizeOptions, quantizeFolder } from "../../src/commands/quantizeFolder.ts"
import { cutWindows, TOKENS_MAX } from "../../src/quantization/measuredTexts.ts"
import { fixture } from "../support/engines.ts"
import { gather } from "../support/runModels.ts"

const folder = mkdtempSync(join(tmpdir(), "pontoon-commands-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const copyOf = (name: string): string => {
  const path = join(folder, name)
  if (!existsSync(path)) cpSync(fixture(name), path, { recursive: true })
  return path
}

describe("formats", () => {
  it("1. are aligned, in units of a thousand", () => {
    expect([0, 999, 1000, 2_690_848, 42_000_000_000].map(formatBytes)).toEqual([
      "0 bytes",
      "999 bytes",
      "1.00 kB",
      "2.69 MB",
      "42.0 GB",
    ])
    expect(
      formatPairs([
        ["a", "1"],
        ["long", "2"],
      ]),
    ).toEqual(["a     1", "long  2"])
    expect(
      formatColumns([
        ["a", "b"],
        ["10", "c"],
      ]),
    ).toEqual(["a   b", "10  c"])
    expect([[1, 3, 2], [4, 1], []].map(median)).toEqual([2, 2.5, 0])
  })
  it("2. of concurrency and windows know their bounds", async () => {
    expect(await Effect.runPromise(parseConcurrency("1, 8,256"))).toEqual([1, 8, 256])
    for (const wrong of ["", "0", "257", "1.5", "1,,2", "1,1,1,1,1,1,1,1,1"]) {
      expect(await Effect.runPromise(Effect.flip(parseConcurrency(wrong)))).toMatchObject({
        message: expect.stringContaining(`"${wrong}"`),
      })
    }
    expect(cutWindows([1, 2, 3, 4, 5], 2)).toEqual([
      [1, 2],
      [3, 4],
    ])
    expect(cutWindows([9, 1, 2, 3, 9, 9, 4], 3, 9)).toEqual([
      [9, 1, 2],
      [9, 4],
    ])
    expect(cutWindows(new Array(TOKENS_MAX + 9).fill(1), 512).flat().length).toBe(TOKENS_MAX)
  })
})

describe("inspect", () => {
  const inspect = async (path: string, dtype: "auto" | "int8") => {
    const { lines, output } = gather()
    await Effect.runPromise(inspectModel(output, { folder: path, dtype, slots: 4, isJson: true }))
    return JSON.parse(lines.join(""))
  }
  it("3. says of a decoder how its answers share steps, why, and the memory of its cache", async () => {
    expect(await inspect(fixture("tiny-decoder"), "auto")).toMatchObject({
      ...{ name: "tiny-decoder", kind: "decoder", dtype: "fp32", layers: 2, queryHeads: 3, kvHeads: 1, headDim: 8 },
      ...{ contextLength: 256, hasChatTemplate: true, stepSensitive: false, slots: 4 },
      // Keys and values of 2 layers, one head of 8, 4 bytes each.
      ...{ cacheBytesPerToken: 2 * 2 * 8 * 4, path: { kind: "batched" } },
    })
    expect((await inspect(fixture("tiny-decoder"), "int8")).path).toEqual({
      kind: "turns",
      reason: "it quantises activations as it runs, so company would change an answer",
    })
    const { lines, output } = gather()
    const options = { folder: fixture("tiny-decoder"), dtype: "auto" as const, slots: 4, isJson: false }
    await Effect.runPromise(inspectModel(output, options))
    expect(lines).toContain("cache          128 bytes a token (float32), 131.1 kB where 4 answers fill the context")
  })
  it("4. says of an encoder its labels", async () => {
    const found = await inspect(fixture("tiny-encoder"), "auto")
    expect(found).toMatchObject({ kind: "encoder", labels: ["question", "order", "other"] })
    expect(found).not.toHaveProperty("path")
    expect(found.files).toContainEqual({ path: "onnx/model.onnx", bytes: 21_849, role: "weights" })
  })
})

describe("classify and bench", () => {
  it("5. read a text, the most probable label first", async () => {
    const { lines, output } = gather()
    const options = {
      folder: fixture("tiny-encoder"),
      dtype: "auto" as const,
      threads: 1,
      text: "a latte",
      isJson: false,
    }
    await Effect.runPromise(Effect.scoped(classifyText(output, options)))
    const scores = lines.map((line) => Number(line.split(/ +/)[1]))
    expect(scores.length).toBe(3)
    expect([...scores].sort((a, b) => b - a)).toEqual(scores)
  })
  it("6. count what was made", async () => {
    for (const [name, kind] of [
      ["tiny-decoder", "decoder"],
      ["tiny-encoder", "encoder"],
    ] as const) {
      const { lines, output } = gather()
      const options = { folder: fixture(name), dtype: "auto" as const, threads: 1, rounds: [1, 3], isJson: true }
      await Effect.runPromise(Effect.scoped(benchModel(output, options)))
      const found = JSON.parse(lines.join(""))
      expect(found.kind).toBe(kind)
      expect(found.rounds.map(({ concurrency }: { readonly concurrency: number }) => concurrency)).toEqual([1, 3])
      const paces = found.rounds.map((round: Record<string, number>) => round.tokensPerSecond ?? round.textsPerSecond)
      for (const pace of paces) expect(pace).toBeGreaterThan(0)
    }
  })
})

const OPTIONS: Omit<QuantizeOptions, "folder"> = {
  to: "q4",
  out: undefined,
  text: undefined,
  csv: undefined,
  activations: "block",
  embeddings: undefined,
  accuracyLevel: 4,
  isForced: false,
  isJson: true,
}

const quantize = async (options: Partial<QuantizeOptions> & { readonly folder: string }) => {
  const { lines, output } = gather()
  await Effect.runPromise(Effect.scoped(quantizeFolder(output, { ...OPTIONS, ...options })))
  return options.isJson === false ? lines : JSON.parse(lines.join(""))
}
const refused = async (options: Partial<QuantizeOptions> & { readonly folder: string }) =>
  Effect.runPromise(
    Effect.scoped(quantizeFolder(gather().output, { ...OPTIONS, ...options })).pipe(
      Effect.flip,
      Effect.map((failure) => ("message" in failure ? failure.message : "")),
    ),
  )

describe("quantize", () => {
  it("7. writes beside the weights, and says what was gained and lost", async () => {
    const found = await quantize({ folder: copyOf("tiny-decoder"), text: copyOf("tiny-decoder/config.json") })
    expect(found).toMatchObject({ to: "q4", path: join(folder, "tiny-decoder/onnx/model_q4.onnx") })
    expect(found.report.bytesAfter).toBeLessThan(found.report.bytesBefore)
    expect(found.report.files[0].bytes).toBe(readFileSync(found.path).length)
    expect(found.loss.tokens).toBeGreaterThan(100)
    expect(found.loss.perplexityAfter).toBeGreaterThan(1)
    expect(found.speed.rounds.length).toBe(2)
    expect(await refused({ folder: copyOf("tiny-decoder") })).toMatch(/is there already; give --force to replace it/)
  })
  it("8. writes into another folder, whose configuration it copies", async () => {
    const texts = join(folder, "texts.csv")
    writeFileSync(texts, 'text,label\n"a latte, please",order\nwhat is it,question\n')
    const out = join(folder, "smaller")
    const lines = await quantize({ folder: copyOf("tiny-encoder"), to: "int8", out, csv: texts, isJson: false })
    expect(lines.join("\n")).toMatch(
      /^written .*smaller\/onnx\/model_quantized\.onnx\nsize .* -> [\s\S]*accuracy .* % -> /,
    )
    const { lines: seen, output } = gather()
    await Effect.runPromise(inspectModel(output, { folder: out, dtype: "auto", slots: 1, isJson: true }))
    expect(JSON.parse(seen.join(""))).toMatchObject({ kind: "encoder", dtype: "int8" })
  })
  it("9. refuses encoder-decoders, whose graphs are several", async () => {
    expect(await refused({ folder: fixture("tiny-seq2seq") })).toMatch(/is an encoder-decoder, of several graphs; only/)
  })
  it("10. refuses texts that it cannot use", async () => {
    const path = copyOf("tiny-encoder")
    const file = (name: string, content: string) => {
      writeFileSync(join(folder, name), content)
      return join(folder, name)
    }
    const both = { folder: path, text: "a", csv: "b" }
    expect(await refused(both)).toBe("Give --text or --csv, not both.")
    const isForced = true
    expect(await refused({ folder: path, isForced, csv: file("a.csv", "text,kind\na,b\n") })).toMatch(
      /a\.csv has no column "label"; it has text, kind\.$/,
    )
    expect(await refused({ folder: path, isForced, csv: file("b.csv", "text,label\n") })).toMatch(/b\.csv has no rows/)
    expect(await refused({ folder: path, isForced, csv: file("c.csv", 'text,label\n"a,b\n') })).toMatch(
      /is no CSV file/,
    )
    expect(await refused({ folder: path, isForced, text: join(folder, "none.txt") })).toMatch(/cannot be read: ENOENT/)
    expect(await refused({ folder: copyOf("tiny-decoder"), isForced, csv: file("d.csv", "text,label\na,b\n") })).toBe(
      "--csv is for encoders that classify; give a decoder --text FILE.",
    )
  })
})
