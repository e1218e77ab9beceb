/**
 * The boundary to the texts that two models are compared on: a file of the user's, or a few of ours where none is given,
 * which show a loss that everybody would notice and no other.
 */
import { readFileSync } from "node:fs"
import { parse } from "csv-parse/sync"
import { Effect, Schema } from "effect"
import { oneLine } from "../inference/folder/modelFailure.ts"
import type { LabelledText } from "./measureEncoder.ts"
import { TerminalQuantizationRefused } from "./quantizeModel.ts"

/** Of different kinds, short, and none of any one trade. */
export const PROMPTS: ReadonlyArray<string> = [
  "Hello! What can you do for me today?",
  "Please explain in two sentences why the sky is blue.",
  "I would like to order something for tomorrow morning.",
  "My card was charged twice last week. What should I do?",
  "Write a short note to thank a colleague for her help.",
  "List three things to check before a long journey.",
  "The shares fell by four percent after the company cut its forecast.",
  "Is it better to walk or to take the train when it rains?",
]

/** What more would say takes minutes to measure. */
export const TOKENS_MAX = 8192
export const TEXTS_MAX = 2000

const refuse = (message: string) => new TerminalQuantizationRefused({ message })

const readText = (path: string) =>
  Effect.try({
    try: () => readFileSync(path, "utf8"),
    catch: (cause) => refuse(`${path} cannot be read: ${oneLine(cause)}.`),
  })

/**
 * Windows of at most `windowTokens`, of the first `TOKENS_MAX` tokens; what is shorter than two tokens predicts nothing.
 *
 * @param beginTokenId where it stands a new text begins, and with it a window: nothing before it is to be remembered
 */
export const cutWindows = (
  tokenIds: ReadonlyArray<number>,
  windowTokens: number,
  beginTokenId?: number,
): ReadonlyArray<ReadonlyArray<number>> => {
  const windows: Array<Array<number>> = []
  for (const tokenId of tokenIds.slice(0, TOKENS_MAX)) {
    const last = windows.at(-1)
    if (last === undefined || tokenId === beginTokenId || last.length >= windowTokens) windows.push([tokenId])
    else last.push(tokenId)
  }
  return windows.filter(({ length }) => length > 1)
}

/** A text to be read as it is, control tokens included: it is the user's own. */
export const readWhole = (path: string) =>
  Effect.flatMap(readText(path), (text) =>
    text.trim() === "" ? Effect.fail(refuse(`${path} is empty; give a text to measure on.`)) : Effect.succeed(text),
  )

/** A text a line. */
export const readLines = (path: string) =>
  Effect.map(
    readWhole(path),
    (text): ReadonlyArray<LabelledText> =>
      text
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "")
        .slice(0, TEXTS_MAX)
        .map((line) => ({ text: line, label: undefined })),
  )

const Rows = Schema.Array(Schema.Record(Schema.String, Schema.String))

/** Columns `text` and `label`, named in the first line. */
export const readCsv = (path: string) =>
  Effect.gen(function* () {
    const content = yield* readText(path)
    const rows = yield* Effect.try({
      try: (): unknown => parse(content, { columns: true, skip_empty_lines: true, bom: true, to: TEXTS_MAX }),
      catch: (cause) => refuse(`${path} is no CSV file: ${oneLine(cause)}.`),
    }).pipe(Effect.flatMap((raw) => Effect.orDie(Schema.decodeUnknownEffect(Rows)(raw))))
    if (rows.length === 0)
      return yield* refuse(`${path} has no rows; its first line names the columns, text and label.`)
    const lacking = ["text", "label"].find((column) => rows[0]?.[column] === undefined)
    if (lacking !== undefined) {
      const columns = Object.keys(rows[0] ?? {}).join(", ")
      return yield* refuse(`${path} has no column "${lacking}"; it has ${columns}.`)
    }
    return rows.map(({ label, text = "" }): LabelledText => ({ text, label }))
  })
