/** The boundary between the front desk and the desks behind it: what every desk is asked, and what it says. */
import { Schema } from "effect"
import { Rpc } from "effect/rpc"

export const DESKS = ["coffee", "banking", "finance", "other"] as const
export const DeskName = Schema.Literals(DESKS)
export type DeskName = typeof DeskName.Type

export const isDesk = (label: string): label is DeskName => DESKS.some((desk) => desk === label)

/** What a desk makes of a message. */
export const DeskAnswer = Schema.Struct({
  text: Schema.String,
  /** What the desk's model found, for the log. */
  found: Schema.optionalKey(Schema.String),
  /** The model's probability of `found`, 0 to 1. */
  confidence: Schema.optionalKey(Schema.Number),
})
export type DeskAnswer = typeof DeskAnswer.Type

/** The task of a desk that answers in one piece. */
export const Serve = Rpc.make("Serve", { payload: { text: Schema.NonEmptyString }, success: DeskAnswer })
