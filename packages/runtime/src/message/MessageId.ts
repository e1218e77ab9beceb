/**
 * The boundary to identity: where message ids come from, and how a child's id follows from its parent's.
 *
 * Ids are ULIDs (https://github.com/ulid/spec): 48 bits of time, 80 of randomness, 26 characters that sort by time.
 * Time-ordered because random keys cost an index 40 % of its insert rate from the first row on (see ARCHITECTURE.md).
 */

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
const TIME_LENGTH = 10
const RANDOM_LENGTH = 16

export interface MessageIds {
  /** A new id; ids of one generator ascend strictly, also within one millisecond and when the clock steps back. */
  readonly next: () => string
}

const encodeTime = (timeMs: number): string => {
  let rest = timeMs
  let text = ""
  for (let index = 0; index < TIME_LENGTH; index++) {
    text = ALPHABET[rest % 32]! + text
    rest = Math.floor(rest / 32)
  }
  return text
}

/** The next greater digit string of the same length; `undefined` when every digit is the last one. */
const increment = (digits: Array<number>): boolean => {
  for (let index = digits.length - 1; index >= 0; index--) {
    if (digits[index]! < 31) {
      digits[index]!++
      return true
    }
    digits[index] = 0
  }
  return false
}

/**
 * Makes a generator of ascending ids.
 *
 * @param now milliseconds since the epoch
 * @param random a number in [0, 1)
 */
export const makeMessageIds = (now: () => number, random: () => number): MessageIds => {
  let lastMs = -1
  let timePart = ""
  let digits: Array<number> = []
  /** All of an id but its last digit, which is all that differs from the id before it nearly always. */
  let head = ""
  const startMillisecond = (timeMs: number) => {
    lastMs = timeMs
    timePart = encodeTime(timeMs)
    digits = Array.from({ length: RANDOM_LENGTH }, () => Math.floor(random() * 32))
    head = ""
  }
  const last = RANDOM_LENGTH - 1
  return {
    next: () => {
      const timeMs = now()
      // Within one millisecond, or behind the last id after the clock stepped back, count on from the last id.
      if (timeMs > lastMs) startMillisecond(timeMs)
      else if (digits[last]! < 31) digits[last]!++
      else {
        if (!increment(digits)) startMillisecond(lastMs + 1)
        head = ""
      }
      if (head === "") {
        head = timePart
        for (let index = 0; index < last; index++) head += ALPHABET[digits[index]!]
      }
      return head + ALPHABET[digits[last]!]
    },
  }
}

/**
 * The id of the message that a handler sends at its `ordinal`-th durable act. It is a function of the parent alone, so
 * a handler that runs again after a crash finds the child it already sent in place of sending a second one.
 *
 * @param again how often the child was asked anew because it ended without an answer (cancelled, expired, dead); 0 at first
 */
export const childMessageId = (parentId: string, ordinal: number, again = 0): string =>
  again === 0 ? `${parentId}.${ordinal}` : `${parentId}.${ordinal}~${again}`

/** The number of the act whose message has the id. */
export const childOrdinal = (childId: string): number =>
  Number.parseInt(childId.slice(childId.lastIndexOf(".") + 1), 10)
