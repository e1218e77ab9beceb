/**
 * The boundary between sampled tokens and what a reader sees: end tokens, stop strings, the bound of tokens, and text in
 * whole characters.
 *
 * What has been given out after n tokens is a function of those tokens alone. That is what makes an answer resumable:
 * the tokens that readers have are pushed again, what they give is thrown away, and the next token goes on from there.
 */
import { type DecodeTokens, makeDetokenizer } from "./Detokenizer.ts"
import { makeStopMatcher } from "./stop.ts"

export type EndReason = "end" | "stop" | "length"

export interface AnswerText {
  /** Takes the next token; gives the text that is now certain, and why the answer is over where it is. */
  readonly push: (tokenId: number) => { readonly text: string; readonly reason: EndReason | undefined }
}

interface AnswerTextOptions {
  readonly decode: DecodeTokens
  readonly isSpecial: (tokenId: number) => boolean
  readonly endTokenIds: ReadonlySet<number>
  /** Tokens that end it because the request says so; none of them is text. */
  readonly stopTokenIds?: ReadonlySet<number>
  readonly stop: ReadonlyArray<string>
  readonly maxTokens: number
}

export const makeAnswerText = (options: AnswerTextOptions): AnswerText => {
  const detokenizer = makeDetokenizer(options.decode, options.isSpecial)
  const matcher = makeStopMatcher(options.stop)
  let tokens = 0
  return {
    push: (tokenId) => {
      tokens++
      const stops = options.stopTokenIds?.has(tokenId) ?? false
      const ends = stops || options.endTokenIds.has(tokenId)
      const fresh = matcher.push(ends ? "" : detokenizer.push(tokenId))
      if (fresh.stopped) return { text: fresh.text, reason: "stop" }
      const last = ends || tokens >= options.maxTokens
      if (!last) return { text: fresh.text, reason: undefined }
      const tail = matcher.push(detokenizer.end())
      const text = fresh.text + tail.text
      if (tail.stopped) return { text, reason: "stop" }
      return { text: text + matcher.end(), reason: stops ? "stop" : ends ? "end" : "length" }
    },
  }
}
