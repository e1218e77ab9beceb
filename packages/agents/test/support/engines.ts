/**
 * The boundary between tests and engines: opens one for a whole file, and gathers what it streams.
 */
import { fileURLToPath } from "node:url"
import { Effect, Exit, Scope, Stream } from "effect"
import type { DecoderOptions, EncoderOptions } from "../../src/engine/EngineOptions.ts"
import {
  Engine,
  type GenerateFailure,
  type GenerateRequest,
  type GenerationFinished,
  type ModelTarget,
  type TokenLogprobs,
} from "../../src/index.ts"

export const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))
/** A trained model of the demo. */
export const trained = (name: string): string =>
  fileURLToPath(new URL(`../../../../apps/demo/models/${name}`, import.meta.url))

export const openScoped = async <A, E>(make: Effect.Effect<A, E, Scope.Scope>) => {
  const scope = Scope.makeUnsafe()
  const handle = await Effect.runPromise(make.pipe(Scope.provide(scope)))
  return { handle, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

export const openDecoder = (options: DecoderOptions) => openScoped(Engine.decoder(options))
export const openEncoder = (options: EncoderOptions) => openScoped(Engine.encoder(options))

export interface Answer {
  readonly tokenIds: ReadonlyArray<number>
  readonly text: string
  readonly logprobs: ReadonlyArray<TokenLogprobs>
  readonly finished: GenerationFinished
  /** The text that readers had after each number of tokens that they were told of. */
  readonly textAfter: ReadonlyMap<number, string>
}

/** Runs one request to its end. */
export const answer = (
  target: ModelTarget["Service"],
  request: GenerateRequest,
): Effect.Effect<Answer, GenerateFailure> =>
  Effect.map(Stream.runCollect(target.generate(request)), (events) => {
    const tokenIds: Array<number> = []
    const textAfter = new Map([[0, ""]])
    const logprobs: Array<TokenLogprobs> = []
    let text = ""
    let finished: GenerationFinished | undefined
    for (const event of events) {
      if (event._tag === "Finished") finished = event
      else {
        tokenIds.push(...event.tokenIds)
        text += event.text
        logprobs.push(...(event.logprobs ?? []))
        textAfter.set(tokenIds.length, text)
      }
    }
    if (finished === undefined) throw new Error("the stream ended without Finished")
    return { tokenIds, text, logprobs, finished, textAfter }
  })

export const user = (content: string) => ({ role: "user" as const, content })
export const assistant = (content: string) => ({ role: "assistant" as const, content })
export const system = (content: string) => ({ role: "system" as const, content })
