/** The play itself: customers speak, several conversations at once, each waiting for its answer before it goes on. */
import { Effect } from "effect"
import type { CustomerMessage } from "../messages/CustomerMessage.ts"
import { enter, type Stage, speak } from "./Stage.ts"

/** Conversations at the counter at once: enough to keep every replica busy on two cores, few enough to be read. */
const CONVERSATIONS_AT_ONCE = 6

const byConversation = (messages: ReadonlyArray<CustomerMessage>) => {
  const conversations = new Map<string, Array<CustomerMessage>>()
  for (const message of messages) {
    const turns = conversations.get(message.conversation) ?? []
    conversations.set(message.conversation, turns)
    turns.push(message)
  }
  return [...conversations.values()]
}

export const playMessages = (stage: Stage, messages: ReadonlyArray<CustomerMessage>) =>
  Effect.forEach(
    byConversation(messages),
    (turns) => Effect.forEach(turns, (message) => speak(stage, enter(stage, message)), { discard: true }),
    { concurrency: CONVERSATIONS_AT_ONCE, discard: true },
  )
