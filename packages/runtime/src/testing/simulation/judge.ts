/** The boundary between a simulation and its checkers: what must be true after each death, and what once all is done. */
import {
  checkAccepted,
  checkChunks,
  checkKeys,
  checkOrder,
  checkOutcomes,
  checkReplies,
  checkSteps,
  type LogContents,
  type Violations,
} from "../checkers.ts"
import { checkJournals } from "../checkJournals.ts"
import {
  checkAttempts,
  checkEffects,
  checkFeedback,
  checkHandOns,
  checkHops,
  checkReading,
  checkRunOrder,
  checkRuns,
  checkSends,
  checkTimes,
} from "../checkRuns.ts"
import type { MemoryLog } from "../MemoryLog.ts"
import { ATTEMPTS_MAX, effectsIn, handedOnIn } from "./simulatedActors.ts"
import { KEY_WINDOW_MS } from "./simulatedAddresses.ts"
import type { Witness } from "./Witness.ts"

const contentsOf = (log: MemoryLog): LogContents => ({
  messages: [...log.messages.values()],
  actors: [...log.actors.values()],
  steps: log.steps,
  chunks: new Map([...log.chunks].map(([id, chunks]) => [id, chunks.toSorted((a, b) => a.ordinal - b.ordinal)])),
  attempts: log.attempts,
})

/** A pool's targets run more than one message at a time, and have no state. */
const isSerial = (actorType: string): boolean => actorType !== "model"
const isStateful = (actorType: string): boolean => isSerial(actorType) && actorType !== "talker"

export interface JudgeOptions {
  /** Whether everything must have come to its end. */
  readonly drained: boolean
  /** Whether a process was closed on the way; see `OrderOptions`. */
  readonly closed: boolean
  /** Whether the wall clock was set on the way. */
  readonly stepped: boolean
}

/** Everything that is wrong with the log, or between it and what was seen. */
export const judge = (log: MemoryLog, witness: Witness, { closed, drained, stepped }: JudgeOptions): Violations => {
  const contents = contentsOf(log)
  const order = { closed, unordered: witness.unordered, isSerial }
  return [
    ...witness.violations,
    ...checkOutcomes(contents, drained),
    ...checkKeys(contents, KEY_WINDOW_MS),
    ...checkSteps(contents),
    ...checkChunks(contents),
    ...(stepped ? [] : checkOrder(contents, order)),
    ...checkRunOrder(contents, witness.runs, order),
    ...checkAccepted(contents, witness.accepted),
    ...checkReplies(contents, witness.replies),
    ...checkRuns(contents, witness.runs, { stepped, endedAtMs: witness.endedAtMs }),
    ...checkAttempts(contents, witness.runs, ATTEMPTS_MAX),
    ...checkTimes(contents, { stepped }),
    ...checkFeedback(log.feedback, witness.scored),
    ...checkEffects(contents, isStateful, effectsIn),
    ...checkHandOns(contents, isStateful, handedOnIn),
    ...checkJournals(contents, !stepped),
    ...checkHops(contents, witness.hops),
    ...checkSends(contents, witness.sends),
    ...witness.readings.flatMap(({ chunks, complete, from, messageId }) =>
      messageId === undefined
        ? []
        : checkReading(
            contents,
            messageId,
            chunks.map((chunk) => JSON.stringify(chunk)),
            { from, complete },
          ),
    ),
    ...(drained
      ? [...witness.waiting].map((call) => `the caller of ${call} waits, and nothing is left to be done`)
      : []),
  ]
}
