/**
 * The boundary between a request for an answer and the messages that make it: a stream of events, cancelled when its reader
 * goes.
 */
import { Cause, Effect, Queue, Schema, Stream } from "effect"
import type { GenerateFailure, GenerateRequest, GenerationEvent } from "../ModelTarget.ts"
import { admit, type Gate, invalid, openRequest } from "./Gate.ts"
import { Generate } from "./protocol.ts"

const decodeGenerate = Schema.decodeUnknownEffect(Generate)

export const generateWith =
  (gate: Gate) =>
  (request: GenerateRequest): Stream.Stream<GenerationEvent, GenerateFailure> =>
    // The queue holds at most one answer, which maxTokens bounds: a slow reader gets its own buffer, not a model's slot.
    Stream.callback<GenerationEvent, GenerateFailure>((queue) =>
      Effect.gen(function* () {
        yield* admit(gate)
        const { cacheKey, deadlineAtMs, overflow = "refuse", prompt, resumeTokenIds = [], sampling, tools } = request
        const id = gate.process.nextId()
        const message = yield* decodeGenerate({
          ...{ _tag: "Generate", id, prompt, sampling, overflow, resumeTokenIds },
          ...(tools === undefined ? {} : { tools }),
          ...(cacheKey === undefined ? {} : { cacheKey }),
          ...(deadlineAtMs === undefined ? {} : { deadlineAtMs }),
        }).pipe(Effect.mapError(invalid(gate.name)))
        yield* openRequest(gate.process, message, {
          onMessage: (answer) => {
            if (answer._tag === "Tokens") {
              const { id: _, ...tokens } = answer
              Queue.offerUnsafe(queue, tokens)
              return
            }
            gate.process.close(id)
            if (answer._tag === "Failed") Queue.failCauseUnsafe(queue, Cause.fail(answer.failure))
            if (answer._tag !== "Finished") return
            const { cut, reason, timing, usage } = answer
            Queue.offerUnsafe(queue, { _tag: "Finished", reason, usage, timing, ...(cut === undefined ? {} : { cut }) })
            Queue.endUnsafe(queue)
          },
          onCrash: (crash) => {
            Queue.failCauseUnsafe(queue, Cause.fail(crash))
          },
        })
      }),
    )
