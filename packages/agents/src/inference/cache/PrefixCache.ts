/**
 * The boundary between one request and the next: what the model has already read is kept by its tokens, whoever asked, so
 * that only what is new has to be read. 32 new tokens after 512 kept ones cost 23 ms in place of 283 (27M parameters).
 *
 * The sequences used last are kept, up to a number and up to a number of bytes. `cacheKey` is a hint and no more: a
 * conversation that has gone another way gives up its old end first.
 */
import type { DecoderStep, KvSlot } from "../decoding/DecoderStep.ts"
import { joinSegments, segmentBytes, sliceSegment } from "./KvSegment.ts"
import { type Path, PrefixTree } from "./PrefixTree.ts"
import { makeSlotCache } from "./SlotCache.ts"

export interface PrefixCacheLimits {
  /** Sequences that are no beginning of another: about as many as conversations. */
  readonly conversationsMax: number
  readonly bytesMax: number
  /**
   * Kept prefixes are used in whole chunks of this many tokens only; 1 takes any. A model whose activations are quantised
   * as it runs gives other numbers when its steps begin elsewhere, and the same request must give the same tokens
   * whether it meets a kept prefix or not.
   */
  readonly alignTokens: number
  /** Where forgotten prefixes go, and come back from. */
  readonly spill?: PrefixSpill
}

/** Prefixes that are kept elsewhere than in memory. */
export interface PrefixSpill {
  readonly keep: (path: Path) => void
  /** A beginning of `tokenIds` that is longer than `tokensMin` and of at most `tokensMax`. */
  readonly recall: (tokenIds: ReadonlyArray<number>, tokensMin: number, tokensMax: number) => Path | undefined
}

export interface Wanted {
  readonly cacheKey: string | undefined
  readonly tokenIds: ReadonlyArray<number>
  /** How many of them would be read in chunks; those behind were fed one by one, and kept ones would not be the same. */
  readonly chunkedTokens: number
}

export interface PrefixCache {
  /** A slot that holds a beginning of `tokenIds`, at least one short of it; it is the caller's from now on. */
  readonly take: (wanted: Wanted) => KvSlot
  /**
   * Keeps what a slot holds; the slot stays the caller's.
   *
   * @param tokenIds what was fed into it
   * @param alignedTokens how many of them were fed in whole aligned chunks
   */
  readonly note: (
    cacheKey: string | undefined,
    slot: KvSlot,
    tokenIds: ReadonlyArray<number>,
    alignedTokens: number,
  ) => void
  /** As `note`, and gives the slot back. */
  readonly put: PrefixCache["note"]
  /** Leaves so many bytes to what is kept, and `bytesMax` at most, until told otherwise: those that run need the rest. */
  readonly allow: (bytes: number) => void
  readonly size: () => { readonly conversations: number; readonly bytes: number }
}

export const makePrefixCache = (step: DecoderStep, limits: PrefixCacheLimits): PrefixCache => {
  const { alignTokens: blockTokens, bytesMax, conversationsMax: leavesMax, spill } = limits
  const tree = new PrefixTree({ leavesMax, bytesMax, blockTokens }, (path) => spill?.keep(path))
  /** For what lies on a device and can only be kept as it is. */
  const whole = makeSlotCache(step, limits)
  /** The sequence that each conversation had last; as many as may be kept. */
  const lastOf = new Map<string, ReadonlyArray<number>>()
  const follow = (cacheKey: string | undefined, tokenIds: ReadonlyArray<number>) => {
    if (cacheKey === undefined || leavesMax === 0) return
    const last = lastOf.get(cacheKey)
    if (last?.some((tokenId, at) => tokenIds[at] !== tokenId)) tree.expire(last)
    lastOf.delete(cacheKey)
    lastOf.set(cacheKey, tokenIds)
    const oldest = lastOf.keys().next().value
    if (lastOf.size > leavesMax && oldest !== undefined) lastOf.delete(oldest)
  }
  const note: PrefixCache["note"] = (cacheKey, slot, fed, alignedTokens) => {
    const tokenIds = blockTokens === 1 ? fed.slice(0, slot.length) : fed.slice(0, alignedTokens)
    if (tokenIds.length === 0 || leavesMax === 0) return
    follow(cacheKey, tokenIds)
    tree.insert(tokenIds, slot.bytes / slot.length, (from, to) => step.save(slot, from, to))
  }
  return {
    take: ({ chunkedTokens, tokenIds }) => {
      // The last token has to be fed in any case: its logits are what is asked for.
      const fromChunks = blockTokens === 1 ? tokenIds.length : chunkedTokens
      const tokensMax = Math.min(fromChunks, tokenIds.length - 1)
      const inMemory = tree.longest(tokenIds, tokensMax)
      const recalled = spill?.recall(tokenIds, inMemory.length, tokensMax)
      const segment = recalled === undefined ? undefined : joinSegments(recalled.segments)
      if (recalled !== undefined && segment !== undefined) {
        const bytesPerToken = segmentBytes(segment) / segment.length
        tree.insert(recalled.tokenIds, bytesPerToken, (from, to) => sliceSegment(segment, from, to))
      }
      const found = segment === undefined ? inMemory : { length: segment.length, segments: [segment] }
      if (found.length === 0) return whole.take(tokenIds, tokensMax)
      const slot = step.open()
      step.load(slot, found.segments)
      return slot
    },
    note,
    put: (cacheKey, slot, tokenIds, alignedTokens) => {
      const usable = blockTokens === 1 ? slot.length : Math.min(slot.length, alignedTokens)
      if (usable > 0 && step.save(slot, 0, 0) === undefined) return whole.put(slot, tokenIds, usable)
      note(cacheKey, slot, tokenIds, alignedTokens)
      step.release(slot)
    },
    allow: (bytes) => {
      tree.limitBytes(Math.min(bytes, bytesMax))
      whole.limitBytes(Math.min(bytes, bytesMax))
    },
    size: () => {
      const kept = whole.size()
      return { conversations: tree.leaves + kept.conversations, bytes: tree.bytes + kept.bytes }
    },
  }
}
