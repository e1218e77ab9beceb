/**
 * The boundary to the terminal, or to whatever stands in its place: results go to standard output, progress and remarks to
 * standard error. A reader that goes away (`pontoon-models generate … | head`) ends the command quietly.
 */
import { Effect, Schema } from "effect"

/** Whoever read the output has closed it; not an error, only an end. */
export class TerminalOutputClosed extends Schema.TaggedError<TerminalOutputClosed>()("TerminalOutputClosed", {}) {}

/** A command cannot do what it was asked; the message is one sentence that says what to do about it. */
export class TerminalCommandRefused extends Schema.TaggedError<TerminalCommandRefused>()("TerminalCommandRefused", {
  message: Schema.String,
}) {}

export const refuse = (message: string) => new TerminalCommandRefused({ message })

export interface Output {
  /** Text as it is. */
  readonly write: (text: string) => Effect.Effect<void, TerminalOutputClosed>
  readonly print: (lines: ReadonlyArray<string>) => Effect.Effect<void, TerminalOutputClosed>
  /** A line beside the result, for people. */
  readonly remark: (line: string) => Effect.Effect<void>
  /** A line that the next one replaces; nothing where nobody watches. */
  readonly progress: (line: string) => void
  /** Whether somebody watches. */
  readonly isWatched: boolean
}

/** The output of this process. */
export const processOutput = (): Output => {
  const stream = process.stdout
  // Without a listener a closed pipe would end the process with a stack trace; the write's own callback says it too.
  stream.on("error", () => {})
  const write = (text: string): Effect.Effect<void, TerminalOutputClosed> =>
    text === ""
      ? Effect.void
      : Effect.callback((resume) => {
          stream.write(text, (error) => {
            resume(error === null || error === undefined ? Effect.void : Effect.fail(new TerminalOutputClosed()))
          })
        })
  const isWatched = process.stderr.isTTY === true
  // Erases what is there to the end of the line.
  const clear = "\r\u001b[K"
  return {
    write,
    print: (lines) => write(lines.map((line) => `${line}\n`).join("")),
    remark: (line) => Effect.sync(() => void process.stderr.write(`${isWatched ? clear : ""}${line}\n`)),
    progress: (line) => {
      if (isWatched) process.stderr.write(`${clear}${line}`)
    },
    isWatched,
  }
}

/** `name  value`, the values below each other. */
export const formatPairs = (pairs: ReadonlyArray<readonly [string, string]>): ReadonlyArray<string> => {
  const width = Math.max(0, ...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd())
}

/** Columns below each other, numbers included; the first row is the heading. */
export const formatColumns = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = rows.reduce<ReadonlyArray<number>>(
    (known, row) => row.map((cell, column) => Math.max(known[column] ?? 0, cell.length)),
    [],
  )
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  )
}

const UNITS = ["bytes", "kB", "MB", "GB", "TB"]

/** `2.7 MB`: units of a thousand, as disks and hubs count. */
export const formatBytes = (bytes: number): string => {
  let unit = 0
  let size = bytes
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1000
    unit++
  }
  return `${unit === 0 ? size : size.toFixed(size < 10 ? 2 : 1)} ${UNITS[unit]}`
}
