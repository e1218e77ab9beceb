/** The boundary to what a customer writes: one message, and the conversation that it belongs to. */
import { Schema } from "effect"

/** As long as an actor's id may be. */
const CONVERSATION_LENGTH_MAX = 256

/** One line of a messages file. */
export const CustomerMessage = Schema.Struct({
  /** Names the conversation; messages of one conversation are sent in the file's order, each after the last's answer. */
  conversation: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(CONVERSATION_LENGTH_MAX)),
  text: Schema.String.check(Schema.isMinLength(1)),
  /** Counts from 1 within the conversation; may be left out, for readers only, but must be right where it is given. */
  turn: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
})
export type CustomerMessage = typeof CustomerMessage.Type
