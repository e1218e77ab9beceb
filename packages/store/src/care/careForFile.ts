/**
 * The boundary between an open store and the care of its file: checkpoints, the size of the write-ahead log, retention,
 * and the check after an unclean stop; each in a module of its own, put to work here.
 */
import { Effect } from "effect"
import { makeCheckpointer, noCheckpointer } from "../Checkpointer.ts"
import type { OpenDatabase } from "../openDatabase.ts"
import type { StoreLimits } from "../StoreOptions.ts"
import { toStoreTrouble } from "../sqliteFailure.ts"
import { type Caretaker, makeCaretaker, noCaretaker } from "./Caretaker.ts"
import { guardWal } from "./guardWal.ts"
import { makeIntegrityCheck } from "./IntegrityCheck.ts"
import { Pruner } from "./Pruner.ts"

export interface CareRequest {
  readonly opened: OpenDatabase
  readonly limits: StoreLimits
  /** Whether no commit waits. */
  readonly isIdle: () => boolean
  /** Milliseconds since 1970. */
  readonly wallMs: () => number
  /** Writes to the log output. */
  readonly say: (log: Effect.Effect<void>) => void
}

export interface FileCare {
  /** To be called after each transaction, when its callers have been told. */
  readonly flushed: () => void
  /** Resolves when nothing but the owner's own connection holds the file. */
  readonly stop: () => Promise<void>
}

/** Timers that keep no process alive. */
const loopClock = {
  now: (): number => performance.now(),
  later: (then: () => void, delayMs: number) => {
    const timer = setTimeout(then, delayMs).unref()
    return () => clearTimeout(timer)
  },
}

/** Deletes what may be forgotten. */
const retain = ({ opened, limits, isIdle, wallMs, say }: CareRequest): Caretaker => {
  const { retention } = limits
  const { database, file } = opened
  if (retention === undefined) return noCaretaker
  const pruner = new Pruner(database, retention, loopClock.now)
  const warn = (message: string): void => say(Effect.logWarning(message))
  return makeCaretaker({
    step: () => pruner.step(wallMs()),
    isIdle: () => database.open && isIdle(),
    ...loopClock,
    failed: (error) => {
      const { reason, message } = toStoreTrouble(file, error)
      // Somebody writes by hand; they will have finished by the next pass.
      if (reason !== "busy") warn(`Old messages could not be deleted now: ${message} Trying again in a minute.`)
    },
    isOver: () =>
      warn(
        `${file} uses more than the ${retention.bytesMax} bytes of retention.bytesMax, and everything left must be kept: unfinished conversations, kept statuses, idempotency keys within their time.`,
      ),
  })
}

export const careForFile = (request: CareRequest): FileCare => {
  const { opened, limits, say } = request
  const { database, file } = opened
  const byThread = limits.checkpoint === "thread"
  const checkpointer = byThread ? makeCheckpointer(database, file) : noCheckpointer
  const wal = guardWal({
    database,
    file,
    walBytesMax: limits.walBytesMax,
    checkpointer: byThread ? checkpointer : undefined,
    warn: (message) => say(Effect.logWarning(message)),
    inform: (message) => say(Effect.logInfo(message)),
    clock: loopClock,
  })
  const caretaker = retain(request)
  const integrity = makeIntegrityCheck(database, file, {
    // Nobody has to hear that all is well; pontoon stats says it to those who ask.
    sound: (message) => say(Effect.logDebug(message)),
    damaged: (message) => say(Effect.logError(message)),
    undecided: (message) => say(Effect.logWarning(message)),
  })
  return {
    flushed: () => {
      checkpointer.flushed()
      wal.flushed()
      caretaker.flushed()
    },
    stop: async () => {
      caretaker.stop()
      integrity.stop()
      await checkpointer.stop()
      await wal.closed()
    },
  }
}
