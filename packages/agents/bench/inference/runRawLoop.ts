/**
 * The boundary to the limit: onnxruntime in a plain loop on the same rewritten graph, with the most probable token fed back,
 * that knows no requests, no text, no other process, and nothing that can go wrong. Rows are equally long, room is made once.
 */
import { Effect } from "effect"
import { InferenceSession, Tensor } from "onnxruntime-node"
import { readModelFolder } from "../../src/inference/folder/modelFolder.ts"
import { readDecoderGraph } from "../../src/inference/graph/DecoderGraph.ts"
import { readPatched } from "../../src/inference/graph/readPatched.ts"
import { outputFreshRows } from "../../src/inference/graph/rewriteGraph.ts"

export interface RawLoop {
  /** Milliseconds of each of `steps` steps that begin with `context` tokens in each row. */
  readonly run: (rows: number, context: number, steps: number) => Promise<ReadonlyArray<number>>
  readonly close: () => Promise<void>
}

const floatsOf = (tensor: Tensor | undefined): Float32Array => {
  if (tensor?.data instanceof Float32Array) return tensor.data
  throw new TypeError("the graph gave no 32-bit floats")
}

const bestOf = (logits: Float32Array, from: number, to: number): number => {
  let best = from
  for (let at = from + 1; at < to; at++) if (logits[at]! > logits[best]!) best = at
  return best - from
}

export const openRawLoop = async (folder: string, threads: number): Promise<RawLoop> => {
  const read = await Effect.runPromise(readModelFolder("raw", folder, "fp32"))
  const decoder = await Effect.runPromise(Effect.fromResult(readDecoderGraph(read)))
  const model = outputFreshRows(read.graph, decoder)
  if ("refused" in model) throw new Error(model.refused)
  const { freshOutputs, graph } = model
  const session = await InferenceSession.create(readPatched(read.weightsPath, model.pieces), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  })
  const run: RawLoop["run"] = async (rows, context, steps) => {
    const capacity = Math.ceil((context + steps) / 64) * 64
    const ids = new BigInt64Array(rows).fill(65n)
    const positions = new BigInt64Array(rows)
    const mask = new BigInt64Array(rows * (capacity + 1))
    const caches = graph.kv.map(({ headDim, heads }) => new Float32Array(rows * heads * capacity * headDim).fill(0.01))
    const feeds: Record<string, Tensor> = {
      input_ids: new Tensor("int64", ids, [rows, 1]),
      position_ids: new Tensor("int64", positions, [rows, 1]),
      attention_mask: new Tensor("int64", mask, [rows, capacity + 1]),
    }
    for (const [index, { headDim, heads, past }] of graph.kv.entries()) {
      feeds[past] = new Tensor("float32", caches[index]!, [rows, heads, capacity, headDim])
    }
    for (let row = 0; row < rows; row++) {
      mask.fill(1n, row * (capacity + 1), row * (capacity + 1) + context)
      mask[(row + 1) * (capacity + 1) - 1] = 1n
    }
    const times: Array<number> = []
    for (let length = context; length < context + steps; length++) {
      const startedAtMs = performance.now()
      positions.fill(BigInt(length))
      const outputs = await session.run(feeds, [graph.logits, ...freshOutputs])
      const logits = floatsOf(outputs[graph.logits])
      for (let row = 0; row < rows; row++) {
        const width = logits.length / rows
        ids[row] = BigInt(bestOf(logits, row * width, (row + 1) * width))
        mask[row * (capacity + 1) + length] = 1n
      }
      for (const [index, { headDim, heads }] of graph.kv.entries()) {
        const fresh = floatsOf(outputs[freshOutputs[index]!])
        for (let at = 0; at < rows * heads; at++) {
          const part = fresh.subarray(at * headDim, (at + 1) * headDim)
          caches[index]!.set(part, (at * capacity + length) * headDim)
        }
      }
      times.push(performance.now() - startedAtMs)
    }
    return times
  }
  return { run, close: () => session.release() }
}
