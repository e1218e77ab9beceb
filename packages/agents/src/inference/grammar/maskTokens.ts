/** The boundary between a state and the tokens that may come next: a bit for each token of the vocabulary. */
import type { Automaton, State } from "./Automaton.ts"
import type { TokenTrie } from "./TokenTrie.ts"

/**
 * The tokens all of whose bytes can come after `state`. Kept with the state: it costs a walk of the vocabulary once.
 *
 * @param endTokenIds allowed where the text may end
 */
export const maskTokens = (
  automaton: Automaton,
  trie: TokenTrie,
  endTokenIds: Iterable<number>,
  state: State,
): Uint32Array => {
  if (state.mask !== undefined) return state.mask
  const mask = new Uint32Array(Math.ceil(trie.vocabSize / 32))
  const allow = (id: number) => {
    mask[id >> 5]! |= 1 << (id & 31)
  }
  const path: Array<State> = [state]
  for (let node = 0; node < trie.nodeCount; ) {
    const depth = trie.depths[node]!
    const next = automaton.step(path[depth - 1]!, trie.bytes[node]!)
    if (next === null) {
      node = trie.ends[node]!
      continue
    }
    path[depth] = next
    for (let id = trie.tokens[node]!; id >= 0; id = trie.others[id]!) allow(id)
    node++
  }
  if (state.accepts) for (const id of endTokenIds) allow(id)
  state.mask = mask
  return mask
}
