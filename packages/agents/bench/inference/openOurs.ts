/**
 * The boundary to our side: an engine in a process of its own, asked as a backend asks it.
 */
import { Effect, Exit, Scope, Stream } from "effect"
import { type DecoderHandle, type DecoderOptions, Engine } from "../../src/index.ts"
import type { BenchRequest, TimedAnswer } from "./Requests.ts"

export interface OurAnswer extends TimedAnswer {
  /** From when it had a slot to its end. */
  readonly inSlotMs: number
}

interface More {
  readonly cacheKey?: string
  /** Called with each token as it comes. */
  readonly onTokens?: () => void
}

export interface Ours {
  readonly handle: DecoderHandle
  readonly answer: (request: BenchRequest, more?: More) => Promise<OurAnswer>
  readonly close: () => Promise<void>
}

export const openOurs = async (options: DecoderOptions): Promise<Ours> => {
  const scope = Scope.makeUnsafe()
  const handle = await Effect.runPromise(Engine.decoder(options).pipe(Scope.provide(scope)))
  const answer: Ours["answer"] = async ({ messages, tokensMax }, { onTokens = () => {}, ...more } = {}) => {
    const startedAtMs = performance.now()
    const tokenAtMs: Array<number> = []
    let inSlotMs = 0
    const events = handle.target.generate({
      prompt: messages,
      sampling: { temperature: 0, maxTokens: tokensMax },
      ...more,
    })
    const note = Stream.runForEach(events, (event) =>
      Effect.sync(() => {
        // Several tokens that are told at once came at once, as far as a reader knows.
        if (event._tag === "Finished" && event.timing !== undefined) {
          inSlotMs = event.timing.totalMs - event.timing.queueMs
        }
        if (event._tag !== "Tokens") return
        for (const _ of event.tokenIds) {
          tokenAtMs.push(performance.now())
          onTokens()
        }
      }),
    )
    await Effect.runPromise(note)
    return { startedAtMs, tokenAtMs, inSlotMs }
  }
  return { handle, answer, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}
