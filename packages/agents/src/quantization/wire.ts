/**
 * The boundary to small messages of protobuf as values: each field with what it holds. (`inference/graph/protobuf` says where
 * fields lie.)
 */
import { bytesOf, readFields as findFields, readVarint } from "../inference/graph/protobuf.ts"

export interface Field {
  readonly number: number
  readonly wireType: number
  /** What the field holds, its tag and length left out. */
  readonly content: Uint8Array
}

/** The fields of a message that is in memory. */
export const readFields = function* (bytes: Uint8Array): Generator<Field> {
  for (const field of findFields(bytes)) {
    yield { number: field.number, wireType: field.wireType, content: bytesOf(bytes, field) }
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
