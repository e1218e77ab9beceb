/**
 * The boundary from JSON Schema (draft 2020-12): a schema as the grammar of the JSON that fits it. Pure; throws
 * `FormatProblem` with the place in the schema.
 *
 * What is written fits the schema, but not everything that fits is written: properties come in the schema's order, none
 * is made up beside those that are named, numbers have no more than 15 digits. Keywords that a grammar cannot keep are refused.
 */
import {
  choice,
  type Expression,
  FormatProblem,
  type Grammar,
  optional,
  repeat,
  rule,
  sequence,
  text,
} from "./Expression.ts"
import { itemsOf } from "./jsonItems.ts"
import { numberOf } from "./jsonNumbers.ts"
import {
  ANY_NUMBER,
  COLON,
  COMMA,
  COUNTED_CHARACTER,
  STRING_CHARACTER,
  STRING_FORMATS,
  spellInString,
  stringOf,
} from "./jsonText.ts"
import { lookUpReference } from "./lookUpReference.ts"
import { isSchemaObject, mergeSchemas, type SchemaObject } from "./mergeSchemas.ts"
import { parseRegex } from "./parseRegex.ts"

const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"]
const REFUSED = [
  "not",
  "if",
  "then",
  "else",
  "dependentRequired",
  "dependentSchemas",
  "patternProperties",
  "contains",
  "minContains",
  "maxContains",
  "unevaluatedItems",
  "unevaluatedProperties",
  "$dynamicRef",
  "contentSchema",
]
/** Schemas in schemas; the compiler calls itself. */
const DEPTH_MAX = 100

/** Where no `type` is said, keywords that are about one type tell which is meant. */
const TYPE_OF_KEYWORD: Readonly<Record<string, string>> = {
  properties: "object",
  required: "object",
  additionalProperties: "object",
  propertyNames: "object",
  items: "array",
  prefixItems: "array",
  minItems: "array",
  maxItems: "array",
  pattern: "string",
  minLength: "string",
  maxLength: "string",
  format: "string",
  minimum: "number",
  maximum: "number",
  exclusiveMinimum: "number",
  exclusiveMaximum: "number",
}

class SchemaCompiler {
  readonly #root: unknown
  readonly #rules = new Map<string, Expression>()
  #path: ReadonlyArray<string> = []

  constructor(root: unknown) {
    this.#root = root
  }

  compile(): Grammar {
    this.#rules.set("character", STRING_CHARACTER)
    this.#rules.set("counted character", COUNTED_CHARACTER)
    this.#rules.set(
      "root",
      this.#inside([], () => this.#schema(this.#root)),
    )
    return { rules: this.#rules, root: "root" }
  }

  #fail(what: string): never {
    throw new FormatProblem(`JSON schema at ${["#", ...this.#path].join("/")}: ${what}`)
  }

  #inside<A>(path: ReadonlyArray<string>, make: () => A): A {
    const before = this.#path
    this.#path = [...before, ...path]
    if (this.#path.length > DEPTH_MAX) this.#fail(`it is more than ${DEPTH_MAX} levels deep`)
    try {
      const made = make()
      this.#path = before
      return made
    } catch (problem) {
      // What lower parts found wrong says nothing of its place.
      const isPlaced = !(problem instanceof FormatProblem) || problem.message.startsWith("JSON schema at")
      if (isPlaced) throw problem
      return this.#fail(problem.message)
    }
  }

  #schema(schema: unknown): Expression {
    if (schema === true) return this.#any()
    if (schema === false) return this.#fail("`false` fits nothing")
    if (!isSchemaObject(schema)) return this.#fail(`a schema is an object, not ${JSON.stringify(schema)}`)
    const refused = REFUSED.find((keyword) => keyword in schema)
    if (refused !== undefined) return this.#fail(`\`${refused}\` cannot be kept while writing; leave it out`)
    const { $defs, $id, $ref, $schema, allOf, anyOf, definitions, oneOf, ...rest } = schema
    if (Array.isArray(allOf)) {
      const joined = allOf
        .map((part) => this.#resolve(part))
        .reduce(mergeSchemas, { ...rest, ...clean({ $ref, anyOf, oneOf }) })
      return this.#schema(joined)
    }
    if ($ref !== undefined) {
      const validates = Object.keys(rest).some(
        (keyword) => keyword in TYPE_OF_KEYWORD || ["type", "enum", "const"].includes(keyword),
      )
      return validates ? this.#schema(mergeSchemas(this.#resolve({ $ref }), rest)) : this.#reference($ref)
    }
    const union = anyOf ?? oneOf
    if (union === undefined) return this.#plain(rest)
    if (!Array.isArray(union) || union.length === 0)
      return this.#fail("`anyOf` and `oneOf` have to be lists with a schema at least")
    const others = anyOf !== undefined && oneOf !== undefined ? { ...rest, oneOf } : rest
    return choice(
      ...union.map((part: unknown, at) =>
        this.#inside([anyOf === undefined ? "oneOf" : "anyOf", String(at)], () =>
          this.#schema(Object.keys(others).length === 0 ? part : mergeSchemas(others, this.#resolve(part))),
        ),
      ),
    )
  }

  /** The schema itself, references resolved. */
  #resolve(part: unknown): SchemaObject {
    let schema = part
    for (let hops = 0; isSchemaObject(schema) && schema.$ref !== undefined; hops++) {
      if (hops > DEPTH_MAX) return this.#fail("a reference leads in a circle")
      const { $ref, ...rest } = schema
      const target = lookUpReference(this.#root, $ref)
      schema = isSchemaObject(target) ? mergeSchemas(target, rest) : target
    }
    if (schema === true) return {}
    return isSchemaObject(schema) ? schema : this.#fail(`a schema is an object, not ${JSON.stringify(schema)}`)
  }

  #reference(reference: unknown): Expression {
    const target = lookUpReference(this.#root, reference)
    const name = `at ${reference}`
    if (!this.#rules.has(name)) {
      // Declared before it is known: it may refer to itself.
      this.#rules.set(name, text(""))
      this.#rules.set(
        name,
        this.#inside([], () => this.#schema(target)),
      )
    }
    return rule(name)
  }

  #plain(schema: SchemaObject): Expression {
    if ("const" in schema) return text(JSON.stringify(schema.const))
    if (schema.enum !== undefined) {
      const { enum: values } = schema
      if (!Array.isArray(values) || values.length === 0)
        return this.#fail("`enum` has to be a list with a value at least")
      return choice(...values.map((value: unknown) => text(JSON.stringify(value))))
    }
    const type = schema.type ?? Object.keys(schema).flatMap((keyword) => TYPE_OF_KEYWORD[keyword] ?? [])[0]
    if (type === undefined) return this.#any()
    if (!Array.isArray(type)) return this.#typed(type, schema)
    if (type.length === 0) return this.#fail("`type` is an empty list")
    return choice(...type.map((one: unknown) => this.#typed(one, schema)))
  }

  #typed(type: unknown, schema: SchemaObject): Expression {
    switch (type) {
      case "object":
        return this.#object(schema)
      case "array":
        return this.#array(schema)
      case "string":
        return this.#string(schema)
      case "integer":
      case "number":
        return numberOf(type, schema)
      case "boolean":
        return choice(text("true"), text("false"))
      case "null":
        return text("null")
      default:
        return this.#fail(`\`type\` is ${JSON.stringify(type)}; it has to be one of ${TYPES.join(", ")}`)
    }
  }

  /** JSON of any kind. */
  #any(): Expression {
    if (!this.#rules.has("any")) {
      const pair = sequence(rule("any string"), COLON, rule("any"))
      this.#rules.set("any string", stringOf(repeat(rule("character"), 0)))
      this.#rules.set("any", text("null"))
      this.#rules.set(
        "any",
        choice(
          text("null"),
          text("true"),
          text("false"),
          ANY_NUMBER,
          rule("any string"),
          sequence(text("["), optional(sequence(rule("any"), repeat(sequence(COMMA, rule("any")), 0))), text("]")),
          sequence(text("{"), optional(sequence(pair, repeat(sequence(COMMA, pair), 0))), text("}")),
        ),
      )
    }
    return rule("any")
  }

  #count(schema: SchemaObject, keyword: string): number | undefined {
    const value = schema[keyword]
    if (value === undefined) return undefined
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
      return this.#fail(`\`${keyword}\` is ${JSON.stringify(value)}; it has to be a whole number, 0 or more`)
    }
    return value
  }

  #counts(schema: SchemaObject, least: string, most: string): readonly [number, number | undefined] {
    const min = this.#count(schema, least) ?? 0
    const max = this.#count(schema, most)
    if (max !== undefined && max < min) return this.#fail(`\`${least}\` is ${min} and \`${most}\` ${max}; nothing fits`)
    return [min, max]
  }

  #string(schema: SchemaObject): Expression {
    const [min, max] = this.#counts(schema, "minLength", "maxLength")
    const { format, pattern } = schema
    const named = typeof format === "string" ? STRING_FORMATS.get(format) : undefined
    const character = rule(min > 1 || max !== undefined ? "counted character" : "character")
    if (pattern === undefined) return named ?? stringOf(repeat(character, min, max))
    // A pattern that comes with a known format is the format written out, as for UUIDs.
    if (named !== undefined) return named
    if (typeof pattern !== "string") return this.#fail("`pattern` has to be a text")
    const { alternatives } = parseRegex(pattern, spellInString)
    // A pattern says by itself whether it takes the empty string, and nothing else of a length.
    const saysLength = min === 0 || (min === 1 && !new RegExp(pattern, "u").test(""))
    if (!saysLength || max !== undefined) {
      return this.#fail("`pattern` beside `minLength` or `maxLength`: say the length in the pattern")
    }
    const anything = repeat(rule("character"), 0)
    return stringOf(
      choice(
        ...alternatives.map(({ begins, ends, expression }) =>
          sequence(...(begins ? [] : [anything]), expression, ...(ends ? [] : [anything])),
        ),
      ),
    )
  }

  #array(schema: SchemaObject): Expression {
    if (schema.uniqueItems === true) return this.#fail("`uniqueItems` cannot be kept while writing; leave it out")
    const [min, max] = this.#counts(schema, "minItems", "maxItems")
    const { items = true, prefixItems = [] } = schema
    if (!Array.isArray(prefixItems)) return this.#fail("`prefixItems` has to be a list")
    const prefix = prefixItems
      .slice(0, max)
      .map((item: unknown, at) => this.#inside(["prefixItems", String(at)], () => this.#schema(item)))
    const none = items === false || max === prefix.length || (max ?? Number.POSITIVE_INFINITY) < prefix.length
    if (none && min > prefix.length) return this.#fail(`\`minItems\` is ${min}, and there are only ${prefix.length}`)
    const item = none ? undefined : this.#inside(["items"], () => this.#schema(items))
    const inside = itemsOf(prefix, item, min, max)
    return sequence(text("["), inside, text("]"))
  }

  #object(schema: SchemaObject): Expression {
    const { additionalProperties = true, properties = {}, required = [] } = schema
    if (!isSchemaObject(properties)) return this.#fail("`properties` has to be an object")
    if (!Array.isArray(required) || required.some((key) => typeof key !== "string"))
      return this.#fail("`required` has to be a list of names")
    const needed = new Set<string>(required)
    const undeclared = required.filter((key: string) => !Object.hasOwn(properties, key))
    if (undeclared.length > 0 && additionalProperties === false) {
      return this.#fail(`\`required\` names ${JSON.stringify(undeclared[0])}, and \`properties\` does not have it`)
    }
    const fields = [
      ...Object.entries(properties),
      ...undeclared.map((key: string) => [key, additionalProperties] as const),
    ]
    if (fields.length === 0 && additionalProperties !== false) return this.#map(schema, additionalProperties)
    this.#refuseCounts(schema, fields.length, needed.size)
    const pairs: ReadonlyArray<Pair> = fields.map(([key, value]) => ({
      pair: sequence(
        text(JSON.stringify(key)),
        COLON,
        this.#inside(["properties", key], () => this.#schema(value)),
      ),
      needed: needed.has(key),
    }))
    return sequence(text("{"), this.#pairs(pairs), text("}"))
  }

  #refuseCounts(schema: SchemaObject, most: number, least: number): void {
    const [min, max] = this.#counts(schema, "minProperties", "maxProperties")
    if (min > least || (max ?? most) < most)
      this.#fail("`minProperties` and `maxProperties` cannot be kept beside `properties`; use `required`")
  }

  /** The rest of an object's pairs, as rules that they share: before the first that is written, and after it. */
  #pairs(pairs: ReadonlyArray<Pair>): Expression {
    const id = this.#rules.size
    const name = (at: number, begun: boolean) => `object ${id} from ${at} ${begun ? "on" : "first"}`
    for (const begun of [true, false]) this.#rules.set(name(pairs.length, begun), text(""))
    for (const [at, { needed, pair }] of [...pairs.entries()].reverse()) {
      for (const begun of [true, false]) {
        const written = sequence(...(begun ? [COMMA] : []), pair, rule(name(at + 1, true)))
        this.#rules.set(name(at, begun), needed ? written : choice(written, rule(name(at + 1, begun))))
      }
    }
    return rule(name(0, false))
  }

  /** An object of any keys: a record. */
  #map(schema: SchemaObject, values: unknown): Expression {
    const [min, max] = this.#counts(schema, "minProperties", "maxProperties")
    if (min > 1) return this.#fail("`minProperties` above 1 cannot be kept: a key could come twice")
    const key =
      schema.propertyNames === undefined
        ? stringOf(repeat(rule("character"), 0))
        : this.#inside(["propertyNames"], () =>
            this.#schema(mergeSchemas({ type: "string" }, this.#resolve(schema.propertyNames))),
          )
    const pair = sequence(
      key,
      COLON,
      this.#inside(["additionalProperties"], () => this.#schema(values)),
    )
    if (max === 0) return text("{}")
    const some = sequence(pair, repeat(sequence(COMMA, pair), 0, max === undefined ? undefined : max - 1))
    return sequence(text("{"), min === 0 ? optional(some) : some, text("}"))
  }
}

interface Pair {
  readonly pair: Expression
  readonly needed: boolean
}

const clean = (schema: SchemaObject): SchemaObject =>
  Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined))

export const jsonSchemaGrammar = (schema: unknown): Grammar => new SchemaCompiler(schema).compile()
