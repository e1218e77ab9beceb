/**
 * The boundary between one answer and several to the same prompt: each sample is an ordinary request with a seed of its own,
 * and the prompt is read once, for the others begin when the first has read it and take what it read.
 *
 * Works on any target. Of a target that keeps nothing (`cachedConversationsMax: 0`, or a remote one) it only costs more.
 */
import { Deferred, Effect, Stream } from "effect"
import { uniformAt } from "./inference/sampling/uniformAt.ts"
import {
  type GenerateFailure,
  type GenerateRequest,
  type GenerationEvent,
  type ModelTarget,
  TerminalModelFailure,
} from "./ModelTarget.ts"

/** More than anybody reads; a loop that asks for a million samples by mistake is told so. */
export const SAMPLES_MAX = 256

export type ManyRequest = Omit<GenerateRequest, "resumeTokenIds">

export interface SampleEvent {
  /** Which of the samples, from 0. */
  readonly sample: number
  readonly event: GenerationEvent
}

/**
 * The seed of a sample: the request's own for sample 0, and for the others a number that depends on it and on which sample it
 * is, so that requests with neighbouring seeds share no sample. `generate` with this seed gives the same answer alone.
 */
export const sampleSeed = (seed: number, sample: number): number =>
  // Places before an answer's first token: no answer draws these numbers.
  sample === 0 ? seed : Math.floor(uniformAt(seed, -1 - sample) * Number.MAX_SAFE_INTEGER)

/**
 * Answers a prompt several times over.
 *
 * @param samples 1 to `SAMPLES_MAX`; as many run at once as the target has slots
 * @returns events of all samples, each with its number; ends when all have finished. Fails as `generate` does, as soon as one
 * sample fails, and with reason `request` where `samples` is out of range
 */
export const generateMany = (
  target: ModelTarget["Service"],
  request: ManyRequest,
  samples: number,
): Stream.Stream<SampleEvent, GenerateFailure> => {
  if (!Number.isInteger(samples) || samples < 1 || samples > SAMPLES_MAX) {
    const model = target.describe.name
    const message = `Model "${model}": the request is not valid: samples is ${samples}; ask for 1 to ${SAMPLES_MAX}.`
    return Stream.fail(new TerminalModelFailure({ model, reason: "request", message, cause: null }))
  }
  return Stream.unwrap(
    Effect.sync(() => {
      const read = Deferred.makeUnsafe<void>()
      const answerOf = (sample: number) => {
        const seed = sampleSeed(request.sampling.seed ?? 0, sample)
        return Stream.map(
          target.generate({ ...request, sampling: { ...request.sampling, seed } }),
          (event): SampleEvent => ({ sample, event }),
        )
      }
      const first = Stream.tap(answerOf(0), () => Effect.sync(() => Deferred.doneUnsafe(read, Effect.void)))
      const others = Array.from({ length: samples - 1 }, (_, index) =>
        Stream.unwrap(Effect.map(Deferred.await(read), () => answerOf(index + 1))),
      )
      return Stream.mergeAll([first, ...others], { concurrency: target.describe.slots })
    }),
  )
}
