/**
 * The boundary of what a model has read before, by its tokens: a radix tree whose edges hold the keys and values of their
 * tokens. Beginnings that sequences share are held once, whoever they belong to: a system prompt becomes a node of its own
 * when a second conversation parts from the first behind it.
 *
 * The idea is RadixAttention's (SGLang, arXiv 2312.07104); here edges own copies, because rows are one contiguous memory
 * each. Keys and values depend on all tokens before them, so only beginnings can be shared, never passages.
 */
import { type KvSegment, segmentBytes, sliceSegment } from "./KvSegment.ts"

type TokenIds = ReadonlyArray<number>

interface Node {
  parent: Node | undefined
  /** The tokens of the edge that leads here. */
  tokenIds: TokenIds
  segment: KvSegment
  readonly children: Map<string | number, Node>
  usedAt: number
}

/** A whole beginning: its tokens, and their keys and values in pieces. */
export interface Path {
  readonly tokenIds: TokenIds
  readonly segments: ReadonlyArray<KvSegment>
}

/** Bounds of a tree. */
export interface TreeLimits {
  readonly leavesMax: number
  readonly bytesMax: number
  /** Edges are whole blocks of so many tokens, and two that differ anywhere in a block share nothing of it. */
  readonly blockTokens: number
}

const commonPrefix = (a: TokenIds, b: TokenIds, bFrom: number, bTo: number): number => {
  const most = Math.min(a.length, bTo - bFrom)
  let length = 0
  while (length < most && a[length] === b[bFrom + length]) length++
  return length
}

export class PrefixTree {
  readonly #limits: TreeLimits
  /** Called with each beginning that is about to be forgotten to make room, the least recently used first. */
  readonly #onForget: (path: Path) => void
  readonly #roots: Node["children"] = new Map()
  readonly #leaves = new Set<Node>()
  #bytesMax: number
  #bytes = 0
  #uses = 0

  constructor(limits: TreeLimits, onForget: (path: Path) => void = () => {}) {
    this.#limits = limits
    this.#bytesMax = limits.bytesMax
    this.#onForget = onForget
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Sequences that are no beginning of another. */
  get leaves(): number {
    return this.#leaves.size
  }

  /** The longest beginning of `tokenIds` of at most `tokensMax` that is held, in whole blocks. It counts as a use. */
  longest(tokenIds: TokenIds, tokensMax: number): { readonly length: number; readonly segments: Path["segments"] } {
    const { nodes, length } = this.#walk(tokenIds, tokensMax)
    let rest = length
    const segments = nodes.map(({ segment }) => {
      const part = rest < segment.length ? sliceSegment(segment, 0, rest) : segment
      rest -= part.length
      return part
    })
    return { length, segments }
  }

  /**
   * Holds a sequence, as far as it is whole blocks; what it takes from others is only their room, the least recently used
   * first. A sequence that does not fit even so is not held.
   *
   * @param bytesPerToken what a token that is not held yet will take
   * @param save copies the tokens from `from` up to `to`; undefined where it cannot, and then nothing is held
   */
  insert(tokenIds: TokenIds, bytesPerToken: number, save: (from: number, to: number) => KvSegment | undefined): void {
    const end = this.#wholeBlocks(tokenIds.length)
    const { length, nodes } = this.#walk(tokenIds, end)
    if (length >= end) return
    const last = nodes.at(-1)
    // A sequence that goes on where another ended takes its place as a leaf.
    const extends_ = last !== undefined && this.#leaves.has(last) && length === this.#lengthOf(nodes)
    if (!this.#makeRoom((end - length) * bytesPerToken, extends_ ? 0 : 1)) return
    const segment = save(length, end)
    if (segment === undefined) return
    const parent = last === undefined || length === this.#lengthOf(nodes) ? last : this.#split(nodes, length)
    this.#attach(parent, tokenIds.slice(length, end), segment)
  }

  /** From now on so many bytes may be held at most. */
  limitBytes(bytesMax: number): void {
    this.#bytesMax = bytesMax
    while (this.#bytes > bytesMax) this.#forgetOldest(Number.POSITIVE_INFINITY)
  }

  /** Forgets a sequence before all others, though it was used last: its conversation has gone another way. */
  expire(tokenIds: TokenIds): void {
    const { length, nodes } = this.#walk(tokenIds, tokenIds.length)
    const last = nodes.at(-1)
    if (last !== undefined && length === tokenIds.length && this.#leaves.has(last)) last.usedAt = 0
  }

  #wholeBlocks(tokens: number): number {
    return Math.floor(tokens / this.#limits.blockTokens) * this.#limits.blockTokens
  }

  #keyOf(tokenIds: TokenIds, from: number): string | number {
    const { blockTokens } = this.#limits
    return blockTokens === 1 ? tokenIds[from]! : tokenIds.slice(from, from + blockTokens).join()
  }

  #lengthOf(nodes: ReadonlyArray<Node>): number {
    return nodes.reduce((length, node) => length + node.tokenIds.length, 0)
  }

  /** The nodes along `tokenIds`, of which the last may be shared in part only; they count as used. */
  #walk(tokenIds: TokenIds, tokensMax: number) {
    const end = this.#wholeBlocks(Math.min(tokensMax, tokenIds.length))
    const nodes: Array<Node> = []
    const usedAt = ++this.#uses
    let length = 0
    let children = this.#roots
    while (length < end) {
      const node = children.get(this.#keyOf(tokenIds, length))
      if (node === undefined) break
      const common = this.#wholeBlocks(commonPrefix(node.tokenIds, tokenIds, length, end))
      node.usedAt = usedAt
      nodes.push(node)
      length += common
      if (common < node.tokenIds.length) break
      children = node.children
    }
    return { nodes, length }
  }

  #attach(parent: Node | undefined, tokenIds: TokenIds, segment: KvSegment): void {
    const node: Node = { parent, tokenIds, segment, children: new Map(), usedAt: this.#uses }
    const siblings = parent?.children ?? this.#roots
    siblings.set(this.#keyOf(tokenIds, 0), node)
    if (parent !== undefined) this.#leaves.delete(parent)
    this.#leaves.add(node)
    this.#bytes += segmentBytes(segment)
  }

  /** Cuts the last of the nodes in two, so that one ends at `length`. @returns that one */
  #split(nodes: ReadonlyArray<Node>, length: number): Node {
    const tail = nodes.at(-1)!
    const at = length - this.#lengthOf(nodes.slice(0, -1))
    const head: Node = {
      parent: tail.parent,
      tokenIds: tail.tokenIds.slice(0, at),
      segment: sliceSegment(tail.segment, 0, at),
      children: new Map(),
      usedAt: tail.usedAt,
    }
    const siblings = tail.parent?.children ?? this.#roots
    siblings.set(this.#keyOf(head.tokenIds, 0), head)
    tail.parent = head
    tail.segment = sliceSegment(tail.segment, at, tail.tokenIds.length)
    tail.tokenIds = tail.tokenIds.slice(at)
    head.children.set(this.#keyOf(tail.tokenIds, 0), tail)
    return head
  }

  /** Forgets what was not used by the last walk until `bytes` and `leaves` more may be held; false where they never may. */
  #makeRoom(bytes: number, leaves: number): boolean {
    const { leavesMax } = this.#limits
    const bytesMax = this.#bytesMax
    if (bytes > bytesMax || leavesMax === 0) return false
    while (this.#bytes + bytes > bytesMax || this.#leaves.size + leaves > leavesMax) {
      if (!this.#forgetOldest(this.#uses)) return false
    }
    return true
  }

  /** Forgets the leaf that was used least recently, and before `usedBefore`; false where there is none. */
  #forgetOldest(usedBefore: number): boolean {
    // A scan: leaves are counted in tens, and the copy that follows costs more than a thousand of them.
    let oldest: Node | undefined
    for (const leaf of this.#leaves) if (leaf.usedAt < (oldest?.usedAt ?? usedBefore)) oldest = leaf
    if (oldest === undefined) return false
    // An end that its conversation has left behind is of no use to anybody.
    if (oldest.usedAt > 0) this.#onForget(this.#pathOf(oldest))
    const { parent } = oldest
    const siblings = parent?.children ?? this.#roots
    siblings.delete(this.#keyOf(oldest.tokenIds, 0))
    this.#leaves.delete(oldest)
    this.#bytes -= segmentBytes(oldest.segment)
    if (parent !== undefined && parent.children.size === 0) this.#leaves.add(parent)
    return true
  }

  #pathOf(leaf: Node): Path {
    const nodes: Array<Node> = []
    for (let node: Node | undefined = leaf; node !== undefined; node = node.parent) nodes.unshift(node)
    return { tokenIds: nodes.flatMap(({ tokenIds }) => tokenIds), segments: nodes.map(({ segment }) => segment) }
  }
}
