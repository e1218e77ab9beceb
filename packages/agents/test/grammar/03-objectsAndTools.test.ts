import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Result, Schema, Stream } from "effect"
import { LanguageModel, type Prompt, Tool, Toolkit } from "effect/ai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  CurrentSampling,
  languageModelLayer,
  languageModelTarget,
  ModelTarget,
  type Sampling,
} from "../../src/index.ts"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"
import { makeModelTokenizer } from "../../src/inference/text/ModelTokenizer.ts"
import { answer, fixture, openDecoder, user } from "../support/engines.ts"
import { accepts, compiler, refusal } from "../support/formats.ts"

const run = Effect.runPromise

const Weather = Tool.make("Weather", {
  description: "What the sky does.",
  parameters: Schema.Struct({ city: Schema.String.check(Schema.isMaxLength(8)), days: Schema.Literals([1, 2, 3]) }),
  success: Schema.String,
})
const Order = Tool.make("Order", {
  parameters: Schema.Struct({ drink: Schema.Literals(["tea", "latte"]) }),
  success: Schema.String,
})
const toolkit = Toolkit.make(Weather, Order)
const handlers = toolkit.toLayer({
  Weather: ({ city, days }) => Effect.succeed(`${days} dry days in ${city}`),
  Order: ({ drink }) => Effect.succeed(`one ${drink}`),
})

/** The tiny decoder in a folder of its own, with a template that has a place for tools, where asked for. */
const copyDecoder = (knowsTools: boolean): string => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-tools-"))
  cpSync(fixture("tiny-decoder"), folder, { recursive: true })
  const path = join(folder, "tokenizer_config.json")
  const config: { chat_template: string } = JSON.parse(readFileSync(path, "utf8"))
  const template =
    "{% if tools %}{% for tool in tools %}{{ tool.function.name }}: {{ tool.type }}{% endfor %}{% endif %}"
  if (knowsTools) writeFileSync(path, JSON.stringify({ ...config, chat_template: template + config.chat_template }))
  return folder
}

describe("through effect/ai", () => {
  // Its context is 256 bytes long: schemas in plain words would fill it.
  const folder = copyDecoder(true)
  let engine: Awaited<ReturnType<typeof openDecoder>>
  let layer: Layer.Layer<LanguageModel.LanguageModel>
  beforeAll(async () => {
    engine = await openDecoder({ folder, dtype: "fp32" })
    layer = Layer.provide(languageModelLayer, Layer.succeed(ModelTarget, engine.handle.target))
  })
  afterAll(async () => {
    await engine.close()
    rmSync(folder, { recursive: true })
  })
  const provided = <A, E>(
    effect: Effect.Effect<A, E, LanguageModel.LanguageModel | Tool.HandlersFor<typeof toolkit.tools>>,
    sampling: Sampling = {},
  ) =>
    run(effect.pipe(Effect.provideService(CurrentSampling, sampling), Effect.provide(layer), Effect.provide(handlers)))

  it("a toolkit is refused where what has to be called is not there, and beside a format", async () => {
    const call = LanguageModel.generateText({ prompt: "hi", toolkit, toolChoice: { mode: "required", oneOf: [] } })
    expect(String(await provided(Effect.flip(call)))).toContain(
      "a tool has to be called, and the toolkit has none of that name",
    )
    const both = LanguageModel.generateText({ prompt: "hi", toolkit })
    expect(String(await provided(Effect.flip(both), { format: { regex: "a" } }))).toContain(
      "tools and a format exclude each other",
    )
  })

  it("generateObject gives an object of the schema, from the smallest model, at any temperature", async () => {
    const schema = Schema.Struct({
      name: Schema.String.check(Schema.isMaxLength(10)),
      size: Schema.Literals(["small", "large"]),
      shots: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))),
    })
    for (const [seed, temperature] of [0, 0.7, 2, 5].entries()) {
      const { value } = await provided(LanguageModel.generateObject({ prompt: "a latte", schema }), {
        ...{ seed, temperature, maxTokens: 60 },
      })
      expect(Schema.is(schema)(value)).toBe(true)
    }
  })

  it("a tool is called with parameters of its schema, and its result is there", async () => {
    for (const toolChoice of ["required", { tool: "Order" }, { mode: "required", oneOf: ["Weather"] }] as const) {
      const call = LanguageModel.generateText({ prompt: "hi", toolkit, toolChoice })
      const response = await provided(call, { temperature: 1.5, seed: 2, maxTokens: 70 })
      expect(response.finishReason).toBe("tool-calls")
      expect(response.toolCalls).toHaveLength(1)
      expect(response.toolResults).toHaveLength(1)
      if (typeof toolChoice === "object")
        expect(response.toolCalls[0]!.name).toBe("tool" in toolChoice ? "Order" : "Weather")
      expect(response.text).toBe("")
    }
  })

  it("without a choice the model may write what it likes, and none is called where none may be", async () => {
    const sampling = { temperature: 1, seed: 3, maxTokens: 20 }
    for (const toolChoice of ["auto", "none"] as const) {
      const response = await provided(LanguageModel.generateText({ prompt: "hi", toolkit, toolChoice }), sampling)
      expect(response.toolCalls).toEqual([])
      expect(response.text.length).toBeGreaterThan(0)
      const parts = await provided(
        Stream.runCollect(LanguageModel.streamText({ prompt: "hi", toolkit, toolChoice })),
        sampling,
      )
      expect(parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("")).toBe(response.text)
    }
  })

  it("calls and their results may stand in the history", async () => {
    const history: Prompt.RawInput = [
      { role: "user", content: [{ type: "text", text: "tea" }] },
      {
        role: "assistant",
        content: [{ type: "tool-call", id: "1", name: "Order", params: { drink: "tea" }, providerExecuted: false }],
      },
      {
        role: "tool",
        content: [
          { type: "tool-result", id: "1", name: "Order", isFailure: false, result: "one tea", providerExecuted: false },
        ],
      },
    ]
    const response = await provided(LanguageModel.generateText({ prompt: history }), { maxTokens: 5 })
    const same = await run(
      answer(engine.handle.target, {
        prompt: [
          user("tea"),
          { role: "assistant", content: '{"name": "Order","arguments":{"drink":"tea"}}' },
          user('Result of Order: "one tea"'),
        ],
        sampling: { maxTokens: 5 },
      }),
    )
    expect(response.text).toBe(same.text)
  })
})

it("a target of a remote model refuses what it cannot keep", async () => {
  const remote = Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({ generateText: () => Effect.succeed([]), streamText: () => Stream.empty }),
  )
  const target = await run(Effect.provide(languageModelTarget({ name: "far" }), remote))
  const asked = { prompt: [user("hi")], sampling: {} }
  const tools = { definitions: [{ name: "a", parameters: {} }], choice: "auto" as const }
  for (const [request, says] of [
    [{ ...asked, sampling: { format: { json: {} } } }, "it keeps to no format"],
    [{ ...asked, sampling: { logprobs: 0 } }, "it tells no log-probabilities"],
    [{ ...asked, tools }, "it is given no tools"],
  ] as const) {
    expect(await run(Effect.flip(answer(target, request)))).toMatchObject({
      reason: "request",
      message: expect.stringContaining(says),
    })
  }
})

describe("the grammar of calls", () => {
  const definitions = [
    {
      name: "one",
      parameters: { $defs: { a: { type: "null" } }, properties: { x: { $ref: "#/$defs/a" } }, required: ["x"] },
    },
    {
      name: "two",
      parameters: { $defs: { a: { type: "boolean" } }, properties: { x: { $ref: "#/$defs/a" } }, required: ["x"] },
    },
  ]
  const compiled = (choice: "auto" | "required") => Result.getOrThrow(compiler.compile({ definitions, choice }, 4096))

  it("names the tool whose schema cannot be kept", () => {
    const wrong = { definitions: [{ name: "bad", parameters: { type: "set" } }], choice: "auto" as const }
    const refused = compiler.compile(wrong, 100)
    expect(Result.isFailure(refused) && refused.failure).toContain('tool "bad": JSON schema at #: `type` is "set"')
    expect(refusal({ regex: "a" }, 2)).toBe("it was taken")
  })

  it("keeps each tool's definitions apart, takes <tool_call> around a call, and free text where none is required", () => {
    const one = '{"name": "one", "arguments": {"x": null}}'
    const two = '{"name":"two","arguments":{"x":true}}'
    const crossed = '{"name":"two","arguments":{"x":null}}'
    for (const choice of ["auto", "required"] as const) {
      for (const text of [one, two, `<tool_call>\n${one}\n</tool_call>`])
        expect(accepts(compiled(choice), text)).toBe(true)
      for (const text of [crossed, "{", `<tool_call>${one}`, `${one} and more`])
        expect(accepts(compiled(choice), text)).toBe(false)
      for (const text of ["", "Sure.", "<b>", "<think>{"])
        expect(accepts(compiled(choice), text)).toBe(choice === "auto")
    }
  })
})

it("tools stand where the chat template has a place for them, else in plain words before the first message", async () => {
  const tools = {
    definitions: [{ name: "a", description: "b", parameters: { type: "object" } }],
    choice: "auto" as const,
  }
  const read = async (knowsTools: boolean) => {
    const folder = copyDecoder(knowsTools)
    const tokenizer = Result.getOrThrow(makeModelTokenizer(await run(readModelFolder("m", folder, "fp32")), undefined))
    rmSync(folder, { recursive: true })
    return tokenizer.decode(Result.getOrThrow(tokenizer.encodeChat([user("hi")], tools)))
  }
  expect(await read(false)).toBe(
    'To call one of these tools, answer as JSON, {"name": NAME, "arguments": ARGUMENTS}, and nothing else:\n' +
      '{"name":"a","description":"b","parameters":{"type":"object"}}\n\nhi',
  )
  expect(await read(true)).toBe("a: functionhi")
})
