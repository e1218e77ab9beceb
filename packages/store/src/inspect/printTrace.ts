/** `pontoon trace`: a conversation as the tree of what caused what. */
import { type AttemptRow, formatAddress, type ReadFailure } from "@pontoon/runtime"
import { Effect } from "effect"
import { paint, type Style } from "./formatTable.ts"
import { formatDuration, formatFailure, formatTime, oneLine, preview } from "./formatText.ts"
import type { InspectedLog } from "./InspectedLog.ts"
import type { Output, TerminalOutputClosed } from "./Output.ts"
import { statusStyle } from "./printMessages.ts"
import { readTrace, type TerminalNothingToTrace, type TracedConversation, type TracedMessage } from "./readTrace.ts"

/** `+59 m 59 s` and a gap. */
const OFFSET_WIDTH = 12

/** A body or reply where lines may be of any length. */
const PREVIEW_LENGTH_MAX = 160

/** Below it a preview says nothing, however narrow the terminal. */
const PREVIEW_LENGTH_MIN = 24

export interface TraceRequest {
  readonly limit: number
  readonly isJson: boolean
}

const timesOf = (count: number): string => (count === 1 ? "1 try" : `${count} tries`)

/** Who, what, how it ended, how often it was tried, how long it took, and by which route. */
const headline = ({ message, routes }: TracedMessage, output: Output): string => {
  const { actorType, actorId, task, status, attempt, createdAtMs, finishedAtMs } = message
  const parts = [
    `${paint(output, "bold", formatAddress({ type: actorType, id: actorId }))} ${task}`,
    paint(output, statusStyle(status), status),
    timesOf(attempt),
  ]
  if (finishedAtMs !== null) parts.push(formatDuration(finishedAtMs - createdAtMs))
  const route = routes.at(-1)
  if (route !== undefined) parts.push(`${route.pool} → ${route.chosen} (${oneLine(route.reason)})`)
  return parts.join(", ")
}

const describeAttempt = (attempt: AttemptRow): string => {
  const actor = formatAddress({ type: attempt.actorType, id: attempt.actorId })
  const { startedAtMs, finishedAtMs } = attempt
  const took = startedAtMs === null ? "" : ` after ${formatDuration(finishedAtMs - startedAtMs)}`
  return `try ${attempt.attempt} failed on ${actor}${took}: ${formatFailure(attempt.error)}`
}

const detailLines = (traced: TracedMessage, output: Output, indent: number): ReadonlyArray<string> => {
  const { message, attempts, routes } = traced
  const room = output.isTerminal
    ? Math.max(PREVIEW_LENGTH_MIN, Math.min(PREVIEW_LENGTH_MAX, output.width - OFFSET_WIDTH - indent - "reply ".length))
    : PREVIEW_LENGTH_MAX
  const details: Array<readonly [Style | undefined, string]> = []
  for (const route of routes.slice(0, -1)) {
    details.push(["gray", `routed ${route.pool} → ${route.chosen} (${oneLine(route.reason)})`])
  }
  for (const attempt of attempts) details.push(["red", describeAttempt(attempt)])
  details.push(["gray", `body  ${preview(message.body, room)}`])
  if (message.reply !== null) details.push([undefined, `reply ${preview(message.reply, room)}`])
  // The last failed attempt has said it already.
  const isSaid = attempts.some(({ error }) => error === message.error)
  if (message.error !== null && !isSaid) details.push(["red", `error ${formatFailure(message.error)}`])
  return details.map(([style, text]) => " ".repeat(OFFSET_WIDTH + indent) + paint(output, style, text))
}

const formatConversation = (
  { correlationId, messages, isCut }: TracedConversation,
  output: Output,
): ReadonlyArray<string> => {
  const startMs = Math.min(...messages.map(({ message }) => message.createdAtMs))
  const count = messages.length === 1 ? "1 message" : `${messages.length} messages`
  const lines = [`${paint(output, "bold", `conversation ${correlationId}`)}, ${formatTime(startMs)}, ${count}`]
  for (const traced of messages) {
    const indent = traced.depth * 2
    const offset = `+${formatDuration(traced.message.createdAtMs - startMs)}`.padEnd(OFFSET_WIDTH)
    lines.push(offset + " ".repeat(indent) + headline(traced, output))
    lines.push(...detailLines(traced, output, indent + 2))
  }
  if (isCut) lines.push("There is more; raise --limit to see it.")
  return lines
}

const formatJson = ({ messages }: TracedConversation): ReadonlyArray<string> => {
  const startMs = Math.min(...messages.map(({ message }) => message.createdAtMs))
  return messages.map(({ message, depth, routes, attempts }) =>
    JSON.stringify({ depth, offsetMs: message.createdAtMs - startMs, ...message, routes, attempts }),
  )
}

export const printTrace = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  name: string,
  { limit, isJson }: TraceRequest,
): Effect.fn.Return<void, ReadFailure | TerminalNothingToTrace | TerminalOutputClosed> {
  const conversations = yield* readTrace(log, name, limit)
  for (const [index, conversation] of conversations.entries()) {
    if (index > 0 && !isJson) yield* output.print([""])
    yield* output.print(isJson ? formatJson(conversation) : formatConversation(conversation, output))
  }
})
