/**
 * The boundary where requests come in to a model: what may wait, what is well formed, and that one whose asker has gone is
 * cancelled.
 */
import { Deferred, Effect, Exit, type Schema } from "effect"
import type { EncodeFailure } from "../EncoderTarget.ts"
import { modelFailure, oneLine } from "../inference/folder/modelFolder.ts"
import { RetryableModelBusy } from "../ModelTarget.ts"
import type { EngineModel, RequestListener } from "./EngineModel.ts"
import type { ChildMessage, Encode, Generate, Run } from "./protocol.ts"

export interface Gate {
  readonly process: EngineModel
  readonly name: string
  readonly slots: number
  readonly queueMax: number
}

/** Refuses what would have to wait longer than the queue allows. */
export const admit = ({ name, process, queueMax, slots }: Gate) =>
  Effect.suspend(() => {
    const open = process.openRequests
    if (open < slots + queueMax) return Effect.void
    const message =
      `Model "${name}": ${slots} requests run and ${open - slots} wait, and queueMax is ${queueMax}; ` +
      `try again later, or raise it.`
    return Effect.fail(new RetryableModelBusy({ model: name, message }))
  })

/** A request that does not fit its schema. */
export const invalid = (name: string) => (error: Schema.SchemaError) =>
  modelFailure(name)("request", `the request is not valid: ${oneLine(error)}.`)

/** Sends a request; when the scope closes before it is answered, it is cancelled. */
export const openRequest = (process: EngineModel, message: Generate | Encode | Run, listener: RequestListener) =>
  Effect.acquireRelease(
    Effect.sync(() => process.open(message.id, message, listener)),
    () =>
      Effect.sync(() => {
        if (process.close(message.id)) process.send({ _tag: "Cancel", id: message.id })
      }),
  )

/**
 * Sends a request that has one answer, and waits for that.
 *
 * @param take the answer in a message; undefined where it is none
 */
export const awaitAnswer = <A>(
  process: EngineModel,
  message: Encode | Run,
  take: (reply: ChildMessage) => A | undefined,
) =>
  Effect.gen(function* () {
    const answer = Deferred.makeUnsafe<A, EncodeFailure>()
    yield* openRequest(process, message, {
      onMessage: (reply) => {
        process.close(message.id)
        const taken = take(reply)
        if (taken !== undefined) Deferred.doneUnsafe(answer, Exit.succeed(taken))
        // What is too long for an encoder is cut; the decoder's failure is in the union of the protocol only.
        else if (reply._tag === "Failed" && reply.failure._tag !== "TerminalPromptTooLong") {
          Deferred.doneUnsafe(answer, Exit.fail(reply.failure))
        }
      },
      onCrash: (crash) => {
        Deferred.doneUnsafe(answer, Exit.fail(crash))
      },
    })
    return yield* Deferred.await(answer)
  })
