/**
 * The boundary between a message that waits and an end that is forced on it (cancelled, expired, its actor gone): one that
 * has run before may have left steps behind that must be compensated, and only its handler knows how.
 */
import { Effect } from "effect"
import { isGone } from "../../actor/lifecycle.ts"
import type { LiveMessage, PlannedEnd } from "../LiveMessage.ts"
import type { System } from "../System.ts"
import { mustCompensate, uncompensated } from "./compensate.ts"

/**
 * The end to write now; undefined where the message has to run once more for its compensations, and is prepared to.
 *
 * A message whose actor is gone is not run: it ends, and its end says what is not compensated.
 */
export const endOfRun = Effect.fnUntraced(function* (system: System, message: LiveMessage, end: PlannedEnd) {
  const { attemptsBefore, cell, ending, id } = message
  const rows = yield* Effect.orElseSucceed(system.store.steps(id), () => [])
  const { record, status } = ending ?? end
  if (isGone(cell.lifecycle.state)) {
    const why = `${cell.key} is ${cell.lifecycle.state}`
    return { status, record: uncompensated(record, rows, attemptsBefore, why) } satisfies PlannedEnd
  }
  if (!mustCompensate(rows, attemptsBefore)) return { status, record } satisfies PlannedEnd
  message.ending = { status, record }
  message.phase = "waiting"
  message.dueAtMs = system.now()
  return undefined
})
