/**
 * The boundary of the memory that attention looks back on: one buffer for each layer's keys and values,
 * `[row, heads, capacity, headDim]`, of which any first rows, or any single row, are a tensor without being copied.
 *
 * The rows in use are always the first ones: when one goes, the last takes its place. Attention costs capacity and not
 * length, so the capacity is the smallest multiple of `CAPACITY_STEP` that the longest row needs, and grows with it.
 */

/** Copying everything for a new capacity once in 64 tokens costs less than 2 % of the steps in between. */
const CAPACITY_STEP = 64

export interface KvShape {
  readonly heads: number
  readonly headDim: number
}

/** The keys and values of one sequence, apart from any arena: each buffer's `[heads, length, headDim]`. */
export interface ParkedRow {
  readonly length: number
  readonly buffers: ReadonlyArray<Float32Array>
}

export class KvArena {
  readonly #shapes: ReadonlyArray<KvShape>
  readonly #rowsMax: number
  #buffers: ReadonlyArray<Float32Array>
  #capacity = CAPACITY_STEP
  /** Tokens in each row in use. */
  #lengths: Array<number> = []

  /**
   * @param shapes of each buffer: two a layer
   * @param rowsMax how many sequences there may be at once
   */
  constructor(shapes: ReadonlyArray<KvShape>, rowsMax: number) {
    this.#shapes = shapes
    this.#rowsMax = rowsMax
    this.#buffers = this.#allocate(this.#capacity)
  }

  get capacity(): number {
    return this.#capacity
  }

  get rows(): number {
    return this.#lengths.length
  }

  lengthOf(row: number): number {
    return this.#lengths[row] ?? 0
  }

  /** A new, empty row: the one after those in use. */
  addRow(): number {
    if (this.#lengths.length >= this.#rowsMax) throw new RangeError(`all ${this.#rowsMax} rows are in use`)
    this.#lengths.push(0)
    return this.#lengths.length - 1
  }

  /** Gives a row back. @returns the row that was moved into its place, where one was */
  removeRow(row: number): number | undefined {
    const last = this.#lengths.length - 1
    if (row < last) {
      for (const [index, buffer] of this.#buffers.entries()) {
        const size = this.#rowSize(index)
        buffer.copyWithin(row * size, last * size, (last + 1) * size)
      }
      this.#lengths[row] = this.lengthOf(last)
    }
    this.#lengths.pop()
    // Nothing is in it: the next sequence need not pay for the last one's length.
    if (this.#lengths.length === 0 && this.#capacity > CAPACITY_STEP) {
      this.#capacity = CAPACITY_STEP
      this.#buffers = this.#allocate(this.#capacity)
    }
    return row < last ? last : undefined
  }

  /** Forgets all but the first `length` tokens of a row. */
  cutRow(row: number, length: number): void {
    this.#lengths[row] = Math.min(length, this.lengthOf(row))
  }

  /** Rows `from` to `to` of a buffer, as they lie there. */
  view(buffer: number, from: number, to: number): Float32Array {
    const size = this.#rowSize(buffer)
    return this.#buffers[buffer]!.subarray(from * size, to * size)
  }

  /**
   * Puts new tokens behind a row.
   *
   * @param fresh for each buffer, its `[batch, heads, tokens, headDim]`
   * @param at which of the batch is this row's
   */
  append(row: number, fresh: ReadonlyArray<Float32Array>, at: number, tokens: number): void {
    const length = this.lengthOf(row)
    this.#reserve(length + tokens)
    for (const [index, { headDim, heads }] of this.#shapes.entries()) {
      const source = fresh[index]!
      const target = this.#buffers[index]!
      for (let head = 0; head < heads; head++) {
        const from = (at * heads + head) * tokens * headDim
        const to = ((row * heads + head) * this.#capacity + length) * headDim
        target.set(source.subarray(from, from + tokens * headDim), to)
      }
    }
    this.#lengths[row] = length + tokens
  }

  /** A copy of a row that outlives it. */
  park(row: number): ParkedRow {
    const length = this.lengthOf(row)
    const buffers = this.#shapes.map(({ headDim, heads }, index) => {
      const copy = new Float32Array(heads * length * headDim)
      for (let head = 0; head < heads; head++) {
        const from = (row * heads + head) * this.#capacity * headDim
        copy.set(this.#buffers[index]!.subarray(from, from + length * headDim), head * length * headDim)
      }
      return copy
    })
    return { length, buffers }
  }

  /** Puts a parked row into a new one. */
  unpark(parked: ParkedRow): number {
    const row = this.addRow()
    this.append(row, parked.buffers, 0, parked.length)
    return row
  }

  #rowSize(buffer: number): number {
    const { headDim, heads } = this.#shapes[buffer]!
    return heads * this.#capacity * headDim
  }

  #allocate(capacity: number): ReadonlyArray<Float32Array> {
    return this.#shapes.map(({ headDim, heads }) => new Float32Array(this.#rowsMax * heads * capacity * headDim))
  }

  /** Makes room for rows of `length`: every row moves, because their distance grows. */
  #reserve(length: number): void {
    if (length <= this.#capacity) return
    const capacity = Math.ceil(length / CAPACITY_STEP) * CAPACITY_STEP
    const wider = this.#allocate(capacity)
    for (const [index, { headDim, heads }] of this.#shapes.entries()) {
      const old = this.#buffers[index]!
      for (const [row, used] of this.#lengths.entries()) {
        for (let head = 0; head < heads; head++) {
          const from = (row * heads + head) * this.#capacity * headDim
          wider[index]!.set(old.subarray(from, from + used * headDim), (row * heads + head) * capacity * headDim)
        }
      }
    }
    this.#capacity = capacity
    this.#buffers = wider
  }
}
