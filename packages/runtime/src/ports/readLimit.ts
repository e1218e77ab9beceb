/**
 * The boundary of one read: every list a store or a log reader gives is bounded, and asking for more is refused rather
 * than cut short, because a caller that pages until a short page would take a silent cut for the end.
 */
import { Effect } from "effect"
import { TerminalStoreFailure } from "./StoreFailure.ts"

/** Rows in one answer, at most: about 10 MB of messages with bodies of 1 KB, which a process holds without noticing. */
export const READ_LIMIT_MAX = 10_000

/** Fails where `limit` is not a whole number from 1 to `READ_LIMIT_MAX`. */
export const checkReadLimit = (limit: number): Effect.Effect<void, TerminalStoreFailure> =>
  Number.isInteger(limit) && limit >= 1 && limit <= READ_LIMIT_MAX
    ? Effect.void
    : Effect.fail(
        new TerminalStoreFailure({
          reason: "other",
          message: `A read limit of ${limit} was refused: pass a whole number from 1 to ${READ_LIMIT_MAX}, and page on from the last row.`,
          cause: undefined,
        }),
      )
