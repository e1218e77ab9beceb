/**
 * The boundary between the life of a message and fibers: what a life waits for calls it back, and a fiber is made only
 * where an Effect does not give itself up without one.
 *
 * The course of a message from its append to its seal is driven by these callbacks, one right after the other as a batch
 * is told; only a handler, and whoever asks, has a fiber.
 */
import { Cause, Effect, Exit } from "effect"
import type { CommitReceipt } from "../ports/MessageStore.ts"
import { type CommitFailure, type RetryableStoreFailure, TerminalStoreFailure } from "../ports/StoreFailure.ts"
import { type CommitExit, Submission } from "../ports/Submission.ts"
import type { Write } from "../ports/Write.ts"
import { backoffMs } from "../supervision/restartPolicy.ts"
import type { System } from "./System.ts"

/**
 * Calls `then` with the effect's end: at once where it has ended already, as what a schema gives nearly always has; else
 * from a fiber that nobody can interrupt.
 */
export const whenDone = <A, E>(
  system: System,
  effect: Effect.Effect<A, E>,
  then: (exit: Exit.Exit<A, E>) => void,
): void => {
  if (Exit.isExit(effect)) then(effect as Exit.Exit<A, E>)
  else system.fork(effect, { uninterruptible: true }).addObserver(then)
}

/** Commits once, and calls `then` with the end. */
export const commit = (system: System, writes: ReadonlyArray<Write>, then: (exit: CommitExit) => void): void => {
  const submitted = system.store.commit(writes)
  if (!(submitted instanceof Submission)) whenDone(system, submitted, then)
  else {
    submitted.start((exit) => {
      try {
        then(exit)
      } catch (defect) {
        // A mistake of ours in the course of one message must not keep the rest of its batch from being told.
        system.fork(Effect.logError("The runtime broke on its way from a commit.", Cause.die(defect)))
      }
    })
  }
}

/** Waits between tries of a commit that the store cannot take now: a full disk is looked at again once a second. */
const STORE_BACKOFF = { baseMs: 20, factor: 2, maxMs: 1_000, jitter: 0.5 }

const retryable = (exit: CommitExit): RetryableStoreFailure | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const failure = Exit.findErrorOption(exit)
  return failure._tag === "Some" && failure.value._tag === "RetryableStoreFailure" ? failure.value : undefined
}

/** What a refused commit says; a store that breaks has failed for good. */
export const failureOf = (cause: Cause.Cause<CommitFailure>): CommitFailure => {
  const failure = Cause.findErrorOption(cause)
  if (failure._tag === "Some") return failure.value
  const message = `The store broke while it wrote: ${Cause.pretty(cause)}`
  return new TerminalStoreFailure({ reason: "other", message, cause: Cause.squash(cause) })
}

/**
 * Commits, and while the store says that it cannot now, waits and tries again for as long as the system lives: what a
 * handler has done is not thrown away because a disk is full. The actor is busy meanwhile, and so takes nothing new.
 *
 * @param isLeft whether nobody wants it any more, so that it need not be tried again
 */
export const commitUntilTaken = (
  system: System,
  writes: ReadonlyArray<Write>,
  then: (exit: CommitExit) => void,
  isLeft: () => boolean = () => false,
  tries = 1,
): void =>
  commit(system, writes, (exit) => {
    const failure = retryable(exit)
    if (failure === undefined || system.closed || isLeft()) return then(exit)
    const warning = `The store cannot write now: ${failure.message} Trying again until it can.`
    const wait = Effect.sleep(backoffMs(STORE_BACKOFF, tries, system.random()))
    whenDone(system, tries === 1 ? Effect.andThen(Effect.logWarning(warning), wait) : wait, () =>
      commitUntilTaken(system, writes, then, isLeft, tries + 1),
    )
  })

/** `commitUntilTaken` for one that has a fiber anyway: a handler's step, a lifecycle. */
export const commitPatiently = (
  system: System,
  writes: ReadonlyArray<Write>,
): Effect.Effect<CommitReceipt, CommitFailure> =>
  Effect.callback((resume) => {
    let left = false
    commitUntilTaken(system, writes, resume, () => left)
    return Effect.sync(() => {
      left = true
    })
  })
