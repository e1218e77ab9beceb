/**
 * The boundary between what is decided about requests (`Scheduler`, `Generation`) and how a graph is fed: a step takes
 * rows, each a cache and the tokens to put after it, and gives each row's logits. Whether rows run one by one or as one
 * batch, and how a cache lies in memory, is known only behind it.
 */

import type { KvSegment } from "../cache/KvSegment.ts"

/** The keys and values of one sequence. Only the step that opened it knows what is in it. */
export interface KvSlot {
  /** Tokens it holds. */
  readonly length: number
  readonly bytes: number
}

export interface StepRow {
  readonly slot: KvSlot
  /** At least one; they go after what the slot holds. */
  readonly tokenIds: ReadonlyArray<number>
  /** Of how many of its last tokens the logits are asked for. Default 1, at most the number of its tokens. */
  readonly logitsFrom?: number
}

export interface DecoderStep {
  /** Rows of the model's vocabulary, where the graph says. */
  readonly vocabSize: number | undefined
  /** Rows that one call takes; the scheduler never gives more. */
  readonly rowsMax: number
  /** An empty slot. There are never more of them at once than the scheduler has slots, parked ones apart. */
  readonly open: () => KvSlot
  /** Forgets all but the first `length` tokens; false where that cannot be done, and then nothing is changed. */
  readonly cutBack: (slot: KvSlot, length: number) => boolean
  /** Puts a slot that is kept for later out of the way: it takes no place among those that run. */
  readonly park: (slot: KvSlot) => void
  /** Brings a parked slot back. */
  readonly unpark: (slot: KvSlot) => void
  /**
   * Another slot, with the same tokens; each goes its own way from then on. It runs, whether the first is parked or not.
   *
   * @param length copies only so many of them; look at the copy's `length`, for where `cutBack` cannot be done it has all
   */
  readonly fork: (slot: KvSlot, length?: number) => KvSlot
  /** A copy of a slot's tokens from `from` up to `to`; undefined where they lie on a device and cannot be cut. */
  readonly save: (slot: KvSlot, from: number, to: number) => KvSegment | undefined
  /** Puts what was saved behind a slot, in this order. */
  readonly load: (slot: KvSlot, segments: ReadonlyArray<KvSegment>) => void
  /** Bytes at most that the running slots take together while they grow to these lengths. */
  readonly bytesFor: (lengths: ReadonlyArray<number>) => number
  readonly release: (slot: KvSlot) => void
  /**
   * Appends each row's tokens to its slot and gives the logits after each row's last `logitsFrom` tokens, the earliest
   * first, one behind the other; they are the caller's to change.
   * No slot may be touched until it is over.
   */
  readonly run: (rows: ReadonlyArray<StepRow>) => Promise<ReadonlyArray<Float32Array>>
}
