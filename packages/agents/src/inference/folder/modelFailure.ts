/**
 * The boundary between what is wrong with a model and the one sentence that says so.
 */
import { TerminalModelFailure } from "../../ModelTarget.ts"

type Reason = TerminalModelFailure["reason"]

/** Makes the failure of one model: `fail("missing", "…")`. */
export const modelFailure =
  (model: string) =>
  (reason: Reason, message: string, cause: unknown = null) =>
    new TerminalModelFailure({ model, reason, message: `Model "${model}": ${message}`, cause })

export type Fail = ReturnType<typeof modelFailure>

/** Values that are longer than this are quoted in part. */
const QUOTED_LENGTH_MAX = 300

export const oneLine = (error: unknown): string => {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim()
  return text.length > QUOTED_LENGTH_MAX ? `${text.slice(0, QUOTED_LENGTH_MAX)}…` : text
}
