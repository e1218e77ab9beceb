/**
 * The boundary between an end that is forced on a message (cancelled, expired, its actor gone) and what its earlier attempts
 * did: only its handler knows how that is compensated, and it is not running, or has not yet said so again.
 */
import { Effect } from "effect"
import { isGone } from "../../actor/lifecycle.ts"
import type { RecordStep } from "../../ports/Write.ts"
import type { LiveMessage, PlannedEnd } from "../LiveMessage.ts"
import { readPatiently } from "../readPatiently.ts"
import type { System } from "../System.ts"
import { mustCompensate, recordedEnd, uncompensated } from "./compensate.ts"
import { currentJournal } from "./Journal.ts"
import { endOrdinal } from "./Space.ts"

export type EndOfRun =
  /** To be written as it is. */
  | { readonly _tag: "End"; readonly end: PlannedEnd }
  /**
   * The message runs once more, for its compensations, and then ends so; `record` makes that durable, while it runs, and is
   * undefined where it is on disk already.
   */
  | { readonly _tag: "Recall"; readonly end: PlannedEnd; readonly record: RecordStep | undefined }

/**
 * What an end comes to. A message whose actor is gone, or that was recalled already and could not be run, ends without its
 * compensations, and its end says so.
 */
export const endOfRun = Effect.fnUntraced(function* (system: System, message: LiveMessage, given: PlannedEnd) {
  const { attempt, attemptsBefore, cell, id } = message
  // What cannot be read now may have to be compensated.
  const rows = (yield* readPatiently(system, system.store.steps(id))) ?? []
  const known = recordedEnd(rows, attemptsBefore)
  const end = known ?? message.ending ?? given
  if (!mustCompensate(rows, attemptsBefore)) return { _tag: "End", end } satisfies EndOfRun
  const gone = isGone(cell.lifecycle.state)
  if (gone || (message.ending !== undefined && message.phase === "running")) {
    const why = gone ? `${cell.key} is ${cell.lifecycle.state}` : "its handler cannot be run"
    const record = uncompensated(end.record, rows, attemptsBefore, why)
    return { _tag: "End", end: { status: end.status, record } } satisfies EndOfRun
  }
  message.ending = end
  if (known !== undefined) return { _tag: "Recall", end, record: undefined } satisfies EndOfRun
  const { index } = currentJournal(rows, attemptsBefore)
  const record: RecordStep = {
    _tag: "RecordStep",
    messageId: id,
    attempt,
    ordinal: endOrdinal(index),
    kind: "end",
    name: end.status,
    // The attempt that is to come: the one that is put back counts as past.
    result: JSON.stringify({ attempt: attempt + 1, ...end }),
    atMs: system.now(),
  }
  return { _tag: "Recall", end, record } satisfies EndOfRun
})
