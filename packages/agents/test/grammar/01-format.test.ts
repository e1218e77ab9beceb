import { Schema } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { fewestTokens } from "../../src/inference/grammar/FormatMatcher.ts"
import { utf8Ranges } from "../../src/inference/grammar/utf8Ranges.ts"
import { accepts, compile, refusal, writeAtRandom } from "../support/formats.ts"

const json = (schema: Schema.Json) => ({ json: schema })

describe("a format is refused in one sentence", () => {
  it.each([
    [json({ type: "strin" }), 'JSON schema at #: `type` is "strin"; it has to be one of object, array'],
    [json({ properties: { a: { type: "strin" } } }), "JSON schema at #/properties/a: `type`"],
    [json("string"), 'a schema is an object, not "string"'],
    [json({ not: {} }), "`not` cannot be kept while writing"],
    [json({ type: "integer", multipleOf: 7 }), "`multipleOf` cannot be kept"],
    [json({ type: "array", uniqueItems: true }), "`uniqueItems` cannot be kept"],
    [json({ type: "integer", minimum: 5, maximum: 4 }), "no whole number lies between 5 and 4"],
    [json({ type: "number", minimum: 0.2, maximum: 0.8 }), "bounds are narrowed to whole numbers"],
    [json({ type: "string", minLength: 3, maxLength: 2 }), "`minLength` is 3 and `maxLength` 2"],
    [json({ type: "string", minLength: -1 }), "it has to be a whole number"],
    [json({ type: "string", maxLength: 60_000 }), "it needs more than 50000 nodes"],
    [json({ type: "string", pattern: "a(?=b)" }), "an assertion (lookahead or lookbehind) at character 4"],
    [json({ type: "string", pattern: "a+", maxLength: 3 }), "say the length in the pattern"],
    [json({ $ref: "#/$defs/none" }), "leads to #/$defs/none, and nothing is there"],
    [json({ $ref: "http://example.org/x" }), "has to lead to a place in this schema"],
    [json({ $ref: "#" }), 'rule "at #" begins with itself'],
    [json({ $defs: { a: { allOf: [{ $ref: "#/$defs/a" }] } }, $ref: "#/$defs/a" }), "the format cannot be used"],
    [
      json({ $defs: { a: { type: "array", items: { $ref: "#/$defs/a" }, minItems: 1 } }, $ref: "#/$defs/a" }),
      "no finite text fits",
    ],
    [json({ required: ["a"], additionalProperties: false }), '`required` names "a"'],
    [json({ enum: [] }), "`enum` has to be a list"],
    [json({ anyOf: [] }), "have to be lists with a schema at least"],
    [json({ allOf: [{ type: "string" }, { type: "null" }] }), "excludes each other"],
    [{ regex: "a{2,1}" }, "a repetition from 2 to 1 at character 7"],
    [{ regex: "(a" }, "a group without its end"],
    [{ regex: "a)" }, '")" without its beginning'],
    [{ regex: "[b-a]" }, "a range that runs backwards"],
    [{ regex: "(a)\\1" }, '"\\1"'],
    [{ regex: "(".repeat(200) }, "groups deep"],
    [{ grammar: 'start ::= "a"' }, 'there is no rule "root"'],
    [{ grammar: 'root ::= "a' }, "grammar, line 1: a text without its end"],
    [{ grammar: 'root ::= "a"\nroot ::= "b"' }, 'line 2: rule "root" is there twice'],
    [{ grammar: "root ::= item" }, 'there is no rule "item"'],
    [{ grammar: 'root ::= root "a" | "b"' }, 'rule "root" begins with itself'],
    [{ grammar: 'root ::= x? root "a" | "b"\nx ::= "x"' }, 'rule "root" begins with itself'],
    [{ grammar: 'root ::= "a" root' }, "no finite text fits"],
  ])("%j", (format, says) => {
    const said = refusal(format)
    expect(said).toContain(says)
    expect(said).toMatch(/^the format cannot be used: [^\n]*\.$/)
  })

  it("where not even its shortest answer fits maxTokens", () => {
    const format = json({ type: "object", properties: { name: { type: "string" } }, required: ["name"] })
    const fewest = fewestTokens(compile(format))
    expect(refusal(format, fewest - 1)).toContain(
      `an answer of it has ${fewest} tokens at least, and maxTokens is ${fewest - 1}`,
    )
    const written = writeAtRandom(compile(format, fewest), fewest, 1)
    expect(written.ended).toBe(true)
    expect(JSON.parse(written.text)).toEqual({ name: "" })
  })
})

const Order = Schema.Struct({
  size: Schema.Literals(["small", "large"]),
  drink: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(12)),
  shots: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 })),
  price: Schema.Finite.check(Schema.isBetween({ minimum: -2, maximum: 30 })),
  milk: Schema.optionalKey(Schema.NullOr(Schema.String)),
  tags: Schema.Array(Schema.String).check(Schema.isMaxLength(2)),
  at: Schema.Tuple([Schema.Number, Schema.Boolean]),
  notes: Schema.Record(Schema.String, Schema.Int),
  code: Schema.String.check(Schema.isPattern(/^[A-Z]{2}-\d+"$/u)),
})
interface Tree {
  readonly value: number
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({
  value: Schema.Int,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)),
}).annotate({ identifier: "Tree" })
const Shape = Schema.Union([
  Schema.TaggedStruct("Circle", { radius: Schema.Finite }),
  Schema.TaggedStruct("Square", { side: Schema.Finite, name: Schema.optionalKey(Schema.String) }),
])

const documentOf = (schema: Schema.Top) => {
  const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema)
  return json(Schema.decodeUnknownSync(Schema.Json)({ ...root, $defs: definitions }))
}

describe("what a model without any opinion writes", () => {
  it.each([
    ["a struct", Order],
    ["a tree", Tree],
    ["a union", Shape],
  ] as const)("is decoded by the schema it was asked for, however few tokens it has: %s", (_, schema) => {
    const format = compile(documentOf(schema))
    const fewest = fewestTokens(format)
    const decode = Schema.decodeUnknownSync(Schema.toCodecJson(schema))
    for (let seed = 0; seed < 120; seed++) {
      const written = writeAtRandom(format, fewest + (seed % 60), seed)
      expect(written.ended).toBe(true)
      decode(JSON.parse(written.text))
    }
  })

  it("is any JSON for a schema that says nothing, and nests no deeper than it can close", () => {
    const format = compile(json({}))
    for (let seed = 0; seed < 100; seed++) JSON.parse(writeAtRandom(format, 1 + (seed % 150) + 1, seed).text)
  })

  it("matches the regular expression, character for character as JavaScript has it", () => {
    for (const pattern of [
      "[^\\W\\d]{2,5}( and \\w+)*",
      "(?:a|bc)*d?",
      "\\u{1F600}|[à-ÿ€😀]+",
      ".{0,3}\\n",
      "\\$\\d+\\.\\d\\d",
    ]) {
      const format = compile({ regex: pattern })
      const peer = new RegExp(`^(?:${pattern})$`, "u")
      for (let seed = 0; seed < 60; seed++) {
        const { ended, text } = writeAtRandom(format, 12 + (seed % 20), seed)
        expect(ended).toBe(true)
        expect(text).toMatch(peer)
      }
      fc.assert(
        fc.property(fc.string({ unit: fc.constantFrom(..."abcdnd_ 1é😀$.\n"), maxLength: 5 }), (text) => {
          expect(accepts(format, text)).toBe(peer.test(text))
        }),
        { seed: 3, numRuns: 60 },
      )
    }
  })

  it("follows the grammar", () => {
    const format = compile({ grammar: '# sums\nroot ::= term ("+" term)*\nterm ::= [0-9]{1,3} | "(" root ")"' })
    for (let seed = 0; seed < 60; seed++) {
      const { text } = writeAtRandom(format, 2 + (seed % 40), seed)
      expect(text).toMatch(/^[\d+()]+$/)
      expect(Number.isFinite(new Function(`return ${text.replace(/\b0+(?=\d)/g, "")}`)())).toBe(true)
    }
  })
})

describe("formats take", () => {
  it.each([
    [
      { type: "integer", minimum: -120, maximum: 1305 },
      ["-120", "-7", "0", "99", "1305"],
      ["-121", "1306", "01", "-0", "1.0", "+1"],
    ],
    [{ type: "number", minimum: 0, maximum: 1 }, ["0", "1", "0.5"], ["1.1", "-0.5", "2"]],
    [{ type: "number", exclusiveMinimum: 0 }, ["1", "7.25"], ["0", "-1"]],
    [
      { type: "string", format: "date-time" },
      ['"2026-02-28T23:59:59Z"'],
      ['"2026-02-30T00:00:00Z"', '"2026-13-01T00:00:00Z"'],
    ],
    [{ type: "string", format: "ipv4" }, ['"255.0.10.1"'], ['"256.0.0.1"', '"1.2.3"']],
    [{ type: "string", maxLength: 2 }, ['"é€"', '"\\n\\u00e9"'], ['"abc"', '"\n"', '"😀"']],
    [{ type: "string", pattern: "b" }, ['"abc"', '"b"'], ['"ac"']],
    [{ type: ["string", "null"] }, ["null", '"a"'], ["1"]],
    [{ const: { a: [1, "x"] } }, ['{"a":[1,"x"]}'], ["{}"]],
    [
      { type: "array", prefixItems: [{ type: "null" }, { type: "null" }], items: false, minItems: 1 },
      ["[null]", "[null,null]"],
      ["[]", "[null,null,null]"],
    ],
    [
      { type: "array", items: { type: "null" }, minItems: 2, maxItems: 3 },
      ["[null,null]", "[null, null,null]"],
      ["[null]", "[]", "[null,null,null,null]"],
    ],
    [
      { properties: { a: { type: "null" }, b: { type: "null" } }, required: ["b"] },
      ['{"b":null}', '{"a": null, "b": null}'],
      ["{}", '{"a":null}', '{"b":null,"a":null}', '{"a":null"b":null}', '{,"b":null}'],
    ],
    [
      {
        allOf: [
          { type: "integer", minimum: 3 },
          { type: "number", maximum: 5 },
        ],
      },
      ["3", "5"],
      ["2", "6", "4.5"],
    ],
    [{ $defs: { a: { type: "string" } }, anyOf: [{ $ref: "#/$defs/a" }, { type: "null" }] }, ['"x"', "null"], ["1"]],
  ] as ReadonlyArray<[Schema.Json, ReadonlyArray<string>, ReadonlyArray<string>]>)("%j", (schema, takes, refuses) => {
    const format = compile(json(schema))
    for (const text of takes) expect([text, accepts(format, text)]).toEqual([text, true])
    for (const text of refuses) expect([text, accepts(format, text)]).toEqual([text, false])
  })

  it("JSON nested as deep as its bound, and no deeper", () => {
    const format = compile(json({}))
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth)
    expect(accepts(format, nested(20))).toBe(true)
    expect(accepts(format, nested(200))).toBe(false)
  })
})

it("a range of characters is its bytes, and no others", () => {
  fc.assert(
    fc.property(fc.nat({ max: 0x10ffff }), fc.nat({ max: 0x3000 }), fc.nat({ max: 0x10ffff }), (low, width, probe) => {
      const high = Math.min(0x10ffff, low + width)
      const near = Math.min(0x10ffff, low + (probe % (width + 2)))
      for (const code of [near, probe, low, high]) {
        if (code >= 0xd800 && code <= 0xdfff) continue
        const bytes = new TextEncoder().encode(String.fromCodePoint(code))
        const found = utf8Ranges([low, high]).some(
          (ranges) =>
            ranges.length === bytes.length && ranges.every(([from, to], at) => from <= bytes[at]! && bytes[at]! <= to),
        )
        expect(found).toBe(code >= low && code <= high)
      }
    }),
  )
})
