/**
 * The boundary to prefixes that can only be kept as they are: a cache in a device's memory cannot be read, cut or joined,
 * but whole rows can be shared. What `PrefixCache` falls back to.
 */
import type { DecoderStep, KvSlot } from "../decoding/DecoderStep.ts"

interface Kept {
  readonly slot: KvSlot
  readonly tokenIds: ReadonlyArray<number>
}

export interface SlotCacheLimits {
  readonly conversationsMax: number
  readonly bytesMax: number
}

const isPrefix = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a.length <= b.length && a.every((tokenId, at) => tokenId === b[at])

export const makeSlotCache = (step: DecoderStep, limits: SlotCacheLimits) => {
  /** In order of use: the first is the one to go. */
  const kept = new Set<Kept>()
  const bytes = () => [...kept].reduce((sum, { slot }) => sum + slot.bytes, 0)
  const forget = (entry: Kept) => {
    kept.delete(entry)
    step.release(entry.slot)
  }
  let { bytesMax } = limits
  const trim = () => {
    for (const entry of kept) {
      if (kept.size <= limits.conversationsMax && bytes() <= bytesMax) return
      forget(entry)
    }
  }
  return {
    /** A slot that holds the longest kept sequence that `tokenIds` begin with, in `tokensMax` tokens; else an empty one. */
    take: (tokenIds: ReadonlyArray<number>, tokensMax: number): KvSlot => {
      let best: Kept | undefined
      for (const entry of kept) {
        const { length } = entry.tokenIds
        if (length > tokensMax || length <= (best?.tokenIds.length ?? 0)) continue
        if (isPrefix(entry.tokenIds, tokenIds)) best = entry
      }
      if (best === undefined) return step.open()
      kept.delete(best)
      kept.add(best)
      return step.fork(best.slot)
    },
    /** Takes a slot over; keeps its first `tokens` tokens, where they can be cut off. */
    put: (slot: KvSlot, fed: ReadonlyArray<number>, tokens: number): void => {
      if (limits.conversationsMax === 0 || !step.cutBack(slot, tokens)) {
        step.release(slot)
        return
      }
      const tokenIds = fed.slice(0, tokens)
      // A conversation's next turn holds all that its last one held.
      for (const entry of kept) if (isPrefix(entry.tokenIds, tokenIds)) forget(entry)
      step.park(slot)
      kept.add({ slot, tokenIds })
      trim()
    },
    /** From now on so many bytes may be kept at most. */
    limitBytes: (bytes: number): void => {
      bytesMax = bytes
      trim()
    },
    size: () => ({ conversations: kept.size, bytes: bytes() }),
  }
}
