/**
 * The boundary between stored values and a line on a screen: times, durations, and text that somebody else wrote, which
 * may hold anything, terminal commands included.
 */
import { Option, Schema } from "effect"

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this pattern keeps off the screen
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g

/** One line without control characters. */
export const oneLine = (text: string): string => text.replace(CONTROL, " ").trim()

/** At most `lengthMax` characters of one line, the last of them an ellipsis where it was cut. */
export const preview = (text: string | null, lengthMax: number): string => {
  if (text === null) return ""
  // Cut before it is cleaned: a body may be megabytes.
  const line = oneLine(text.slice(0, lengthMax * 4))
  const characters = Array.from(line)
  if (characters.length <= lengthMax && text.length <= lengthMax * 4) return line
  return `${characters.slice(0, lengthMax - 1).join("")}…`
}

export const formatTime = (atMs: number | null): string => (atMs === null ? "" : new Date(atMs).toISOString())

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** `7 ms`, `1.25 s`, `3 m 20 s`, `5 h 2 m`: three digits are enough to compare two of them. */
export const formatDuration = (durationMs: number): string => {
  const sign = durationMs < 0 ? "-" : ""
  const ms = Math.abs(durationMs)
  if (ms < 1_000) return `${sign}${Math.round(ms)} ms`
  if (ms < MINUTE_MS) return `${sign}${(ms / 1_000).toPrecision(3)} s`
  if (ms < HOUR_MS) return `${sign}${Math.floor(ms / MINUTE_MS)} m ${Math.floor((ms % MINUTE_MS) / 1_000)} s`
  return `${sign}${Math.floor(ms / HOUR_MS)} h ${Math.floor((ms % HOUR_MS) / MINUTE_MS)} m`
}

/** The span between two times, where both are known. */
export const formatSpan = (fromMs: number | null, toMs: number | null): string =>
  fromMs === null || toMs === null ? "" : formatDuration(toMs - fromMs)

const decodeFailure = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ tag: Schema.String, message: Schema.String })),
)

/** A stored failure record as `Tag: message`; anything else as it is. */
export const formatFailure = (error: string | null): string => {
  if (error === null) return ""
  const record = decodeFailure(error)
  return Option.isSome(record) ? oneLine(`${record.value.tag}: ${record.value.message}`) : oneLine(error)
}
