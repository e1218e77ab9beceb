/** `npm run eval -- TASK [--data FILE] [--db FILE] [--json]`: a labelled file through durable actors, and its report. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect, Logger } from "effect"
import { classifyThroughActors } from "./eval/classifyThroughActors.ts"
import { makeEvalCommand } from "./eval/evalCommand.ts"
import { runCommand } from "./terminal/runCommand.ts"

const command = makeEvalCommand(classifyThroughActors, { progress: process.stderr, env: process.env })

runCommand(command, process.argv.slice(2)).pipe(
  Effect.tap((status) =>
    Effect.sync(() => {
      process.exitCode = status
    }),
  ),
  Effect.provide(NodeServices.layer),
  // Standard output is the command's own.
  Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])),
  NodeRuntime.runMain,
)
