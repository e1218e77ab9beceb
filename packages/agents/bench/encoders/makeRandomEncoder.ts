/**
 * The boundary to an encoder of a usual size that nobody has to download: MiniLM's shape (6 layers, 384 wide, 12 heads) with
 * random weights, behind the tokenizer of a committed model. What it says means nothing; how long it takes does.
 */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  type Attributes,
  encodeCall,
  encodeConstant,
  encodeInlineTensor,
  encodeInput,
  encodeOpset,
  encodeOutput,
} from "../../src/inference/graph/encodeOnnx.ts"
import { encodeField, encodeNumber } from "../../src/inference/graph/protobuf.ts"

const LAYERS = 6
const WIDTH = 384
const HEADS = 12
const INNER = 1536
const PLACES = 128
const LABELS = 8
const FLOAT = 1
const INT64 = 7

/** The fields of a graph, as they are made. */
class GraphFields {
  readonly fields: Array<Uint8Array> = []
  readonly #constants = new Set<string>()
  #seed = 1

  op(opType: string, inputs: ReadonlyArray<string>, attributes: Attributes = {}, output = `x${this.fields.length}`) {
    this.fields.push(encodeCall(opType, inputs, output, attributes))
    return output
  }

  ints(...values: ReadonlyArray<number>): string {
    const name = `ints_${values.join("_")}`
    if (!this.#constants.has(name)) this.fields.push(encodeConstant(name, values))
    this.#constants.add(name)
    return name
  }

  floats(name: string, dims: ReadonlyArray<number>, valueAt: () => number): string {
    const values = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, valueAt)
    this.fields.push(encodeInlineTensor({ name, dims, elementType: FLOAT }, values.byteLength))
    this.fields.push(new Uint8Array(values.buffer))
    return name
  }

  /** Uniform with mean 0, and of a size that keeps numbers in their range from layer to layer. */
  weight(name: string, rows: number, columns: number): string {
    const scale = Math.sqrt(3 / rows)
    return this.floats(name, [rows, columns], () => {
      this.#seed = (this.#seed * 48_271) % 2_147_483_647
      return scale * ((2 * this.#seed) / 2_147_483_647 - 1)
    })
  }
}

const norm = (graph: GraphFields, x: string, name: string): string => {
  const scale = graph.floats(`${name}.scale`, [WIDTH], () => 1)
  return graph.op("LayerNormalization", [x, scale, graph.floats(`${name}.bias`, [WIDTH], () => 0)], { axis: 2 })
}

const linear = (graph: GraphFields, x: string, name: string, rows: number, columns: number): string => {
  const product = graph.op("MatMul", [x, graph.weight(name, rows, columns)])
  return graph.op("Add", [product, graph.floats(`${name}.bias`, [columns], () => 0)])
}

const layer = (graph: GraphFields, x: string, bias: string, name: string): string => {
  const split = graph.ints(0, 0, HEADS, WIDTH / HEADS)
  const part = (kind: string, perm: ReadonlyArray<number>) =>
    graph.op("Transpose", [graph.op("Reshape", [linear(graph, x, `${name}.${kind}`, WIDTH, WIDTH), split])], { perm })
  const raw = graph.op("MatMul", [part("q", [0, 2, 1, 3]), part("k", [0, 2, 3, 1])])
  const scores = graph.op("Add", [graph.op("Div", [raw, "scale"]), bias])
  const mixed = graph.op("MatMul", [graph.op("Softmax", [scores], { axis: 3 }), part("v", [0, 2, 1, 3])])
  const joined = graph.op("Reshape", [graph.op("Transpose", [mixed], { perm: [0, 2, 1, 3] }), graph.ints(0, 0, WIDTH)])
  const attended = norm(graph, graph.op("Add", [x, linear(graph, joined, `${name}.o`, WIDTH, WIDTH)]), `${name}.norm1`)
  const up = linear(graph, attended, `${name}.up`, WIDTH, INNER)
  const erf = graph.op("Add", [graph.op("Erf", [graph.op("Div", [up, "root2"])]), "one"])
  const gelu = graph.op("Mul", [graph.op("Mul", [up, erf]), "half"])
  return norm(graph, graph.op("Add", [attended, linear(graph, gelu, `${name}.down`, INNER, WIDTH)]), `${name}.norm2`)
}

const encodeGraph = (vocabSize: number): Uint8Array => {
  const graph = new GraphFields()
  for (const [name, value] of Object.entries({
    scale: Math.sqrt(WIDTH / HEADS),
    root2: Math.SQRT2,
    one: 1,
    half: 0.5,
    far: 1e9,
  })) {
    graph.floats(name, [1], () => value)
  }
  const length = graph.op("Slice", [graph.op("Shape", ["input_ids"]), graph.ints(1), graph.ints(2)])
  const words = graph.op("Gather", [graph.weight("words", vocabSize, WIDTH), "input_ids"])
  const places = graph.op("Slice", [graph.weight("places", PLACES, WIDTH), graph.ints(0), length])
  let x = norm(graph, graph.op("Add", [words, places]), "norm0")
  const shown = graph.op("Cast", [graph.op("Unsqueeze", ["attention_mask", graph.ints(1, 2)])], { to: FLOAT })
  const bias = graph.op("Mul", [graph.op("Sub", [shown, "one"]), "far"])
  for (let index = 0; index < LAYERS; index++) x = layer(graph, x, bias, `layer${index}`)
  const first = graph.op("Squeeze", [
    graph.op("Slice", [x, graph.ints(0), graph.ints(1), graph.ints(1)]),
    graph.ints(1),
  ])
  graph.op("MatMul", [first, graph.weight("classes", WIDTH, LABELS)], {}, "logits")
  const inputs = ["input_ids", "attention_mask"].map((name) => encodeInput(name, INT64, ["batch", "length"]))
  const all = [...graph.fields, encodeField(2, "encoder"), ...inputs, encodeOutput("logits", FLOAT)]
  return Buffer.concat([encodeNumber(1, 8), encodeOpset("", 17), encodeField(7, ...all)])
}

/** Writes it to `folder`. @param tokenizerFolder whose tokenizer it gets, of `vocabSize` tokens */
export const makeRandomEncoder = (folder: string, tokenizerFolder: string, vocabSize: number): void => {
  mkdirSync(join(folder, "onnx"), { recursive: true })
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    copyFileSync(join(tokenizerFolder, file), join(folder, file))
  const labels = Array.from({ length: LABELS }, (_, at) => [String(at), `LABEL_${at}`])
  const config = {
    ...{ architectures: ["BertForSequenceClassification"], model_type: "bert", vocab_size: vocabSize },
    ...{ hidden_size: WIDTH, num_hidden_layers: LAYERS, num_attention_heads: HEADS, max_position_embeddings: PLACES },
    id2label: Object.fromEntries(labels),
  }
  writeFileSync(join(folder, "config.json"), JSON.stringify(config))
  writeFileSync(join(folder, "onnx", "model.onnx"), encodeGraph(vocabSize))
}
