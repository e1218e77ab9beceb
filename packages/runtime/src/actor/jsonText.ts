/**
 * The boundary between values and JSON text: a schema's two ways, each with `JSON.parse` or `JSON.stringify` at its end.
 *
 * `Schema.fromJsonString` says the same and was measured at 7 KB of garbage and 1.5 us more per ask, which goes through
 * six of these: it compiles the text into the schema, as a transformation whose every step may be an Effect. What is
 * returned here has ended already wherever the schema itself decides at once.
 */
import { Effect, Schema, SchemaIssue } from "effect"

/** A schema that needs no services, so that the log can be read anywhere. */
export type Plain = Schema.Top & { readonly DecodingServices: never; readonly EncodingServices: never }

const refuse = (expected: string, input: unknown) =>
  Effect.fail(new Schema.SchemaError(new SchemaIssue.InvalidValue({ expected }, input, {})))

const stringify = (data: unknown): Effect.Effect<string, Schema.SchemaError> => {
  try {
    const text = JSON.stringify(data)
    // What a function or `undefined` becomes, whatever the type says.
    return text === undefined ? refuse("a JSON-serializable value", data) : Effect.succeed(text)
  } catch {
    return refuse("a JSON-serializable value", data)
  }
}

const parse = (text: string): Effect.Effect<unknown, Schema.SchemaError> => {
  try {
    return Effect.succeed(JSON.parse(text))
  } catch {
    return refuse("a valid JSON string", text)
  }
}

/** A value of the schema, as JSON text. */
export const encodeJsonText = (schema: Plain): ((value: unknown) => Effect.Effect<string, Schema.SchemaError>) => {
  const encode = Schema.encodeUnknownEffect(Schema.toCodecJson(schema))
  return (value) => Effect.flatMapEager(encode(value), stringify)
}

/** JSON text, as a value of the schema. */
export const decodeJsonText = (schema: Plain): ((text: string) => Effect.Effect<unknown, Schema.SchemaError>) => {
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(schema))
  return (text) => Effect.flatMapEager(parse(text), (data) => decode(data))
}
