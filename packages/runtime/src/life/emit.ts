/**
 * The boundary between a handler that streams and its readers: chunks are on disk before any reader sees them, many in
 * one commit, and numbered over all attempts so that a reader sees each once.
 */
import { Effect } from "effect"
import type { TaskCodec } from "../actor/Task.ts"
import { TerminalReplayMismatch } from "../message/DeliveryFailure.ts"
import type { ChunkRow } from "../ports/MessageStore.ts"
import type { CommitFailure } from "../ports/StoreFailure.ts"
import type { AppendChunk } from "../ports/Write.ts"
import { commitPatiently } from "./commit.ts"
import type { LiveMessage } from "./LiveMessage.ts"
import type { System } from "./System.ts"

/** Chunks that may wait for a commit before `emit` waits too: some 60 ms of a fast model, and one small commit. */
const UNWRITTEN_MAX = 64
/** Chunks read back at once when a handler resumes. */
const PAGE = 1_000

export class ChunkWriter {
  readonly #system: System
  readonly #message: LiveMessage
  readonly #codec: TaskCodec
  /** The number of the next chunk that the handler emits. */
  #next = 0
  /** Chunks of earlier attempts, which need not be written again; undefined until looked up. */
  #recorded: number | undefined = undefined
  #unwritten: Array<AppendChunk> = []
  #writing = false
  #failure: CommitFailure | undefined = undefined
  #onWritten: Array<() => void> = []

  constructor(system: System, message: LiveMessage, codec: TaskCodec) {
    this.#system = system
    this.#message = message
    this.#codec = codec
    if (message.attempt === 1) this.#recorded = 0
  }

  /**
   * Takes the chunks that are in no commit, for the seal to write with itself. Waits for the commit that is under way:
   * should it be refused, its chunks are among them, or the reply would end with a hole in it.
   */
  readonly drain = Effect.suspend(() => Effect.map(this.#written, () => this.#takeUnwritten()))

  #takeUnwritten(): Array<AppendChunk> {
    const taken = this.#unwritten
    this.#unwritten = []
    return taken
  }

  readonly #countRecorded = Effect.fnUntraced(function* (this: ChunkWriter) {
    let count = 0
    for (;;) {
      const page = yield* this.#system.store.chunks(this.#message.id, count, PAGE)
      count += page.length
      if (page.length < PAGE) break
    }
    this.#recorded = count
    return count
  })

  emit(chunk: unknown) {
    return Effect.gen({ self: this }, function* () {
      // A chunk that does not fit its own schema is a mistake of the handler, not of its message.
      const data = yield* Effect.orDie(this.#codec.encodeChunk(chunk))
      const recorded = this.#recorded ?? (yield* this.#countRecorded())
      const ordinal = this.#next++
      if (ordinal < recorded) return
      const { id, attempt } = this.#message
      this.#unwritten.push({ _tag: "AppendChunk", messageId: id, attempt, ordinal, data, atMs: this.#system.now() })
      this.#flush()
      if (this.#unwritten.length >= UNWRITTEN_MAX) yield* this.#written
      if (this.#failure !== undefined) return yield* this.#failure
    })
  }

  readonly resume = Effect.gen({ self: this }, function* () {
    const chunks: Array<unknown> = []
    for (;;) {
      const page = yield* this.#system.store.chunks(this.#message.id, chunks.length, PAGE)
      for (const row of page) {
        chunks.push(yield* this.#codec.decodeChunk(row.data).pipe(Effect.mapError((error) => this.#unread(row, error))))
      }
      if (page.length < PAGE) break
    }
    this.#next = chunks.length
    this.#recorded = chunks.length
    return chunks
  })

  #unread(row: ChunkRow, error: { readonly message: string }): TerminalReplayMismatch {
    const message = `Chunk ${row.ordinal} of message ${row.messageId} does not fit the schema of ${this.#codec.tag} any more: ${error.message}`
    return new TerminalReplayMismatch({ messageId: row.messageId, ordinal: row.ordinal, message })
  }

  /** Waits until the chunks that wait now are written, or have failed to be. */
  readonly #written = Effect.callback<void>((resume) => {
    if (!this.#writing) resume(Effect.void)
    else this.#onWritten.push(() => resume(Effect.void))
  })

  /** Writes what waits; one commit at a time, each with all that gathered during the one before. */
  #flush(): void {
    if (this.#writing || this.#unwritten.length === 0) return
    this.#writing = true
    const writes = this.#takeUnwritten()
    this.#system.fork(
      Effect.matchEffect(commitPatiently(this.#system, writes), {
        onFailure: (failure) =>
          Effect.sync(() => {
            // For the seal, which fails as this did; nothing is said to be done that is not.
            this.#unwritten = [...writes, ...this.#unwritten]
            this.#settle(failure)
          }),
        onSuccess: () => Effect.sync(() => this.#settle(undefined)),
      }).pipe(Effect.uninterruptible),
    )
  }

  #settle(failure: CommitFailure | undefined): void {
    this.#writing = false
    this.#failure = failure
    if (failure === undefined) {
      this.#system.crashPoint("chunk.after")
      this.#system.askers.chunk(this.#message.id)
      this.#flush()
    }
    const waiting = this.#onWritten
    this.#onWritten = []
    for (const then of waiting) then()
  }
}
