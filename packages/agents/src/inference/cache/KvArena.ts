/**
 * The boundary of the memory that attention looks back on: one buffer for each layer's keys and values,
 * `[row, heads, capacity, headDim]`, of which any first rows, or any single row, are a tensor without being copied.
 *
 * The rows in use are always the first ones: when one goes, the last takes its place. Attention costs capacity and not
 * length, so the capacity is the smallest multiple of `CAPACITY_STEP` that the longest row needs, and grows with it.
 */

import { type KvNumbers, type KvSegment, type KvShape, makeKvNumbers, shapeBytes, sliceSegment } from "./KvSegment.ts"

/** Copying everything for a new capacity once in 64 tokens costs less than 2 % of the steps in between. */
export const CAPACITY_STEP = 64

export class KvArena {
  readonly #shapes: ReadonlyArray<KvShape>
  readonly #rowsMax: number
  #buffers: ReadonlyArray<ReturnType<typeof makeKvNumbers>>
  /** Bytes that a token's keys and values take. */
  readonly bytesPerToken: number
  #capacity = CAPACITY_STEP
  /** Rows that have been in use since the buffers were made. */
  #rowsTouched = 0
  /** Tokens in each row in use. */
  #lengths: Array<number> = []

  /**
   * @param shapes of each buffer: two a layer
   * @param rowsMax how many sequences there may be at once
   */
  constructor(shapes: ReadonlyArray<KvShape>, rowsMax: number) {
    this.#shapes = shapes
    this.#rowsMax = rowsMax
    this.bytesPerToken = shapes.reduce((bytes, shape) => bytes + shapeBytes(shape), 0)
    this.#buffers = shapes.map((shape) => this.#allocate(shape, CAPACITY_STEP))
  }

  get capacity(): number {
    return this.#capacity
  }

  /**
   * Bytes at most while rows grow to these lengths. Counted as a rectangle, as wide as the longest; rows that were never in
   * use since the buffers were made take no memory, for nobody has touched their pages.
   */
  bytesFor(lengths: ReadonlyArray<number>): number {
    const rows = lengths.length
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0)
    const wanted = Math.ceil(longest / CAPACITY_STEP) * CAPACITY_STEP
    if (wanted <= this.#capacity) return Math.max(rows, this.#rowsTouched) * this.#capacity * this.bytesPerToken
    // While it grows, one buffer is there twice.
    const before = Math.max(this.#rowsTouched * this.#capacity, rows * (wanted - CAPACITY_STEP))
    const widest = this.#shapes.reduce((most, shape) => Math.max(most, shapeBytes(shape)), 0)
    return rows * wanted * this.bytesPerToken + before * widest
  }

  /** Bytes of the rows that have been in use since the buffers were made: what they take now. */
  get touchedBytes(): number {
    return this.#rowsTouched * this.#capacity * this.bytesPerToken
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
    this.#rowsTouched = Math.max(this.#rowsTouched, this.#lengths.length)
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
    // Nothing is in it: the next sequence need not pay for the last one's length, nor for the memory of the others' rows.
    if (this.#lengths.length === 0 && (this.#capacity > CAPACITY_STEP || this.#rowsTouched > 1)) {
      this.#capacity = CAPACITY_STEP
      this.#buffers = this.#shapes.map((shape) => this.#allocate(shape, CAPACITY_STEP))
      this.#rowsTouched = 0
    }
    return row < last ? last : undefined
  }

  /** Forgets all but the first `length` tokens of a row. */
  cutRow(row: number, length: number): void {
    this.#lengths[row] = Math.min(length, this.lengthOf(row))
  }

  /** Rows `from` to `to` of a buffer, as they lie there. */
  view(buffer: number, from: number, to: number): KvNumbers {
    const size = this.#rowSize(buffer)
    return this.#buffers[buffer]!.subarray(from * size, to * size)
  }

  /**
   * Puts new tokens behind a row.
   *
   * @param fresh for each buffer, its `[batch, heads, tokens, headDim]`
   * @param at which of the batch is this row's
   */
  append(row: number, fresh: ReadonlyArray<KvNumbers>, at: number, tokens: number): void {
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

  /** A copy of a row's tokens from `from` up to `to` that outlives it. */
  save(row: number, from = 0, to: number = this.lengthOf(row)): KvSegment {
    const buffers = this.#shapes.map((_, index) => this.view(index, row, row + 1))
    return sliceSegment({ length: this.#capacity, shapes: this.#shapes, buffers }, from, to)
  }

  /** Puts the first `tokens` of a segment behind a row. */
  load(row: number, segment: KvSegment, tokens: number = segment.length): void {
    const whole = tokens === segment.length
    this.append(row, (whole ? segment : sliceSegment(segment, 0, tokens)).buffers, 0, tokens)
  }

  /** A new row that holds the first `length` tokens of another. */
  forkRow(from: number, length: number = this.lengthOf(from)): number {
    const row = this.addRow()
    for (const [index, { headDim, heads }] of this.#shapes.entries()) {
      const buffer = this.#buffers[index]!
      for (let head = 0; head < heads; head++) {
        const start = (from * heads + head) * this.#capacity * headDim
        buffer.copyWithin((row * heads + head) * this.#capacity * headDim, start, start + length * headDim)
      }
    }
    this.#lengths[row] = length
    return row
  }

  #rowSize(buffer: number): number {
    const { headDim, heads } = this.#shapes[buffer]!
    return heads * this.#capacity * headDim
  }

  #allocate({ headDim, heads, type }: KvShape, capacity: number) {
    return makeKvNumbers(type, this.#rowsMax * heads * capacity * headDim)
  }

  /** Makes room for rows of `length`: every row moves, because their distance grows. */
  #reserve(length: number): void {
    if (length <= this.#capacity) return
    const capacity = Math.ceil(length / CAPACITY_STEP) * CAPACITY_STEP
    this.#buffers = this.#buffers.map((old, index) => {
      const shape = this.#shapes[index]!
      const wider = this.#allocate(shape, capacity)
      for (const [row, used] of this.#lengths.entries()) {
        for (let head = 0; head < shape.heads; head++) {
          const at = row * shape.heads + head
          const from = at * this.#capacity * shape.headDim
          wider.set(old.subarray(from, from + used * shape.headDim), at * capacity * shape.headDim)
        }
      }
      // Gives its memory back now: a collector that comes later would let all buffers be there twice.
      old.buffer.transfer(0)
      return wider
    })
    this.#capacity = capacity
    this.#rowsTouched = this.#lengths.length
  }
}
