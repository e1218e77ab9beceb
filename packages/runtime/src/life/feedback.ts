/**
 * Step 6 of a message's life. The boundary between a judgement and the log: a score on a reply, written down for routing
 * to learn from.
 */
import { Effect } from "effect"
import { TerminalInvalidMessage } from "../message/DeliveryFailure.ts"
import type { System } from "./System.ts"

export interface Score {
  /** From -1 (useless) to 1 (just right). */
  readonly score: number
  readonly label?: string
  /** Who judges: a user, a rule, another actor. */
  readonly source: string
}

const refuse = (messageId: string, why: string) =>
  new TerminalInvalidMessage({
    actor: "",
    task: "",
    message: `The feedback on message ${messageId} is not valid: ${why}`,
  })

export const feedback = Effect.fnUntraced(function* (system: System, messageId: string, score: Score) {
  if (!(score.score >= -1 && score.score <= 1)) {
    return yield* refuse(messageId, `score must lie between -1 and 1, and is ${score.score}.`)
  }
  const row = yield* system.store.message(messageId)
  if (row === undefined) return yield* refuse(messageId, "there is no such message in the log.")
  yield* system.store.commit([
    {
      _tag: "PutFeedback",
      messageId,
      score: score.score,
      label: score.label ?? null,
      source: score.source,
      atMs: system.now(),
    },
  ])
})
