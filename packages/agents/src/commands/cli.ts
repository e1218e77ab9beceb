/**
 * The boundary to the shell: the `pontoon-models` command, which looks into model folders, runs, measures, fetches and
 * shrinks them.
 *
 * Results go to standard output, one clear sentence about what is wrong to standard error. Exit codes: 0 done, 1 it could
 * not be done, 2 the command line is wrong, 130 ended by Ctrl-C.
 */

// Not the package root, which loads an HTTP client and takes longer than all of the rest.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Deferred, Effect, Exit, Option, Schema, type Scope } from "effect"
import { Argument, CliConfig, CliOutput, Command, Flag, GlobalFlag } from "effect/cli"
import { Dtype } from "../inference/folder/modelFolder.ts"
import { benchModel } from "./benchModel.ts"
import { classifyText } from "./classifyText.ts"
import { generateText } from "./generateText.ts"
import { inspectModel } from "./inspectModel.ts"
import { type Output, processOutput } from "./Output.ts"
import { parseConcurrency } from "./parseConcurrency.ts"
import { pullRepo } from "./pullRepo.ts"
import { quantizeFolder } from "./quantizeFolder.ts"
import { readSampling, samplingFlags } from "./samplingFlags.ts"

const folder = Argument.String("folder").pipe(
  Argument.withDescription("A model folder in the layout of transformers.js"),
)
const json = Flag.Boolean("json").pipe(
  Flag.withDescription("One JSON object in place of text"),
  Flag.withDefault(false),
)
const dtype = Flag.Literals("dtype", Dtype.literals).pipe(
  Flag.withDescription("Which weights; auto takes the most faithful that are there"),
  Flag.withDefault("auto" as const),
)

/** As many as `EngineSettings` takes. */
const COUNT_MAX = 256

const Count = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: COUNT_MAX }, { message: `Expected a whole number from 1 to ${COUNT_MAX}` }),
)

const count = (name: string, description: string, otherwise: number) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("N"),
    Flag.withSchema(Count),
    Flag.withDescription(`${description} (default ${otherwise}, 1 to ${COUNT_MAX})`),
    Flag.withDefault(otherwise),
  )

const threads = count("threads", "Threads inside one step", 1)

const run = <E>(command: (output: Output) => Effect.Effect<void, E, Scope.Scope>) =>
  Effect.scoped(Effect.suspend(() => command(processOutput())))

const inspect = Command.make(
  "inspect",
  { folder, dtype, json, slots: count("slots", "Answers at once to count memory for", 8) },
  ({ json: isJson, ...options }) => run((output) => inspectModel(output, { ...options, isJson })),
).pipe(Command.withDescription("Says what a folder is, how the engine runs it and why, and the memory that takes"))

const generate = Command.make(
  "generate",
  {
    folder,
    dtype,
    json,
    threads,
    prompt: Flag.String("prompt").pipe(Flag.withMetavar("TEXT"), Flag.withDescription("What the user says")),
    system: Flag.String("system").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("What the system says before it"),
      Flag.optional,
    ),
    ...samplingFlags,
  },
  ({ json: isJson, prompt, system, ...options }) =>
    run((output) =>
      Effect.flatMap(readSampling(options), (sampling) =>
        generateText(output, { ...options, prompt, system: Option.getOrUndefined(system), sampling, isJson }),
      ),
    ),
).pipe(Command.withDescription("Writes an answer to standard output as it is made; Ctrl-C stops it within a step"))

const classify = Command.make(
  "classify",
  { folder, dtype, json, threads, text: Argument.String("text").pipe(Argument.withDescription("What to read")) },
  ({ json: isJson, ...options }) => run((output) => classifyText(output, { ...options, isJson })),
).pipe(Command.withDescription("What an encoder makes of a text: its labels, or its vector"))

const bench = Command.make(
  "bench",
  {
    folder,
    dtype,
    json,
    threads,
    concurrency: Flag.String("concurrency").pipe(
      Flag.withMetavar("N,N,…"),
      Flag.withDescription("How many at once, one round for each (default 1,8,32)"),
      Flag.withDefault("1,8,32"),
    ),
  },
  ({ concurrency, json: isJson, ...options }) =>
    run((output) =>
      Effect.flatMap(parseConcurrency(concurrency), (rounds) => benchModel(output, { ...options, rounds, isJson })),
    ),
).pipe(Command.withDescription("Measures a model: tokens or texts a second, time to the first token, time per token"))

const file = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("FILE"), Flag.withDescription(description), Flag.optional)

const quantize = Command.make(
  "quantize",
  {
    folder,
    json,
    to: Flag.Literals("to", ["int8", "q4"]).pipe(Flag.withDescription("8 or 4 bits a weight")),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FOLDER"),
      Flag.withDescription(
        "Where to write it, with a copy of configuration and tokenizer (default: beside the weights)",
      ),
      Flag.optional,
    ),
    text: file("text", "Measure the loss on this text; an encoder reads it line by line"),
    csv: file("csv", "Measure the accuracy of an encoder on these rows, columns text and label"),
    activations: Flag.Literals("activations", ["block", "row", "tensor"]).pipe(
      Flag.withDescription(
        "int8: scale activations in blocks, by token, or over all of a step as onnxruntime's own quantiser does",
      ),
      Flag.withDefault("block" as const),
    ),
    embeddings: Flag.Literals("embeddings", ["fp32", "int8"]).pipe(
      Flag.withDescription("Word vectors as they are, or 8 bits (default fp32 for q4, int8 for int8)"),
      Flag.optional,
    ),
    accuracyLevel: Flag.Literals("accuracy-level", ["0", "1", "4"]).pipe(
      Flag.withDescription("What MatMulNBits computes in: 4 whole numbers, 1 floats, 0 as onnxruntime likes"),
      Flag.withDefault("4" as const),
    ),
    force: Flag.Boolean("force").pipe(Flag.withDescription("Replace the file that is there"), Flag.withDefault(false)),
  },
  ({ accuracyLevel, csv, embeddings, force, json: isJson, out, text, ...options }) =>
    run((output) =>
      quantizeFolder(output, {
        ...options,
        out: Option.getOrUndefined(out),
        text: Option.getOrUndefined(text),
        csv: Option.getOrUndefined(csv),
        embeddings: Option.getOrUndefined(embeddings),
        accuracyLevel: ACCURACY_LEVELS[accuracyLevel],
        isForced: force,
        isJson,
      }),
    ),
).pipe(
  Command.withDescription(
    "Makes a smaller variant of a model of 32-bit floats, and measures what that gains and costs",
  ),
)

const ACCURACY_LEVELS = { "0": 0, "1": 1, "4": 4 } as const

const pull = Command.make(
  "pull",
  {
    repo: Argument.String("repo").pipe(Argument.withDescription("A model on the hub, as owner/name")),
    revision: Flag.String("revision").pipe(
      Flag.withMetavar("R"),
      Flag.withDescription("A branch, a tag or a commit (default main)"),
      Flag.withDefault("main"),
    ),
    dtype,
    to: Flag.String("to").pipe(
      Flag.withMetavar("FOLDER"),
      Flag.withDescription("Where it goes (default models/OWNER/NAME)"),
      Flag.optional,
    ),
    json,
  },
  ({ json: isJson, to, ...options }) =>
    run((output) => pullRepo(output, { ...options, to: Option.getOrUndefined(to), isJson, environment: process.env })),
).pipe(
  Command.withDescription(
    "Fetches a model from a Hugging Face hub (HF_ENDPOINT, HF_TOKEN); cut off, it goes on where it was",
  ),
)

const command = Command.make("pontoon-models").pipe(
  Command.withDescription("Looks into model folders, runs, measures, fetches and shrinks them."),
  Command.withSubcommands([inspect, generate, classify, bench, pull, quantize]),
)

/** A bad command line is told in a sentence; help is printed to those who ask for it. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.asVoid(
          complain(
            `${event.errors.map(({ message }) => message.replaceAll("\n", " ")).join("; ")}. See ${event.commandPath.join(" ")} --help.`,
            EXIT.misused,
          ),
        )
      : CliOutput.defaultPresenter.present(event),
}

const EXIT = { done: 0, failed: 1, misused: 2, interrupted: 130 } as const

const complain = (message: string, code: number): Effect.Effect<number> =>
  Effect.sync(() => {
    process.stderr.write(`pontoon-models: ${message}\n`)
    return code
  })

const program = (version: string) =>
  Command.run(command, { version }).pipe(
    Effect.as<number>(EXIT.done),
    Effect.catchTag("TerminalOutputClosed", () => Effect.succeed(EXIT.done)),
    // What the parser found wrong it has said itself.
    Effect.catch((error) =>
      error._tag === "ShowHelp" ? Effect.succeed(EXIT.misused) : complain(error.message, EXIT.failed),
    ),
    Effect.provide(CliOutput.layerPresenter(presenter)),
    Effect.provideService(
      CliConfig.CliConfig,
      CliConfig.make({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
    ),
    Effect.provide(NodeServices.layer),
  )

/** Runs the command line and gives back the exit code. Ctrl-C closes what is open, the model's process too, first. */
export const runPontoonModels = async (version: string): Promise<number> => {
  const stopped = Deferred.makeUnsafe<number>()
  // Before anything runs: what has started a process must not die of a signal without ending it.
  const stop = () => Deferred.doneUnsafe(stopped, Exit.succeed(EXIT.interrupted))
  process.once("SIGINT", stop)
  process.once("SIGTERM", stop)
  return await Effect.runPromise(Effect.raceFirst(program(version), Deferred.await(stopped)))
}
