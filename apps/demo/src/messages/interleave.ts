/** The boundary between conversations and the order of play: as if all customers were at the counter at once. */
import type { CustomerMessage } from "./CustomerMessage.ts"

/**
 * Mixes conversations while each keeps its own order: draws the next message from a conversation with a chance in
 * proportion to what it still has to say.
 *
 * @param random a number in [0, 1); the same numbers give the same order
 */
export const interleave = (
  messages: ReadonlyArray<CustomerMessage>,
  random: () => number,
): ReadonlyArray<CustomerMessage> => {
  const queues = new Map<string, Array<CustomerMessage>>()
  for (const message of messages) {
    const queue = queues.get(message.conversation)
    if (queue) queue.push(message)
    else queues.set(message.conversation, [message])
  }
  // Shuffle whose turn it is (Fisher-Yates), then let each name stand for its conversation's next message.
  const names = messages.map((message) => message.conversation)
  for (let index = names.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1))
    const name = names[index]!
    names[index] = names[other]!
    names[other] = name
  }
  return names.map((name) => queues.get(name)!.shift()!)
}
