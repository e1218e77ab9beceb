/**
 * The cases of throughput: one stream, and many at once, beside transformers.js and beside onnxruntime in a plain loop.
 */
import { fileURLToPath } from "node:url"
import { makeRandomDecoder, type ShapeName } from "./makeRandomDecoder.ts"
import { openOurs } from "./openOurs.ts"
import { openPeer } from "./openPeer.ts"
import {
  type BenchCase,
  type BenchRequest,
  firstTokenMs,
  type Measurements,
  makeRequest,
  ratesOf,
  runAtOnce,
  type TimedAnswer,
  writingRate,
} from "./Requests.ts"
import { openRawLoop } from "./runRawLoop.ts"

/** Threads inside a step, on both sides. */
export const THREADS = 1
export const BARISTA = fileURLToPath(new URL("../../../../apps/demo/models/barista", import.meta.url))

type ModelName = ShapeName | "barista"
export const folderOf = (model: ModelName): string => (model === "barista" ? BARISTA : makeRandomDecoder(model))

/** No prefix is kept: every prompt is read. */
export const COLD = { cachedConversationsMax: 0, cachedBytesMax: 0 } as const

const ORDERS = ["a large latte with oat milk", "two espressos", "an iced mocha, no whip", "a chai tea and a muffin"]

/** Orders of one to five turns for the trained model, letters for the others; ragged between three quarters and all of `context`. */
export const makeRequests = (
  model: ModelName,
  count: number,
  context: number,
  tokensMax: number,
): ReadonlyArray<BenchRequest> =>
  Array.from({ length: count }, (_, index) => {
    if (model !== "barista") {
      const length = Math.round(context * (0.75 + (0.25 * index) / Math.max(1, count - 1)))
      return makeRequest(count === 1 ? context : length, tokensMax, index)
    }
    const order = { role: "user" as const, content: `${index}: can I get ${ORDERS[index % ORDERS.length]} please?` }
    const more = [
      { role: "assistant" as const, content: "Sure, what size would you like?" },
      { role: "user" as const, content: index % 2 === 0 ? "large please" : "the small one" },
    ]
    return { messages: [order, ...Array.from({ length: index % 3 }).flatMap(() => more)], tokensMax }
  })

interface Load {
  readonly model: ModelName
  readonly atOnce: number
  readonly context: number
  readonly tokensMax: number
  readonly dtype?: "fp32" | "int8"
}

const summarise = (load: Load, answers: ReadonlyArray<TimedAnswer>): Measurements => {
  const [first] = answers
  if (load.atOnce > 1 || first === undefined) return ratesOf(answers)
  return { "writing tokens/s": writingRate(answers), "first token ms": firstTokenMs(first) }
}

/** What is compiled on the way is compiled before. */
const warmUp = (load: Load): BenchRequest => makeRequests(load.model, 200, load.context, 4)[199]!

export const measureOurs = (load: Load) => async (): Promise<Measurements> => {
  const { atOnce, dtype = "fp32", model } = load
  const ours = await openOurs({ folder: folderOf(model), dtype, slots: atOnce, intraOpNumThreads: THREADS, ...COLD })
  await ours.answer(warmUp(load))
  const answers = await runAtOnce(makeRequests(model, atOnce, load.context, load.tokensMax), atOnce, ours.answer)
  await ours.close()
  return summarise(load, answers)
}

const measurePeer = (load: Load, how: "calls" | "batch") => async (): Promise<Measurements> => {
  const peer = await openPeer(folderOf(load.model), load.dtype === "int8" ? "q8" : "fp32", THREADS)
  await peer.answer(warmUp(load))
  const requests = makeRequests(load.model, load.atOnce, load.context, load.tokensMax)
  const answers =
    how === "batch" ? await peer.answerBatch(requests) : await runAtOnce(requests, load.atOnce, peer.answer)
  await peer.close()
  return summarise(load, answers)
}

const measureLimit = (load: Load) => async (): Promise<Measurements> => {
  const loop = await openRawLoop(folderOf(load.model), THREADS)
  await loop.run(load.atOnce, load.context, 4)
  const times = await loop.run(load.atOnce, load.context, load.tokensMax)
  await loop.close()
  return { "writing tokens/s": (load.atOnce * times.length * 1000) / times.reduce((sum, ms) => sum + ms, 0) }
}

const nameOf = ({ atOnce, context, model }: Load) =>
  `${model}, ${atOnce === 1 ? "1 stream" : `${atOnce} at once`}${model === "barista" ? "" : `, context ${context}`}`

const besidePeer = (load: Load, how: "calls" | "batch"): BenchCase => ({
  name: nameOf(load),
  peer: how === "calls" ? "transformers.js" : `transformers.js, one batch of ${load.atOnce}`,
  runOurs: measureOurs(load),
  runPeer: measurePeer(load, how),
})

const besideLimit = (load: Load): BenchCase => ({
  name: nameOf(load),
  peer: "onnxruntime in a plain loop",
  runOurs: async () => {
    const { "writing tokens/s": rate = Number.NaN } = await measureOurs(load)()
    return { "writing tokens/s": rate }
  },
  runPeer: measureLimit(load),
})

const one = { atOnce: 1 } as const
const eight = { atOnce: 8 } as const

export const throughputCases: ReadonlyArray<BenchCase> = [
  besidePeer({ ...one, model: "barista", context: 64, tokensMax: 48 }, "calls"),
  besidePeer({ ...one, model: "27M", context: 64, tokensMax: 64 }, "calls"),
  besidePeer({ ...one, model: "27M", context: 1024, tokensMax: 32 }, "calls"),
  besidePeer({ ...one, model: "110M", context: 64, tokensMax: 32 }, "calls"),
  besideLimit({ ...one, model: "27M", context: 64, tokensMax: 64 }),
  besideLimit({ ...one, model: "27M", context: 1024, tokensMax: 32 }),
  besideLimit({ ...eight, model: "27M", context: 512, tokensMax: 64 }),
  besidePeer({ ...eight, model: "barista", context: 64, tokensMax: 48 }, "calls"),
  besidePeer({ ...eight, model: "27M", context: 64, tokensMax: 64 }, "calls"),
  besidePeer({ ...eight, model: "110M", context: 64, tokensMax: 24 }, "calls"),
  besidePeer({ ...eight, model: "27M", context: 64, tokensMax: 64 }, "batch"),
  besidePeer({ ...eight, model: "27M", context: 512, tokensMax: 64 }, "batch"),
  besidePeer({ atOnce: 32, model: "barista", context: 64, tokensMax: 48 }, "calls"),
  besidePeer({ atOnce: 32, model: "27M", context: 64, tokensMax: 32 }, "calls"),
]
