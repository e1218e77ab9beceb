/** `pontoon log`: the newest messages, oldest of them first; with --follow, every message that comes or ends after them. */
import { formatAddress, isFinal, type MessageRow, type ReadFailure } from "@pontoon/runtime"
import { Effect } from "effect"
import { type Column, formatTable, type Style } from "./formatTable.ts"
import { formatSpan, formatTime, preview } from "./formatText.ts"
import type { InspectedLog } from "./InspectedLog.ts"
import type { Output, TerminalOutputClosed } from "./Output.ts"

/** Between two looks for new commits; a look that finds none reads one number from shared memory. */
const FOLLOW_EVERY_MS = 200

/** Messages in one read while following; more are read in the next one, at once. */
const FOLLOW_PAGE = 500

/** Unfinished messages whose end is waited for; past it the oldest are forgotten, and their end is not printed. */
const AWAITED_MAX = 1_000

/** Long enough to recognise a body, short enough for one line. */
const BODY_LENGTH_MAX = 120

export const statusStyle = (status: string): Style | undefined => {
  if (status === "done") return "green"
  if (status === "running" || status === "pending") return "yellow"
  return "red"
}

const columns: ReadonlyArray<Column<MessageRow>> = [
  { title: "SEQ", text: ({ seq }) => `${seq}`, isNumber: true },
  { title: "ACCEPTED", text: ({ createdAtMs }) => formatTime(createdAtMs) },
  { title: "ID", text: ({ id }) => id },
  { title: "ACTOR", text: ({ actorType, actorId }) => formatAddress({ type: actorType, id: actorId }) },
  { title: "TASK", text: ({ task }) => task },
  { title: "STATUS", text: ({ status }) => status, style: ({ status }) => statusStyle(status) },
  { title: "TRIES", text: ({ attempt }) => `${attempt}`, isNumber: true },
  { title: "TOOK", text: ({ createdAtMs, finishedAtMs }) => formatSpan(createdAtMs, finishedAtMs), isNumber: true },
  { title: "BODY", text: ({ body }) => preview(body, BODY_LENGTH_MAX) },
]

export interface LogRequest {
  readonly limit: number
  readonly isJson: boolean
  readonly isFollowing: boolean
}

const formatRows = (rows: ReadonlyArray<MessageRow>, output: Output, isJson: boolean, withTitles: boolean) => {
  if (isJson) return rows.map((row) => JSON.stringify(row))
  const lines = formatTable(columns, rows, output)
  return withTitles ? lines : lines.slice(1)
}

/** Prints what has come and what has ended, and gives back how far it got. */
const printNews = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  isJson: boolean,
  awaited: Map<string, MessageRow>,
  lastSeq: number,
): Effect.fn.Return<number, ReadFailure | TerminalOutputClosed> {
  const ended: Array<MessageRow> = []
  for (const id of awaited.keys()) {
    const row = yield* log.reader.message(id)
    if (row === undefined || isFinal(row.status)) awaited.delete(id)
    if (row !== undefined && isFinal(row.status)) ended.push(row)
  }
  yield* output.print(formatRows(ended, output, isJson, false))
  let seq = lastSeq
  while (true) {
    const page = yield* log.reader.messages({ afterSeq: seq, limit: FOLLOW_PAGE })
    yield* output.print(formatRows(page, output, isJson, false))
    seq = page.at(-1)?.seq ?? seq
    awaitEnds(awaited, page)
    if (page.length < FOLLOW_PAGE) return seq
  }
})

const awaitEnds = (awaited: Map<string, MessageRow>, rows: ReadonlyArray<MessageRow>): void => {
  for (const row of rows) if (!isFinal(row.status)) awaited.set(row.id, row)
  for (const id of awaited.keys()) {
    if (awaited.size <= AWAITED_MAX) break
    awaited.delete(id)
  }
}

export const printLog = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { limit, isJson, isFollowing }: LogRequest,
): Effect.fn.Return<void, ReadFailure | TerminalOutputClosed> {
  // Before the first read: a commit between the two is looked at twice rather than not at all.
  let version = log.dataVersion()
  const rows = yield* log.reader.messages({ newest: true, limit })
  yield* output.print(formatRows(rows, output, isJson, true))
  if (!isFollowing) return
  const awaited = new Map<string, MessageRow>()
  awaitEnds(awaited, rows)
  let lastSeq = rows.at(-1)?.seq ?? 0
  while (true) {
    const current = log.dataVersion()
    if (current !== version) lastSeq = yield* printNews(log, output, isJson, awaited, lastSeq)
    version = current
    yield* Effect.sleep(FOLLOW_EVERY_MS)
  }
})
