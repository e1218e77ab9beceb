/** The boundary between rows and columns: a table that is aligned for eyes, or separated by tabs for other programs. */
import { styleText } from "node:util"
import { CliOutput } from "effect/cli"
import type { Output } from "./Output.ts"

export interface Column<Row> {
  readonly title: string
  readonly text: (row: Row) => string
  /** Numbers end in the same column. */
  readonly isNumber?: boolean
  readonly style?: (row: Row) => Style | undefined
}

export type Style = "red" | "green" | "yellow" | "gray" | "bold"

type Look = Pick<Output, "isTerminal" | "isColoured" | "width">

export const paint = (look: Pick<Output, "isColoured">, style: Style | undefined, text: string): string =>
  look.isColoured && style !== undefined ? styleText(style, text, { validateStream: false }) : text

/** Between two columns. */
const GAP = "  "

/** The narrowest that a cut cell may get: less says nothing. */
const CELL_WIDTH_MIN = 8

const { displayWidth } = CliOutput

const cut = (text: string, width: number): string => {
  if (displayWidth(text) <= width) return text
  let kept = ""
  for (const character of text) {
    if (displayWidth(kept) + displayWidth(character) > width - 1) break
    kept += character
  }
  return `${kept}…`
}

const pad = (text: string, width: number, isNumber: boolean): string => {
  const space = " ".repeat(Math.max(0, width - displayWidth(text)))
  return isNumber ? space + text : text + space
}

/** The lines of the table, its titles first; the last column takes what the terminal's width leaves. */
export const formatTable = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  look: Look,
): ReadonlyArray<string> => {
  const cells = rows.map((row) => columns.map((column) => column.text(row)))
  if (!look.isTerminal) return [columns.map(({ title }) => title), ...cells].map((line) => line.join("\t"))
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((line) => displayWidth(line[index]!))),
  )
  const last = columns.length - 1
  const taken = widths.slice(0, last).reduce((sum, width) => sum + width + GAP.length, 0)
  widths[last] = Math.min(widths[last]!, Math.max(CELL_WIDTH_MIN, look.width - taken))
  const line = (texts: ReadonlyArray<string>, styles: ReadonlyArray<Style | undefined>): string =>
    texts
      .map((text, index) => {
        const shown = index === last ? cut(text, widths[index]!) : text
        // Nothing is padded at the end of a line.
        const isEnd = index === last && columns[index]!.isNumber !== true
        return paint(look, styles[index], isEnd ? shown : pad(shown, widths[index]!, columns[index]!.isNumber === true))
      })
      .join(GAP)
      .trimEnd()
  return [
    line(
      columns.map(({ title }) => title),
      columns.map(() => "bold"),
    ),
    ...rows.map((row, index) =>
      line(
        cells[index]!,
        columns.map((column) => column.style?.(row)),
      ),
    ),
  ]
}
