/**
 * The boundary to sudden death: the named moments around each commit at which a test kills the process.
 *
 * In production every point is a call to an empty function. A test provides one that sends SIGKILL to its own process.
 */
import { Context } from "effect"

export const CRASH_POINTS = [
  /** A message is composed and routed, nothing is written. */
  "append.before",
  /** The message is on disk, its sender has not been told. */
  "append.after",
  /** The claim is on disk, the handler has not started. */
  "claim.after",
  /** A step has taken effect, its record is not written. */
  "step.before",
  /** The step's record is on disk, the handler has not gone on. */
  "step.after",
  /** A batch of chunks is on disk, no reader has seen it. */
  "chunk.after",
  /** The handler has finished, nothing of its outcome is written. */
  "seal.before",
  /** The outcome is on disk, the asker has not been told. */
  "seal.after",
  /** Inside the store: the transaction is open and empty. */
  "commit.begun",
  /** Inside the store: every row is written, the transaction is not committed. */
  "commit.written",
  /** Inside the store: the transaction is committed, nobody has been told. */
  "commit.done",
] as const
export type CrashPoint = (typeof CRASH_POINTS)[number]

export type CrashPointHook = (point: CrashPoint) => void

export const CrashPoints: Context.Reference<CrashPointHook> = Context.Reference<CrashPointHook>(
  "@pontoon/runtime/CrashPoints",
  { defaultValue: () => () => {} },
)
