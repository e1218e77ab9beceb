/** `pontoon actors`, `mailbox`, `dead`, `routes` and `stats`: one table each. */
import {
  type ActorRow,
  type AttemptRow,
  formatAddress,
  type LatencyRow,
  type MailboxRow,
  type MessageRow,
  type ReadFailure,
  type RouteRow,
} from "@pontoon/runtime"
import { Effect } from "effect"
import type { UpkeepRow } from "../care/upkeep.ts"
import { type Column, formatTable } from "./formatTable.ts"
import { formatDuration, formatFailure, formatSpan, formatTime, oneLine, preview } from "./formatText.ts"
import type { InspectedLog, StatusCount } from "./InspectedLog.ts"
import type { Output, TerminalOutputClosed } from "./Output.ts"
import { printDeadLetter } from "./printDeadLetter.ts"
import { statusStyle } from "./printMessages.ts"
import type { TerminalNothingToTrace } from "./readTrace.ts"

type Printed = Effect.fn.Return<void, ReadFailure | TerminalOutputClosed>

export interface ListRequest {
  readonly limit: number
  readonly isJson: boolean
}

const PREVIEW_LENGTH_MAX = 120

const addressOf = ({ actorType, actorId }: { readonly actorType: string; readonly actorId: string }): string =>
  formatAddress({ type: actorType, id: actorId })

const printRows = <Row>(
  output: Output,
  isJson: boolean,
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
): Effect.Effect<void, TerminalOutputClosed> =>
  output.print(isJson ? rows.map((row) => JSON.stringify(row)) : formatTable(columns, rows, output))

const actorColumns: ReadonlyArray<Column<ActorRow>> = [
  { title: "ACTOR", text: ({ address }) => formatAddress(address) },
  {
    title: "LIFECYCLE",
    text: ({ lifecycle }) => lifecycle,
    style: ({ lifecycle }) => (lifecycle === "ready" ? "green" : lifecycle === "failed" ? "red" : "yellow"),
  },
  { title: "VERSION", text: ({ version }) => `${version}`, isNumber: true },
  { title: "RESTARTS", text: ({ restarts }) => `${restarts}`, isNumber: true },
  { title: "UPDATED", text: ({ updatedAtMs }) => formatTime(updatedAtMs) },
  { title: "STATE", text: ({ state }) => preview(state, PREVIEW_LENGTH_MAX) },
]

export const printActors = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { limit, isJson }: ListRequest,
): Printed {
  yield* printRows(output, isJson, actorColumns, yield* log.reader.actors(limit))
})

const mailboxColumns = (nowMs: number): ReadonlyArray<Column<MailboxRow>> => [
  { title: "ACTOR", text: addressOf },
  { title: "PENDING", text: ({ pending }) => `${pending}`, isNumber: true },
  { title: "RUNNING", text: ({ running }) => `${running}`, isNumber: true },
  { title: "OLDEST", text: ({ oldestAtMs }) => formatTime(oldestAtMs) },
  { title: "AGE", text: ({ oldestAtMs }) => formatDuration(Math.max(0, nowMs - oldestAtMs)), isNumber: true },
]

export const printMailboxes = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { limit, isJson }: ListRequest,
): Printed {
  const nowMs = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
  yield* printRows(output, isJson, mailboxColumns(nowMs), yield* log.reader.mailbox(limit))
})

interface DeadLetter extends MessageRow {
  /** Every failed attempt, oldest first. */
  readonly attempts: ReadonlyArray<AttemptRow>
}

const deadColumns: ReadonlyArray<Column<DeadLetter>> = [
  { title: "SEQ", text: ({ seq }) => `${seq}`, isNumber: true },
  { title: "DIED", text: ({ finishedAtMs }) => formatTime(finishedAtMs) },
  { title: "ID", text: ({ id }) => id },
  { title: "ACTOR", text: addressOf },
  { title: "TASK", text: ({ task }) => task },
  { title: "TRIES", text: ({ attempt }) => `${attempt}`, isNumber: true },
  { title: "FAILED ON", text: ({ attempts }) => attempts.map(addressOf).join(", ") },
  { title: "WHY", text: ({ error }) => formatFailure(error) },
]

/** The newest dead letters; with `isWhy` the life of each, one after the other. */
export const printDeadLetters = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { limit, isJson, isWhy }: ListRequest & { readonly isWhy: boolean },
): Effect.fn.Return<void, ReadFailure | TerminalOutputClosed | TerminalNothingToTrace> {
  const rows = yield* log.reader.messages({ status: "dead", newest: true, limit })
  if (isWhy) {
    for (const { id } of rows) yield* printDeadLetter(log, output, id, isJson)
    return
  }
  const letters = yield* Effect.forEach(rows, (row) =>
    Effect.map(log.reader.attempts(row.id), (attempts): DeadLetter => ({ ...row, attempts })),
  )
  yield* printRows(output, isJson, deadColumns, letters)
})

const routeColumns: ReadonlyArray<Column<RouteRow>> = [
  { title: "SEQ", text: ({ seq }) => `${seq}`, isNumber: true },
  { title: "AT", text: ({ atMs }) => formatTime(atMs) },
  { title: "MESSAGE", text: ({ messageId }) => messageId },
  { title: "TRY", text: ({ attempt }) => `${attempt}`, isNumber: true },
  { title: "POOL", text: ({ pool }) => pool },
  { title: "CHOSEN", text: ({ chosen }) => chosen },
  { title: "REASON", text: ({ reason }) => oneLine(reason) },
]

export const printRoutes = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { limit, isJson }: ListRequest,
  filter: { readonly messageId?: string; readonly pool?: string },
): Printed {
  yield* printRows(output, isJson, routeColumns, yield* log.reader.routes(filter, limit))
})

const countColumns: ReadonlyArray<Column<StatusCount>> = [
  { title: "STATUS", text: ({ status }) => status, style: ({ status }) => statusStyle(status) },
  { title: "MESSAGES", text: ({ count }) => `${count}`, isNumber: true },
]

const latencyColumns: ReadonlyArray<Column<LatencyRow>> = [
  { title: "ACTOR TYPE", text: ({ actorType }) => actorType },
  { title: "TASK", text: ({ task }) => task },
  { title: "ANSWERED", text: ({ count }) => `${count}`, isNumber: true },
  { title: "P50", text: ({ p50Ms }) => formatSpan(0, p50Ms), isNumber: true },
  { title: "P95", text: ({ p95Ms }) => formatSpan(0, p95Ms), isNumber: true },
  { title: "P99", text: ({ p99Ms }) => formatSpan(0, p99Ms), isNumber: true },
]

const upkeepColumns: ReadonlyArray<Column<UpkeepRow>> = [
  { title: "FILE", text: ({ name }) => name },
  { title: "IS", text: ({ value }) => value, style: ({ value }) => (value === "corrupt" ? "red" : undefined) },
  { title: "SINCE", text: ({ atMs }) => formatTime(atMs) },
  { title: "DETAIL", text: ({ detail }) => preview(detail, PREVIEW_LENGTH_MAX) },
]

/** Three tables; as JSON one object per status, per actor type and task, and per thing known of the file. */
export const printStats = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { isJson }: Pick<ListRequest, "isJson">,
): Printed {
  yield* printRows(output, isJson, countColumns, yield* log.statusCounts)
  const latency = yield* log.reader.latency
  if (!isJson && latency.length > 0) yield* output.print([""])
  if (latency.length > 0) yield* printRows(output, isJson, latencyColumns, latency)
  const upkeep = yield* log.upkeep
  if (!isJson && upkeep.length > 0) yield* output.print([""])
  if (upkeep.length > 0) yield* printRows(output, isJson, upkeepColumns, upkeep)
})
