/**
 * The boundary between token ids and readable text, token by token: what is given out is whole characters, and all of it
 * together is what decoding all tokens at once gives.
 *
 * A character may lie in several tokens (bytes), and a token may read differently after another (the leading blank of
 * SentencePiece). So a window of tokens is decoded and only what came on top of the last time is given out; the window
 * moves on where a character ends. That is the way of Hugging Face's text streamers and of vLLM's detokenizer.
 */

export type DecodeTokens = (tokenIds: ReadonlyArray<number>) => string

export interface Detokenizer {
  readonly push: (tokenId: number) => string
  /** No more tokens come: gives what was held back, with U+FFFD for bytes that never became a character. */
  readonly end: () => string
}

/** What decoders put in place of bytes that are no whole character. */
const REPLACEMENT = "\uFFFD"

/** Tokens kept in the window before those not given out: what a decoder needs to know that they are not the first. */
const CONTEXT_TOKENS = 4

/** How many characters two texts have in common from the start on. */
const commonLength = (a: string, b: string): number => {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}

/**
 * @param decode several tokens to text, special ones left out
 * @param isSpecial tokens that are never text, as `<|end|>`; they must not become context, for decoding leaves them out
 */
export const makeDetokenizer = (decode: DecodeTokens, isSpecial: (tokenId: number) => boolean): Detokenizer => {
  let window: Array<number> = []
  /** How many tokens of the window are context only, and what those read. */
  let known = 0
  let knownText = ""
  const fresh = (): string => {
    const text = decode(window)
    return text.slice(commonLength(knownText, text))
  }
  const advance = () => {
    window = window.slice(-CONTEXT_TOKENS)
    known = window.length
    knownText = decode(window)
  }
  return {
    push: (tokenId) => {
      if (isSpecial(tokenId)) return ""
      window.push(tokenId)
      const text = fresh()
      if (text === "" || text.endsWith(REPLACEMENT)) return ""
      advance()
      return text
    },
    end: () => {
      if (window.length === known) return ""
      const text = fresh()
      advance()
      return text
    },
  }
}
