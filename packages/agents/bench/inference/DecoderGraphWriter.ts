/**
 * The boundary between the arithmetic of a llama-like decoder and the bytes of an ONNX file as exporters write it:
 * `past_key_values.*` in, `present.* = Concat(past, new)` out, attention_mask and position_ids, weights inline.
 *
 * Field numbers: onnx.proto3 of ONNX 1.12.
 */
import {
  type Attributes,
  encodeCall,
  encodeConstant,
  encodeInput,
  encodeOutput,
} from "../../src/inference/graph/encodeOnnx.ts"
import { encodeField, encodeHead, encodeNumber } from "../../src/inference/graph/protobuf.ts"

const FLOAT = 1
const INT8 = 3
const INT64 = 7
const GRAPH_INITIALIZER = 5
/** IR version 8 and operator set 17: what exporters of 2023 write, and every onnxruntime reads. */
const IR_VERSION = 8
const OPSET = 17

export interface DecoderShape {
  readonly layers: number
  readonly width: number
  readonly heads: number
  readonly inner: number
  readonly vocab: number
  readonly positions: number
}

/** Numbers in [-0.5, 0.5) that look random and are the same every time: Marsaglia's xorshift32. */
const makeNoise = (seed: number) => {
  let state = seed
  return (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32 - 0.5
  }
}

const bytesOfArray = (values: Float32Array | Int8Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

export class DecoderGraphWriter {
  readonly #parts: Array<Uint8Array> = []
  readonly #made = new Set<string>()
  readonly #noise = makeNoise(7)
  readonly #shape: DecoderShape
  readonly #quantised: boolean
  #count = 0

  /** @param quantised products by `MatMulInteger` over activations quantised as they run, as onnxruntime's tool makes them */
  constructor(shape: DecoderShape, quantised: boolean) {
    this.#shape = shape
    this.#quantised = quantised
  }

  /** The file, in pieces that stand one behind the other. */
  write(): ReadonlyArray<Uint8Array> {
    const { layers, vocab, width } = this.#shape
    const ids = this.#input("input_ids", INT64, ["batch", "length"])
    const { bias, tables } = this.#readInputs(ids)
    let x = this.#op("Gather", [this.#random("embedding", [vocab, width], 1), ids])
    for (let layer = 0; layer < layers; layer++) x = this.#writeBlock(x, layer, tables, bias)
    const head = this.#random("head", [width, vocab], 3 / Math.sqrt(width))
    this.#op("MatMul", [this.#norm(x), head], {}, "logits")
    this.#parts.push(encodeOutput("logits", FLOAT), encodeField(2, "decoder"))
    const opset = encodeField(8, encodeField(1, ""), encodeNumber(2, OPSET))
    const length = this.#parts.reduce((bytes, part) => bytes + part.length, 0)
    return [encodeNumber(1, IR_VERSION), encodeHead(7, length), ...this.#parts, opset]
  }

  #op(opType: string, inputs: ReadonlyArray<string>, attributes: Attributes = {}, name?: string): string {
    const output = name ?? `${opType}_${this.#count++}`
    this.#parts.push(encodeCall(opType, inputs, output, attributes))
    return output
  }

  #input(name: string, type: number, dims: ReadonlyArray<number | string>): string {
    this.#parts.push(encodeInput(name, type, dims))
    return name
  }

  #once(name: string, make: () => Uint8Array): string {
    if (!this.#made.has(name)) this.#parts.push(make())
    this.#made.add(name)
    return name
  }

  #ints(values: number | ReadonlyArray<number>): string {
    const name = typeof values === "number" ? `int_${values}` : `ints_${values.join("_")}`
    return this.#once(name, () => encodeConstant(name, values))
  }

  #tensor(name: string, dims: ReadonlyArray<number>, values: Float32Array | Int8Array): string {
    const sizes = dims.map((dim) => encodeNumber(1, dim))
    const type = encodeNumber(2, values instanceof Int8Array ? INT8 : FLOAT)
    return this.#once(name, () =>
      encodeField(GRAPH_INITIALIZER, ...sizes, type, encodeField(8, name), encodeField(9, bytesOfArray(values))),
    )
  }

  #scalar(value: number): string {
    return this.#tensor(`float_${value}`, [], Float32Array.of(value))
  }

  /** Weights of this standard deviation. */
  #random(name: string, dims: readonly [number, number], deviation: number): string {
    // A uniform distribution of width 1 deviates by 1 / sqrt(12).
    const scale = deviation * Math.sqrt(12)
    const values = new Float32Array(dims[0] * dims[1])
    for (let at = 0; at < values.length; at++) values[at] = this.#noise() * scale
    return this.#tensor(name, dims, values)
  }

  #product(x: string | readonly [string, string, string], name: string, dims: readonly [number, number]): string {
    const deviation = 1 / Math.sqrt(dims[0])
    if (typeof x === "string") return this.#op("MatMul", [x, this.#random(name, dims, deviation)])
    const [values, step, zero] = x
    const whole = new Int8Array(dims[0] * dims[1])
    for (let at = 0; at < whole.length; at++) whole[at] = Math.round(this.#noise() * 254)
    const sums = this.#op("MatMulInteger", [values, this.#tensor(name, dims, whole), zero])
    const scale = this.#scalar((deviation * Math.sqrt(12)) / 254)
    return this.#op("Mul", [this.#op("Cast", [sums], { to: FLOAT }), this.#op("Mul", [step, scale])])
  }

  /** What products of `x` take: itself, or its whole numbers, their step and their zero. */
  #activations(x: string): string | readonly [string, string, string] {
    if (!this.#quantised) return x
    const name = `quantised_${this.#count++}`
    const outputs = [`${name}_values`, `${name}_step`, `${name}_zero`] as const
    const fields = [encodeField(1, x), ...outputs.map((output) => encodeField(2, output))]
    this.#parts.push(encodeField(1, ...fields, encodeField(4, "DynamicQuantizeLinear")))
    return outputs
  }

  #norm(x: string): string {
    // `axes` is -1, which as protobuf's 64-bit integer has digits that `encodeCall` does not write: so the last axis of three.
    const mean = this.#op("ReduceMean", [this.#op("Mul", [x, x])], { axes: [2], keepdims: 1 })
    return this.#op("Div", [x, this.#op("Sqrt", [this.#op("Add", [mean, this.#scalar(1e-5)])])])
  }

  /** Rotary tables at the positions asked for, and what is added to scores: 0, or far below all where a key is not to be seen. */
  #readInputs(ids: string) {
    const { heads, positions, width } = this.#shape
    const mask = this.#input("attention_mask", INT64, ["batch", "total"])
    const places = this.#input("position_ids", INT64, ["batch", "length"])
    const half = width / heads / 2
    const total = this.#op("Gather", [this.#op("Shape", [mask]), this.#ints(1)])
    const length = this.#op("Gather", [this.#op("Shape", [ids]), this.#ints(1)])
    const table = (name: string, wave: (angle: number) => number) => {
      const values = Float32Array.from({ length: positions * half }, (_, at) =>
        wave(Math.floor(at / half) * 10000 ** (-(at % half) / half)),
      )
      const rows = this.#op("Gather", [this.#tensor(name, [positions, half], values), places])
      return this.#op("Unsqueeze", [rows, this.#ints([1])])
    }
    const range = (from: string) => this.#op("Range", [from, total, this.#ints(1)])
    const own = this.#op("Unsqueeze", [range(this.#op("Sub", [total, length])), this.#ints([1])])
    const causal = this.#op("LessOrEqual", [this.#op("Unsqueeze", [range(this.#ints(0)), this.#ints([0])]), own])
    const real = this.#op("Unsqueeze", [this.#op("Cast", [mask], { to: 9 }), this.#ints([1, 2])])
    const seen = this.#op("And", [real, this.#op("Unsqueeze", [causal, this.#ints([0, 1])])])
    const bias = this.#op("Where", [seen, this.#scalar(0), this.#scalar(-1e9)])
    return { bias, tables: [table("cosines", Math.cos), table("sines", Math.sin)] as const }
  }

  #rotate(x: string, [cos, sin]: readonly [string, string]): string {
    const name = `halves_${this.#count++}`
    const outputs = [encodeField(2, `${name}_0`), encodeField(2, `${name}_1`)]
    const axis = encodeField(5, encodeField(1, "axis"), encodeNumber(3, 3), encodeNumber(20, 2))
    this.#parts.push(encodeField(1, encodeField(1, x), ...outputs, encodeField(4, "Split"), axis))
    const times = (part: number, by: string) => this.#op("Mul", [`${name}_${part}`, by])
    const first = this.#op("Sub", [times(0, cos), times(1, sin)])
    return this.#op("Concat", [first, this.#op("Add", [times(1, cos), times(0, sin)])], { axis: 3 })
  }

  #writeBlock(x: string, layer: number, tables: readonly [string, string], bias: string): string {
    const { heads, inner, width } = this.#shape
    const headDim = width / heads
    const normed = this.#activations(this.#norm(x))
    const split = (name: string) => {
      const flat = this.#product(normed, `${name}.${layer}`, [width, width])
      return this.#op("Transpose", [this.#op("Reshape", [flat, this.#ints([0, 0, heads, headDim])])], {
        perm: [0, 2, 1, 3],
      })
    }
    const append = (part: string, fresh: string) => {
      const past = this.#input(`past_key_values.${layer}.${part}`, FLOAT, ["batch", heads, "past", headDim])
      const present = this.#op("Concat", [past, fresh], { axis: 2 }, `present.${layer}.${part}`)
      this.#parts.push(encodeOutput(present, FLOAT))
      return present
    }
    const query = this.#rotate(split("q"), tables)
    const keys = this.#op("Transpose", [append("key", this.#rotate(split("k"), tables))], { perm: [0, 1, 3, 2] })
    const scores = this.#op("Mul", [this.#op("MatMul", [query, keys]), this.#scalar(headDim ** -0.5)])
    const weights = this.#op("Softmax", [this.#op("Add", [scores, bias])], { axis: 3 })
    const mixed = this.#op("Transpose", [this.#op("MatMul", [weights, append("value", split("v"))])], {
      perm: [0, 2, 1, 3],
    })
    const flat = this.#activations(this.#op("Reshape", [mixed, this.#ints([0, 0, width])]))
    const attended = this.#op("Add", [x, this.#product(flat, `o.${layer}`, [width, width])])
    const again = this.#activations(this.#norm(attended))
    const gate = this.#product(again, `gate.${layer}`, [width, inner])
    const swish = this.#op("Mul", [gate, this.#op("Sigmoid", [gate])])
    const gated = this.#op("Mul", [swish, this.#product(again, `up.${layer}`, [width, inner])])
    return this.#op("Add", [attended, this.#product(this.#activations(gated), `down.${layer}`, [inner, width])])
  }
}
