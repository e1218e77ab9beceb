/**
 * The boundary of what a user holds of a running engine: its target, what it says of itself, and the faults it can be given.
 */
import { Effect } from "effect"
import type { RetryableModelCrash } from "../ModelTarget.ts"
import type { EngineModel } from "./EngineModel.ts"
import type { EngineCounters, Fault } from "./protocol.ts"

/** A model in its process, or in a thread. */
export interface EngineHandle<Target> {
  readonly target: Target
  /** The process that runs it; this one where the engine is a thread. */
  readonly pid: number
  /** What it has done and holds, as it says itself. */
  readonly counters: Effect.Effect<EngineCounters, RetryableModelCrash>
  /** Fault injection for tests and demos: it waits this long before each step. 0 ends it. */
  readonly setStepDelayMs: (delayMs: number) => Effect.Effect<void>
  /** Fault injection for tests and demos: it suffers this at once. In a thread `abort` takes this process down. */
  readonly sufferFault: (fault: Fault) => Effect.Effect<void>
}

const askCounters = (process: EngineModel): Effect.Effect<EngineCounters, RetryableModelCrash> =>
  Effect.callback((resume) => {
    const id = process.nextId()
    process.open(
      id,
      { _tag: "AskCounters", id },
      {
        onMessage: (reply) => {
          process.close(id)
          if (reply._tag === "Counters") resume(Effect.succeed(reply.counters))
        },
        onCrash: (crash) => resume(Effect.fail(crash)),
      },
    )
    return Effect.sync(() => process.close(id))
  })

/** What all kinds of engines give beside their target. */
export const makeHandle = <Target>(process: EngineModel, target: Target): EngineHandle<Target> => ({
  target,
  pid: process.pid,
  counters: askCounters(process),
  setStepDelayMs: (delayMs) => Effect.sync(() => process.send({ _tag: "SetStepDelay", delayMs })),
  sufferFault: (fault) => Effect.sync(() => process.send({ _tag: "SufferFault", fault })),
})
