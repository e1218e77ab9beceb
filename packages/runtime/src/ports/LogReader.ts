/**
 * The boundary to everybody who only looks: the log, read while the runtime lives, or after it died.
 *
 * It never writes and never blocks a writer. Every list is bounded by its `limit`.
 */
import { Context, type Effect } from "effect"
import type { Address } from "../message/Address.ts"
import type { MessageRow, MessageStatus } from "../message/Envelope.ts"
import type { ActorRow, ChunkRow, StepRow } from "./MessageStore.ts"
import type { ReadFailure } from "./StoreFailure.ts"

export interface MessageFilter {
  readonly afterSeq?: number
  readonly beforeSeq?: number
  readonly status?: MessageStatus
  readonly actorType?: string
  readonly actorId?: string
  readonly correlationId?: string
  /** The newest `limit` messages in place of the oldest; still given oldest first. */
  readonly newest?: boolean
  /** From 1 to 10,000. */
  readonly limit: number
}

export interface LifecycleRow {
  readonly seq: number
  readonly actorType: string
  readonly actorId: string
  readonly from: string
  readonly to: string
  readonly event: string
  readonly reason: string | null
  readonly atMs: number
}

export interface RouteRow {
  readonly seq: number
  readonly messageId: string
  readonly attempt: number
  readonly pool: string
  readonly chosen: string
  readonly reason: string
  readonly evidence: string
  readonly atMs: number
}

/** One failed attempt of a message. */
export interface AttemptRow {
  readonly messageId: string
  readonly attempt: number
  readonly actorType: string
  readonly actorId: string
  readonly startedAtMs: number | null
  readonly finishedAtMs: number
  /** A `FailureRecord` as JSON. */
  readonly error: string
}

export interface MailboxRow {
  readonly actorType: string
  readonly actorId: string
  readonly pending: number
  readonly running: number
  /** When the oldest unfinished message was accepted. */
  readonly oldestAtMs: number
}

export interface LatencyRow {
  readonly actorType: string
  readonly task: string
  readonly count: number
  /** From acceptance to the end. */
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
}

export class LogReader extends Context.Service<
  LogReader,
  {
    readonly messages: (filter: MessageFilter) => Effect.Effect<ReadonlyArray<MessageRow>, ReadFailure>
    readonly message: (id: string) => Effect.Effect<MessageRow | undefined, ReadFailure>
    readonly actors: (limit: number) => Effect.Effect<ReadonlyArray<ActorRow>, ReadFailure>
    readonly lifecycle: (afterSeq: number, limit: number) => Effect.Effect<ReadonlyArray<LifecycleRow>, ReadFailure>
    /** At most `limit` changes of one actor's lifecycle, at `untilMs` or before, the newest first. */
    readonly lifecycleOf: (
      address: Address,
      untilMs: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<LifecycleRow>, ReadFailure>
    readonly routes: (
      filter: { readonly messageId?: string; readonly pool?: string },
      limit: number,
    ) => Effect.Effect<ReadonlyArray<RouteRow>, ReadFailure>
    readonly attempts: (messageId: string) => Effect.Effect<ReadonlyArray<AttemptRow>, ReadFailure>
    readonly steps: (messageId: string) => Effect.Effect<ReadonlyArray<StepRow>, ReadFailure>
    readonly chunks: (
      messageId: string,
      fromOrdinal: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<ChunkRow>, ReadFailure>
    readonly mailbox: (limit: number) => Effect.Effect<ReadonlyArray<MailboxRow>, ReadFailure>
    readonly latency: Effect.Effect<ReadonlyArray<LatencyRow>, ReadFailure>
  }
>()("@pontoon/runtime/LogReader") {}
