/**
 * The boundary between a labelled file and a report: sends each row out once under a key of its own, gathers what comes
 * back in any order, and counts. How rows reach a model is the caller's `ClassifyRows`.
 */
import { Effect, Schema, Stream } from "effect"
import { classificationReport, type LabelPair } from "./classificationReport.ts"
import { dataFileOf, type EvaluationTask, type EvaluationTaskName } from "./EvaluationTask.ts"
import { type CsvFile, readCsv } from "./readCsv.ts"

/** There is nothing to evaluate on, or the file's labels are not the model's. */
export class TerminalEvaluationInput extends Schema.TaggedError<TerminalEvaluationInput>()("TerminalEvaluationInput", {
  message: Schema.String,
}) {}

/** Rows went out and their answers did not all come back, or came back twice; no figure would be true. */
export class TerminalEvaluationIncomplete extends Schema.TaggedError<TerminalEvaluationIncomplete>()(
  "TerminalEvaluationIncomplete",
  { message: Schema.String },
) {}

export interface EvaluationRow {
  /** The idempotency key: the same file and line have the same key in every run. */
  readonly key: string
  readonly text: string
}

export interface RowVerdict {
  readonly key: string
  readonly label: string
}

export interface ClassifyRequest {
  readonly task: EvaluationTaskName
  readonly rows: ReadonlyArray<EvaluationRow>
  /** The message log; `undefined`: one that is thrown away. */
  readonly db: string | undefined
}

/**
 * Sends rows through durable actors and gives each one's label, in any order, each once. Under a key that the log
 * already knows it gives the recorded answer, so that a killed evaluation goes on where it was.
 */
export type ClassifyRows<E, R> = (request: ClassifyRequest) => Stream.Stream<RowVerdict, E, R>

const PREFIX_LENGTH = 16

/** 64 bits of the hash tell files apart; whole, it would be most of every key in the log. */
const keyOf = (hash: string, line: number): string => `${hash.slice(0, PREFIX_LENGTH)}/${line}`

/** Row key to the label in the file, as the model says it. */
const expectLabels = (task: EvaluationTask, file: string, { hash, rows }: CsvFile) =>
  Effect.gen(function* () {
    const expected = new Map<string, string>()
    for (const row of rows) {
      const label = task.labelOf(row.label)
      if (label === undefined) {
        return yield* new TerminalEvaluationInput({
          message: `${file}: line ${row.line}: "${row.label}" is no label of ${task.name}; it must be ${task.labels}.`,
        })
      }
      expected.set(keyOf(hash, row.line), label)
    }
    return expected
  })

export interface EvaluationOptions {
  readonly task: EvaluationTask
  /** A labelled CSV file; default: the task's own. */
  readonly data: string | undefined
  readonly db: string | undefined
}

/** The report of one file. `onProgress` hears of the start (0 done) and of every row. */
export const evaluate = Effect.fnUntraced(function* <E, R>(
  { data, db, task }: EvaluationOptions,
  classify: ClassifyRows<E, R>,
  onProgress: (done: number, total: number) => void,
) {
  const file = dataFileOf(task, data)
  if (file === undefined) return yield* new TerminalEvaluationInput({ message: task.withoutData })
  const csv = yield* readCsv(file, task.columns)
  const expected = yield* expectLabels(task, file, csv)
  const rows = csv.rows.map((row) => ({ key: keyOf(csv.hash, row.line), text: row.text }))
  const pairs = new Map<string, LabelPair>()
  onProgress(0, rows.length)
  yield* classify({ task: task.name, rows, db }).pipe(
    Stream.runForEach(({ key, label }) => {
      const actual = expected.get(key)
      if (actual === undefined || pairs.has(key)) {
        const what = actual === undefined ? "was never asked for" : "came back twice"
        return new TerminalEvaluationIncomplete({ message: `The answer to row ${key} ${what}; this is a bug.` })
      }
      pairs.set(key, { actual, predicted: label })
      onProgress(pairs.size, rows.length)
      return Effect.void
    }),
  )
  if (pairs.size < rows.length) {
    return yield* new TerminalEvaluationIncomplete({
      message: `${rows.length - pairs.size} of ${rows.length} rows were not answered; run it again with the same --db to go on.`,
    })
  }
  return classificationReport([...pairs.values()])
})
