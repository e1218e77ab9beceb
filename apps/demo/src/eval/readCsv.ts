/** The boundary between a labelled file and the evaluation: CSV with a header line, read strictly, errors with their line. */
import { isUtf8 } from "node:buffer"
import { createHash } from "node:crypto"
import { CsvError, type InfoRecord, parse } from "csv-parse/sync"
import { Effect, FileSystem, Schema } from "effect"

/** The file and its rows are held in memory. */
const FILE_BYTES_MAX = 64 * 1024 * 1024

/** A CSV file that cannot be read as asked; the sentence names file, line and column where they are known. */
export class TerminalCsvInvalid extends Schema.TaggedError<TerminalCsvInvalid>()("TerminalCsvInvalid", {
  file: Schema.String,
  message: Schema.String,
}) {}

export interface CsvRow {
  /** The line on which the row ends, counting from 1; the header is on the first. */
  readonly line: number
  readonly text: string
  readonly label: string
}

/** The header's names of the two columns that are read; others may stand beside them. */
export interface CsvColumns {
  readonly text: string
  readonly label: string
}

/** What is wrong, without the file's name; thrown, because the parser calls back and offers no other way out. */
class Refusal extends Error {}

const checkHeader = (header: ReadonlyArray<string>, columns: CsvColumns): Array<string> => {
  for (const column of [columns.text, columns.label]) {
    const count = header.filter((name) => name === column).length
    const there = header.map((name) => `"${name}"`).join(", ")
    if (count === 0) throw new Refusal(`line 1: there is no column "${column}"; the header has ${there}.`)
    if (count > 1) throw new Refusal(`line 1: the column "${column}" is there ${count} times; rename all but one.`)
  }
  return [...header]
}

/** The parser's complaint as a sentence. `lastLine` is where the last whole row ended. */
const describe = (error: CsvError, lastLine: number): string => {
  const column = typeof error.column === "string" ? `, column "${error.column}"` : ""
  const where = `line ${error.lines}${column}`
  switch (error.code) {
    // The parser notices at the file's end; what helps is where the row with the open quote began.
    case "CSV_QUOTE_NOT_CLOSED":
      return `line ${lastLine + 1}${column}: a quote is opened and never closed; close it, or double a quote that is text.`
    case "INVALID_OPENING_QUOTE":
      return `${where}: a quote inside a field that does not begin with one; put the field in quotes and double it.`
    case "CSV_INVALID_CLOSING_QUOTE":
      return `${where}: text follows a closing quote; double a quote that is text.`
    case "CSV_RECORD_INCONSISTENT_COLUMNS":
      return `line ${error.lines}: the row has another number of fields than the header; put fields with commas in quotes.`
    default:
      return `${where}: ${error.message}`
  }
}

const checkRow = (record: Readonly<Record<string, string>>, line: number, columns: CsvColumns): CsvRow => {
  const text = record[columns.text] ?? ""
  const label = (record[columns.label] ?? "").trim()
  if (text.trim() === "") throw new Refusal(`line ${line}: the column "${columns.text}" is empty.`)
  if (label === "") throw new Refusal(`line ${line}: the column "${columns.label}" is empty.`)
  return { line, text, label }
}

/** Parses, or throws a `Refusal`. */
const parseRows = (text: string, columns: CsvColumns): ReadonlyArray<CsvRow> => {
  if (text.trim() === "") throw new Refusal("the file is empty; its first line must name the columns.")
  const rows: Array<CsvRow> = []
  // Where the last whole row ended.
  let lastLine = 1
  try {
    // The parser counts a \r\n within quotes as two lines, and every line number after it would be wrong.
    parse(text.replaceAll("\r\n", "\n"), {
      bom: true,
      columns: (header: ReadonlyArray<string>) => checkHeader(header, columns),
      skip_empty_lines: true,
      on_record: (record: Readonly<Record<string, string>>, info: InfoRecord) => {
        lastLine = info.lines
        rows.push(checkRow(record, info.lines, columns))
        return null
      },
    })
  } catch (error) {
    throw error instanceof CsvError ? new Refusal(describe(error, lastLine)) : error
  }
  if (rows.length === 0) throw new Refusal("there is a header and no row.")
  return rows
}

const refusalOf = (file: string) => (what: string) => new TerminalCsvInvalid({ file, message: `${file}: ${what}` })

/**
 * Reads the text of a CSV file: RFC 4180 with any line ending, with or without a byte-order mark, blank lines passed over.
 * Fails on the first broken row.
 *
 * @param file its name, for what errors say
 */
export const parseCsv = (
  file: string,
  text: string,
  columns: CsvColumns,
): Effect.Effect<ReadonlyArray<CsvRow>, TerminalCsvInvalid> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(parseRows(text, columns))
    } catch (error) {
      return error instanceof Refusal ? Effect.fail(refusalOf(file)(error.message)) : Effect.die(error)
    }
  })

export interface CsvFile {
  readonly rows: ReadonlyArray<CsvRow>
  /** SHA-256 of the file's bytes, hex: rows are known by it and their line. */
  readonly hash: string
}

/** Reads a file of at most 64 MiB in UTF-8. */
export const readCsv = Effect.fnUntraced(function* (file: string, columns: CsvColumns) {
  const fs = yield* FileSystem.FileSystem
  const refuse = refusalOf(file)
  const stat = yield* fs
    .stat(file)
    .pipe(Effect.mapError((error) => refuse(`cannot be read (${error.reason._tag}); check the path.`)))
  if (stat.type !== "File") return yield* refuse("is not a file.")
  if (Number(stat.size) > FILE_BYTES_MAX) return yield* refuse(`is over ${FILE_BYTES_MAX} bytes; split the file.`)
  const bytes = yield* fs
    .readFile(file)
    .pipe(Effect.mapError((error) => refuse(`cannot be read (${error.reason._tag}).`)))
  if (!isUtf8(bytes)) return yield* refuse("is not UTF-8; save it as UTF-8.")
  const rows = yield* parseCsv(file, new TextDecoder().decode(bytes), columns)
  return { rows, hash: createHash("sha256").update(bytes).digest("hex") } satisfies CsvFile
})
