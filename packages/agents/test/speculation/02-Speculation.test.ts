import { beforeAll, describe, expect, it } from "vitest"
import type { DraftOptions } from "../../src/index.ts"
import { fixture, openDecoder, trained, user } from "../support/engines.ts"
import { type Asked, openLoaded } from "../support/loadedDecoders.ts"

const folder = fixture("tiny-decoder")
type Loaded = Awaited<ReturnType<typeof openLoaded>>

const prompts = ["a", "the inner ring", "where is the ant? ".repeat(6), "Can I get a large latte with oat milk please?"]
const samplings = [
  { temperature: 0 },
  { temperature: 0.9, seed: 4 },
  { temperature: 1.2, seed: 5, topK: 20, topP: 0.9 },
  { temperature: 0, repetitionPenalty: 1.3 },
]
const requests: ReadonlyArray<Asked> = prompts.flatMap((content) =>
  samplings.flatMap((sampling) =>
    [1, 2, 5, 40].map((maxTokens) => ({ prompt: [user(content)], sampling: { ...sampling, maxTokens } })),
  ),
)

describe.each([
  // The same weights in 8 bits mostly guess right, the small model of the demo mostly wrong.
  { name: "tiny-decoder", folder, draft: { folder, dtype: "int8", tokens: 4, adaptive: false } },
  {
    name: "barista",
    folder: trained("barista"),
    draft: { folder: trained("barista-mini"), tokens: 3, adaptive: false },
  },
] as const)("$name", ({ draft, folder }) => {
  let plain: Loaded
  let guessing: Loaded
  beforeAll(async () => {
    const options = { folder, dtype: "fp32", slots: 3, prefillChunkTokens: 32 } as const
    plain = await openLoaded(options)
    guessing = await openLoaded({ ...options, draft })
  })

  it("says the same tokens with a draft model as without", async () => {
    for (const asked of requests) {
      const [expected, guessed] = [await plain.ask(asked).heard, await guessing.ask(asked).heard]
      expect(guessed!.tokenIds).toEqual(expected!.tokenIds)
      expect(guessed!.text).toBe(expected!.text)
      expect(guessed!.end).toMatchObject({ _tag: "Finished", reason: (expected!.end as { reason?: string }).reason })
    }
    const { acceptedTokens = 0, draftedTokens = 0 } = guessing.counters()
    expect(acceptedTokens).toBeGreaterThan(100)
    expect(draftedTokens).toBeGreaterThan(acceptedTokens)
    // Every token that was taken from a guess saved a step.
    expect(guessing.counters().steps).toBe(plain.counters().steps - acceptedTokens)
  })

  it("says the same beside others, after a cancel and when it is taken up again", async () => {
    const asked = { prompt: [user("what do you have?")], sampling: { temperature: 0.9, seed: 2, maxTokens: 30 } }
    const expected = (await plain.ask(asked).heard)!.tokenIds
    const left = guessing.ask(asked, (tokenIds) => tokenIds.length > 5 && left.cancel())
    expect(await left.heard).toBeUndefined()
    const several = [1, 2, 3, 4].map(() => guessing.ask(asked).heard)
    for (const heard of several) expect((await heard)!.tokenIds).toEqual(expected)
    const resumed = await guessing.ask({ ...asked, resumeTokenIds: expected.slice(0, 7) }).heard
    expect([...expected.slice(0, 7), ...resumed!.tokenIds]).toEqual(expected)
    expect(guessing.counters()).toMatchObject({ running: 0, waiting: 0 })
  })
})

describe("a draft model that does not fit", () => {
  const failureOf = (dtype: "fp32" | "int8", draft: DraftOptions) =>
    openDecoder({ folder, dtype, draft }).then(
      (engine) => engine.close().then(() => undefined),
      (failure: unknown) => failure,
    )

  it("is refused with what is wrong", async () => {
    const [other, sensitive] = await Promise.all([
      failureOf("fp32", { folder: trained("barista-mini") }),
      failureOf("int8", { folder }),
    ])
    expect(other).toMatchObject({ _tag: "TerminalModelFailure", reason: "tokenizer" })
    expect(String(other)).toContain("the draft model does not belong to it")
    expect(sensitive).toMatchObject({ _tag: "TerminalModelFailure", reason: "unsupported" })
    expect(String(sensitive)).toContain("depends on how many tokens a step takes")
  })
})
