/** The boundary of `allOf`: two JSON schemas as the one that says both. Pure; throws `FormatProblem`. */
import { FormatProblem } from "./Expression.ts"

export interface SchemaObject {
  readonly [keyword: string]: unknown
}

export const isSchemaObject = (value: unknown): value is SchemaObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

type Merge = (a: unknown, b: unknown) => unknown

const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [value])
const both: Merge = (a, b) => [...new Set([...listOf(a), ...listOf(b)])]
const common: Merge = (a, b) => {
  const kept = listOf(a).filter((one) => listOf(b).some((other) => JSON.stringify(other) === JSON.stringify(one)))
  if (kept.length === 0) throw new FormatProblem("what `allOf` joins excludes each other")
  return kept
}
const greater: Merge = (a, b) => Math.max(Number(a), Number(b))
const lesser: Merge = (a, b) => Math.min(Number(a), Number(b))

/** How what two schemas say under one keyword becomes one; for others the two have to say the same. */
const MERGES: Readonly<Record<string, Merge>> = {
  required: both,
  allOf: (a, b) => [...listOf(a), ...listOf(b)],
  enum: common,
  type: (a, b) => {
    const types = common(widen(a), widen(b))
    // A whole number is a number: of both, the narrower is meant.
    return listOf(types).filter((type) => type !== "number" || !listOf(types).includes("integer") || hasNumber(a, b))
  },
  minimum: greater,
  exclusiveMinimum: greater,
  minLength: greater,
  minItems: greater,
  maximum: lesser,
  exclusiveMaximum: lesser,
  maxLength: lesser,
  maxItems: lesser,
  properties: (a, b) => {
    if (!isSchemaObject(a) || !isSchemaObject(b)) throw new FormatProblem("`properties` has to be an object")
    return mergeProperties(a, b)
  },
  // Annotations: the outer one's will do.
  title: (a) => a,
  description: (a) => a,
  default: (a) => a,
  examples: (a) => a,
  $comment: (a) => a,
}

const widen = (type: unknown): ReadonlyArray<unknown> =>
  listOf(type).flatMap((one) => (one === "number" ? ["number", "integer"] : [one]))
const hasNumber = (a: unknown, b: unknown): boolean => listOf(a).includes("number") && listOf(b).includes("number")

const mergeProperties = (a: SchemaObject, b: SchemaObject): SchemaObject => {
  const merged: Record<string, unknown> = { ...a }
  for (const [key, schema] of Object.entries(b)) {
    const known = merged[key]
    merged[key] = known === undefined ? schema : { allOf: [known, schema] }
  }
  return merged
}

/** @returns a schema that a value fits where it fits both */
export const mergeSchemas = (a: SchemaObject, b: SchemaObject): SchemaObject => {
  const merged: Record<string, unknown> = { ...a }
  for (const [keyword, value] of Object.entries(b)) {
    const known = merged[keyword]
    if (known === undefined || JSON.stringify(known) === JSON.stringify(value)) merged[keyword] = value
    else {
      const merge = MERGES[keyword]
      if (merge === undefined)
        throw new FormatProblem(`\`allOf\` joins two different \`${keyword}\`, which cannot be done`)
      merged[keyword] = merge(known, value)
    }
  }
  return merged
}
