/**
 * The boundary between a handler that streams and its readers: chunks are on disk before any reader sees them, many in
 * one commit, and numbered over all attempts so that a reader sees each once.
 */
import { Effect, Exit } from "effect"
import type { TaskCodec } from "../../actor/Task.ts"
import { TerminalReplayMismatch } from "../../message/DeliveryFailure.ts"
import type { ChunkRow } from "../../ports/MessageStore.ts"
import type { CommitFailure, ReadFailure } from "../../ports/StoreFailure.ts"
import type { AppendChunk } from "../../ports/Write.ts"
import { commitUntilTaken, failureOf } from "../commit.ts"
import type { LiveMessage } from "../LiveMessage.ts"
import { readUntilItCan } from "../readPatiently.ts"
import type { System } from "../System.ts"
import type { Flushing } from "./ChunkClock.ts"

/**
 * Chunks of one message that wait for company before they are written without it; and where a commit is under way, before
 * `emit` waits too: some 60 ms of a fast model, and one small commit.
 */
const UNWRITTEN_MAX = 64
/** Chunks read back at once when a handler resumes. */
const PAGE = 1_000

export class ChunkWriter implements Flushing {
  readonly #system: System
  readonly #message: LiveMessage
  readonly #codec: TaskCodec
  /** The number of the next chunk that the handler emits. */
  #next = 0
  /** Chunks of earlier attempts, which need not be written again; undefined until looked up. */
  #recorded: number | undefined = undefined
  #unwritten: Array<AppendChunk> = []
  #writing = false
  /** Whether `emit` waits for a reader. */
  #isHeld = false
  #isClosed = false
  #failure: CommitFailure | undefined = undefined
  #onWritten: Array<() => void> = []

  constructor(system: System, message: LiveMessage, codec: TaskCodec) {
    this.#system = system
    this.#message = message
    this.#codec = codec
    if (message.attempt === 1) this.#recorded = 0
  }

  /** The message is handed on: what is said from now on would be taken for the target's. */
  close(): void {
    this.#isClosed = true
  }

  /** How many chunks the handler has said. */
  get said(): number {
    return this.#next
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
      const page = yield* readUntilItCan(this.#system, this.#system.store.chunks(this.#message.id, count, PAGE))
      count += page.length
      if (page.length < PAGE) break
    }
    this.#recorded = count
    return count
  })

  emit(chunk: unknown): Effect.Effect<void, CommitFailure | ReadFailure> {
    return Effect.suspend(() => {
      const encoded = this.#codec.encodeChunk(chunk)
      // A schema nearly always decides at once, and then costs no effect of its own.
      if (Exit.isExit(encoded) && Exit.isSuccess(encoded)) {
        return this.#accept((encoded as Exit.Success<string>).value)
      }
      // A chunk that does not fit its own schema is a mistake of the handler, not of its message.
      return Effect.flatMap(Effect.orDie(encoded), (data) => this.#accept(data))
    })
  }

  #accept(data: string): Effect.Effect<void, CommitFailure | ReadFailure> {
    if (this.#recorded === undefined) return Effect.flatMap(this.#countRecorded(), () => this.#accept(data))
    if (this.#next < this.#recorded) {
      this.#next++
      return Effect.void
    }
    if (this.#isClosed) {
      return Effect.die(new Error(`Message ${this.#message.id} is handed on; its handler cannot emit any more.`))
    }
    const { askers } = this.#system
    if (askers.holder(this.#message.id, this.#next) === undefined) return this.#add(data)
    return Effect.andThen(
      this.#held,
      Effect.suspend(() => this.#add(data)),
    )
  }

  #add(data: string): Effect.Effect<void, CommitFailure> {
    const { id, attempt } = this.#message
    const ordinal = this.#next++
    this.#unwritten.push({ _tag: "AppendChunk", messageId: id, attempt, ordinal, data, atMs: this.#system.now() })
    // The first of a reply at once, whatever the others do: it is what a user waits for.
    if (ordinal === 0 || this.#unwritten.length >= UNWRITTEN_MAX) this.flush()
    else this.#system.chunkClock.request(this)
    if (this.#unwritten.length >= UNWRITTEN_MAX) return Effect.andThen(this.#written, this.#outcome)
    return this.#failure === undefined ? Effect.void : Effect.fail(this.#failure)
  }

  readonly #outcome = Effect.suspend(() => (this.#failure === undefined ? Effect.void : Effect.fail(this.#failure)))

  /** Waits until no reader is too far behind. */
  readonly #held = Effect.gen({ self: this }, function* () {
    for (;;) {
      const holder = this.#system.askers.holder(this.#message.id, this.#next)
      if (holder === undefined) return
      // It cannot come nearer to what it cannot see.
      this.#isHeld = true
      this.flush()
      yield* Effect.ensuring(
        holder.moved,
        Effect.sync(() => {
          this.#isHeld = false
        }),
      )
    }
  })

  readonly resume = Effect.gen({ self: this }, function* () {
    const chunks: Array<unknown> = []
    for (;;) {
      const page = yield* readUntilItCan(this.#system, this.#system.store.chunks(this.#message.id, chunks.length, PAGE))
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

  /** Writes what waits; one commit at a time, each with all that gathered since the one before. */
  flush(): void {
    if (this.#writing || this.#unwritten.length === 0) return
    this.#writing = true
    const writes = this.#takeUnwritten()
    commitUntilTaken(this.#system, writes, (exit) => {
      if (Exit.isSuccess(exit)) return this.#settle(undefined, writes)
      // For the seal, which fails as this did; nothing is said to be done that is not.
      this.#unwritten = [...writes, ...this.#unwritten]
      this.#settle(failureOf(exit.cause), [])
    })
  }

  #settle(failure: CommitFailure | undefined, written: ReadonlyArray<AppendChunk>): void {
    this.#writing = false
    this.#failure = failure
    if (failure === undefined) {
      this.#system.crashPoint("chunk.after")
      this.#system.askers.chunk(this.#message.id, written)
      if (this.#unwritten.length >= UNWRITTEN_MAX || this.#isHeld) this.flush()
      else if (this.#unwritten.length > 0) this.#system.chunkClock.request(this)
    }
    const waiting = this.#onWritten
    this.#onWritten = []
    for (const then of waiting) then()
  }
}
