/** What is wrong with tensors, said in one clause; and what is not. */
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { NamedTensors, type TensorSpec, type TensorValue } from "../../src/index.ts"
import { checkNumbers, checkRequest } from "../../src/inference/tensors/checkTensors.ts"

const takes: ReadonlyArray<TensorSpec> = [
  { name: "image", type: "float32", dims: ["batch", 3, "", ""] },
  { name: "rate", type: "int64", dims: [] },
]
const gives: ReadonlyArray<TensorSpec> = [{ name: "found", type: "float32", dims: ["batch", 2] }]
const image: TensorValue = { type: "float32", dims: [1, 3, 2, 2], data: new Float32Array(12) }
const rate: TensorValue = { type: "int64", dims: [], data: BigInt64Array.of(16_000n) }
const wrong = (inputs: NamedTensors, outputs?: ReadonlyArray<string>) => checkRequest(inputs, outputs, takes, gives)
/** As a program without types has it. */
const untyped = (value: unknown): TensorValue => JSON.parse(JSON.stringify(value))

describe("tensors that a graph does not take", () => {
  it.each([
    [{ rate }, 'input "image" is missing (float32 [batch, 3, any, any])'],
    [{ image, rate, extra: rate }, 'there is no input "extra"; the graph takes "image", "rate"'],
    [{ image: rate, rate }, 'input "image" is int64, and the graph takes float32'],
    [
      { image: { ...image, dims: [3, 2, 2] }, rate },
      'input "image" has the dimensions [3, 2, 2], and the graph takes [batch, 3, any, any]',
    ],
    [
      { image: { ...image, dims: [1, 4, 1, 3] }, rate },
      'input "image" has the dimensions [1, 4, 1, 3], and the graph takes [batch, 3, any, any]',
    ],
    [
      { image: { ...image, dims: [1, 3, 2, 3] }, rate },
      'input "image" has 12 elements, and its dimensions [1, 3, 2, 3] hold 18',
    ],
    [
      { image: { ...image, dims: [-1, 3, -2, -2] }, rate },
      'input "image" has the dimensions [-1, 3, -2, -2]; they must be whole numbers from 0 on',
    ],
    [{ image, rate: { ...rate, dims: [1] } }, 'input "rate" has the dimensions [1], and the graph takes []'],
    [
      { image, rate: untyped({ type: "int64", dims: [], data: [16_000] }) },
      'input "rate" is no tensor: `dims` must be whole numbers, and `data` of class BigInt64Array',
    ],
    [{ image: untyped(null), rate }, 'input "image" is undefined, and the graph takes float32'],
    [
      { image: untyped({ type: "float32" }), rate },
      'input "image" is no tensor: `dims` must be whole numbers, and `data` of class Float32Array',
    ],
  ])("%#. are named", (inputs: NamedTensors, sentence) => {
    expect(wrong(inputs)).toBe(sentence)
  })
  it("and outputs that it does not give, or none", () => {
    expect(wrong({ image, rate }, ["lost"])).toBe('there is no output "lost"; the graph gives "found"')
    expect(wrong({ image, rate }, [])).toBe("`outputs` asks for none; leave it out for all")
    expect(wrong({ image, rate }, ["found"])).toBeUndefined()
    expect(wrong({ image, rate })).toBeUndefined()
  })
})

describe("numbers that are none", () => {
  it("are found in every float type, with their place", () => {
    const data = Float32Array.of(1, Number.NaN)
    expect(checkNumbers({ x: { type: "float32", dims: [2], data } }, "input")).toBe(
      'input "x" is not a number at element 1',
    )
    expect(checkNumbers({ x: { type: "float64", dims: [1], data: Float64Array.of(Number.NaN) } }, "output")).toContain(
      'output "x"',
    )
    expect(
      checkNumbers({ x: { type: "float16", dims: [2], data: Uint16Array.of(0x7c00, 0x7e00) } }, "input"),
    ).toContain("element 1")
  })
  it("and infinities are numbers: masks are made of them", () => {
    const data = Float32Array.of(Number.NEGATIVE_INFINITY)
    expect(checkNumbers({ x: { type: "float32", dims: [1], data } }, "input")).toBeUndefined()
    expect(checkNumbers({ x: { type: "float16", dims: [1], data: Uint16Array.of(0xfc00) } }, "input")).toBeUndefined()
  })
})

describe("tensors in the log", () => {
  const codec = Schema.toCodecJson(NamedTensors)
  const all: NamedTensors = {
    a: { type: "float32", dims: [2], data: Float32Array.of(1.5, -0) },
    b: { type: "float64", dims: [1], data: Float64Array.of(Math.PI) },
    c: { type: "int64", dims: [], data: BigInt64Array.of(-(2n ** 63n)) },
    d: { type: "float16", dims: [1], data: Uint16Array.of(0x3c00) },
    e: { type: "bool", dims: [2], data: Uint8Array.of(0, 1) },
    f: { type: "string", dims: [1], data: ["é"] },
    g: { type: "int8", dims: [0], data: new Int8Array(0) },
  }
  it("come back as they were", () => {
    const text = JSON.stringify(Schema.encodeSync(codec)(all))
    expect(Schema.decodeUnknownSync(codec)(JSON.parse(text))).toEqual(all)
  })
  it("are refused where their text is no whole elements", () => {
    const cut = { x: { type: "float32", dims: [1], data: "AAAA" } }
    expect(() => Schema.decodeUnknownSync(codec)(cut)).toThrow()
    expect(() => Schema.decodeUnknownSync(codec)({ x: { ...cut.x, data: "~~~~" } })).toThrow()
  })
})
