/** An encoder-decoder in both layouts of Optimum: the tokens of transformers.js, alone and in company; what is refused. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Engine } from "../../src/index.ts"
import { answer, fixture, openDecoder, user } from "../support/engines.ts"
import { openPeerSeq2Seq } from "../support/transformers.ts"

const run = Effect.runPromise
const TEXTS = [
  "where is my order",
  "a large coffee please",
  "the CARD is not working!!",
  "a",
  "",
  "coffee coffee coffee order 42",
  "is the order large?",
  "please, where is the card 7",
]
const scratch = mkdtempSync(join(tmpdir(), "pontoon-seq2seq-"))
afterAll(() => rmSync(scratch, { recursive: true }))
/** The fixture without some of its files, and with a changed configuration. */
const without = (name: string, files: ReadonlyArray<string>, config: Readonly<Record<string, unknown>> = {}) => {
  const folder = join(scratch, name)
  cpSync(fixture("tiny-seq2seq"), folder, { recursive: true })
  for (const file of files) rmSync(join(folder, file))
  const path = join(folder, "config.json")
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...config }))
  return folder
}

describe("an encoder-decoder that lacks a part", () => {
  const refusal = (folder: string) => run(Effect.flip(Effect.scoped(Engine.decoder({ folder }))))
  it.each([
    [without("reader", ["onnx/encoder_model.onnx"]), "onnx/encoder_model.onnx is missing"],
    [
      without("past", ["onnx/decoder_model_merged.onnx", "onnx/decoder_with_past_model.onnx"]),
      "onnx/decoder_with_past_model.onnx is missing",
    ],
    [
      without("start", ["generation_config.json"], { decoder_start_token_id: null }),
      "neither generation_config.json nor config.json has a decoder_start_token_id.",
    ],
  ])("%#. is refused in one sentence", async (folder, sentence) => {
    const failure = await refusal(folder)
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "incomplete" })
    expect(failure.message).toContain(sentence)
  })
})

describe.each([
  ["merged", fixture("tiny-seq2seq")],
  ["apart", without("apart", ["onnx/decoder_model_merged.onnx"])],
])("an encoder-decoder, its decoder's graphs %s", (layout, folder) => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  beforeAll(async () => {
    engine = await openDecoder({ folder, name: "translator", slots: 4, prefillChunkTokens: 4 })
  })
  afterAll(() => engine.close())
  const ask = (text: string, sampling: Parameters<typeof answer>[1]["sampling"] = {}) =>
    answer(engine.handle.target, { prompt: [user(text)], sampling: { temperature: 0, maxTokens: 24, ...sampling } })

  it("1. refuses a text that is too long for its encoder, too long an answer, and a conversation", async () => {
    const long = await run(Effect.flip(ask("order ".repeat(60))))
    expect(long).toMatchObject({ _tag: "TerminalPromptTooLong", promptTokens: 62 })
    expect(long.message).toContain("its encoder reads at most 49.")
    const wordy = await run(Effect.flip(ask("order", { maxTokens: 48 })))
    expect(wordy.message).toContain("maxTokens is 48, and it writes at most 47; ask for fewer.")
    const { target } = engine.handle
    const turns = { prompt: [user("order"), user("coffee")], sampling: {} }
    expect((await run(Effect.flip(answer(target, turns)))).message).toContain("it has no chat template")
  })
  it("2. writes transformers' tokens, alone and in company, cached or not", async () => {
    const peer = await openPeerSeq2Seq(fixture("tiny-seq2seq"))
    const theirs = []
    for (const text of TEXTS) theirs.push(await peer.answer(text, 24))
    const together = await run(Effect.forEach(TEXTS, (text) => ask(text), { concurrency: "unbounded" }))
    expect(together.map(({ tokenIds }) => tokenIds)).toEqual(theirs)
    for (const [index, text] of TEXTS.slice(0, 3).entries()) {
      expect((await run(ask(text))).tokenIds).toEqual(theirs[index])
    }
    const penalised = await run(Effect.forEach(TEXTS, (text) => ask(text, { repetitionPenalty: 1.5 })))
    for (const [index, text] of TEXTS.entries()) {
      expect(penalised[index]?.tokenIds).toEqual(await peer.answer(text, 24, 1.5))
    }
    expect(penalised.map(({ tokenIds }) => tokenIds)).not.toEqual(theirs)
    // Answers that all say the same, or nothing, would be equal for nothing.
    expect(new Set(theirs.map(String)).size).toBeGreaterThan(4)
    expect(theirs.flat().length).toBeGreaterThan(5 * TEXTS.length)
    await peer.close()
  })
  it("3. goes on after the tokens that readers have, and samples by its seed", async () => {
    const sampling = { temperature: 1, seed: 7, maxTokens: 20 }
    const whole = await run(ask(TEXTS[0]!, sampling))
    expect((await run(ask(TEXTS[0]!, sampling))).tokenIds).toEqual(whole.tokenIds)
    expect((await run(ask(TEXTS[0]!, { ...sampling, seed: 8 }))).tokenIds).not.toEqual(whole.tokenIds)
    const resumeTokenIds = whole.tokenIds.slice(0, 5)
    const rest = await run(answer(engine.handle.target, { prompt: [user(TEXTS[0]!)], sampling, resumeTokenIds }))
    expect([...resumeTokenIds, ...rest.tokenIds]).toEqual(whole.tokenIds)
  })
  it("4. reads one text differently from another, and says what it is", async () => {
    const { contextLength, path } = engine.handle.target.describe
    expect(contextLength).toBe(48)
    expect(path).toMatchObject({ kind: "turns" })
    expect(layout === "merged" || path?.reason).toBeTruthy()
  })
})
