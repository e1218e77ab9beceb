/** The boundary of JSON Schema's numbers: which bounds are meant. Pure; throws `FormatProblem`. */
import { type Expression, FormatProblem } from "./Expression.ts"
import { ANY_NUMBER, integerBetween, numberBetween } from "./jsonText.ts"
import type { SchemaObject } from "./mergeSchemas.ts"

const read = (schema: SchemaObject, keyword: string): number | undefined => {
  const value = schema[keyword]
  if (value === undefined || typeof value === "number") return value
  throw new FormatProblem(`\`${keyword}\` is ${JSON.stringify(value)}; it has to be a number`)
}

export const numberOf = (type: "integer" | "number", schema: SchemaObject): Expression => {
  const multipleOf = read(schema, "multipleOf")
  if (multipleOf !== undefined && !(type === "integer" && multipleOf === 1)) {
    throw new FormatProblem("`multipleOf` cannot be kept while writing; leave it out, or list the values in `enum`")
  }
  const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number
  const above = read(schema, "exclusiveMinimum")
  const below = read(schema, "exclusiveMaximum")
  // Exclusive bounds are narrowed to the next whole number.
  const least = above === undefined ? NEGATIVE_INFINITY : Math.floor(above) + 1
  const most = below === undefined ? POSITIVE_INFINITY : Math.ceil(below) - 1
  const minimum = Math.max(read(schema, "minimum") ?? NEGATIVE_INFINITY, least)
  const maximum = Math.min(read(schema, "maximum") ?? POSITIVE_INFINITY, most)
  if (type === "integer") return integerBetween({ minimum, maximum })
  const isFree = minimum === NEGATIVE_INFINITY && maximum === POSITIVE_INFINITY
  return isFree ? ANY_NUMBER : numberBetween({ minimum, maximum })
}
