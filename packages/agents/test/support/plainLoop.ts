/**
 * The boundary to decoders without any engine: one row, the graph as it is written, what it gave fed back. What answers are
 * compared with where transformers.js cannot load a graph.
 */
import { InferenceSession, Tensor } from "onnxruntime-node"
import { widenHalves } from "../../src/inference/decoding/logitsOf.ts"

// As in the engine's own process (engineWorker.ts), which says why.
Reflect.deleteProperty(globalThis, "Float16Array")

export interface PlainGraph {
  readonly logits: string
  /** Each input of the cache, what continues it, and its shape when it is empty. */
  readonly caches: ReadonlyArray<{
    readonly past: string
    readonly present: string
    readonly type: "float32" | "float16"
    readonly dims: ReadonlyArray<number>
  }>
  /** All other inputs, for tokens after so many others. */
  readonly feed: (tokenIds: ReadonlyArray<number>, past: number) => Record<string, Tensor>
}

export const int64 = (values: ReadonlyArray<number>, dims: ReadonlyArray<number>): Tensor =>
  new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
export const int32 = (values: ReadonlyArray<number>, dims: ReadonlyArray<number>): Tensor =>
  new Tensor("int32", Int32Array.from(values), dims)
export const ones = (length: number): ReadonlyArray<number> => Array.from({ length }, () => 1)

const lastLogits = (tensor: Tensor): Float32Array => {
  const width = tensor.dims.at(-1) ?? 0
  const { data } = tensor
  if (data instanceof Float32Array) return data.subarray(data.length - width)
  if (data instanceof Uint16Array) return widenHalves(data.subarray(data.length - width))
  throw new TypeError("logits that are no floats")
}

/** Greedy answers, end token included. */
export const openPlainLoop = async (weights: string, graph: PlainGraph) => {
  const session = await InferenceSession.create(weights, { intraOpNumThreads: 1, logSeverityLevel: 3 })
  const empty = ({ dims, type }: PlainGraph["caches"][number]): Tensor =>
    new Tensor(type, type === "float32" ? new Float32Array(0) : new Uint16Array(0), dims)
  return {
    answer: async (prompt: ReadonlyArray<number>, maxTokens: number, ends: ReadonlyArray<number>) => {
      let caches = graph.caches.map(empty)
      let fed = 0
      let next = prompt
      const answer: Array<number> = []
      while (answer.length < maxTokens && !ends.includes(answer.at(-1) ?? -1)) {
        const feeds = graph.feed(next, fed)
        for (const [at, { past }] of graph.caches.entries()) feeds[past] = caches[at]!
        const outputs = await session.run(feeds)
        caches = graph.caches.map(({ present }) => outputs[present]!)
        fed += next.length
        const logits = lastLogits(outputs[graph.logits]!)
        const best = logits.reduce((most, logit, id) => (logit > logits[most]! ? id : most), 0)
        answer.push(best)
        next = [best]
      }
      return answer
    },
    close: () => session.release(),
  }
}
