/**
 * The boundary between a vocabulary and a matcher of bytes: its tokens as a tree of bytes, so that tokens that begin alike are
 * matched together. The nodes lie in arrays in the order of a walk, each with the place after its last descendant.
 */

export interface TokenTrie {
  readonly vocabSize: number
  readonly nodeCount: number
  readonly bytes: Uint8Array
  /** From 1: a child of the root. */
  readonly depths: Uint16Array
  /** Where the walk goes on without the node's descendants. */
  readonly ends: Int32Array
  /** The first token that ends at a node, or -1; `others` goes on from it. */
  readonly tokens: Int32Array
  /** By token: another token of the same bytes, or -1. */
  readonly others: Int32Array
  /** Whether there is a token of this byte alone. */
  readonly canSpell: (byte: number) => boolean
}

const compareBytes = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

const commonLength = (a: Uint8Array, b: Uint8Array): number => {
  const most = Math.min(a.length, b.length)
  let length = 0
  while (length < most && a[length] === b[length]) length++
  return length
}

/** @param bytesOf by token id; undefined or empty where a token is no text */
export const makeTokenTrie = (bytesOf: ReadonlyArray<Uint8Array | undefined>): TokenTrie => {
  const spelled = bytesOf.flatMap((bytes, id) => (bytes === undefined || bytes.length === 0 ? [] : [{ bytes, id }]))
  spelled.sort((a, b) => compareBytes(a.bytes, b.bytes) || a.id - b.id)
  let nodeMax = 0
  for (const { bytes } of spelled) nodeMax += bytes.length
  const trie = {
    bytes: new Uint8Array(nodeMax),
    depths: new Uint16Array(nodeMax),
    ends: new Int32Array(nodeMax),
    tokens: new Int32Array(nodeMax).fill(-1),
  }
  const others = new Int32Array(bytesOf.length).fill(-1)
  const single = new Set<number>()
  let count = 0
  /** The nodes from the root to the last token's. */
  let trail: Array<number> = []
  let before: Uint8Array = new Uint8Array()
  for (const { bytes, id } of spelled) {
    const common = commonLength(before, bytes)
    for (const node of trail.slice(common)) trie.ends[node] = count
    trail = trail.slice(0, common)
    for (let depth = common; depth < bytes.length; depth++) {
      trie.bytes[count] = bytes[depth]!
      trie.depths[count] = depth + 1
      trail.push(count++)
    }
    const last = trail.at(-1)!
    others[id] = trie.tokens[last]!
    trie.tokens[last] = id
    if (bytes.length === 1) single.add(bytes[0]!)
    before = bytes
  }
  for (const node of trail) trie.ends[node] = count
  return { vocabSize: bytesOf.length, nodeCount: count, others, canSpell: (byte) => single.has(byte), ...trie }
}

/** The longest token that these bytes begin with, and its length; of several the one with the greatest id. */
export const longestToken = (
  trie: TokenTrie,
  bytes: ReadonlyArray<number>,
  from: number,
): { readonly tokenId: number; readonly length: number } | undefined => {
  let found: { readonly tokenId: number; readonly length: number } | undefined
  let end = trie.nodeCount
  let at = from
  for (let node = 0; node < end && at < bytes.length; ) {
    if (trie.bytes[node] !== bytes[at]) {
      node = trie.ends[node]!
      continue
    }
    at++
    if (trie.tokens[node]! >= 0) found = { tokenId: trie.tokens[node]!, length: at - from }
    end = trie.ends[node]!
    node++
  }
  return found
}
