/**
 * The boundary between lives and supervisors: what happens to messages, and may have to be answered by what becomes of an
 * actor.
 */
import type { Address } from "../message/Address.ts"
import type { Crash } from "../supervision/restartPolicy.ts"
import type { LiveCell, LiveMessage } from "./LiveMessage.ts"

/** What a life reports to the supervisor; it answers by starting, restarting and stopping actors. */
export interface Supervision {
  /** An actor with a start is wanted, and may not be started yet. */
  readonly wanted: (cell: LiveCell) => void
  /** A handler of the actor threw. */
  readonly crashed: (cell: LiveCell, crash: Crash) => void
  /** The actor can never go on. */
  readonly gaveUp: (cell: LiveCell, reason: string) => void
  /** A message came to an actor that runs none any more. */
  readonly stranded: (message: LiveMessage) => void
  /** Actors that are watched from now on: one may have ended already. */
  readonly watched: (addresses: ReadonlyArray<Address>) => void
  /** The actor has finished a message. */
  readonly rested: (cell: LiveCell) => void
}
