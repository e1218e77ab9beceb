/**
 * The boundary to the operator: what somebody outside of the process may ask of a running system. A store that can be
 * reached from outside (SqliteStore, by a socket beside its file) provides the port; the system attaches to it what it
 * does when it is asked.
 */
import { Context, Effect, Schema, type Scope } from "effect"
import type { Address } from "../message/Address.ts"
import type {
  RetryableClosing,
  RetryableMailboxFull,
  RetryableSystemFull,
  TerminalActorFailed,
  TerminalInvalidMessage,
  TerminalUnknownActor,
} from "../message/DeliveryFailure.ts"
import type { MessageSelection } from "./MessageSelection.ts"
import type { CommitFailure, ReadFailure } from "./StoreFailure.ts"

export type RedriveFailure =
  | TerminalInvalidMessage
  | TerminalUnknownActor
  | TerminalActorFailed
  | RetryableMailboxFull
  | RetryableSystemFull
  | RetryableClosing
  | CommitFailure
  | ReadFailure

/** What became of a selection of dead letters. */
export interface RedriveReport {
  /** Dead letters that the selection means. */
  readonly matched: number
  /** Ids that wait to be run again. */
  readonly redriven: ReadonlyArray<string>
  /** Those that cannot be redriven, and why. */
  readonly refused: ReadonlyArray<{ readonly messageId: string; readonly message: string }>
  /** Neither: beyond the limit, or in front of a full mailbox. The same selection means them again. */
  readonly left: number
  /** Present where a mailbox was full: worth another try after so long. */
  readonly retryAfterMs?: number
  /** Present where the store or the end of the system cut it short: why. */
  readonly stopped?: string
}

/** What became of a selection of unfinished messages. */
export interface CancelReport {
  readonly matched: number
  readonly cancelled: ReadonlyArray<string>
  /** Beyond the limit, or ended meanwhile. */
  readonly left: number
}

/** As many actors are suspended as the system keeps (`suspendedMax`). */
export class TerminalTooManySuspended extends Schema.TaggedError<TerminalTooManySuspended>()(
  "TerminalTooManySuspended",
  { limit: Schema.Number, message: Schema.String },
) {}

/** What is done to actors; each change is in the lifecycle log with its reason. */
export interface ActorOperations {
  /** Stops an actor; false where it is not in memory, or has stopped. */
  readonly stop: (address: Address, reason: string) => Effect.Effect<boolean>
  /**
   * Puts an actor on hold: what runs may end, what waits and what comes waits, until `resume`; also over restarts of the
   * process. False where it is gone, suspended already, or of no type of this system's.
   */
  readonly suspend: (address: Address, reason: string) => Effect.Effect<boolean, TerminalTooManySuspended | ReadFailure>
  /** False where it is not suspended. */
  readonly resume: (address: Address, reason: string) => Effect.Effect<boolean>
  /**
   * Brings back an actor that has failed or was stopped, with a fresh budget of restarts; restarts one that is alive or
   * suspended, and has what it runs run again. False while it drains, and where it is of no type of this system's.
   */
  readonly restart: (address: Address, reason: string) => Effect.Effect<boolean, ReadFailure>
}

export interface Operations extends ActorOperations {
  /**
   * Has a dead letter run again, at its id and with a fresh budget of attempts; with `body`, on that in place of its own.
   * Succeeds when it is on disk and waits.
   */
  readonly redrive: (messageId: string, body?: string) => Effect.Effect<void, RedriveFailure>
  /** Redrives the dead letters of a selection, one commit each, at most `limit` of them. */
  readonly redriveMany: (
    selection: MessageSelection,
  ) => Effect.Effect<RedriveReport, ReadFailure | TerminalInvalidMessage>
  /** Takes back the unfinished messages of a selection, at most `limit` of them. */
  readonly cancelMany: (
    selection: MessageSelection,
  ) => Effect.Effect<CancelReport, ReadFailure | TerminalInvalidMessage>
  /** Takes a message back; true once that is its end, on disk. False where it has ended otherwise, or never was. */
  readonly cancel: (messageId: string) => Effect.Effect<boolean>
}

export interface OperatorDesk {
  /** Takes requests for `operations` until the scope closes. Never fails: a system runs without its desk, too. */
  readonly attach: (operations: Operations) => Effect.Effect<void, never, Scope.Scope>
}

/** Without a store that provides one, nobody asks. */
export const OperatorPort: Context.Reference<OperatorDesk> = Context.Reference<OperatorDesk>(
  "@pontoon/runtime/OperatorPort",
  { defaultValue: () => ({ attach: () => Effect.void }) },
)
