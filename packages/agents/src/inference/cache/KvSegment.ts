/**
 * The boundary of a stretch of cache apart from any row: the keys and values of some tokens in a row, which may be copied
 * into rows, cut in two and written to disk. Nobody writes into one once it is made. Pure.
 */

/** Elements of a cache: 32-bit floats, or the bits of 16-bit ones. */
export type KvNumbers = Float32Array | Uint16Array

export interface KvShape {
  readonly heads: number
  readonly headDim: number
  readonly type: "float32" | "float16"
}

export const makeKvNumbers = (
  type: KvShape["type"],
  length: number,
): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> =>
  type === "float32" ? new Float32Array(length) : new Uint16Array(length)

/** Bytes of one token in one buffer. */
export const shapeBytes = ({ headDim, heads, type }: KvShape): number => heads * headDim * (type === "float32" ? 4 : 2)

export interface KvSegment {
  /** Tokens in it. */
  readonly length: number
  /** Of each buffer: two a layer. */
  readonly shapes: ReadonlyArray<KvShape>
  /** Each `[heads, length, headDim]`. */
  readonly buffers: ReadonlyArray<KvNumbers>
}

export const segmentBytes = (segment: KvSegment): number =>
  segment.buffers.reduce((bytes, buffer) => bytes + buffer.byteLength, 0)

/** A copy of the tokens from `from` up to `to`. A view would hold on to the memory of the whole. */
export const sliceSegment = (segment: KvSegment, from: number, to: number): KvSegment => {
  const length = to - from
  const buffers = segment.buffers.map((buffer, index) => {
    const { headDim, heads, type } = segment.shapes[index]!
    const copy = makeKvNumbers(type, heads * length * headDim)
    for (let head = 0; head < heads; head++) {
      const start = head * segment.length
      copy.set(buffer.subarray((start + from) * headDim, (start + to) * headDim), head * length * headDim)
    }
    return copy
  })
  return { length, shapes: segment.shapes, buffers }
}

/** One segment of several that follow each other; undefined of none. */
export const joinSegments = (segments: ReadonlyArray<KvSegment>): KvSegment | undefined => {
  const first = segments[0]
  if (first === undefined || segments.length === 1) return first
  const length = segments.reduce((sum, segment) => sum + segment.length, 0)
  const buffers = first.shapes.map(({ headDim, heads, type }, index) => {
    const whole = makeKvNumbers(type, heads * length * headDim)
    let at = 0
    for (const { buffers, length: tokens } of segments) {
      for (let head = 0; head < heads; head++) {
        const part = buffers[index]!.subarray(head * tokens * headDim, (head + 1) * tokens * headDim)
        whole.set(part, (head * length + at) * headDim)
      }
      at += tokens
    }
    return whole
  })
  return { length, shapes: first.shapes, buffers }
}
