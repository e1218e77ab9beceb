/**
 * `pontoon routes --why` and `--replay`: why a message went where it went, as sentences, with what became of it; and what
 * another policy would have made of the same evidence.
 */
import {
  type AttemptRow,
  formatAddress,
  isPolicy,
  type MessageRow,
  POLICY_NAMES,
  type ReadFailure,
  type RouteRow,
  readEvidence,
  replay,
} from "@pontoon/runtime"
import { Effect } from "effect"
import { formatDuration, formatFailure, formatTime } from "./formatText.ts"
import type { InspectedLog } from "./InspectedLog.ts"
import type { Output, TerminalOutputClosed } from "./Output.ts"
import type { ListRequest } from "./printLists.ts"
import { TerminalNothingToTrace } from "./readTrace.ts"

type Printed = Effect.fn.Return<void, ReadFailure | TerminalOutputClosed | TerminalNothingToTrace>

/** Decisions of one message that are told; one that went round for longer says nothing new. */
const ROUTES_MAX = 1_000

const known = (evidenceText: string): ReadonlyArray<string> =>
  readEvidence(evidenceText)?.candidates.map(
    ({ health, lifecycle, outstanding, serviceMs, slots, success, target }) =>
      `    ${target}: ${lifecycle}, ${health}; ${formatDuration(serviceMs)} a message, ${Math.round(success * 100)} % succeed, ${outstanding} outstanding on ${slots} slots`,
  ) ?? []

/** What became of the attempt that a decision was for. */
const outcomeOf = ({ attempt, chosen }: RouteRow, message: MessageRow, attempts: ReadonlyArray<AttemptRow>): string => {
  const failed = attempts.find((each) => each.attempt === attempt)
  if (failed !== undefined) {
    const took = failed.startedAtMs === null ? "" : ` after ${formatDuration(failed.finishedAtMs - failed.startedAtMs)}`
    return `it failed there${took}: ${formatFailure(failed.error)}`
  }
  const { actorId, actorType, finishedAtMs, startedAtMs, status } = message
  const isHere = formatAddress({ type: actorType, id: actorId }) === chosen
  if (message.attempt > attempt || !isHere) return "it was moved before it ran there"
  if (finishedAtMs === null) return `it is ${status}`
  const took = startedAtMs === null ? "" : `, ${formatDuration(finishedAtMs - startedAtMs)} after its claim`
  return `it ended ${status}${took}`
}

export const printWhy = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { isJson }: ListRequest,
  messageId: string,
): Printed {
  const message = yield* log.reader.message(messageId)
  const rows = yield* log.reader.routes({ messageId }, ROUTES_MAX)
  if (message === undefined || rows.length === 0) {
    const what =
      message === undefined ? `There is no message ${messageId}` : `No pool has decided on message ${messageId}`
    return yield* new TerminalNothingToTrace({ message: `${what} in this log.` })
  }
  const attempts = yield* log.reader.attempts(messageId)
  for (const row of [...rows].sort((a, b) => a.seq - b.seq)) {
    const outcome = outcomeOf(row, message, attempts)
    const sentence = `${formatTime(row.atMs)} attempt ${row.attempt} went to ${row.chosen} of ${row.pool}, because: ${row.reason}; ${outcome}.`
    yield* output.print(isJson ? [JSON.stringify({ ...row, outcome })] : [sentence, ...known(row.evidence)])
  }
})

export const printReplay = Effect.fnUntraced(function* (
  log: InspectedLog,
  output: Output,
  { isJson, limit }: ListRequest,
  policy: string,
  pool: string | undefined,
): Printed {
  if (!isPolicy(policy)) {
    const message = `There is no policy ${policy}; there are: ${POLICY_NAMES.join(", ")}.`
    return yield* new TerminalNothingToTrace({ message })
  }
  const rows = yield* log.reader.routes(pool === undefined ? {} : { pool }, limit)
  const changes = new Map<string, { from: string; to: string; count: number; savedMs: number }>()
  let read = 0
  let changed = 0
  for (const row of rows) {
    const evidence = readEvidence(row.evidence)
    if (evidence === undefined) continue
    read++
    const was = replay(
      { ...evidence, candidates: evidence.candidates.filter((each) => each.target === row.chosen) },
      policy,
    )
    const now = replay(evidence, policy)
    const to = now === undefined ? "nobody" : "chosen" in now ? now.chosen : "a refusal"
    if (to === row.chosen) continue
    changed++
    const key = `${row.chosen} ${to}`
    const before = changes.get(key) ?? { from: row.chosen, to, count: 0, savedMs: 0 }
    const saved =
      was !== undefined && now !== undefined && "predicted" in was && "predicted" in now
        ? was.predicted.totalMs - now.predicted.totalMs
        : 0
    changes.set(key, { ...before, count: before.count + 1, savedMs: before.savedMs + saved })
  }
  const sorted = [...changes.values()].sort((a, b) => b.count - a.count)
  if (isJson) return yield* output.print(sorted.map((each) => JSON.stringify({ policy, ...each })))
  const lines = sorted.map(({ count, from, savedMs, to }) => {
    const mean = Math.round(savedMs / count)
    const expected = mean === 0 ? "as soon" : mean > 0 ? `${mean} ms sooner` : `${-mean} ms later`
    return `  ${count} from ${from} to ${to}, expected ${expected} on average`
  })
  yield* output.print([
    `${policy} would have sent ${changed} of ${read} messages elsewhere, by what was known then${changed === 0 ? "." : ":"}`,
    ...lines,
  ])
})
