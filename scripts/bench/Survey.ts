/**
 * The boundary between the harness and a benchmark of several contenders at once, whose figures come from a seed and not from
 * a clock: what `packages/x/bench/NAME.bench.ts` exports in place of a `Bench`. It is run once, and printed as its own table.
 */
import { Schema } from "effect"
import { formatFigure } from "./formatRows.ts"

/** Column to cell; a column that a row lacks stays empty. */
export type SurveyRow = Readonly<Record<string, string | number>>

export interface SurveySection {
  /** What is varied, e.g. `3 targets at 70 %`. */
  readonly name: string
  readonly run: () => ReadonlyArray<SurveyRow>
}

export interface Survey {
  /** Printed above the table, one a line. */
  readonly conditions: ReadonlyArray<string>
  readonly sections: ReadonlyArray<SurveySection>
}

const isRun = Schema.declare((value): value is SurveySection["run"] => typeof value === "function", {
  expected: "a function without parameters that returns rows",
})

const SurveySchema = Schema.Struct({
  conditions: Schema.Array(Schema.String),
  sections: Schema.Array(Schema.Struct({ name: Schema.String, run: isRun })).check(Schema.isMinLength(1)),
})

export const isSurvey = (exported: unknown): boolean =>
  typeof exported === "object" && exported !== null && "sections" in exported

/** Checks what a bench file exports; throws one sentence that says what is wrong with it. */
export const decodeSurvey = (file: string, exported: unknown): Survey => {
  try {
    return Schema.decodeUnknownSync(SurveySchema)(exported)
  } catch (error) {
    throw new Error(`${file}: its default export is no survey: ${error instanceof Error ? error.message : error}`)
  }
}

/** An aligned table: texts to the left, figures to the right. */
export const formatSurvey = (rows: ReadonlyArray<SurveyRow>): string => {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const isFigure = (column: string) => rows.every((row) => typeof row[column] !== "string")
  const text = (cell: string | number | undefined) =>
    cell === undefined ? "" : typeof cell === "string" ? cell : formatFigure(cell)
  const lines = [columns, ...rows.map((row) => columns.map((column) => text(row[column])))]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]!.length)))
  return lines
    .map((line) =>
      line
        .map((cell, index) => (isFigure(columns[index]!) ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
