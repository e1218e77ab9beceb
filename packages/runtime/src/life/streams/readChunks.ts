/**
 * The boundary between a streamed reply in the log and its reader: every chunk once and in order, from any number on,
 * from the log, and then the end. Who comes back after a crash, his own or the writer's, reads on where he was.
 */
import { Effect, Exit, Option, Stream } from "effect"
import type { NumberedChunk, ReadOptions } from "../../actor/ActorContext.ts"
import type { Ref } from "../../actor/Ref.ts"
import type { AnyTask, TaskCodec } from "../../actor/Task.ts"
import { formatAddress } from "../../message/Address.ts"
import { TerminalInvalidMessage } from "../../message/DeliveryFailure.ts"
import { addresseeOf, firstAddresseeOf, handedOnFrom, type MessageRow } from "../../message/Envelope.ts"
import type { ChunkRow } from "../../ports/MessageStore.ts"
import { closing, decodeReply, replyOf } from "../answer.ts"
import type { System } from "../System.ts"
import { mistakeInPace, type Pace, Reader } from "./Reader.ts"

/** Chunks read at once: a reader that has fallen behind catches up in few reads, each far under a millisecond. */
const PAGE = 256

const decodeRow = (codec: TaskCodec, row: Pick<ChunkRow, "data" | "messageId" | "ordinal">) =>
  codec.decodeChunk(row.data).pipe(
    Effect.map((chunk): NumberedChunk<unknown> => ({ number: row.ordinal, chunk })),
    Effect.mapError(
      (error) =>
        new TerminalInvalidMessage({
          actor: "",
          task: codec.tag,
          message: `A chunk of message ${row.messageId} does not fit its schema: ${error.message}`,
        }),
    ),
  )

/** Rows as chunks; a schema nearly always decides at once, and then costs no effect of its own. */
const decodeRows = (codec: TaskCodec, rows: ReadonlyArray<Pick<ChunkRow, "data" | "messageId" | "ordinal">>) => {
  const chunks: Array<NumberedChunk<unknown>> = []
  for (const { data, ordinal } of rows) {
    const decoded = codec.decodeChunk(data)
    if (!(Exit.isExit(decoded) && Exit.isSuccess(decoded))) return Effect.forEach(rows, (row) => decodeRow(codec, row))
    chunks.push({ number: ordinal, chunk: decoded.value })
  }
  return Effect.succeed(chunks)
}

/** The end, for a reader that has all there is before number `from`; undefined where there is more to come. */
const endOf = Effect.fnUntraced(function* (system: System, codec: TaskCodec, messageId: string, from: number) {
  const row = yield* system.store.message(messageId)
  if (row === undefined) return yield* noMessage(codec.tag, messageId)
  const reply = replyOf(row)
  if (reply === undefined) return undefined
  if (from > 0 && (yield* system.store.chunks(messageId, from - 1, 1)).length === 0) {
    const message = `Message ${messageId} has ended, and has no chunk ${from - 1}, so there is nothing from ${from} on; read from a number that a reader has had.`
    return yield* new TerminalInvalidMessage({ actor: "", task: codec.tag, message })
  }
  yield* decodeReply(codec, reply)
  return Option.none<number>()
})

const nextPage = (system: System, codec: TaskCodec, messageId: string, reader: Reader) =>
  Effect.fnUntraced(function* (from: number) {
    // Whoever asks for what comes from here on has taken what came before.
    reader.advance(from)
    for (;;) {
      // What has ended may have rung for the last time.
      if (reader.isCaughtUp && reader.ending === undefined) yield* reader.rung
      reader.isCaughtUp = false
      reader.quiet()
      const handed = reader.take(from)
      if (handed.length > 0) {
        const chunks = yield* decodeRows(codec, handed)
        return [chunks, Option.some(from + handed.length)] as const
      }
      // Read in this order: a message that is not live any more has written its last chunk.
      const isOver = !system.live.has(messageId)
      const rows = yield* system.store.chunks(messageId, from, PAGE)
      if (rows.length > 0) {
        const chunks = yield* decodeRows(codec, rows)
        return [chunks, Option.some(from + rows.length)] as const
      }
      if (reader.ending?._tag === "Unknown") return yield* reader.ending.failure
      const end = isOver ? yield* endOf(system, codec, messageId, from) : undefined
      if (end !== undefined) return [[], end] as const
      if (system.closed) return yield* closing(messageId)
      yield* reader.rung
    }
  })

/** The chunks of a message from the reader's position on, each with its number; fails as the message fails. */
const chunkPages = (system: System, codec: TaskCodec, messageId: string, reader: Reader) =>
  Stream.paginate(reader.position, nextPage(system, codec, messageId, reader))

/**
 * Accepts a message, and reads its reply as it is written.
 *
 * @param accept must call `attach` with the id that the message will have before it is written: the reader is there before
 * the handler is, which may say a lot in the very step in which it begins
 * @param leave called when the reader goes
 */
export const streamAccepted = <A extends { readonly id: string; readonly codec: TaskCodec }, E>(
  system: System,
  pace: Pace,
  accept: (attach: (messageId: string) => void, note: (accepted: A) => void) => Effect.Effect<A, E>,
  leave: (accepted: A) => void,
) => {
  const begun = Effect.suspend(() => {
    const reader = new Reader(0, pace)
    let stop = () => {}
    const attach = (messageId: string): void => {
      stop()
      stop = system.askers.read(messageId, reader)
    }
    let noted: A | undefined
    const release = () =>
      Effect.sync(() => {
        stop()
        reader.leave()
        if (noted !== undefined) leave(noted)
      })
    // A sender may have to wait before its message is accepted, and may be interrupted then.
    const accepted = accept(attach, (each) => {
      noted = each
    })
    return Effect.map(Effect.andThen(Effect.acquireRelease(Effect.void, release), accepted), ({ codec, id }) =>
      chunkPages(system, codec, id, reader),
    )
  })
  return Stream.map(Stream.unwrap(begun), ({ chunk }) => chunk)
}

const noMessage = (task: string, messageId: string) =>
  new TerminalInvalidMessage({
    actor: "",
    task,
    message: `There is no message ${messageId} in the log: it was never accepted, or retention has removed it.`,
  })

/** Why these terms cannot be read by, in one clause. */
const mistakeIn = (ref: Ref<AnyTask>, task: string, { from = 0, ...pace }: ReadOptions): string | undefined => {
  const codec = ref.tasks.get(task)
  if (codec === undefined) return `${ref.type} has no task ${task}; it has ${[...ref.tasks.keys()].join(", ")}.`
  if (!codec.streaming) return `${task} does not stream; wait for its outcome instead.`
  if (!(Number.isSafeInteger(from) && from >= 0)) return `from must be a whole number, 0 or more, and is ${from}.`
  return mistakeInPace(pace)
}

/** Why the message is not the one that was named, in one clause. */
const mismatchOf = (ref: Ref<AnyTask>, task: string, row: MessageRow): string | undefined => {
  if (row.task !== task) return `it is a ${row.task}, and not a ${task}.`
  const target = formatAddress({ type: row.actorType, id: row.actorId })
  const sentTo = firstAddresseeOf(row)
  const named = ref.kind === "pool" ? `pool ${ref.type}` : formatAddress(ref)
  // Also by whom it was handed on to, and from.
  const known = [target, addresseeOf(row), ...handedOnFrom(row)].includes(named)
  return known ? undefined : `it was sent to ${sentTo}, and not to ${named}.`
}

/** Reads an accepted message, whoever sent it, from a number on. */
export const readMessage = (
  system: System,
  ref: Ref<AnyTask>,
  task: string,
  messageId: string,
  options: ReadOptions = {},
) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const refuse = (why: string) =>
        new TerminalInvalidMessage({
          actor: ref.type,
          task,
          message: `Message ${messageId} cannot be read as ${task} of ${ref.type}: ${why}`,
        })
      const codec = ref.tasks.get(task)
      const mistake = mistakeIn(ref, task, options)
      if (codec === undefined || mistake !== undefined) return yield* refuse(mistake ?? "")
      const row = yield* system.store.message(messageId)
      if (row === undefined) return yield* noMessage(task, messageId)
      const mismatch = mismatchOf(ref, task, row)
      if (mismatch !== undefined) return yield* refuse(mismatch)
      if (replyOf(row) === undefined && !system.actors.has(row.actorType)) {
        return yield* refuse(`it waits for an actor ${row.actorType}, which this system does not have.`)
      }
      const reader = new Reader(options.from ?? 0, options)
      const stop = system.askers.read(messageId, reader)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          stop()
          reader.leave()
        }),
      )
      return chunkPages(system, codec, messageId, reader)
    }),
  )
