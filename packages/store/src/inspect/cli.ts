/**
 * The boundary to the shell: the `pontoon` command, which looks into a log, and has its owner change something in it.
 *
 * Results go to standard output, one clear sentence about what is wrong to standard error, with exit code 1.
 */

// Not the package root, which loads an HTTP client and takes longer than all of the rest.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { READ_LIMIT_MAX } from "@pontoon/runtime"
import { Effect, Logger, Option, Schema, type Scope } from "effect"
import { Argument, CliConfig, CliOutput, Command, Flag, GlobalFlag } from "effect/cli"
import type { ActorCommand } from "../operator/operatorProtocol.ts"
import { type InspectedLog, openInspectedLog } from "./InspectedLog.ts"
import { type Output, processOutput } from "./Output.ts"
import { cancel as cancelMessages, type ManyChoice, onActor, redrive as redriveLetters } from "./operate.ts"
import { printBackup } from "./printBackup.ts"
import { printDeadLetter } from "./printDeadLetter.ts"
import { printActors, printDeadLetters, printMailboxes, printRoutes, printStats } from "./printLists.ts"
import { printLog } from "./printMessages.ts"
import { printTrace } from "./printTrace.ts"
import { printReplay, printWhy } from "./printWhy.ts"

const FILE_DEFAULT = "pontoon.db"

/** A screenful or two. */
const LIMIT_DEFAULT = 50

const Limit = Schema.Int.check(
  Schema.isBetween(
    { minimum: 1, maximum: READ_LIMIT_MAX },
    { message: `Expected a whole number from 1 to ${READ_LIMIT_MAX}` },
  ),
)

const root = Command.make("pontoon").pipe(
  Command.withSharedFlags({
    db: Flag.String("db").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription(`The log to read; its owner may be running (default ${FILE_DEFAULT})`),
      Flag.withDefault(FILE_DEFAULT),
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("One JSON object per line in place of a table"),
      Flag.withDefault(false),
    ),
    limit: Flag.Int("limit").pipe(
      Flag.withSchema(Limit),
      Flag.withDescription(
        `The newest rows to print (default ${LIMIT_DEFAULT}), or the oldest messages to act on; from 1 to ${READ_LIMIT_MAX}`,
      ),
      Flag.optional,
    ),
  }),
  Command.withDescription(
    "Looks into a Pontoon log, live or after a crash; what changes something is carried out by its owner.",
  ),
)

interface Common {
  readonly limit: number
  readonly isJson: boolean
}

/** What every command needs: the log, open as long as the command runs, and where to print. */
const inspect = <E>(
  print: (log: InspectedLog, output: Output, common: Common) => Effect.Effect<void, E, Scope.Scope>,
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { db, json, limit } = yield* root
      const log = yield* openInspectedLog(db)
      yield* print(log, processOutput(), { limit: Option.getOrElse(limit, () => LIMIT_DEFAULT), isJson: json })
    }),
  )

/** A command that does something; to at most `limit` messages, where it was given. */
const operate = <E>(
  change: (
    db: string,
    output: Output,
    isJson: boolean,
    limit: number | undefined,
  ) => Effect.Effect<void, E, Scope.Scope>,
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { db, json, limit } = yield* root
      yield* change(db, processOutput(), json, Option.getOrUndefined(limit))
    }),
  )

const log = Command.make(
  "log",
  {
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on, and print each message when it is accepted and when it ends"),
      Flag.withDefault(false),
    ),
  },
  ({ follow }) => inspect((each, output, common) => printLog(each, output, { ...common, isFollowing: follow })),
).pipe(Command.withDescription("The newest messages"))

const trace = Command.make(
  "trace",
  {
    name: Argument.String("id").pipe(
      Argument.withDescription("A message id, a correlation id, or an actor as type/id"),
    ),
  },
  ({ name }) => inspect((each, output, common) => printTrace(each, output, name, common)),
).pipe(Command.withDescription("A conversation as the tree of what caused what"))

const actors = Command.make("actors", {}, () => inspect(printActors)).pipe(
  Command.withDescription("Actors, the latest changed first"),
)

const mailbox = Command.make("mailbox", {}, () => inspect(printMailboxes)).pipe(
  Command.withDescription("Unfinished messages per actor, the longest wait first"),
)

const dead = Command.make(
  "dead",
  {
    id: Argument.String("id").pipe(Argument.withDescription("The id of a message: print its life"), Argument.optional),
    why: Flag.Boolean("why").pipe(
      Flag.withDescription("The life of each, and the likely cause"),
      Flag.withDefault(false),
    ),
  },
  ({ id, why }) =>
    inspect((each, output, common) =>
      Option.isSome(id)
        ? printDeadLetter(each, output, id.value, common.isJson)
        : printDeadLetters(each, output, { ...common, isWhy: why }),
    ),
).pipe(Command.withDescription("Dead letters; with an id or --why their lives, and the likely cause"))

type RoutesFailure = Effect.Error<ReturnType<typeof printWhy> | ReturnType<typeof printRoutes>>

const routes = Command.make(
  "routes",
  {
    message: Flag.String("message").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("Only the routes of this message"),
      Flag.optional,
    ),
    pool: Flag.String("pool").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("Only the routes of this pool"),
      Flag.optional,
    ),
    why: Flag.String("why").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("Why this message went where it went, as sentences, with what became of it"),
      Flag.optional,
    ),
    replay: Flag.String("replay").pipe(
      Flag.withMetavar("POLICY"),
      Flag.withDescription("What this policy would have made of the same evidence"),
      Flag.optional,
    ),
  },
  ({ message, pool, replay, why }) =>
    inspect((each, output, common): Effect.Effect<void, RoutesFailure> => {
      if (Option.isSome(why)) return printWhy(each, output, common, why.value)
      if (Option.isSome(replay)) return printReplay(each, output, common, replay.value, Option.getOrUndefined(pool))
      return printRoutes(each, output, common, {
        ...(Option.isSome(message) ? { messageId: message.value } : {}),
        ...(Option.isSome(pool) ? { pool: pool.value } : {}),
      })
    }),
).pipe(Command.withDescription("Routing decisions and their reasons; --json adds the evidence"))

const stats = Command.make("stats", {}, () => inspect(printStats)).pipe(
  Command.withDescription("Messages by status, and latency per actor type and task"),
)

/** Which messages a command means, where it means many. */
const selection = {
  all: Flag.Boolean("all").pipe(Flag.withDescription("All of them"), Flag.withDefault(false)),
  actor: Flag.String("actor").pipe(
    Flag.withMetavar("TYPE[/ID]"),
    Flag.withDescription("Those of this actor, or of all actors of this type"),
    Flag.optional,
  ),
  task: Flag.String("task").pipe(Flag.withMetavar("TASK"), Flag.withDescription("Those for this task"), Flag.optional),
  error: Flag.String("error").pipe(
    Flag.withAlias("tag"),
    Flag.withMetavar("TAG"),
    Flag.withDescription("Those whose error has this tag"),
    Flag.optional,
  ),
  since: Flag.String("since").pipe(
    Flag.withMetavar("TIME"),
    Flag.withDescription("Those that died since; a date, or how long ago: 90m, 2h, 3d"),
    Flag.optional,
  ),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDescription("Say which ones are meant, and change nothing"),
    Flag.withDefault(false),
  ),
}

interface SelectionValues {
  readonly id: Option.Option<string>
  readonly all: boolean
  readonly actor: Option.Option<string>
  readonly task: Option.Option<string>
  readonly error: Option.Option<string>
  readonly since: Option.Option<string>
  readonly dryRun: boolean
}

const toChoice = (values: SelectionValues, limit: number | undefined): ManyChoice => ({
  messageId: Option.getOrUndefined(values.id),
  isAll: values.all,
  actor: Option.getOrUndefined(values.actor),
  task: Option.getOrUndefined(values.task),
  errorTag: Option.getOrUndefined(values.error),
  since: Option.getOrUndefined(values.since),
  isDryRun: values.dryRun,
  limit,
})

const redrive = Command.make(
  "redrive",
  {
    id: Argument.String("id").pipe(Argument.withDescription("The id of a dead letter"), Argument.optional),
    ...selection,
    body: Flag.String("body").pipe(
      Flag.withMetavar("JSON"),
      Flag.withDescription("With an id: run it on this body in place of its own"),
      Flag.optional,
    ),
  },
  ({ body, ...values }) =>
    operate((db, output, isJson, limit) =>
      redriveLetters(db, output, isJson, { ...toChoice(values, limit), body: Option.getOrUndefined(body) }),
    ),
).pipe(Command.withDescription("Has dead letters run again, with a fresh budget of attempts"))

const cancel = Command.make(
  "cancel",
  {
    id: Argument.String("id").pipe(Argument.withDescription("A message id"), Argument.optional),
    ...selection,
  },
  (values) => operate((db, output, isJson, limit) => cancelMessages(db, output, isJson, toChoice(values, limit))),
).pipe(Command.withDescription("Takes back messages that have not ended"))

const actorCommand = (command: ActorCommand, what: string) =>
  Command.make(
    command,
    { actor: Argument.String("actor").pipe(Argument.withDescription("An actor as type/id")) },
    ({ actor }) => operate((db, output, isJson) => onActor(db, output, isJson, command, actor)),
  ).pipe(Command.withDescription(what))

const stop = actorCommand("stop", "Stops an actor: what it runs may end, what waits moves or becomes dead letters")
const suspend = actorCommand("suspend", "Puts an actor on hold, also over restarts of its process: messages wait")
const resume = actorCommand("resume", "Has an actor that is suspended go on")
const restart = actorCommand("restart", "Brings back an actor that has failed or was stopped, or restarts one")

const backup = Command.make(
  "backup",
  {
    to: Argument.String("to").pipe(Argument.withDescription("The file to write")),
    force: Flag.Boolean("force").pipe(Flag.withDescription("Replace the file that is there"), Flag.withDefault(false)),
  },
  ({ to, force }) => operate((db, output, isJson) => printBackup(db, output, isJson, { to, isForced: force })),
).pipe(Command.withDescription("Copies the log, while its owner runs or without one"))

const command = root.pipe(
  Command.withSubcommands([
    log,
    trace,
    actors,
    mailbox,
    dead,
    routes,
    stats,
    redrive,
    cancel,
    stop,
    suspend,
    resume,
    restart,
    backup,
  ]),
)

/** A bad command line is told in a sentence; help is printed to those who ask for it. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.asVoid(
          complain(
            `${event.errors.map(({ message }) => message.replaceAll("\n", " ")).join("; ")}. See ${event.commandPath.join(" ")} --help.`,
          ),
        )
      : CliOutput.defaultPresenter.present(event),
}

/** A command that becomes the owner for a moment may have something to say of the file; results alone go to the output. */
const logToStandardError = Logger.layer([
  Logger.make(({ message }) => {
    process.stderr.write(`pontoon: ${Array.isArray(message) ? message.join(" ") : String(message)}\n`)
  }),
])

/** Runs the command line and gives back the exit code. */
export const runPontoon = (version: string): Promise<number> =>
  Command.run(command, { version }).pipe(
    Effect.as(0),
    Effect.catchTags({
      TerminalOutputClosed: () => Effect.succeed(0),
      TerminalStoreFailure: ({ message }) => complain(message),
      RetryableStoreFailure: ({ message }) => complain(message),
      TerminalCommandRefused: ({ message }) => complain(message),
      TerminalNothingToTrace: ({ message }) => complain(message),
    }),
    // The parser has said what was wrong with the command line.
    Effect.catch(() => Effect.succeed(1)),
    Effect.provide(CliOutput.layerPresenter(presenter)),
    Effect.provideService(
      CliConfig.CliConfig,
      CliConfig.make({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
    ),
    Effect.provide(NodeServices.layer),
    Effect.provide(logToStandardError),
    Effect.runPromise,
  )

const complain = (message: string): Effect.Effect<number> =>
  Effect.sync(() => {
    process.stderr.write(`pontoon: ${message}\n`)
    return 1
  })
