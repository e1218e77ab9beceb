/**
 * The boundary between messages in memory and those that are on disk alone: what a life has to ask before it goes on with
 * one that it has. Nobody pays for a shelf that is empty.
 */
import type { CensusRow } from "../../ports/MessageStore.ts"
import type { LiveCell, LiveMessage } from "../LiveMessage.ts"

/** Unfinished messages of a former process that have not been read yet. */
export interface UnreadShelf {
  /** Whether older messages of the actor may lie there, which must not be overtaken. Once not, never again. */
  readonly hides: (cell: LiveCell) => boolean
  /** How many lie there, as far as is known; 1 at least. */
  readonly size: number
  /** Whether an unfinished row is one that is read from there yet. */
  readonly holds: (row: CensusRow) => boolean
}

/** Messages that are due much later. */
export interface LaterShelf {
  /** Takes the message out of memory where it is due late enough. */
  readonly keeps: (message: LiveMessage, nowMs: number) => boolean
  /** A message that is put off is being written: who sends it brings it to memory, and nobody else. */
  readonly expect: (messageId: string) => void
  readonly expects: (messageId: string) => boolean
  /** It is written, or refused; one that was there already is the agenda's again. */
  readonly arrived: (messageId: string, isNew: boolean) => void
  /** There may be something on disk that it does not know of. */
  readonly look: () => void
}
