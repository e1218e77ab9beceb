/** The boundary of `$ref`: the place in a JSON schema that a pointer leads to (RFC 6901). Pure; throws `FormatProblem`. */
import { FormatProblem } from "./Expression.ts"
import { isSchemaObject } from "./mergeSchemas.ts"

export const lookUpReference = (root: unknown, reference: unknown): unknown => {
  if (typeof reference !== "string" || !/^#(\/|$)/.test(reference)) {
    const found = JSON.stringify(reference)
    throw new FormatProblem(`\`$ref\` has to lead to a place in this schema ("#/$defs/…"), not to ${found}`)
  }
  let at: unknown = root
  for (const escaped of reference.split("/").slice(1)) {
    const key = decodeKey(escaped)
    at = Array.isArray(at) ? at[Number(key)] : isSchemaObject(at) && Object.hasOwn(at, key) ? at[key] : undefined
  }
  if (at === undefined) throw new FormatProblem(`\`$ref\` leads to ${reference}, and nothing is there`)
  return at
}

const decodeKey = (escaped: string): string => {
  try {
    return decodeURIComponent(escaped).replaceAll("~1", "/").replaceAll("~0", "~")
  } catch {
    throw new FormatProblem(`\`$ref\` has a "%" that encodes nothing`)
  }
}
