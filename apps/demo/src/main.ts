/** The entry of `npm run demo`: its command line, its process, its exit status. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, Logger } from "effect"
import { makeDemoCommand } from "./options.ts"
import { play } from "./scenarios/play.ts"
import { runCommand } from "./terminal/runCommand.ts"

const exitWith = (status: number) =>
  Effect.sync(() => {
    process.exitCode = status
  })

const main = Effect.flatMap(runCommand(makeDemoCommand(play), process.argv.slice(2)), exitWith).pipe(
  Effect.provide(NodeServices.layer),
  // Standard output is the command's own.
  Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])),
)

NodeRuntime.runMain(main)
