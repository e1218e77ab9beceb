/**
 * The boundary between an operator's command and the process that owns a log: what is asked, what is answered, and where
 * the two meet. One JSON object a line, an answer for each request, in order.
 */
import { createHash } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Address } from "@pontoon/runtime"
import { Schema } from "effect"

/** What is done to an actor. */
export const ActorCommand = Schema.Literals(["stop", "suspend", "resume", "restart"])
export type ActorCommand = typeof ActorCommand.Type

export const OperatorRequest = Schema.Union([
  Schema.Struct({
    command: Schema.Literal("redrive"),
    messageId: Schema.String,
    /** In place of the message's own body. */
    body: Schema.optionalKey(Schema.String),
  }),
  Schema.Struct({ command: Schema.Literal("cancel"), messageId: Schema.String }),
  Schema.Struct({ command: ActorCommand, address: Address, reason: Schema.String }),
])
export type OperatorRequest = typeof OperatorRequest.Type
export type ActorRequest = Extract<OperatorRequest, { readonly command: ActorCommand }>

export const OperatorAnswer = Schema.Struct({
  ok: Schema.Boolean,
  /** One sentence: what was done, or why it was not. */
  message: Schema.String,
  /** Where it was not done because a mailbox is full: worth another try after so long. */
  retryAfterMs: Schema.optionalKey(Schema.Number),
})
export type OperatorAnswer = typeof OperatorAnswer.Type

/** Bytes of one request: a message of 1 MiB, the default limit of a system, as JSON in JSON, with room for a raised one. */
export const REQUEST_BYTES_MAX = 16 * 1024 * 1024

/** Bytes of a socket's path: the kernel takes 107 on Linux and 103 on macOS, and cuts or refuses what is longer. */
const PATH_BYTES_MAX = 100

/**
 * Where the owner of `file` (its real, absolute path) listens: `FILE.sock`, or where that is too long for a socket, a
 * name made from it in the folder for temporary files, which both sides then have to share.
 */
export const operatorSocket = (file: string): string => {
  const beside = `${file}.sock`
  if (Buffer.byteLength(beside) <= PATH_BYTES_MAX) return beside
  const name = createHash("sha256").update(file).digest("hex").slice(0, 24)
  return join(tmpdir(), `pontoon-${name}.sock`)
}
