import { Effect, Schema } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Sampling } from "../../src/index.ts"
import { answer, fixture, openDecoder, trained, user } from "../support/engines.ts"

const run = Effect.runPromise
const Drink = Schema.Struct({
  name: Schema.String.check(Schema.isMaxLength(20)),
  size: Schema.Literals(["small", "large"]),
  shots: Schema.Array(Schema.Int),
})
const json = Schema.decodeUnknownSync(Schema.Json)(Schema.toJsonSchemaDocument(Drink).schema)
const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Drink))

describe.each([
  { name: "tiny-decoder", folder: fixture("tiny-decoder"), dtype: "fp32" },
  { name: "barista-mini", folder: trained("barista-mini"), dtype: "int8" },
] as const)("answers of a format from $name", ({ dtype, folder }) => {
  let engine: Awaited<ReturnType<typeof openDecoder>>
  beforeAll(async () => {
    engine = await openDecoder({ folder, dtype })
  })
  afterAll(() => engine.close())
  const ask = (sampling: Sampling, resumeTokenIds: ReadonlyArray<number> = []) =>
    answer(engine.handle.target, { prompt: [user("a large latte")], sampling, resumeTokenIds })

  it("are refused where the format is none, does not fit maxTokens, or not what is resumed", async () => {
    const refused = (sampling: Sampling, resume: ReadonlyArray<number> = []) => run(Effect.flip(ask(sampling, resume)))
    expect(await refused({ format: { json: { type: "strin" } } })).toMatchObject({
      _tag: "TerminalModelFailure",
      reason: "request",
    })
    expect((await refused({ format: { json }, maxTokens: 5 })).message).toMatch(
      /has \d+ tokens at least, and maxTokens is 5; raise it\.$/,
    )
    expect((await refused({ format: { json } }, [20])).message).toContain("resumeTokenIds do not fit the format")
    expect((await refused({ format: { regex: "a".repeat(70_000) } })).message).toContain("the request is not valid")
  })

  it("are complete and end by themselves, whatever the sampling, the seed and the room", async () => {
    const asked = Array.from({ length: 24 }, (_, seed) =>
      ask({
        ...{ temperature: seed % 3 === 0 ? 0 : 1.5, seed, maxTokens: 48 + 3 * seed, format: { json } },
        ...(seed % 2 === 0
          ? { repetitionPenalty: 1.3, noRepeatNgram: 2, bannedTokenIds: [20, 21, 22] }
          : { topP: 0.9 }),
      }),
    )
    for (const { finished, text, tokenIds } of await run(Effect.all(asked, { concurrency: "unbounded" }))) {
      expect(finished.reason).toBe("end")
      decode(text)
      expect(tokenIds.length).toBe(finished.usage.completionTokens)
    }
  })

  it("are taken up after any of their tokens, and are the same", async () => {
    const sampling = { temperature: 1.2, seed: 5, maxTokens: 60, format: { json }, logprobs: 2 }
    const whole = await run(ask(sampling))
    for (const at of [
      1,
      7,
      Math.floor(whole.tokenIds.length / 2),
      whole.tokenIds.length - 2,
      whole.tokenIds.length - 1,
    ]) {
      const rest = await run(ask(sampling, whole.tokenIds.slice(0, at)))
      expect(rest.tokenIds).toEqual(whole.tokenIds.slice(at))
      // Tokens that are read together are rounded otherwise than one by one.
      for (const [index, { logprob, top }] of rest.logprobs.entries()) {
        expect(logprob).toBeCloseTo(whole.logprobs[at + index]!.logprob, 3)
        expect(top).toHaveLength(2)
      }
      expect(rest.logprobs).toHaveLength(rest.tokenIds.length)
    }
  })

  it("match an expression and a grammar", async () => {
    const expression = await run(ask({ maxTokens: 20, temperature: 1, format: { regex: "(yes|no), [a-z ]{3,8}" } }))
    expect(expression.text).toMatch(/^(yes|no), [a-z ]{3,8}$/)
    const grammar = 'root ::= "It is " (time | "late") "."\ntime ::= [0-9]{1,2} ":" [0-5] [0-9]'
    expect((await run(ask({ maxTokens: 20, temperature: 1, format: { grammar } }))).text).toMatch(
      /^It is (\d{1,2}:\d\d|late)\.$/,
    )
  })
})
