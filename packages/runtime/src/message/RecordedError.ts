/** The boundary between a stored failure and whoever reads it, whatever version, or hand, wrote it. */
import { Option, Schema } from "effect"

/** An error as the log holds it, as far as it can be read. */
export interface RecordedError {
  readonly tag: string
  readonly message: string
  readonly retry: "retryable" | "terminal" | undefined
  readonly cause: string | undefined
}

const decodeError = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      tag: Schema.String,
      message: Schema.String,
      retry: Schema.optionalKey(Schema.Literals(["retryable", "terminal"])),
      cause: Schema.optionalKey(Schema.String),
    }),
  ),
)

/** Reads a stored failure record; what is none is kept as the message of an error called `Unknown`. */
export const readError = (stored: string): RecordedError => {
  const { cause, message, retry, tag } = Option.getOrElse(
    decodeError(stored),
    (): { tag: string; message: string; retry?: "retryable" | "terminal"; cause?: string } => ({
      tag: "Unknown",
      message: stored,
    }),
  )
  return { tag, message, retry, cause }
}
