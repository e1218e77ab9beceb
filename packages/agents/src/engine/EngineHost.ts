/**
 * The boundary of a process that several models share: it is started when the first is opened in it, ends with the last, and
 * is started anew by whoever opens a model in it after a crash.
 *
 * It saves some 100 MB a model, and gives up that one model is independent of another: a crash, a hang or an exhausted memory
 * takes all of its models, their steps take turns on one thread, and while one is loaded the others wait. For small models
 * that are seldom busy at the same time.
 */
import { Effect, RcRef, type Scope, Semaphore } from "effect"
import { modelFailure } from "../inference/folder/modelFolder.ts"
import type { TerminalModelFailure } from "../ModelTarget.ts"
import { type EngineProcess, startProcess } from "./EngineProcess.ts"
import { findWrongTerm, type ProcessTerms, processOptionsOf } from "./ProcessTerms.ts"

export interface EngineHost {
  /** The process, started where there is none; it is kept while the scope is open. */
  readonly process: Effect.Effect<EngineProcess, never, Scope.Scope>
}

/** Fails with `TerminalModelFailure` where a term is not valid. Its process ends with the scope. */
export const makeEngineHost = (
  terms: ProcessTerms = {},
): Effect.Effect<EngineHost, TerminalModelFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const wrong = findWrongTerm(terms)
    if (wrong !== undefined) return yield* modelFailure("Engine.host")("request", `an option is not valid: ${wrong}.`)
    const shared = yield* RcRef.make({ acquire: startProcess(processOptionsOf(terms)) })
    // One at a time: two that find the same dead process must not start one each.
    const turn = yield* Semaphore.make(1)
    const process = turn.withPermits(1)(
      Effect.gen(function* () {
        const found = yield* RcRef.get(shared)
        if (!found.isGone) return found
        yield* RcRef.invalidate(shared)
        return yield* RcRef.get(shared)
      }),
    )
    return { process }
  })
