/** The boundary between rows and aligned text. */
import { printable } from "./printable.ts"

export interface Column {
  readonly head: string
  /** Figures go to the right. Default: left. */
  readonly align?: "left" | "right"
}

/** A head, and a line a row; columns two blanks apart, no rules. Missing cells are empty. */
export const formatTable = (columns: ReadonlyArray<Column>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const cells = [
    columns.map((column) => column.head),
    ...rows.map((row) => columns.map((_, at) => printable(row[at] ?? ""))),
  ]
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]!.length)))
  return cells
    .map((row) =>
      row
        .map((cell, at) => (columns[at]!.align === "right" ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
