/**
 * The boundary between what is decided about requests (`Scheduler`, `Generation`) and how a graph is fed: a step takes
 * rows, each a cache and the tokens to put after it, and gives each row's logits. Whether rows run one by one or as one
 * batch, and how a cache lies in memory, is known only behind it.
 */

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
  readonly release: (slot: KvSlot) => void
  /**
   * Appends each row's tokens to its slot and gives the logits after each row's last token, the caller's to change.
   * No slot may be touched until it is over.
   */
  readonly run: (rows: ReadonlyArray<StepRow>) => Promise<ReadonlyArray<Float32Array>>
}
