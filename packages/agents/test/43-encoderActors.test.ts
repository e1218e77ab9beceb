/** Classifier and embedder as actors over the committed models: what they find, under load and over a death. */
import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  ClassifierActor,
  EmbeddingActor,
  type EncoderHandle,
  RerankerActor,
  TokenClassifierActor,
} from "../src/index.ts"
import { openWorld } from "./support/actorWorld.ts"
import { fixture, trained } from "./support/engines.ts"

const run = Effect.runPromise
let started: ReadonlyArray<EncoderHandle> = []
const intents = ClassifierActor.make("intents", {
  folder: trained("banking-intent"),
  topMax: 3,
  onStarted: (_, handle) =>
    Effect.sync(() => {
      started = [...started, handle]
    }),
  supervision: { backoff: { baseMs: 1, factor: 1, maxMs: 1, jitter: 0 } },
})
const tagger = TokenClassifierActor.make("tagger", { folder: fixture("tiny-tagger") })
const reranker = RerankerActor.make("reranker", { folder: fixture("tiny-reranker") })
const embedder = EmbeddingActor.make("embedder", { folder: trained("front-desk") })

describe("encoders as actors", () => {
  let world: Awaited<ReturnType<typeof openWorld>>
  beforeAll(async () => {
    world = await openWorld({ actors: [intents, embedder, tagger, reranker] })
  })
  afterAll(() => world.close())
  const classify = (text: string) => world.system().ask(intents.ref("a"), "Classify", { text })

  it("1. a classifier names the most probable labels, in order", async () => {
    const found = await run(classify("i typed my pin wrong three times and now it is blocked"))
    expect(found.label).toBe("pin_blocked")
    expect(found.confidence).toBeGreaterThan(0.3)
    expect(found.top).toHaveLength(3)
    expect(found.top[0]).toEqual({ label: found.label, score: found.confidence })
    const scores = found.top.map(({ score }) => score)
    expect(scores).toEqual([...scores].sort((a, b) => b - a))
    expect(found.cutTokens).toBe(0)
    expect((await run(classify("the machine ate my card ".repeat(200)))).cutTokens).toBeGreaterThan(0)
  })
  it("2. refuses an empty text", async () => {
    expect(await run(Effect.flip(classify("")))).toMatchObject({ _tag: "TerminalInvalidMessage" })
  })
  it("3. a classifier that is killed with many messages in flight answers each of them, as before", async () => {
    const texts = Array.from({ length: 40 }, (_, index) => `where is my card number ${index}`)
    const calm = await run(Effect.forEach(texts, classify, { concurrency: "unbounded" }))
    await run(started.at(-1)!.setStepDelayMs(5))
    let answered = 0
    const pid = started.at(-1)!.pid
    const again = await run(
      Effect.forEach(
        texts,
        (text) =>
          Effect.tap(classify(text), () =>
            Effect.sync(() => {
              if (++answered === 8) process.kill(pid, "SIGKILL")
            }),
          ),
        { concurrency: "unbounded" },
      ),
    )
    expect(started.length).toBe(2)
    expect(again.map(({ label }) => label)).toEqual(calm.map(({ label }) => label))
    const rows = world.messages().filter(({ actorType }) => actorType === "intents")
    expect(rows.every(({ status }) => status === "done")).toBe(true)
    expect(rows.some(({ attempt }) => attempt === 2)).toBe(true)
  })
  it("4. an embedder gives vectors of length 1, nearer for what means the same", async () => {
    const embed = (text: string) =>
      run(Effect.map(world.system().ask(embedder.ref("a"), "Embed", { text }), ({ vector }) => vector))
    const [latte, mocha, card] = await Promise.all(
      ["a large latte with oat milk", "can i get a small mocha", "my card was stolen, block it"].map(embed),
    )
    const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => a.reduce((sum, x, at) => sum + x * b[at]!, 0)
    expect(dot(latte!, latte!)).toBeCloseTo(1, 4)
    expect(dot(latte!, mocha!)).toBeGreaterThan(dot(latte!, card!))
  })
  it("5. a token classifier says what is where, through the log and back", async () => {
    const text = "is my large order working? coffee please"
    const ask = (single: boolean) => run(world.system().ask(tagger.ref("a"), "Tag", { text, single }))
    const [joined, single] = [await ask(false), await ask(true)]
    expect(single.spans.length).toBeGreaterThan(0)
    expect(joined.spans.length).toBeLessThanOrEqual(single.spans.length)
    for (const span of [...joined.spans, ...single.spans]) expect(text.slice(span.start, span.end)).toBe(span.text)
  })
  it("6. a reranker answers with the best passages, none asked for none", async () => {
    const passages = ["my card", "the order is large", "coffee please"]
    const ask = (payload: {
      readonly query: string
      readonly passages: ReadonlyArray<string>
      readonly topMax?: number
    }) => run(Effect.map(world.system().ask(reranker.ref("a"), "Rerank", payload), ({ ranked }) => ranked))
    const all = await ask({ query: "where is my order", passages })
    expect(all.map(({ index }) => index).toSorted()).toEqual([0, 1, 2])
    expect(await ask({ query: "where is my order", passages, topMax: 1 })).toEqual(all.slice(0, 1))
    expect(await ask({ query: "where is my order", passages: [] })).toEqual([])
  })
})
