/**
 * The boundary between one message and the several desks that it needs: splits a text into parts of which each can be
 * classified and answered alone. Text decides nothing about desks: parts that turn out to belong to the same desk are
 * joined again (`joinByDesk`), so that splitting too eagerly costs a classification and never an answer.
 */

/** Each part costs a classification and perhaps a generation; what is beyond stays in the last part. */
export const PARTS_MAX = 6

/** Words with which a customer turns to something else. */
const TURN =
  "(?:oh and|and also|also|plus|btw|by the way|another thing|one more thing|while you are at it|while ur at it|y también)"
/** Words that open a request or a question. */
const OPENING = String.raw`(?:why|what|whats|what's|when|where|who|which|how|hows|can|could|cld|do|does|did|is|are|was|were|will|would|should|tell|give|please|pls|i need|i want|i would|i'd|id like|my|then)\b`

/**
 * Where a part may end:
 * - after `.`, `!`, `?` or `…` before a space (not after an abbreviation or within a figure: `3.40`, `e.g. that`),
 * - at a line's end, at a semicolon,
 * - at `, and` / `and` / `but` before words that open a request (`latte pls, and why was my card declined`),
 * - before words that turn to something else (`also`, `btw`).
 */
const BORDERS = new RegExp(
  [
    String.raw`(?<=(?<!\b(?:e\.g|i\.e|etc|mr|mrs|ms|dr|no|vs|st))[.!?…])\s`,
    String.raw`\n`,
    String.raw`\s?;\s?`,
    String.raw`,?\s(?=(?:and|but)\s+(?:then\s+)?${OPENING})`,
    String.raw`,?\s(?=${TURN}\b)`,
  ].join("|"),
  "giu",
)

/** The connective with which a part begins says nothing in itself: `and why was` becomes `why was`. */
const LEADING = new RegExp(String.raw`^(?:(?:and|but|${TURN}|y)\b[\s,:]*)+(?=\S)`, "iu")

/** Shorter than that, a part is a greeting, an interjection or a rest: it goes with its neighbour. */
const LETTERS_MIN = 4
const GREETING =
  /^(?:hi|hey|hello|hola|morning|good morning|thx|thanks|thank you|ok|okay|sorry|two things|so)\b[\s\p{P}]*$/iu

const letterCount = (text: string) => text.match(/[\p{L}\p{N}]/gu)?.length ?? 0
const isFiller = (part: string) => letterCount(part) < LETTERS_MIN || GREETING.test(part)

/** Runs of blanks to one, so that no pattern has to look for a run's end at each of its places (that is quadratic). */
const collapseBlanks = (text: string) =>
  text
    .trim()
    .replaceAll(/[^\S\n]+/g, " ")
    .replaceAll(/(?:\n ?)+/g, "\n")

/** Parts in the text's order, at least one, at most `partsMax`; none is empty unless the whole text is. */
export const splitRequests = (text: string, partsMax: number = PARTS_MAX): ReadonlyArray<string> => {
  const parts: Array<string> = []
  // A filler goes before what follows it, and the last one behind what precedes it.
  let held = ""
  for (const raw of collapseBlanks(text).split(BORDERS)) {
    const piece = raw.trim()
    if (piece === "") continue
    const part = held === "" ? piece : `${held} ${piece}`
    if (isFiller(piece)) {
      held = part
    } else {
      held = ""
      parts.push(part)
    }
  }
  if (held !== "") {
    if (parts.length === 0) parts.push(held)
    else parts[parts.length - 1] += ` ${held}`
  }
  if (parts.length > partsMax) parts.push(parts.splice(partsMax - 1).join(" "))
  const bare = parts.map((part) => part.replace(LEADING, ""))
  return bare.length === 0 ? [text.trim()] : bare
}

export interface DeskRequest {
  readonly desk: string
  readonly text: string
}

/**
 * Joins neighbouring parts of one desk, so that `a mocha. large please.` stays one order. Parts of `ignored` (chatter
 * beside a real request) are joined to the request before them, or after them where they come first.
 */
export const joinByDesk = (parts: ReadonlyArray<DeskRequest>, ignored = "other"): ReadonlyArray<DeskRequest> => {
  const joined: Array<DeskRequest> = []
  let opening = ""
  for (const { desk, text } of parts) {
    const last = joined.at(-1)
    if (last !== undefined && (last.desk === desk || desk === ignored)) {
      joined[joined.length - 1] = { desk: last.desk, text: `${last.text} ${text}` }
    } else if (desk === ignored) {
      opening = opening === "" ? text : `${opening} ${text}`
    } else {
      joined.push({ desk, text: opening === "" ? text : `${opening} ${text}` })
      opening = ""
    }
  }
  // Nothing but chatter is a request for the desk that chats.
  return joined.length === 0 && opening !== "" ? [{ desk: ignored, text: opening }] : joined
}
