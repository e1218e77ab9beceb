/** Every kind of encoder beside transformers.js on the same weights; what each is not made for; what is too much. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { settingsOf } from "../../src/engine/EngineOptions.ts"
import type { EncoderOptions } from "../../src/index.ts"
import type { WorkerContext } from "../../src/inference/decoding/loadDecoder.ts"
import { loadEncoder } from "../../src/inference/encoding/loadEncoder.ts"
import { fixture, openEncoder } from "../support/engines.ts"
import { openPeerEncoder, openPeerLogits } from "../support/transformers.ts"

const run = Effect.runPromise
type Opened = Awaited<ReturnType<typeof openEncoder>>
const logistic = (x: number) => 1 / (1 + Math.exp(-x))
const texts = [
  "where is my order",
  "a large coffee please",
  "",
  "The CARD is not working!! 😡",
  "a",
  "order order card 42",
]
const long = "is the card not working ".repeat(40)

describe("a token classifier", () => {
  let engine: Opened
  beforeAll(async () => {
    engine = await openEncoder({ folder: fixture("tiny-tagger"), textsMax: 50 })
  })
  afterAll(() => engine.close())
  const tag = (all: ReadonlyArray<string>, single = false) => run(engine.handle.target.tag(all, { single }))

  it("1. refuses to classify, to embed and to rank", async () => {
    const { classify, embed, rerank } = engine.handle.target
    const refusals = await run(
      Effect.all([Effect.flip(classify(["a"])), Effect.flip(embed(["a"])), Effect.flip(rerank("a", ["b"]))]),
    )
    expect(refusals.map(({ message }) => message)).toEqual([
      'Model "tiny-tagger": it labels the tokens of a text and not the whole; use `tag`.',
      'Model "tiny-tagger": it has no output sentence_embedding or last_hidden_state, so it cannot embed.',
      'Model "tiny-tagger": it labels the tokens of a text and not the whole; use `tag`.',
    ])
  })
  it("2. refuses too many texts, and too much of them", async () => {
    const many = await run(Effect.flip(engine.handle.target.tag(Array.from({ length: 51 }, () => "a"))))
    expect(many.message).toContain("51 texts are too many for one request; textsMax is 50. Split them, or raise it.")
    expect((await tag(Array.from({ length: 50 }, () => "a"))).length).toBe(50)
    const huge = await run(Effect.flip(engine.handle.target.tag(["a".repeat(1_000_001)])))
    expect(huge.message).toContain("its texts have 1000001 characters, and one request may have 1000000; split them.")
    expect(await tag([])).toEqual([])
  })
  it("3. labels each token as transformers does, in a batch as alone, and says where it is", async () => {
    const peer = await openPeerLogits(fixture("tiny-tagger"), "token")
    const labels = engine.handle.target.describe.labels
    const found = await tag(texts, true)
    let spans = 0
    for (const [index, text] of texts.entries()) {
      const logits = await peer.run(text)
      const rows = Array.from({ length: logits.length / 5 }, (_, at) => logits.slice(at * 5, (at + 1) * 5))
      // Without [CLS] and [SEP].
      const theirs = rows.slice(1, -1).flatMap((row) => {
        const best = row.indexOf(Math.max(...row))
        const score = 1 / row.reduce((sum, logit) => sum + Math.exp(logit - row[best]!), 0)
        return labels[best] === "O" ? [] : [{ label: labels[best], score: expect.closeTo(score, 4) }]
      })
      expect(found[index]?.spans).toMatchObject(theirs)
      expect(found[index]?.spans.length).toBe(theirs.length)
      for (const { end, start, text: part } of found[index]?.spans ?? []) expect(text.slice(start, end)).toBe(part)
      spans += theirs.length
    }
    // All of them O would be equal for nothing.
    expect(spans).toBeGreaterThan(5)
    await peer.close()
  })
  it("4. joins neighbours of one tag, and counts what is cut", async () => {
    const [single, joined] = [await tag(texts, true), await tag(texts)]
    for (const [index, { spans }] of joined.entries()) {
      expect(spans.every(({ label }) => label === "PER" || label === "LOC")).toBe(true)
      const starts = single[index]!.spans.map(({ start }) => start)
      for (const span of spans) expect(starts).toContain(span.start)
    }
    const [cut] = await tag([long])
    expect(cut?.cutTokens).toBeGreaterThan(0)
    expect(Math.max(...(cut?.spans ?? []).map(({ end }) => end))).toBeLessThan(long.length)
  })
})

describe("a classifier of labels that do not exclude each other", () => {
  it("gives each label a probability of its own, as transformers does", async () => {
    const engine = await openEncoder({ folder: fixture("tiny-topics") })
    const peer = await openPeerLogits(fixture("tiny-topics"), "text")
    const { classify, describe: said, tag } = engine.handle.target
    expect(said.exclusive).toBe(false)
    const found = await run(classify(texts))
    for (const [index, text] of texts.entries()) {
      const theirs = (await peer.run(text)).map((logit, label) => [
        said.labels[label],
        expect.closeTo(logistic(logit), 4),
      ])
      expect(Object.fromEntries(found[index]!.scores.map(({ label, score }) => [label, score]))).toEqual(
        Object.fromEntries(theirs),
      )
      expect(found[index]?.confidence).toBe(Math.max(...found[index]!.scores.map(({ score }) => score)))
    }
    const failure = await run(Effect.flip(tag(["a"])))
    expect(failure.message).toContain("it labels whole texts, so it cannot tag their parts.")
    await engine.close()
    await peer.close()
  })
})

describe("a reranker", () => {
  let engine: Opened
  beforeAll(async () => {
    engine = await openEncoder({ folder: fixture("tiny-reranker") })
  })
  afterAll(() => engine.close())
  const passages = ["the order is large", "my card", "", "coffee please", "the card is not working", "a"]

  it("1. refuses a query that leaves no room, and takes no passages at all", async () => {
    const { rerank } = engine.handle.target
    expect(await run(rerank("where is my card", []))).toEqual([])
    const failure = await run(Effect.flip(rerank(long, ["a"])))
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason: "request" })
    expect(failure.message).toMatch(
      /the query has \d+ tokens, and the model reads 48 of query and passage; shorten it\./,
    )
  })
  it("2. scores pairs as transformers does, the best first", async () => {
    const peer = await openPeerLogits(fixture("tiny-reranker"), "text")
    const query = "where is my card"
    const ranked = await run(engine.handle.target.rerank(query, passages))
    const theirs = await Promise.all(passages.map(async (passage) => logistic((await peer.run(query, passage))[0]!)))
    for (const { index, score } of ranked) expect(score).toBeCloseTo(theirs[index]!, 4)
    expect(ranked.map(({ index }) => index)).toEqual([...theirs.keys()].sort((a, b) => theirs[b]! - theirs[a]!))
    expect(new Set(theirs.map((score) => score.toFixed(3))).size).toBeGreaterThan(3)
    const [cut] = await run(engine.handle.target.rerank(query, [long]))
    expect(cut?.cutTokens).toBeGreaterThan(0)
    await peer.close()
  })
  it("3. is none where there are more than two labels", async () => {
    const other = await openEncoder({ folder: fixture("tiny-encoder") })
    const failure = await run(Effect.flip(other.handle.target.rerank("a", ["b"])))
    expect(failure.message).toContain(
      "it knows 3 labels; one that scores passages has one, or irrelevant and relevant.",
    )
    await other.close()
  })
})

describe("an embedder", () => {
  const scratch = mkdtempSync(join(tmpdir(), "pontoon-embedder-"))
  afterAll(() => rmSync(scratch, { recursive: true }))
  const copyOf = (name: string, files: Readonly<Record<string, unknown>>) => {
    cpSync(fixture("tiny-embedder"), join(scratch, name), { recursive: true })
    for (const [file, content] of Object.entries(files))
      writeFileSync(join(scratch, name, file), JSON.stringify(content))
    return join(scratch, name)
  }
  const world: WorkerContext = { tell: () => {}, now: () => 0, clockMs: () => 0, pause: async () => {} }
  // As the model's process finds it out, without one.
  const refusal = ({ folder, normalise = true, ...vectors }: EncoderOptions) =>
    run(Effect.flip(loadEncoder(settingsOf("encoder", { folder }, { vectors: { normalise, ...vectors } }), world)))

  it.each([
    [
      {},
      "unsupported",
      copyOf("dense", { "modules.json": [{ type: "sentence_transformers.models.Dense" }] }),
      "modules.json wants sentence_transformers.models.Dense behind the pooling",
    ],
    [
      {},
      "unsupported",
      copyOf("max", { "1_Pooling/config.json": { pooling_mode_max_tokens: true } }),
      "wants pooling_mode_max_tokens; one of cls, mean and last token can be done.",
    ],
    [
      { dimensionsMax: 25 },
      "request",
      fixture("tiny-embedder"),
      "dimensionsMax is 25, and its vectors have 24 dimensions.",
    ],
    [
      { pooling: "cls" },
      "unsupported",
      fixture("tiny-topics"),
      "it gives no vectors of tokens, so `pooling` cls has nothing to pool.",
    ],
  ] as const)("%#. is refused in one sentence", async (options, reason, folder, sentence) => {
    const failure = await refusal({ folder, ...options })
    expect(failure).toMatchObject({ _tag: "TerminalModelFailure", reason })
    expect(failure.message).toContain(sentence)
  })
  it.each([
    ["as its folder says", {}, "cls", 24, true],
    ["by the mean", { pooling: "mean" }, "mean", 24, true],
    ["by the last token, as it is", { pooling: "last", normalise: false }, "last", 24, false],
    ["of the first 8 dimensions", { dimensionsMax: 8 }, "cls", 8, true],
  ] as const)(
    "%s: the same vectors as made of transformers' hidden states",
    async (_, options, pooling, size, scaled) => {
      const engine = await openEncoder({ folder: fixture("tiny-embedder"), ...options })
      const peer = await openPeerEncoder(fixture("tiny-embedder"), "fp32")
      expect(engine.handle.target.describe.dimensions).toBe(size)
      const vectors = await run(engine.handle.target.embed(texts))
      for (const [index, text] of texts.entries()) {
        const states = await peer.run(text)
        const mean = states[0]!.map((__, at) => states.reduce((sum, state) => sum + state[at]!, 0) / states.length)
        const whole = { cls: states[0]!, mean, last: states.at(-1)! }[pooling].slice(0, size)
        const length = scaled ? Math.hypot(...whole) : 1
        expect(vectors[index]).toEqual(whole.map((value) => expect.closeTo(value / length, 4)))
      }
      await engine.close()
      await peer.close()
    },
  )
})
