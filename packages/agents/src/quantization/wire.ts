/**
 * The boundary to messages of protobuf of which only the beginning of a field may be in memory, as of a weight of gigabytes,
 * and to small fields as values. (`inference/graph/protobuf` walks over messages that are in memory as a whole.)
 */
import { LENGTH_DELIMITED, readVarint } from "../inference/graph/protobuf.ts"

const VARINT = 0

/** Bytes that a fixed-width field has, by wire type. */
const FIXED_LENGTHS: Readonly<Record<number, number>> = { 1: 8, 5: 4 }

/** A tag and a length are at most this long together. */
export const HEAD_BYTES_MAX = 20

export interface FieldHead {
  readonly number: number
  readonly wireType: number
  /** Bytes of the tag, and of the length where there is one. */
  readonly headBytes: number
  /** Bytes of what follows; for a number, those of its digits. */
  readonly contentBytes: number
}

export interface Field {
  readonly number: number
  readonly wireType: number
  /** What the field holds, its tag and length left out. */
  readonly content: Uint8Array
}

const broken = (what: string) => new RangeError(`not a protobuf: ${what}`)

/** Reads where a field begins; throws a RangeError where the bytes are none. */
export const readHead = (bytes: Uint8Array, at: number): FieldHead => {
  const tag = readVarint(bytes, at)
  const wireType = tag.value % 8
  const number = Math.floor(tag.value / 8)
  if (wireType === VARINT) {
    return { number, wireType, headBytes: tag.end - at, contentBytes: readVarint(bytes, tag.end).end - tag.end }
  }
  if (wireType === LENGTH_DELIMITED) {
    const { end, value } = readVarint(bytes, tag.end)
    return { number, wireType, headBytes: end - at, contentBytes: value }
  }
  const fixed = FIXED_LENGTHS[wireType]
  if (fixed === undefined) throw broken(`a field of wire type ${wireType}`)
  return { number, wireType, headBytes: tag.end - at, contentBytes: fixed }
}

/** The fields of a message that is in memory. */
export const readFields = function* (bytes: Uint8Array): Generator<Field> {
  let at = 0
  while (at < bytes.length) {
    const { contentBytes, headBytes, number, wireType } = readHead(bytes, at)
    const end = at + headBytes + contentBytes
    if (end > bytes.length) throw broken("a field is cut off")
    yield { number, wireType, content: bytes.subarray(at + headBytes, end) }
    at = end
  }
}

export const textOf = (field: Field): string => Buffer.from(field.content).toString("utf8")
export const numberOf = (field: Field): number => readVarint(field.content, 0).value

/** A repeated number, packed or not. */
export const numbersOf = (field: Field): ReadonlyArray<number> => {
  const values: Array<number> = []
  let at = 0
  while (at < field.content.length) {
    const { end, value } = readVarint(field.content, at)
    values.push(value)
    at = end
  }
  return values
}
