/**
 * The boundary to the operator: what somebody outside of the process may ask of a running system. A store that can be
 * reached from outside (SqliteStore, by a socket beside its file) provides the port; the system attaches to it what it
 * does when it is asked.
 */
import { Context, Effect, type Scope } from "effect"
import type { Address } from "../message/Address.ts"
import type {
  RetryableClosing,
  RetryableMailboxFull,
  TerminalActorFailed,
  TerminalInvalidMessage,
  TerminalUnknownActor,
} from "../message/DeliveryFailure.ts"
import type { CommitFailure, ReadFailure } from "./StoreFailure.ts"

export type RedriveFailure =
  | TerminalInvalidMessage
  | TerminalUnknownActor
  | TerminalActorFailed
  | RetryableMailboxFull
  | RetryableClosing
  | CommitFailure
  | ReadFailure

export interface Operations {
  /**
   * Has a dead letter run again, at its id and with a fresh budget of attempts; with `body`, on that in place of its own.
   * Succeeds when it is on disk and waits.
   */
  readonly redrive: (messageId: string, body?: string) => Effect.Effect<void, RedriveFailure>
  /** Takes a message back; false where it has ended already, or never was. */
  readonly cancel: (messageId: string) => Effect.Effect<boolean>
  /** Stops an actor; false where it is not in memory, or has stopped. */
  readonly stop: (address: Address, reason: string) => Effect.Effect<boolean>
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
