/**
 * The boundary between a streamed reply in the log and its reader: every chunk once and in order, from the log, and then
 * the end.
 */
import { Effect, Option, Stream } from "effect"
import type { TaskCodec } from "../actor/Task.ts"
import { TerminalInvalidMessage } from "../message/DeliveryFailure.ts"
import { closing, decodeReply, replyOf } from "./answer.ts"
import type { System } from "./System.ts"

/** Chunks read at once: a reader that has fallen behind catches up in few reads, each far under a millisecond. */
const PAGE = 256

/** One reader's place: woken by new chunks, also by those that come while it reads. */
class Bell {
  #rung = false
  #then: (() => void) | undefined = undefined

  readonly ring = (): void => {
    this.#rung = true
    this.#then?.()
  }

  readonly wait = Effect.callback<void>((resume) => {
    if (this.#rung) resume(Effect.void)
    else this.#then = () => resume(Effect.void)
    return Effect.sync(() => {
      this.#then = undefined
    })
  })

  quiet(): void {
    this.#rung = false
    this.#then = undefined
  }
}

const nextPage = (system: System, codec: TaskCodec, messageId: string, bell: Bell) =>
  Effect.fnUntraced(function* (from: number) {
    for (;;) {
      bell.quiet()
      // Read in this order: a message that is not live any more has written its last chunk.
      const over = !system.live.has(messageId)
      const rows = yield* system.store.chunks(messageId, from, PAGE)
      if (rows.length > 0) {
        const asInvalid = (error: { readonly message: string }) =>
          new TerminalInvalidMessage({
            actor: "",
            task: codec.tag,
            message: `A chunk of message ${messageId} does not fit its schema: ${error.message}`,
          })
        const chunks = yield* Effect.forEach(rows, (row) =>
          codec.decodeChunk(row.data).pipe(Effect.mapError(asInvalid)),
        )
        return [chunks, Option.some(from + rows.length)] as const
      }
      if (over) {
        const row = yield* system.store.message(messageId)
        const reply = row === undefined ? undefined : replyOf(row)
        if (reply === undefined) return yield* closing(messageId)
        yield* decodeReply(codec, reply)
        return [[], Option.none<number>()] as const
      }
      if (system.closed) return yield* closing(messageId)
      yield* bell.wait
    }
  })

/** The chunks of a message from number `from` on; fails as the message fails. */
export const readChunks = (system: System, codec: TaskCodec, messageId: string, from = 0) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const bell = new Bell()
      const stop = system.askers.read(messageId, bell.ring)
      yield* Effect.addFinalizer(() => Effect.sync(stop))
      return Stream.paginate(from, nextPage(system, codec, messageId, bell))
    }),
  )
