/** `pontoon dead ID`: the life of one message, what its actor was at each attempt, and what it comes to. */
import {
  diagnose,
  formatAddress,
  type HistoryAttempt,
  handedOnFrom,
  type MessageHistory,
  type ReadFailure,
  type RecordedError,
  readHistory,
} from "@pontoon/runtime"
import { Effect } from "effect"
import { paint, type Style } from "./formatTable.ts"
import { formatDuration, formatTime, oneLine, preview } from "./formatText.ts"
import type { InspectedLog } from "./InspectedLog.ts"
import type { Output, TerminalOutputClosed } from "./Output.ts"
import { TerminalNothingToTrace } from "./readTrace.ts"

/** `+59 m 59 s` and a gap. */
const OFFSET_WIDTH = 12

/** A body where lines may be of any length. */
const BODY_LENGTH_MAX = 160

/** Lines of a cause: the top of a stack says where; --json has all of it. */
const CAUSE_LINES_MAX = 6

interface Moment {
  readonly atMs: number
  /** Among those of one time, by the attempt they belong to. */
  readonly order: number
  readonly style: Style | undefined
  readonly text: string
  /** Below it. */
  readonly details: ReadonlyArray<string>
}

const said = ({ message, tag }: RecordedError): string => oneLine(`${tag}: ${message}`)

/** The stack, where it is not the one of the attempt before. */
const causeLines = (cause: string | undefined, earlier: HistoryAttempt | undefined): ReadonlyArray<string> => {
  if (cause === undefined) return []
  if (cause === earlier?.error.cause) return [`cause: that of try ${earlier.attempt}`]
  const lines = cause.split("\n").map(oneLine)
  const cut = lines.length > CAUSE_LINES_MAX ? ["… (--json has all of it)"] : []
  return [...lines.slice(0, CAUSE_LINES_MAX), ...cut]
}

const attemptMoments = ({ attempts }: MessageHistory): ReadonlyArray<Moment> =>
  attempts.map((each, index) => {
    const { attempt, error, finishedAtMs, lifecycle, startedAtMs, target } = each
    const took = startedAtMs === null ? "" : ` after ${formatDuration(finishedAtMs - startedAtMs)}`
    const why = lifecycle?.reason == null ? "" : `: ${oneLine(lifecycle.reason)}`
    const was =
      lifecycle === undefined
        ? "ready, without a change before"
        : `${lifecycle.state} since ${formatTime(lifecycle.atMs)}${why}`
    return {
      atMs: finishedAtMs,
      order: attempt,
      style: "red",
      text: `try ${attempt} failed on ${target}${took}: ${said(error)}`,
      details: [`${target} was ${was}`, ...causeLines(error.cause, attempts[index - 1])],
    }
  })

const routeMoments = ({ routes }: MessageHistory): ReadonlyArray<Moment> =>
  routes.map(({ atMs, attempt, chosen, pool, reason }) => ({
    atMs,
    // Before its attempt, and after the failure of the one before.
    order: attempt - 0.4,
    style: "gray",
    text: `routed ${pool} → ${chosen} for try ${attempt} (${oneLine(reason)})`,
    details: [],
  }))

const redriveMoments = ({ redrives }: MessageHistory): ReadonlyArray<Moment> =>
  redrives.map(({ atMs, attempt, diedOf, replacedBody, target }) => ({
    atMs,
    order: attempt - 0.5,
    style: "yellow",
    text: `redriven to ${target}${replacedBody === undefined ? "" : " with another body"}`,
    details: [
      ...(diedOf === undefined ? [] : [`it had died of ${said(diedOf)}`]),
      ...(replacedBody === undefined ? [] : [`its body was ${preview(replacedBody, BODY_LENGTH_MAX)}`]),
    ],
  }))

/** The end; its error only where the last attempt has not said it. */
const endMoments = ({ attempts, error, message }: MessageHistory): ReadonlyArray<Moment> => {
  const last = attempts.at(-1)
  const isSaid = last !== undefined && error !== undefined && said(last.error) === said(error)
  return message.finishedAtMs === null
    ? []
    : [
        {
          atMs: message.finishedAtMs,
          order: Number.POSITIVE_INFINITY,
          style: message.status === "done" ? "green" : "red",
          text: error === undefined || isSaid ? message.status : `${message.status}: ${said(error)}`,
          details: [],
        },
      ]
}

const momentsOf = (history: MessageHistory): ReadonlyArray<Moment> =>
  [...redriveMoments(history), ...routeMoments(history), ...attemptMoments(history), ...endMoments(history)].toSorted(
    (a, b) => a.atMs - b.atMs || a.order - b.order,
  )

/** The life of a message as lines. */
const formatDeadLetter = (history: MessageHistory, output: Output): ReadonlyArray<string> => {
  const { message } = history
  const { actorId, actorType, attempt, body, createdAtMs, id, sender, status, task } = message
  const tries = attempt === 1 ? "1 try" : `${attempt} tries`
  const to = formatAddress({ type: actorType, id: actorId })
  const handedOn = handedOnFrom(message)
  const indent = " ".repeat(OFFSET_WIDTH)
  const lines = [
    `${paint(output, "bold", `message ${id}`)}, ${to} ${task}, ${status} after ${tries}`,
    `${"+0 ms".padEnd(OFFSET_WIDTH)}accepted ${formatTime(createdAtMs)} from ${sender ?? "outside"}`,
    `${indent}  body ${preview(body, BODY_LENGTH_MAX)}`,
    ...(handedOn.length === 0 ? [] : [`${indent}  handed on by ${handedOn.map(oneLine).join(", then ")}`]),
  ]
  for (const { atMs, details, style, text } of momentsOf(history)) {
    lines.push(`+${formatDuration(atMs - createdAtMs)}`.padEnd(OFFSET_WIDTH) + paint(output, style, text))
    for (const detail of details) lines.push(`${indent}  ${paint(output, "gray", detail)}`)
  }
  lines.push(paint(output, "bold", "diagnosis"))
  for (const { sentence } of diagnose(history)) lines.push(`  ${oneLine(sentence)}`)
  return lines
}

/** Prints the life of a message, however it ended; as JSON one object. */
export const printDeadLetter = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  messageId: string,
  isJson: boolean,
): Effect.fn.Return<void, ReadFailure | TerminalNothingToTrace | TerminalOutputClosed> {
  const history = yield* readHistory(log.reader, messageId)
  if (history === undefined) {
    return yield* new TerminalNothingToTrace({
      message: `${log.file} has no message ${messageId}; pontoon dead lists its dead letters.`,
    })
  }
  yield* output.print(
    isJson ? [JSON.stringify({ ...history, diagnosis: diagnose(history) })] : formatDeadLetter(history, output),
  )
})
