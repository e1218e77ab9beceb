/**
 * The boundary to protobuf's wire format: walks over a message's fields without copying what is in them, and writes
 * fields. (The package onnx-proto reads these files too, but turns every weight into an object first.)
 *
 * https://protobuf.dev/programming-guides/encoding
 */

export const LENGTH_DELIMITED = 2

export interface Field {
  readonly number: number
  readonly wireType: number
  /** Where the field begins, tag included. */
  readonly start: number
  /** Where its content begins and ends; for a number, where its digits are. */
  readonly content: number
  readonly end: number
}

/** A base-128 number at `at`, and where it ends. Lengths of files that fit into memory fit into a double. */
export const readVarint = (bytes: Uint8Array, at: number): { readonly value: number; readonly end: number } => {
  let value = 0
  let factor = 1
  let end = at
  for (;;) {
    const byte = bytes[end]
    if (byte === undefined || end - at > 9) throw new RangeError("not a protobuf: a number does not end")
    end++
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return { value, end }
    factor *= 128
  }
}

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

/** Reads how a field begins; its content need not be in memory. Throws `RangeError` where the bytes are none. */
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
  if (fixed === undefined) throw new RangeError(`not a protobuf: a field of wire type ${wireType}`)
  return { number, wireType, headBytes: tag.end - at, contentBytes: fixed }
}

/** The fields of a message in order. Throws `RangeError` where the bytes are none. */
export const readFields = function* (bytes: Uint8Array): Generator<Field> {
  let start = 0
  while (start < bytes.length) {
    const { contentBytes, headBytes, number, wireType } = readHead(bytes, start)
    const content = start + headBytes
    const end = content + contentBytes
    if (end > bytes.length) throw new RangeError("not a protobuf: a field is cut off")
    yield { number, wireType, start, content, end }
    start = end
  }
}

export const bytesOf = (bytes: Uint8Array, field: Field): Uint8Array => bytes.subarray(field.content, field.end)

export const textOf = (bytes: Uint8Array, field: Field): string => Buffer.from(bytesOf(bytes, field)).toString("utf8")

export const encodeVarint = (value: number): ReadonlyArray<number> => {
  const bytes: Array<number> = []
  let rest = value
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  return [...bytes, rest]
}

/** A field that holds a non-negative integer. */
export const encodeNumber = (number: number, value: number): Uint8Array =>
  Uint8Array.from([...encodeVarint(number * 8), ...encodeVarint(value)])

/** What stands before a string or a message of `length` bytes. */
export const encodeHead = (number: number, length: number): Uint8Array =>
  Uint8Array.from([...encodeVarint(number * 8 + LENGTH_DELIMITED), ...encodeVarint(length)])

/** A field that holds a string or a message, in pieces that stand one behind the other. */
export const encodeField = (number: number, ...content: ReadonlyArray<Uint8Array | string>): Uint8Array => {
  const pieces = content.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece))
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  return Buffer.concat([encodeHead(number, length), ...pieces])
}
