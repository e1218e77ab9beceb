/**
 * The boundary between texts and an encoder's steps: concurrent calls share batches of texts of about one length, padding is
 * masked, what does not fit the model's length is cut and counted.
 */
import { type InferenceSession, Tensor } from "onnxruntime-node"
import type { TokenSpan } from "../../EncoderTarget.ts"
import { type ChildMessage, type Encode, HEARTBEAT_MS } from "../../engine/protocol.ts"
import { modelFailure } from "../folder/modelFailure.ts"
import { type Pause, StepDelay } from "../scheduling/StepDelay.ts"
import type { IntegerType } from "./EncoderGraph.ts"
import { type EncodedText, truncate } from "./encoding.ts"
import { type AnswerReader, floatsOf, outputOf, readNumbers, readSpans, rowOf } from "./readAnswers.ts"

interface Row extends EncodedText {
  readonly request: Pending
  readonly index: number
}

interface Pending extends Encode {
  readonly numbers: Array<Float32Array>
  readonly spans: Array<ReadonlyArray<TokenSpan>>
  readonly cutTokens: Array<number>
  rowsLeft: number
  cancelled: boolean
}

export interface EncoderBatcherOptions extends AnswerReader {
  readonly model: string
  readonly session: InferenceSession
  readonly lengthMax: number
  readonly batchTextsMax: number
  readonly tell: (message: ChildMessage) => void
  readonly now: () => number
  readonly pause: Pause
}

/** Texts that a step is chosen from, the oldest: far more than a step takes, few enough to look at before each. */
const WINDOW_ROWS = 256
/**
 * How much of a batch may be padding. Padding is computed like text, and sharing a step gains little: 1.1 to 1.3 times on one
 * thread, so more of it would cost more than the batch gains.
 */
const PADDING_MAX = 0.15

/** Rows of one batch as an input tensor, filled up to the longest with `pad`. */
const integers = (
  type: IntegerType,
  rows: ReadonlyArray<Row>,
  length: number,
  valueAt: (row: Row, at: number) => number,
): Tensor => {
  const dims = [rows.length, length]
  const values = new Int32Array(rows.length * length)
  for (const [index, row] of rows.entries()) {
    for (let at = 0; at < length; at++) values[index * length + at] = valueAt(row, at)
  }
  return type === "int32"
    ? new Tensor("int32", values, dims)
    : new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
}

/** As many rows as may be, the first among them, with little padding. They must all want the same output. */
export const chooseRows = <R extends EncodedText>(rows: ReadonlyArray<R>, rowsMax: number): ReadonlyArray<R> => {
  const [first] = rows
  if (first === undefined) return []
  if (rowsMax === 1) return [first]
  const away = (row: R) => Math.abs(row.tokenIds.length - first.tokenIds.length)
  const nearest = rows.slice(1, WINDOW_ROWS).sort((a, b) => away(a) - away(b))
  const chosen = [first]
  let longest = first.tokenIds.length
  let tokens = longest
  for (const row of nearest) {
    if (chosen.length >= rowsMax) break
    const { length } = row.tokenIds
    const cells = Math.max(longest, length) * (chosen.length + 1)
    if (1 - (tokens + length) / cells > PADDING_MAX) continue
    longest = Math.max(longest, length)
    tokens += length
    chosen.push(row)
  }
  return chosen
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
    const rowsLeft = encode.texts.length
    const request: Pending = { ...encode, numbers: [], spans: [], cutTokens: [], rowsLeft, cancelled: false }
    for (const [index, text] of encode.texts.entries()) {
      const { cutTokens, tokenIds, typeIds } = this.#encodeText(text, encode.query)
      request.cutTokens[index] = cutTokens
      this.#rows.push({ request, index, tokenIds, typeIds })
    }
    if (rowsLeft === 0) this.#finish(request)
    void this.#run()
  }

  cancel(id: number): void {
    for (const row of [...this.#rows, ...this.#running]) if (row.request.id === id) row.request.cancelled = true
  }

  counters(): { readonly steps: number; readonly running: number; readonly waiting: number } {
    const requests = (rows: ReadonlyArray<Row>) => new Set(rows.map((row) => row.request.id)).size
    return { steps: this.#steps, running: requests(this.#running), waiting: requests(this.#rows) }
  }

  #encodeText(text: string, query: string | undefined): EncodedText & { readonly cutTokens: number } {
    const { lengthMax, tokenizer } = this.#options
    const encoded =
      query === undefined ? { tokenIds: tokenizer.encode(text), typeIds: undefined } : tokenizer.encodePair(query, text)
    // No token at all is no sequence: one of padding stands for the empty text.
    if (encoded.tokenIds.length === 0) return { ...encoded, tokenIds: [tokenizer.padTokenId], cutTokens: 0 }
    if (encoded.tokenIds.length <= lengthMax) return { ...encoded, cutTokens: 0 }
    return truncate(encoded, tokenizer.encodePlain(text), lengthMax)
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
    const output = rows[0] === undefined ? "" : outputOf(rows[0].request.want, this.#options)
    const alike = rows.filter((row) => outputOf(row.request.want, this.#options) === output)
    this.#running = chooseRows(alike, this.#options.batchTextsMax)
    const isRunning = new Set(this.#running)
    this.#rows = rows.filter((row) => !isRunning.has(row))
    if (this.#running.length === 0) return
    const length = Math.max(...this.#running.map((row) => row.tokenIds.length))
    const outputs = await this.#options.session.run(this.#feeds(this.#running, length), [output])
    this.#steps++
    const values = floatsOf(outputs[output]!)
    for (const [at, row] of this.#running.entries()) this.#settle(row, rowOf(values, this.#running.length, at), length)
    this.#running = []
  }

  #feeds(batch: ReadonlyArray<Row>, length: number): Record<string, Tensor> {
    const { graph, tokenizer } = this.#options
    const values: Record<string, (row: Row, at: number) => number> = {
      input_ids: (row, at) => row.tokenIds[at] ?? tokenizer.padTokenId,
      attention_mask: (row, at) => (at < row.tokenIds.length ? 1 : 0),
      token_type_ids: (row, at) => row.typeIds?.[at] ?? 0,
      position_ids: (_, at) => at,
    }
    const feeds: Record<string, Tensor> = {}
    for (const [name, type] of graph.inputs) feeds[name] = integers(type, batch, length, values[name]!)
    return feeds
  }

  #settle({ index, request, tokenIds }: Row, values: Float32Array, length: number): void {
    const text = request.texts[index] ?? ""
    if (request.want === "spans") {
      request.spans[index] = readSpans(values, text, tokenIds, request.single === true, this.#options)
    } else request.numbers[index] = readNumbers(request.want, values, tokenIds.length, length, this.#options)
    request.rowsLeft--
    if (request.rowsLeft === 0) this.#finish(request)
  }

  #finish({ cancelled, cutTokens, id, numbers, spans, want }: Pending): void {
    if (cancelled) return
    const width = numbers[0]?.length ?? 0
    const values = new Float32Array(width * numbers.length)
    for (const [index, row] of numbers.entries()) values.set(row, index * width)
    const { model, tell } = this.#options
    if (values.some(Number.isNaN) || spans.some((found) => found.some(({ score }) => Number.isNaN(score)))) {
      const message = "it gave no numbers for a text; its weights are damaged."
      tell({ _tag: "Failed", id, failure: modelFailure(model)("damaged", message) })
    } else tell({ _tag: "Encoded", id, values, cutTokens, ...(want === "spans" ? { spans } : {}) })
  }

  #beat(): void {
    const atMs = this.#options.now()
    if (atMs - this.#beatAtMs < HEARTBEAT_MS) return
    this.#beatAtMs = atMs
    this.#options.tell({ _tag: "Working" })
  }
}
