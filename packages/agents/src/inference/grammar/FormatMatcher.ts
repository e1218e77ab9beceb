/**
 * The boundary between an answer and its format: which tokens may come next, and how the answer is complete before its tokens
 * run out.
 *
 * At every moment the shortest completion, in tokens and with the end token, fits what is left. A token after which it would
 * not is not taken; the first token of the shortest completion is taken in its place. So an answer with a format ends by
 * itself, however long the model would go on.
 */
import type { Automaton, State } from "./Automaton.ts"
import { maskTokens } from "./maskTokens.ts"
import { longestToken, type TokenTrie } from "./TokenTrie.ts"

/** A format, ready for any number of answers. */
export interface CompiledFormat {
  readonly automaton: Automaton
  readonly trie: TokenTrie
  readonly bytesOf: ReadonlyArray<Uint8Array | undefined>
  readonly endTokenIds: ReadonlySet<number>
}

/** The tokens of the shortest completion of a state, without the end token; undefined where none is known. */
const completionTokens = ({ automaton, trie }: CompiledFormat, state: State): ReadonlyArray<number> | undefined => {
  const bytes = automaton.completion(state)
  if (bytes === undefined) return undefined
  const tokens: Array<number> = []
  for (let at = 0; at < bytes.length; ) {
    const token = longestToken(trie, bytes, at)
    if (token === undefined) return undefined
    tokens.push(token.tokenId)
    at += token.length
  }
  return tokens
}

/** Tokens that an answer of the format has at least, its end token included. */
export const fewestTokens = (format: CompiledFormat): number =>
  1 + (completionTokens(format, format.automaton.start)?.length ?? Number.POSITIVE_INFINITY)

export class FormatMatcher {
  readonly #format: CompiledFormat
  #state: State

  constructor(format: CompiledFormat, state: State = format.automaton.start) {
    this.#format = format
    this.#state = state
  }

  /** A bit for each token that may come next. Not to be changed. */
  allowed(): Uint32Array {
    const { automaton, endTokenIds, trie } = this.#format
    return maskTokens(automaton, trie, endTokenIds, this.#state)
  }

  /**
   * The token to write: the one that was drawn where the answer can still be completed after it.
   *
   * @param tokenId one of those allowed; -1 where none of them was left to draw
   * @param tokensLeft tokens that may still be written, this one and the end token included
   * @returns -1 where nothing completes it
   */
  choose(tokenId: number, tokensLeft: number): number {
    if (this.#format.endTokenIds.has(tokenId)) return tokenId
    const next = tokenId < 0 ? null : this.#after(tokenId)
    if (next !== null && this.#fits(next, tokensLeft - 1)) return tokenId
    const [endTokenId = -1] = this.#format.endTokenIds
    const tokens = completionTokens(this.#format, this.#state)
    return tokens === undefined ? -1 : (tokens[0] ?? endTokenId)
  }

  /** Goes on by a token that was written; false where the format does not allow it. */
  take(tokenId: number): boolean {
    if (this.#format.endTokenIds.has(tokenId)) return this.#state.accepts
    const next = this.#after(tokenId)
    if (next === null) return false
    this.#state = next
    return true
  }

  /** A matcher that goes on from here by itself. */
  fork(): FormatMatcher {
    return new FormatMatcher(this.#format, this.#state)
  }

  #after(tokenId: number): State | null {
    const bytes = this.#format.bytesOf[tokenId]
    if (bytes === undefined || bytes.length === 0) return null
    let state: State | null = this.#state
    for (const byte of bytes) {
      state = this.#format.automaton.step(state, byte)
      if (state === null) return null
    }
    return state
  }

  #fits(state: State, tokensLeft: number): boolean {
    // No token is shorter than a byte: only where that bound is too coarse are the tokens counted.
    if (state.distance + 1 <= tokensLeft) return true
    const tokens = completionTokens(this.#format, state)
    return tokens !== undefined && tokens.length + 1 <= tokensLeft
  }
}
