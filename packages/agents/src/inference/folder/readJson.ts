/**
 * The boundary between a JSON file of a model folder and what it is to hold: one sentence about whatever is not so.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Result, Schema } from "effect"
import type { TerminalModelFailure } from "../../ModelTarget.ts"
import { type Fail, oneLine } from "./modelFailure.ts"

export const JsonObject = Schema.Record(Schema.String, Schema.Unknown)

/** A file that says what it holds: the decoded part, and everything as it is written for the library that reads it. */
export interface ReadJson<A> {
  readonly decoded: A
  readonly raw: { readonly [key: string]: unknown }
}

/** @returns fails with reason `incomplete` (it cannot be read) or `damaged` */
export const readJson = <S extends Schema.ConstraintDecoder<unknown>>(
  folder: string,
  file: string,
  schema: S,
  fail: Fail,
): Result.Result<ReadJson<S["Type"]>, TerminalModelFailure> => {
  const text = Result.try(() => readFileSync(join(folder, file), "utf8"))
  if (Result.isFailure(text))
    return Result.fail(fail("incomplete", `${file} cannot be read: ${oneLine(text.failure)}.`))
  const raw = Schema.decodeUnknownResult(Schema.fromJsonString(JsonObject))(text.success)
  if (Result.isFailure(raw)) {
    return Result.fail(fail("damaged", `${file} is not a JSON object; copy it again.`, raw.failure))
  }
  const decoded = Schema.decodeUnknownResult(schema)(raw.success)
  if (Result.isFailure(decoded)) {
    return Result.fail(fail("damaged", `${file} is not what it should be: ${oneLine(decoded.failure)}.`))
  }
  return Result.succeed({ decoded: decoded.success, raw: raw.success })
}
