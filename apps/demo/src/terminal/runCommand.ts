/** The boundary between a command and its process: what a failure prints, and the status that the process exits with. */
import { Cause, Console, Effect } from "effect"
import { CliError, Command } from "effect/cli"

const VERSION = "0.1.0"

/** A command line that was not understood; what a shell's own commands return for it. */
const STATUS_USAGE = 2

const printFailure = (error: unknown): Effect.Effect<0 | 1 | 2> => {
  if (CliError.isCliError(error)) {
    // `--help` ends like this too, without an error in it; the rest has been printed beside the usage.
    const asked = error._tag === "ShowHelp" && error.errors.length === 0
    return Effect.succeed(asked ? 0 : STATUS_USAGE)
  }
  return Effect.as(Console.error(error instanceof Error ? error.message : String(error)), 1)
}

/**
 * Ends when standard output can take no more, with the status for it: whoever read it (`| head`) has what they wanted,
 * while a full disk is a failure.
 */
const outputEnded: Effect.Effect<0 | 1> = Effect.callback((resume) => {
  // Never taken off: writes that were under way fail too, and without a listener each would end the process.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    resume(
      error.code === "EPIPE"
        ? Effect.succeed(0)
        : Effect.as(Console.error(`Standard output cannot be written: ${error.message}.`), 1),
    )
  })
})

/**
 * Runs a command on `args` and gives the status to exit with: 0, 1 after a failure (its sentence on standard error, no
 * stack), 2 for a command line that was not understood. A defect is printed whole: it is a bug, and wants its stack.
 */
export const runCommand = <Name extends string, Input, E, R, ContextInput>(
  command: Command.Command<Name, Input, ContextInput, E, R>,
  args: ReadonlyArray<string>,
): Effect.Effect<0 | 1 | 2, never, R | Command.Environment> =>
  Command.runWith(command, { version: VERSION })(args).pipe(
    Effect.as<0 | 1 | 2>(0),
    Effect.catch(printFailure),
    Effect.catchDefect((defect) => Effect.as(Console.error(Cause.pretty(Cause.die(defect))), 1 as const)),
    Effect.raceFirst(outputEnded),
  )
