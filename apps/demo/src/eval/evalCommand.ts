/** The boundary between the command line and an evaluation: its arguments, its progress, and how its report is printed. */
import { allowsColor, makeProgressBar, type ProgressBar, type ProgressOutput } from "@pontoon/runtime/testing"
import { Clock, Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { EVALUATION_TASKS, evaluationTasks } from "./EvaluationTask.ts"
import { type ClassifyRows, evaluate } from "./evaluate.ts"
import { formatReport, formatReportJson } from "./formatReport.ts"

const parameters = {
  task: Argument.Literals("task", EVALUATION_TASKS).pipe(Argument.withDescription("What to evaluate")),
  data: Flag.Path("data").pipe(
    Flag.withDescription("A labelled CSV file (default: the data set in ../shared/data)"),
    Flag.withMetavar("FILE"),
    Flag.optional,
  ),
  db: Flag.Path("db").pipe(
    Flag.withDescription("Keep the message log in this file; a killed evaluation goes on where it was"),
    Flag.withMetavar("FILE"),
    Flag.optional,
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print one JSON object: accuracy, macroF1, n and the figures of each class"),
    Flag.withDefault(false),
  ),
}

export interface EvalConsole {
  /** Where progress goes: standard error, so that the report can be piped. */
  readonly progress: ProgressOutput
  readonly env: Readonly<Record<string, string | undefined>>
}

/** The `eval` command; rows go to `classify`. */
export const makeEvalCommand = <E, R>(classify: ClassifyRows<E, R>, { env, progress }: EvalConsole) =>
  Command.make(
    "eval",
    parameters,
    Effect.fnUntraced(function* ({ data, db, json, task }) {
      const clock = yield* Clock.Clock
      let bar: ProgressBar | undefined
      const report = yield* evaluate(
        { task: evaluationTasks[task], data: Option.getOrUndefined(data), db: Option.getOrUndefined(db) },
        classify,
        (done, total) => {
          bar ??= makeProgressBar({
            output: progress,
            label: task,
            total,
            now: () => clock.currentTimeMillisUnsafe(),
            color: allowsColor(progress, env),
          })
          bar.advance(done)
        },
      ).pipe(Effect.ensuring(Effect.sync(() => bar?.end())))
      yield* Console.log(json ? formatReportJson(report) : formatReport(report))
    }),
  ).pipe(Command.withDescription("Sends a labelled file through durable actors and prints a classification report"))
