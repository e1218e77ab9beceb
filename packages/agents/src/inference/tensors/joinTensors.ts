/**
 * The boundary between requests of their own and one batch: tensors are joined along the first axis, and cut again. Pure.
 */
import { Result, Schema } from "effect"
import { ELEMENT_ARRAYS, type NamedTensors, type TensorSpec, type TensorType, TensorValue } from "../../TensorValue.ts"

/** Why a graph cannot run requests as one batch, as a clause; undefined where it may. */
export const whyNoBatches = (
  takes: ReadonlyArray<TensorSpec>,
  gives: ReadonlyArray<TensorSpec>,
): string | undefined => {
  // Scalars are the batch's, such as a sampling rate: requests with equal ones share one.
  const input = takes.find(({ dims }) => dims.length > 0 && typeof dims[0] === "number")
  if (input !== undefined) return `the first axis of its input "${input.name}" has the fixed size ${input.dims[0]}`
  const output = gives.find(({ dims }) => dims.length === 0 || typeof dims[0] === "number")
  return output === undefined ? undefined : `the first axis of its output "${output.name}" is not that of a batch`
}

const isScalar = ({ dims }: TensorValue): boolean => dims.length === 0

/** The rows of a request: the size of its first axis, undefined where its inputs do not agree on one. */
export const rowsOf = (inputs: NamedTensors): number | undefined => {
  const sizes = new Set(
    Object.values(inputs)
      .filter((value) => !isScalar(value))
      .map(({ dims }) => dims[0]),
  )
  const [rows] = sizes
  // A request without rows has no part of a batch that could be cut out again.
  return sizes.size === 1 && rows !== undefined && rows > 0 ? rows : undefined
}

/** Requests with equal keys may share a batch. */
export const batchKey = (inputs: NamedTensors, outputs: ReadonlyArray<string> | undefined): string =>
  JSON.stringify([
    Object.entries(inputs)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [name, isScalar(value) ? String(value.data[0]) : value.dims.slice(1)]),
    outputs ?? null,
  ])

type Elements = TensorValue["data"]

/** The elements of tensors of one type, one tensor's behind the other's. */
const joinElements = (type: TensorType, parts: ReadonlyArray<Elements>): Elements => {
  if (type === "string") return parts.flatMap((part) => (ArrayBuffer.isView(part) ? [] : part))
  const views = parts.filter((part) => ArrayBuffer.isView(part))
  const bytes = new Uint8Array(views.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const { buffer, byteLength, byteOffset } of views) {
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at)
    at += byteLength
  }
  return new ELEMENT_ARRAYS[type](bytes.buffer)
}

const product = (sizes: ReadonlyArray<number>): number => sizes.reduce((a, b) => a * b, 1)

/** Checked, because a type and its array belong together. */
const makeTensor = Schema.decodeUnknownSync(TensorValue)

/** Requests of equal `batchKey` as one. */
export const joinTensors = (requests: ReadonlyArray<NamedTensors>): NamedTensors => {
  const [first] = requests
  if (first === undefined || requests.length === 1) return first ?? {}
  const joined: Record<string, TensorValue> = {}
  for (const [name, value] of Object.entries(first)) {
    const parts = requests.map((request) => request[name]).filter((part) => part !== undefined)
    const rows = parts.reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0)
    const { dims, type } = value
    const data = () =>
      joinElements(
        type,
        parts.map((part) => part.data),
      )
    joined[name] = isScalar(value) ? value : makeTensor({ type, dims: [rows, ...dims.slice(1)], data: data() })
  }
  return joined
}

/**
 * Each request's part of what a batch gave.
 *
 * @param rows of each request, in order
 * @returns a clause where an output is not one row for each of the batch's
 */
export const cutTensors = (
  outputs: NamedTensors,
  rows: ReadonlyArray<number>,
): Result.Result<ReadonlyArray<NamedTensors>, string> => {
  if (rows.length === 1) return Result.succeed([outputs])
  const total = rows.reduce((a, b) => a + b, 0)
  const cut: ReadonlyArray<Record<string, TensorValue>> = rows.map(() => ({}))
  for (const [name, { data, dims, type }] of Object.entries(outputs)) {
    if (dims[0] !== total) {
      return Result.fail(`output "${name}" has ${dims[0]} rows for a batch of ${total}; set batchMax to 1`)
    }
    const perRow = product(dims.slice(1))
    let at = 0
    for (const [index, count] of rows.entries()) {
      const part = data.slice(at * perRow, (at + count) * perRow)
      cut[index]![name] = makeTensor({ type, dims: [count, ...dims.slice(1)], data: part })
      at += count
    }
  }
  return Result.succeed(cut)
}
