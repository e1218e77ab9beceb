import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { type DecoderOptions, type EncoderOptions, Engine, type TerminalModelFailure } from "../src/index.ts"
import { readModelFolder } from "../src/inference/folder/modelFolder.ts"
import { fixture } from "./support/engines.ts"

const scratch = mkdtempSync(join(tmpdir(), "pontoon-models-"))
afterAll(() => rmSync(scratch, { recursive: true }))
let copies = 0
/** A copy of a fixture, spoilt. */
const spoilt = (name: string, spoil: (folder: string) => void): string => {
  const folder = join(scratch, `${name}-${copies++}`)
  cpSync(fixture(name), folder, { recursive: true })
  spoil(folder)
  return folder
}
const editJson = (folder: string, file: string, change: object) => {
  const path = join(folder, file)
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }))
}

const refusal = (folder: string, dtype: "auto" | "fp32" | "q4" = "auto"): Promise<TerminalModelFailure> =>
  Effect.runPromise(Effect.flip(readModelFolder("m", folder, dtype)))

/** Loads it in a process, as a user would. */
const loadRefusal = (options: DecoderOptions) => Effect.runPromise(Effect.flip(Effect.scoped(Engine.decoder(options))))
const encoderRefusal = (options: EncoderOptions) =>
  Effect.runPromise(Effect.flip(Effect.scoped(Engine.encoder(options))))

describe("a folder that cannot be used", () => {
  it("is not there", async () => {
    const failure = await refusal(join(scratch, "nowhere"))
    expect(failure.reason).toBe("missing")
    expect(failure.message).toBe(
      `Model "m": there is no folder ${join(scratch, "nowhere")}; set \`folder\` to where the model is.`,
    )
  })

  it.each(["config.json", "tokenizer.json", "tokenizer_config.json"])("lacks %s", async (file) => {
    const folder = spoilt("tiny-encoder", (path) => unlinkSync(join(path, file)))
    expect(await refusal(folder)).toMatchObject({
      reason: "incomplete",
      message: `Model "m": ${file} is missing in ${folder}.`,
    })
  })

  it("lacks the weights that were asked for, and says which are there", async () => {
    const failure = await refusal(fixture("tiny-encoder"), "q4")
    expect(failure.reason).toBe("incomplete")
    expect(failure.message).toContain("onnx/model_q4.onnx is missing in")
    expect(failure.message).toContain("there is model.onnx (dtype fp32)")
  })

  it("lacks any weights", async () => {
    const folder = spoilt("tiny-encoder", (path) => unlinkSync(join(path, "onnx/model.onnx")))
    expect((await refusal(folder)).message).toContain("there are no weights in it")
  })

  it.each([
    { name: "empty weights", content: "", reason: "damaged", says: "onnx/model.onnx is empty" },
    {
      name: "a Git LFS pointer for weights",
      content: "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
      reason: "incomplete",
      says: 'run "git lfs pull"',
    },
  ])("has $name", async ({ content, reason, says }) => {
    const folder = spoilt("tiny-encoder", (path) => writeFileSync(join(path, "onnx/model.onnx"), content))
    const failure = await refusal(folder)
    expect(failure.reason).toBe(reason)
    expect(failure.message).toContain(says)
  })

  it("has a configuration that is cut off, or says something else", async () => {
    const cut = spoilt("tiny-encoder", (path) => truncateSync(join(path, "config.json"), 40))
    expect((await refusal(cut)).message).toContain("config.json is not a JSON object")
    const wrong = spoilt("tiny-encoder", (path) => editJson(path, "config.json", { vocab_size: -3 }))
    expect(await refusal(wrong)).toMatchObject({ reason: "damaged" })
    expect((await refusal(wrong)).message).toContain("vocab_size")
  })

  it("is half an encoder-decoder", async () => {
    const folder = spoilt("tiny-encoder", (path) =>
      editJson(path, "config.json", { model_type: "t5", is_encoder_decoder: true }),
    )
    const failure = await loadRefusal({ folder })
    expect(failure).toMatchObject({ reason: "incomplete" })
    expect(failure.message).toContain("it is an encoder-decoder, and has no onnx/decoder_model_merged.onnx")
  })
})

describe("a model that cannot be loaded", () => {
  it.each([{ slots: 0 }, { prefillChunkTokens: 1.5 }, { cachedBytesMax: -1 }, { intraOpNumThreads: Number.NaN }])(
    "has an option out of range: %o",
    async (option) => {
      const failure = await loadRefusal({ folder: fixture("tiny-decoder"), name: "m", ...option })
      expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
      expect(failure.message).toMatch(/^Model "m": an option is not valid: .*\.$/)
      expect(failure.message).toContain(Object.keys(option)[0])
    },
  )

  it("has weights that are cut off", async () => {
    const folder = spoilt("tiny-decoder", (path) => truncateSync(join(path, "onnx/model.onnx"), 60_000))
    const failure = await loadRefusal({ folder, name: "short", dtype: "fp32" })
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "damaged", model: "short" })
    expect(failure.message).toContain("model.onnx is truncated or damaged; copy it again")
  })

  it("has another model's tokenizer", async () => {
    const folder = spoilt("tiny-decoder", (path) => {
      cpSync(
        join(fixture("tiny-decoder"), "..", "..", "fixtures", "tiny-encoder", "tokenizer.json"),
        join(path, "tokenizer.json"),
      )
      const vocab = Object.fromEntries(Array.from({ length: 3000 }, (_, id) => [`t${id}`, id]))
      editJson(path, "tokenizer.json", { model: { type: "WordPiece", unk_token: "t0", vocab }, added_tokens: [] })
    })
    const failure = await loadRefusal({ folder, name: "mixed" })
    expect(failure).toMatchObject({
      reason: "tokenizer",
      message: 'Model "mixed": tokenizer.json has 3000 tokens and the model 269; they do not belong together.',
    })
  })

  it("is an encoder that should write, or a decoder that should read", async () => {
    const writes = await loadRefusal({ folder: fixture("tiny-encoder") })
    expect(writes).toMatchObject({ reason: "unsupported" })
    expect(writes.message).toContain('it wants an input "token_type_ids"')
    const reads = await encoderRefusal({ folder: fixture("tiny-decoder"), dtype: "fp32" })
    expect(reads).toMatchObject({ reason: "unsupported" })
    expect(reads.message).toContain('it wants an input "past_key_values.0.key"')
  })

  it("is to run on a device that is not there, and on nothing else", async () => {
    const failure = await loadRefusal({ folder: fixture("tiny-decoder"), providers: ["no-such-device"] })
    expect(failure).toMatchObject({ reason: "device" })
    expect(failure.message).toContain("execution provider no-such-device cannot run it: no available backend found")
  })

  it("is to run on no device at all", async () => {
    expect((await loadRefusal({ folder: fixture("tiny-decoder"), providers: [] })).message).toContain(
      "`providers` is empty",
    )
  })
})
