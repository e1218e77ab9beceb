/** The boundary between the disk and the messages to play: a file of the user's, or the ones that come with the demo. */
import { fileURLToPath } from "node:url"
import { Effect, FileSystem } from "effect"
import { parseMessages, TerminalMessagesInvalid } from "./parseMessages.ts"

/** A messages file is read whole. */
const FILE_BYTES_MAX = 64 * 1024 * 1024

const bundledFolder = fileURLToPath(new URL("../../messages", import.meta.url))

/** What comes with the demo, by desk; `mixed` needs several desks at once. */
export const BUNDLED = ["coffee", "banking", "finance", "other", "mixed"] as const

/** Reads and checks one file. */
export const readMessages = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const refuse = (what: string) => new TerminalMessagesInvalid({ file, line: 0, message: `${file}: ${what}` })
  const stat = yield* fs
    .stat(file)
    .pipe(Effect.mapError((error) => refuse(`cannot be read (${error.reason._tag}); check the path.`)))
  if (stat.type !== "File") return yield* refuse("is not a file; give a file with one message a line.")
  if (Number(stat.size) > FILE_BYTES_MAX) return yield* refuse(`is over ${FILE_BYTES_MAX} bytes; split the file.`)
  const text = yield* fs
    .readFileString(file)
    .pipe(Effect.mapError((error) => refuse(`cannot be read (${error.reason._tag}).`)))
  return yield* parseMessages(file, text)
})

/** The messages that come with the demo, desk after desk. */
export const readBundledMessages = Effect.forEach(BUNDLED, (desk) =>
  readMessages(`${bundledFolder}/${desk}.jsonl`),
).pipe(Effect.map((desks) => desks.flat()))
