import { existsSync } from "node:fs"
import { Effect, Result } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { ChatMessage } from "../src/index.ts"
import { readModelFolder } from "../src/inference/folder/modelFolder.ts"
import { makeModelTokenizer } from "../src/inference/text/ModelTokenizer.ts"
import { answer, assistant, fixture, openDecoder, openEncoder, system, trained, user } from "./support/engines.ts"
import { openPeerClassifier, openPeerDecoder, openPeerEncoder, openPeerTokenizer } from "./support/transformers.ts"

const run = Effect.runPromise

const conversations: ReadonlyArray<ReadonlyArray<ChatMessage>> = [
  [user("hi")],
  [user("Can I get a large latte with oat milk please?")],
  [user("  espresso,  double   shot!! ")],
  [user("what do you have?")],
  [user("I'd like two cappuccinos, one decaf and an iced americano to go")],
  [user("Crème brûlée latte ☕️ s'il vous plaît 😀")],
  [user("HOW MUCH IS A MOCHA")],
  [user("a medium mocha"), assistant("Sure, hot or iced?"), user("hot please, with whipped cream")],
  [user("hey"), assistant("Hi there! What can I get you?"), user("flat white"), assistant("What size?"), user("small")],
  [user("cancel that"), assistant("Alright."), user("no wait, make it a chai tea latte with soy milk")],
  [user("a")],
  [user("12oz cold brew x2; 16oz drip x1")],
]
/** Longer than one prefill chunk of 128 tokens. */
const longConversation: ReadonlyArray<ChatMessage> = [
  ...Array.from({ length: 8 }, (_, turn) => [
    user(
      `And another ${["latte", "mocha", "chai tea", "espresso"][turn % 4]} with oat milk and two shots of vanilla please`,
    ),
    assistant("Sure, what size would you like that to be, small, medium or large?"),
  ]).flat(),
  user("medium"),
]

describe("chat templates", () => {
  it.each([
    {
      name: "tiny-decoder",
      folder: fixture("tiny-decoder"),
      cases: [...conversations, [system("be short"), user("hi")]],
    },
    { name: "barista", folder: trained("barista"), cases: [...conversations, longConversation] },
  ])("$name: the same token ids as transformers", async ({ cases, folder }) => {
    const peer = await openPeerTokenizer(folder)
    const read = await run(readModelFolder("m", folder, "auto"))
    const tokenizer = Result.getOrThrow(makeModelTokenizer(read, undefined))
    for (const messages of cases) {
      expect(Result.getOrThrow(tokenizer.encodeChat(messages))).toEqual(peer.encodeChat(messages))
    }
  })
})

describe.each([
  { name: "tiny-decoder", folder: fixture("tiny-decoder"), ours: "fp32", theirs: "fp32" },
  { name: "tiny-decoder", folder: fixture("tiny-decoder"), ours: "int8", theirs: "q8" },
  { name: "barista", folder: trained("barista"), ours: "fp32", theirs: "fp32" },
  { name: "barista", folder: trained("barista"), ours: "int8", theirs: "q8" },
  { name: "barista-mini", folder: trained("barista-mini"), ours: "int8", theirs: "q8" },
] as const)("greedy answers of $name, $ours", ({ folder, name, ours, theirs }) => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  let peer: Awaited<ReturnType<typeof openPeerDecoder>>
  beforeAll(async () => {
    engine = await openDecoder({ folder, dtype: ours })
    peer = await openPeerDecoder(folder, theirs)
  })
  afterAll(async () => {
    await engine.close()
    await peer.close()
  })

  it.each([1, 1.3])("are transformers' token for token (repetition penalty %s)", async (repetitionPenalty) => {
    // Reading in chunks changes the rounding of a long prompt, and dynamic quantisation more than its rounding.
    const cases = name === "barista" ? [...conversations, longConversation] : conversations
    const asked = cases.map((prompt) =>
      answer(engine.handle.target, { prompt, sampling: { temperature: 0, maxTokens: 48, repetitionPenalty } }),
    )
    const answers = await run(Effect.all(asked, { concurrency: "unbounded" }))
    let tokens = 0
    for (const [index, prompt] of cases.entries()) {
      expect(answers[index]!.tokenIds).toEqual(await peer.answer(prompt, 48, repetitionPenalty))
      tokens += answers[index]!.tokenIds.length
    }
    // Answers that end at once would be equal for nothing.
    expect(tokens).toBeGreaterThan(4 * cases.length)
  })
})

const texts = [
  "where is my card?",
  "I'd like a large coffee please",
  "",
  "My card was declined!! 😡",
  "$TSLA to the moon https://t.co/abc",
  "the stock fell 12% after earnings",
  "order",
  "is the card not working ".repeat(60),
]

/**
 * transformers.js cuts off [SEP] with the end of a long text; transformers in Python keeps it, and so do we. The tiny encoder
 * has 32 places, 30 of them for the text: five times its six tokens.
 */
const asRead = (name: string, text: string) =>
  name === "tiny-encoder" && text.length > 1000 ? "is the card not working ".repeat(5) : text

describe("encoders", () => {
  it.each([
    { name: "tiny-encoder", folder: fixture("tiny-encoder"), theirs: "fp32" },
    { name: "banking-intent", folder: trained("banking-intent"), theirs: "q8" },
    { name: "finance-sentiment", folder: trained("finance-sentiment"), theirs: "q8" },
    { name: "front-desk", folder: trained("front-desk"), theirs: "q8" },
  ] as const)(
    "$name: the same probabilities as transformers, in a batch as alone",
    async ({ folder, name, theirs }) => {
      const engine = await openEncoder({ folder })
      const peer = await openPeerClassifier(folder, theirs)
      const { describe: description, classify, embed } = engine.handle.target
      const together = await run(classify(texts))
      const vectors = await run(Effect.option(embed(texts)))
      for (const [index, text] of texts.entries()) {
        const theirs = await peer.run(asRead(name, text))
        const ours = together[index]!
        for (const [label, score] of theirs.scores.entries()) {
          const found = ours.scores.find((entry) => entry.label === description.labels[label])
          expect(found?.score).toBeCloseTo(score, 5)
        }
        expect(ours.confidence).toBe(ours.scores[0]!.score)
        expect([...ours.scores].sort((a, b) => b.score - a.score)).toEqual(ours.scores)
        if (theirs.embedding !== undefined && vectors._tag === "Some") {
          for (const [at, value] of theirs.embedding.entries()) expect(vectors.value[index]![at]).toBeCloseTo(value, 5)
        }
      }
      expect(together.at(-1)?.cutTokens).toBeGreaterThan(0)
      expect(together[0]?.cutTokens).toBe(0)
      await engine.close()
      await peer.close()
    },
  )

  it("tiny-encoder: embeddings are the mean of transformers' hidden states, of length 1", async () => {
    const engine = await openEncoder({ folder: fixture("tiny-encoder") })
    const peer = await openPeerEncoder(fixture("tiny-encoder"), "fp32")
    const vectors = await run(engine.handle.target.embed(texts))
    expect(engine.handle.target.describe.dimensions).toBe(24)
    for (const [index, text] of texts.entries()) {
      const states = await peer.run(asRead("tiny-encoder", text))
      const sums = states[0]!.map((_, at) => states.reduce((sum, state) => sum + state[at]!, 0))
      const length = Math.hypot(...sums)
      for (const [at, sum] of sums.entries()) expect(vectors[index]![at]).toBeCloseTo(sum / length, 5)
    }
    await engine.close()
    await peer.close()
  })
})

it("the trained models are there", () => {
  for (const name of ["barista", "barista-mini", "banking-intent", "finance-sentiment", "front-desk"]) {
    expect(existsSync(trained(name))).toBe(true)
  }
})
