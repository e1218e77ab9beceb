/**
 * The boundary to decoders that run many sequences in one step: continuous batching over a graph that gives only the new
 * rows of its cache (`outputFreshRows`), with the cache in a `KvArena`.
 *
 * Rows are ragged: holes behind a shorter row are masked with attention_mask, and position_ids count each row's own
 * tokens. Rows that wait for their turn in between run along as empty ones, and what they give is thrown away.
 */
import type { InferenceSession } from "onnxruntime-node"
import { Tensor } from "onnxruntime-node"
import { KvArena } from "../cache/KvArena.ts"
import { type KvNumbers, type KvSegment, makeKvNumbers } from "../cache/KvSegment.ts"
import type { DecoderGraph } from "../graph/DecoderGraph.ts"
import type { DecoderStep, KvSlot, StepRow } from "./DecoderStep.ts"
import { feedTokens } from "./feedTokens.ts"
import { logitsOf } from "./logitsOf.ts"

/** Where a slot's tokens are: in a row of the arena, or apart. */
type Place = { readonly row: number } | { readonly parked: KvSegment }

export interface BatchDecoderOptions {
  readonly session: InferenceSession
  readonly graph: DecoderGraph
  /** Of each of `graph.kv`, the output with its new rows. */
  readonly freshOutputs: ReadonlyArray<string>
  readonly rowsMax: number
}

export class BatchDecoder implements DecoderStep {
  readonly vocabSize: number | undefined
  readonly rowsMax: number
  readonly #options: BatchDecoderOptions
  readonly #arena: KvArena
  readonly #places = new Map<KvSlot, Place>()

  constructor(options: BatchDecoderOptions) {
    this.#options = options
    this.rowsMax = options.rowsMax
    this.vocabSize = options.graph.vocabSize
    this.#arena = new KvArena(options.graph.kv, options.rowsMax)
  }

  open(): KvSlot {
    return this.#openAt(this.#arena.addRow())
  }

  #openAt(row: number): KvSlot {
    const lengthOf = (slot: KvSlot): number => {
      const place = this.#places.get(slot)
      if (place === undefined) return 0
      return "row" in place ? this.#arena.lengthOf(place.row) : place.parked.length
    }
    const { bytesPerToken } = this.#arena
    const slot: KvSlot = {
      get length() {
        return lengthOf(slot)
      },
      get bytes() {
        return lengthOf(slot) * bytesPerToken
      },
    }
    this.#places.set(slot, { row })
    return slot
  }

  cutBack(slot: KvSlot, length: number): boolean {
    this.#arena.cutRow(this.#rowOf(slot), length)
    return true
  }

  park(slot: KvSlot): void {
    const row = this.#rowOf(slot)
    const parked = this.#arena.save(row)
    this.#removeRow(row)
    this.#places.set(slot, { parked })
  }

  unpark(slot: KvSlot): void {
    const place = this.#places.get(slot)
    if (place === undefined || !("parked" in place)) return
    const row = this.#arena.addRow()
    this.#arena.load(row, place.parked)
    this.#places.set(slot, { row })
  }

  fork(slot: KvSlot, length: number = slot.length): KvSlot {
    const place = this.#places.get(slot)
    if (place === undefined) throw new Error("the slot is released")
    if ("row" in place) return this.#openAt(this.#arena.forkRow(place.row, length))
    const copy = this.open()
    this.#arena.load(this.#rowOf(copy), place.parked, length)
    return copy
  }

  save(slot: KvSlot, from: number, to: number): KvSegment {
    return this.#arena.save(this.#rowOf(slot), from, to)
  }

  load(slot: KvSlot, segments: ReadonlyArray<KvSegment>): void {
    for (const segment of segments) this.#arena.load(this.#rowOf(slot), segment)
  }

  bytesFor(lengths: ReadonlyArray<number>): number {
    return this.#arena.bytesFor(lengths)
  }

  release(slot: KvSlot): void {
    const place = this.#places.get(slot)
    this.#places.delete(slot)
    if (place !== undefined && "row" in place) this.#removeRow(place.row)
  }

  async run(rows: ReadonlyArray<StepRow>): Promise<ReadonlyArray<Float32Array>> {
    const logits: Array<Float32Array> = []
    const single = rows.filter((row) => row.tokenIds.length === 1)
    const batch = single.length > 0 ? await this.#runBatch(single) : new Map<StepRow, Float32Array>()
    for (const row of rows) logits.push(batch.get(row) ?? (await this.#runAlone(row)))
    return logits
  }

  #rowOf(slot: KvSlot): number {
    const place = this.#places.get(slot)
    if (place === undefined || !("row" in place)) throw new Error("the slot is released or parked")
    return place.row
  }

  #removeRow(row: number): void {
    const moved = this.#arena.removeRow(row)
    if (moved === undefined) return
    for (const [slot, place] of this.#places) if ("row" in place && place.row === moved) this.#places.set(slot, { row })
  }

  /** One token for each of the rows, in one call over all rows from the first to the last of them. */
  async #runBatch(rows: ReadonlyArray<StepRow>): Promise<ReadonlyMap<StepRow, Float32Array>> {
    const byRow = new Map(rows.map((row) => [this.#rowOf(row.slot), row]))
    const first = Math.min(...byRow.keys())
    const count = Math.max(...byRow.keys()) + 1 - first
    const at = Array.from({ length: count }, (_, index) => first + index)
    const lengths = at.map((row) => (byRow.has(row) ? this.#arena.lengthOf(row) : 0))
    const tokenIds = at.map((row) => byRow.get(row)?.tokenIds ?? [0])
    const outputs = await this.#call(first, lengths, tokenIds)
    const logits = new Map<StepRow, Float32Array>()
    for (const [row, stepRow] of byRow) {
      this.#arena.append(row, outputs.fresh, row - first, 1)
      const width = outputs.logits.length / count
      logits.set(stepRow, outputs.logits.slice((row - first) * width, (row - first + 1) * width))
    }
    return logits
  }

  async #runAlone(row: StepRow): Promise<Float32Array> {
    const index = this.#rowOf(row.slot)
    const tokens = row.tokenIds.length
    const { fresh, logits, width } = await this.#call(
      index,
      [this.#arena.lengthOf(index)],
      [row.tokenIds],
      row.logitsFrom,
    )
    this.#arena.append(index, fresh, 0, tokens)
    return logits.subarray(logits.length - width * (row.logitsFrom ?? 1))
  }

  /**
   * Runs the graph on rows from `first` on.
   *
   * @param lengths tokens of each row that count; what lies behind them is masked
   * @param tokenIds as many for each row
   * @param logitsFrom of how many of the last tokens the logits are wanted
   */
  async #call(
    first: number,
    lengths: ReadonlyArray<number>,
    tokenIds: ReadonlyArray<ReadonlyArray<number>>,
    logitsFrom = 1,
  ) {
    const { freshOutputs, graph, session } = this.#options
    const batch = lengths.length
    // Nothing to look back on: no row of holes is needed either.
    const capacity = Math.max(...lengths) === 0 ? 0 : this.#arena.capacity
    const feeds = feedTokens(graph, lengths, capacity, tokenIds, logitsFrom)
    for (const [index, { headDim, heads, past, type }] of graph.kv.entries()) {
      const data = capacity === 0 ? makeKvNumbers(type, 0) : this.#arena.view(index, first, first + batch)
      feeds[past] = new Tensor(type, data, [batch, heads, capacity, headDim])
    }
    const outputs = await session.run(feeds, [graph.logits, ...freshOutputs])
    const fresh = freshOutputs.map((name) => kvOf(outputs[name]))
    const logits = logitsOf(outputs[graph.logits])
    return { fresh, logits, width: outputs[graph.logits]?.dims.at(-1) ?? 0 }
  }
}

const kvOf = (tensor: Tensor | undefined): KvNumbers => {
  if (tensor?.data instanceof Float32Array || tensor?.data instanceof Uint16Array) return tensor.data
  throw new TypeError("the graph gave neither 32-bit nor 16-bit floats for its cache")
}
