/**
 * The boundary between the runtime and whatever keeps its promises: mailboxes, actor state and the message log behind
 * one atomic, durable `commit`.
 *
 * A store serves one runtime at a time (see `SqliteStore` for how that is held); readers are free, through `LogReader`.
 * `messageStoreSuite` in `@pontoon/runtime/testing` is this contract as tests.
 */
import { Context, type Effect } from "effect"
import type { Address } from "../message/Address.ts"
import type { MessageRow } from "../message/Envelope.ts"
import type { CommitFailure, ReadFailure } from "./StoreFailure.ts"
import type { StepKind, Write } from "./Write.ts"

export interface CommitReceipt {
  /** The earlier messages that stood in the way of an `Append`, in the order of those appends. */
  readonly duplicates: ReadonlyArray<MessageRow>
}

export interface ActorRow {
  readonly address: Address
  readonly lifecycle: string
  /** Encoded state; null for an actor that has none yet. */
  readonly state: string | null
  readonly version: number
  readonly restarts: number
  readonly updatedAtMs: number
}

export interface StepRow {
  readonly messageId: string
  /** Unique in the message. Steps within steps and branches have numbers far off, `undo` and `end` negative ones. */
  readonly ordinal: number
  readonly kind: StepKind
  readonly name: string
  readonly result: string
  readonly atMs: number
}

export interface ChunkRow {
  readonly messageId: string
  readonly attempt: number
  readonly ordinal: number
  readonly data: string
  readonly atMs: number
}

export interface WatchRow {
  readonly watched: Address
  readonly watcher: Address
  readonly linked: boolean
  readonly atMs: number
}

/** Whose watches: those on an actor, those that an actor has, or those on actors whose rows say `failed` or `stopped`. */
export type WatchFilter = { readonly watched: Address } | { readonly watcher: Address } | { readonly ended: true }

/** What a census of unfinished messages has to know of one: not its body. */
export type CensusRow = Pick<
  MessageRow,
  "seq" | "id" | "actorType" | "actorId" | "status" | "attempt" | "attemptsBefore" | "createdAtMs" | "deliverAtMs"
>

export class MessageStore extends Context.Service<
  MessageStore,
  {
    /**
     * Applies every write, or none, in the order given, and succeeds only when they are as durable as the store can
     * make them. Commits are applied in the order of the calls. Calls of one turn of the event loop may share a
     * transaction; a commit that is refused takes none of the others with it. Once called, a commit is carried out even
     * if its fiber is interrupted: an interrupted caller does not know, and must not need to, whether it was applied.
     * A store that answers by a callback may give a `Submission`, which saves the runtime a fiber per commit.
     */
    readonly commit: (writes: ReadonlyArray<Write>) => Effect.Effect<CommitReceipt, CommitFailure>
    readonly message: (id: string) => Effect.Effect<MessageRow | undefined, ReadFailure>
    readonly actor: (address: Address) => Effect.Effect<ActorRow | undefined, ReadFailure>
    /** The recorded steps of a message, by ordinal. */
    readonly steps: (messageId: string) => Effect.Effect<ReadonlyArray<StepRow>, ReadFailure>
    /** At most `limit` chunks of a message from `fromOrdinal` on, by ordinal. */
    readonly chunks: (
      messageId: string,
      fromOrdinal: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<ChunkRow>, ReadFailure>
    /** At most `limit` pending or running messages with a seq above `afterSeq`, by seq: what recovery pages through. */
    readonly unfinished: (afterSeq: number, limit: number) => Effect.Effect<ReadonlyArray<MessageRow>, ReadFailure>
    /** The same messages, without what they say: a million of them are counted while others are served. */
    readonly census: (afterSeq: number, limit: number) => Effect.Effect<ReadonlyArray<CensusRow>, ReadFailure>
    /** The highest seq of the log; 0 for an empty one. Every message that is appended from now on has a higher one. */
    readonly lastSeq: Effect.Effect<number, ReadFailure>
    /**
     * At most `limit` pending messages that were put off (`deliverAtMs` after `createdAtMs`), by (deliverAtMs, seq), after
     * those two: what is due next.
     */
    readonly due: (
      afterMs: number,
      afterSeq: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<MessageRow>, ReadFailure>
    /** At most `limit` dead letters with a seq above `afterSeq`, by seq: what an operator's filter goes through. */
    readonly deadLetters: (afterSeq: number, limit: number) => Effect.Effect<ReadonlyArray<MessageRow>, ReadFailure>
    /** At most `limit` watches, by (watched, watcher). */
    readonly watches: (filter: WatchFilter, limit: number) => Effect.Effect<ReadonlyArray<WatchRow>, ReadFailure>
    /** At most `limit` actors whose lifecycle is `suspended`, by address, after `after`. */
    readonly suspended: (
      after: Address | undefined,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<ActorRow>, ReadFailure>
    /** When the actor crashed (its lifecycle events `CRASHED`) after `afterMs`: the latest `limit`, the earliest first. */
    readonly crashes: (
      address: Address,
      afterMs: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<number>, ReadFailure>
    /** Where the bytes are, for error messages and logs: a file's path, or `memory`. */
    readonly location: string
  }
>()("@pontoon/runtime/MessageStore") {}
