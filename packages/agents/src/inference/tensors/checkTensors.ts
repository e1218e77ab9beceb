/**
 * The boundary between tensors that somebody made and a graph that expects others: what is wrong with them, in one clause.
 * Pure. The host looks at names, types and sizes before it sends; the model's process looks at the numbers, because it
 * has the time.
 */
import { Schema } from "effect"
import { ELEMENT_ARRAYS, type NamedTensors, type TensorSpec, type TensorType, TensorValue } from "../../TensorValue.ts"

const shown = (dims: ReadonlyArray<number | string>): string =>
  `[${dims.map((size) => (size === "" ? "any" : size)).join(", ")}]`

const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0

const isTensor = Schema.is(TensorValue)

const arrayOf = (type: TensorType): string =>
  type === "string" ? "an array of strings" : `of class ${ELEMENT_ARRAYS[type].name}`

/** What is wrong with one input. */
const checkTensor = ({ dims: wanted, name, type }: TensorSpec, value: TensorValue): string | undefined => {
  const input = `input "${name}"`
  if (value?.type !== type) return `${input} is ${value?.type}, and the graph takes ${type}`
  // Callers in plain JavaScript, and casts.
  if (!isTensor(value)) return `${input} is no tensor: \`dims\` must be whole numbers, and \`data\` ${arrayOf(type)}`
  const { dims } = value
  if (!dims.every(isSize)) return `${input} has the dimensions ${shown(dims)}; they must be whole numbers from 0 on`
  const fits =
    dims.length === wanted.length && wanted.every((size, at) => typeof size === "string" || size === dims[at])
  if (!fits) return `${input} has the dimensions ${shown(dims)}, and the graph takes ${shown(wanted)}`
  const size = dims.reduce((product, dim) => product * dim, 1)
  if (value.data.length === size) return undefined
  return `${input} has ${value.data.length} elements, and its dimensions ${shown(dims)} hold ${size}`
}

const quoted = (names: ReadonlyArray<string>): string => names.map((name) => `"${name}"`).join(", ")

/**
 * What is wrong with a request, as a clause; undefined where nothing is.
 *
 * @param outputs what is asked for, undefined where all of it is
 */
export const checkRequest = (
  inputs: NamedTensors,
  outputs: ReadonlyArray<string> | undefined,
  takes: ReadonlyArray<TensorSpec>,
  gives: ReadonlyArray<TensorSpec>,
): string | undefined => {
  const names = takes.map(({ name }) => name)
  const strange = Object.keys(inputs).find((name) => !names.includes(name))
  if (strange !== undefined) return `there is no input "${strange}"; the graph takes ${quoted(names)}`
  for (const spec of takes) {
    const value = inputs[spec.name]
    if (value === undefined) return `input "${spec.name}" is missing (${spec.type} ${shown(spec.dims)})`
    const wrong = checkTensor(spec, value)
    if (wrong !== undefined) return wrong
  }
  if (outputs?.length === 0) return "`outputs` asks for none; leave it out for all"
  const unknown = outputs?.find((name) => !gives.some((spec) => spec.name === name))
  return unknown === undefined
    ? undefined
    : `there is no output "${unknown}"; the graph gives ${quoted(gives.map(({ name }) => name))}`
}

/** All exponent bits set and a fraction: a NaN of 16 bits. */
const isHalfNaN = (bits: number): boolean => (bits & 0x7c00) === 0x7c00 && (bits & 0x03ff) !== 0

/** Where the first NaN is, -1 where there is none. */
const findNaN = (value: TensorValue): number => {
  if (value.type === "float32" || value.type === "float64") {
    const { data } = value
    // Loops, because `findIndex` calls a function for each of some million elements.
    for (let at = 0; at < data.length; at++) if (Number.isNaN(data[at])) return at
  }
  if (value.type === "float16") {
    const { data } = value
    for (let at = 0; at < data.length; at++) if (isHalfNaN(data[at]!)) return at
  }
  return -1
}

/** The first tensor that holds something that is not a number, as a clause; undefined where none does. */
export const checkNumbers = (tensors: NamedTensors, side: "input" | "output"): string | undefined => {
  for (const [name, value] of Object.entries(tensors)) {
    const at = findNaN(value)
    if (at >= 0) return `${side} "${name}" is not a number at element ${at}`
  }
  return undefined
}
