/** The boundary between a benchmark's rows and what is printed of them. */
import type { BenchRow } from "./Bench.ts"

/** Three significant digits below a thousand, whole numbers with separators above: more would claim too much. */
export const formatFigure = (value: number): string =>
  Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString("en-US")
    : value === 0
      ? "0"
      : String(Number(value.toPrecision(3)))

/** One JSON object a line, figures as they were computed. */
export const formatJsonRows = (rows: ReadonlyArray<BenchRow>): string =>
  rows.map((row) => JSON.stringify(row)).join("\n")

/** An aligned table: texts to the left, figures to the right. */
export const formatRows = (rows: ReadonlyArray<BenchRow>): string => {
  const lines = [
    ["case", "metric", "ours", "theirs", "ratio", "runs", "peer"],
    ...rows.map((row) => [
      row.case,
      row.metric,
      formatFigure(row.ours),
      formatFigure(row.theirs),
      Number.isFinite(row.ratio) ? row.ratio.toFixed(2) : "-",
      String(row.runs),
      row.peer,
    ]),
  ]
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const isFigure = (column: number) => column >= 2 && column <= 5
  return lines
    .map((line) =>
      line
        .map((cell, column) => (isFigure(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
