/**
 * The boundary between a file of messages and the demo: JSON lines `{conversation, text, turn?}`, or plain text, one
 * message a line, or both mixed; a line that begins with `{` is JSON. Blank lines are passed over.
 */
import { Effect, Schema } from "effect"
import { CustomerMessage } from "./CustomerMessage.ts"

/** The log takes messages up to 1 MiB; said here, where the line is known, rather than when it is sent. */
export const MESSAGE_BYTES_MAX = 1024 * 1024
/** The demo keeps the file's messages in memory; a hundred thousand of them take some 50 MB. */
export const MESSAGES_MAX = 100_000

/** A file of messages that cannot be played; the sentence names file and line, and says what to do. */
export class TerminalMessagesInvalid extends Schema.TaggedError<TerminalMessagesInvalid>()("TerminalMessagesInvalid", {
  file: Schema.String,
  /** 1 for the first line; 0 where it is the file as a whole. */
  line: Schema.Int,
  message: Schema.String,
}) {}

const decodeLine = Schema.decodeUnknownEffect(CustomerMessage)

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // an object cannot parse to it
  }
}

const oneLine = (text: string) => text.replaceAll(/\s*\n\s*/g, " ")

/**
 * Reads the text of a messages file.
 *
 * A plain line is a conversation of its own, called `line-N`. Fails on the first line that is broken: half a file played
 * would look like messages lost.
 *
 * @param file its name, for what errors say
 */
export const parseMessages = Effect.fnUntraced(function* (file: string, text: string) {
  const refuse = (line: number, what: string) =>
    new TerminalMessagesInvalid({
      file,
      line,
      message: line === 0 ? `${file}: ${what}` : `${file}, line ${line}: ${what}`,
    })
  const messages: Array<CustomerMessage> = []
  const turns = new Map<string, number>()
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/)
  for (const [index, raw] of lines.entries()) {
    const line = raw.trim()
    if (line === "") continue
    const number = index + 1
    if (messages.length === MESSAGES_MAX) {
      return yield* refuse(number, `more than ${MESSAGES_MAX} messages; split the file.`)
    }
    if (Buffer.byteLength(line) > MESSAGE_BYTES_MAX) {
      return yield* refuse(number, `the message is over the limit of ${MESSAGE_BYTES_MAX} bytes; shorten it.`)
    }
    if (!line.startsWith("{")) {
      messages.push({ conversation: `line-${number}`, text: line })
      continue
    }
    const json = parseJson(line)
    if (json === undefined) {
      return yield* refuse(
        number,
        'begins with "{" but is not JSON; mend it, or begin a plain message with another character.',
      )
    }
    const message = yield* decodeLine(json).pipe(
      Effect.mapError((error) =>
        refuse(number, `${oneLine(error.message)}; a line is {"conversation", "text", "turn"?}.`),
      ),
    )
    const turn = (turns.get(message.conversation) ?? 0) + 1
    if (message.turn !== undefined && message.turn !== turn) {
      return yield* refuse(
        number,
        `turn is ${message.turn}, but it is turn ${turn} of conversation "${message.conversation}"; number turns from 1 in their order, or leave them out.`,
      )
    }
    turns.set(message.conversation, turn)
    messages.push(message)
  }
  if (messages.length === 0) return yield* refuse(0, "holds no message; write one a line.")
  return messages
})
