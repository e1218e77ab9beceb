/**
 * The boundary between a graph's logits, in whatever floats it gives them, and the 32-bit floats that tokens are chosen by.
 */
import type { Tensor } from "onnxruntime-node"

/** Half precision without a Float16Array (Node 22 has none, and onnxruntime-node gives the bits). */
const fromHalf = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Every 16-bit float there is, 256 KiB: made when the first graph gives some. */
let halves: Float32Array | undefined

/** 16-bit floats, as bits, as 32-bit ones: a look-up costs a sixth of the arithmetic, and a step has rows times vocabulary. */
export const widenHalves = (bits: Uint16Array): Float32Array => {
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, half) => fromHalf(half))
  const wide = new Float32Array(bits.length)
  for (let at = 0; at < bits.length; at++) wide[at] = halves[bits[at]!]!
  return wide
}

/** All logits of a tensor, the caller's to change. Throws where they are no floats. */
export const logitsOf = (tensor: Tensor | undefined): Float32Array => {
  const data = tensor?.data
  if (data instanceof Float32Array) return data
  if (data instanceof Uint16Array) return widenHalves(data)
  if (data instanceof Float64Array) return Float32Array.from(data)
  throw new TypeError(`the graph gave ${tensor?.type ?? "nothing"} for logits, which are no floats`)
}
