/**
 * The boundary between texts to be read and the messages that have it done: one answer a call, cancelled when its asker goes.
 */
import { Deferred, Effect, Exit, Schema } from "effect"
import type { EncodeFailure } from "../EncoderTarget.ts"
import { admit, type Gate, invalid, openRequest } from "./Gate.ts"
import { Encode, type Encoded } from "./protocol.ts"

const decodeEncode = Schema.decodeUnknownEffect(Encode)

export const encodeWith = (gate: Gate) => (want: Encode["want"], texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* admit(gate)
    const id = gate.process.nextId()
    const message = yield* decodeEncode({ _tag: "Encode", id, want, texts }).pipe(Effect.mapError(invalid(gate.name)))
    const answer = Deferred.makeUnsafe<Encoded, EncodeFailure>()
    yield* openRequest(gate.process, message, {
      onMessage: (reply) => {
        gate.process.close(id)
        if (reply._tag === "Encoded") Deferred.doneUnsafe(answer, Exit.succeed(reply))
        // An encoder cuts what is too long; the decoder's failure is in the union of the protocol only.
        else if (reply._tag === "Failed" && reply.failure._tag !== "TerminalPromptTooLong") {
          Deferred.doneUnsafe(answer, Exit.fail(reply.failure))
        }
      },
      onCrash: (crash) => {
        Deferred.doneUnsafe(answer, Exit.fail(crash))
      },
    })
    return yield* Deferred.await(answer)
  }).pipe(Effect.scoped)
