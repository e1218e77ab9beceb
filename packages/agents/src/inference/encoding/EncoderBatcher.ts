/**
 * The boundary between texts and an encoder's steps: concurrent calls share batches, padding is masked, what does not fit
 * the model's length is cut and counted.
 */
import type { InferenceSession } from "onnxruntime-node"
import { Tensor } from "onnxruntime-node"
import type { Classification } from "../../EncoderTarget.ts"
import { type ChildMessage, type Encode, HEARTBEAT_MS } from "../../engine/protocol.ts"
import { type Pause, StepDelay } from "../scheduling/StepDelay.ts"
import type { ModelTokenizer } from "../text/ModelTokenizer.ts"
import type { EncoderGraph, IntegerType } from "./EncoderGraph.ts"
import { classify, meanOf, normalise, truncate } from "./encoding.ts"

interface Row {
  readonly request: Pending
  readonly index: number
  readonly tokenIds: ReadonlyArray<number>
  readonly cutTokens: number
}

interface Pending extends Encode {
  readonly classes: Array<Classification>
  readonly vectors: Array<ReadonlyArray<number>>
  rowsLeft: number
  cancelled: boolean
}

export interface EncoderBatcherOptions {
  readonly session: InferenceSession
  readonly graph: EncoderGraph
  readonly tokenizer: ModelTokenizer
  readonly lengthMax: number
  readonly batchTextsMax: number
  readonly tell: (message: ChildMessage) => void
  readonly now: () => number
  readonly pause: Pause
}

/** Rows of one batch as an input tensor, filled up to the longest with `pad`. */
const integers = (
  type: IntegerType,
  rows: ReadonlyArray<Row>,
  length: number,
  valueAt: (row: Row, at: number) => number,
): Tensor => {
  const values = rows.flatMap((row) => Array.from({ length }, (_, at) => valueAt(row, at)))
  const dims = [rows.length, length]
  return type === "int64"
    ? new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
    : new Tensor("int32", Int32Array.from(values), dims)
}

const floats = (tensor: Tensor): Float32Array =>
  tensor.data instanceof Float32Array
    ? tensor.data
    : Float32Array.from({ length: tensor.size }, (_, at) => Number(tensor.data[at]))

const vectorOf = (output: Tensor, pooled: boolean, at: number, tokens: number): ReadonlyArray<number> => {
  const width = output.dims.at(-1) ?? 0
  const perRow = output.size / (output.dims[0] ?? 1)
  const states = floats(output).subarray(at * perRow, (at + 1) * perRow)
  return normalise(pooled ? [...states] : meanOf(states, tokens, width))
}

export class EncoderBatcher {
  readonly delay: StepDelay
  readonly #options: EncoderBatcherOptions
  #rows: Array<Row> = []
  #running: ReadonlyArray<Row> = []
  #steps = 0
  #active = false
  #beatAtMs = 0

  constructor(options: EncoderBatcherOptions) {
    this.#options = options
    this.delay = new StepDelay(options.pause)
  }

  submit(encode: Encode): void {
    const { lengthMax, tell, tokenizer } = this.#options
    const request: Pending = { ...encode, classes: [], vectors: [], rowsLeft: encode.texts.length, cancelled: false }
    encode.texts.forEach((text, index) => {
      const cut = truncate(tokenizer.encode(text), tokenizer.encodePlain(text), lengthMax)
      // No token at all is no sequence: one of padding stands for the empty text.
      const tokenIds = cut.tokenIds.length === 0 ? [tokenizer.padTokenId] : cut.tokenIds
      this.#rows.push({ request, index, tokenIds, cutTokens: cut.cutTokens })
    })
    if (encode.texts.length === 0) tell({ _tag: "Encoded", id: encode.id, classes: [], vectors: [] })
    void this.#run()
  }

  cancel(id: number): void {
    for (const row of [...this.#rows, ...this.#running]) if (row.request.id === id) row.request.cancelled = true
  }

  counters(): { readonly steps: number; readonly running: number; readonly waiting: number } {
    const requests = (rows: ReadonlyArray<Row>) => new Set(rows.map((row) => row.request.id)).size
    return { steps: this.#steps, running: requests(this.#running), waiting: requests(this.#rows) }
  }

  /** Never rejects but for a failure inside the runtime: that ends the process, and its supervisor decides. */
  async #run(): Promise<void> {
    if (this.#active) return
    this.#active = true
    // Calls that arrived in the same turn of the event loop share a batch.
    await this.#options.pause(0)
    while (this.#rows.length > 0) {
      this.#beat()
      await this.delay.wait()
      await this.#takeStep()
    }
    this.#active = false
  }

  async #takeStep(): Promise<void> {
    const rows = this.#rows.filter((row) => !row.request.cancelled)
    this.#running = rows.slice(0, this.#options.batchTextsMax)
    this.#rows = rows.slice(this.#running.length)
    if (this.#running.length === 0) return
    const outputs = await this.#options.session.run(this.#feeds(this.#running))
    this.#steps++
    this.#running.forEach((row, at) => {
      this.#settle(row, at, outputs)
    })
    this.#running = []
  }

  #feeds(batch: ReadonlyArray<Row>): Record<string, Tensor> {
    const { graph, tokenizer } = this.#options
    const length = Math.max(...batch.map((row) => row.tokenIds.length))
    const values: Record<string, (row: Row, at: number) => number> = {
      input_ids: (row, at) => row.tokenIds[at] ?? tokenizer.padTokenId,
      attention_mask: (row, at) => (at < row.tokenIds.length ? 1 : 0),
      token_type_ids: () => 0,
      position_ids: (_, at) => at,
    }
    const feeds: Record<string, Tensor> = {}
    for (const [name, type] of graph.inputs) feeds[name] = integers(type, batch, length, values[name]!)
    return feeds
  }

  #settle(row: Row, at: number, outputs: InferenceSession.OnnxValueMapType): void {
    const { graph, tell } = this.#options
    const { request } = row
    if (request.want === "classes") {
      const width = graph.labels.length
      const logits = floats(outputs.logits!).subarray(at * width, (at + 1) * width)
      request.classes[row.index] = classify(logits, graph.labels, row.cutTokens)
    } else if (graph.embedding !== undefined) {
      const { output, pooled } = graph.embedding
      request.vectors[row.index] = vectorOf(outputs[output]!, pooled, at, row.tokenIds.length)
    }
    request.rowsLeft--
    if (request.rowsLeft > 0 || request.cancelled) return
    tell({ _tag: "Encoded", id: request.id, classes: request.classes, vectors: request.vectors })
  }

  #beat(): void {
    const atMs = this.#options.now()
    if (atMs - this.#beatAtMs < HEARTBEAT_MS) return
    this.#beatAtMs = atMs
    this.#options.tell({ _tag: "Working" })
  }
}
