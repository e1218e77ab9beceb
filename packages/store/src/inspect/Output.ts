/**
 * The boundary to the terminal, or to whatever stands in its place: lines out, and whether they may be wide, aligned and
 * coloured. A reader that goes away (`pontoon log | head`) ends the command quietly.
 */
import { Effect, Schema } from "effect"

/** Whoever read the output has closed it; not an error, only an end. */
export class TerminalOutputClosed extends Schema.TaggedError<TerminalOutputClosed>()("TerminalOutputClosed", {}) {}

export interface Output {
  readonly print: (lines: ReadonlyArray<string>) => Effect.Effect<void, TerminalOutputClosed>
  /** Aligned tables, cut to the width; else a tab between the columns and nothing cut. */
  readonly isTerminal: boolean
  readonly isColoured: boolean
  /** Columns of the terminal. */
  readonly width: number
}

/** Where the terminal does not say: what terminals were for forty years. */
const WIDTH_DEFAULT = 80

/** https://no-color.org: any value but an empty one turns colour off. */
export const mayColour = (isTerminal: boolean, environment: Readonly<Record<string, string | undefined>>): boolean =>
  isTerminal && (environment.NO_COLOR ?? "") === "" && environment.TERM !== "dumb"

/** The output of this process. */
export const processOutput = (): Output => {
  const stream = process.stdout
  // Without a listener a closed pipe would end the process with a stack trace; the write's own callback says it too.
  stream.on("error", () => {})
  const print = (lines: ReadonlyArray<string>): Effect.Effect<void, TerminalOutputClosed> =>
    lines.length === 0
      ? Effect.void
      : Effect.callback((resume) => {
          stream.write(`${lines.join("\n")}\n`, (error) => {
            resume(error === null || error === undefined ? Effect.void : Effect.fail(new TerminalOutputClosed()))
          })
        })
  const isTerminal = stream.isTTY === true
  return { print, isTerminal, isColoured: mayColour(isTerminal, process.env), width: stream.columns ?? WIDTH_DEFAULT }
}
