/** `pontoon-models inspect`: what a folder holds, how the engine runs it and why, and what that costs in memory. */
import { basename, resolve } from "node:path"
import { Effect } from "effect"
import { settingsOf } from "../engine/EngineOptions.ts"
import { isSeq2Seq } from "../inference/decoding/openSeq2Seq.ts"
import { openStep } from "../inference/decoding/openStep.ts"
import { readEncoderGraph } from "../inference/encoding/EncoderGraph.ts"
import { type FolderReport, inspectFolder } from "../inference/folder/inspectFolder.ts"
import { type Dtype, readModelFolder } from "../inference/folder/modelFolder.ts"
import { openSession } from "../inference/graph/openSession.ts"
import type { DecodingPath } from "../ModelTarget.ts"
import { formatBytes, formatPairs, type Output } from "./Output.ts"

export interface InspectOptions {
  readonly folder: string
  readonly dtype: Dtype
  /** Answers at once, to count memory for. */
  readonly slots: number
  readonly isJson: boolean
}

/** What is only known once the engine has opened it. */
interface Opened {
  /** Of a decoder: whether a graph of its own reads the prompt. */
  readonly isSeq2Seq: boolean
  readonly path: DecodingPath | undefined
  readonly labels: ReadonlyArray<string>
  readonly dimensions: number | undefined
}

/** Opens it in this process as the engine would in its own: nobody waits for this one. */
const open = Effect.fnUntraced(function* ({ dtype, folder: path, kind }: FolderReport, slots: number) {
  const folder = yield* readModelFolder(basename(path), path, dtype)
  const settings = settingsOf(kind, { folder: path, dtype, slots })
  if (kind === "decoder") {
    const { path: decoding } = yield* openStep(settings, folder)
    return { isSeq2Seq: isSeq2Seq(folder), path: decoding, labels: [], dimensions: undefined } satisfies Opened
  }
  const session = yield* openSession({ ...settings, folder, keepOnDevice: [] })
  const graph = yield* Effect.fromResult(readEncoderGraph(session.inputMetadata, session.outputMetadata, folder))
  return { isSeq2Seq: false, path: undefined, labels: graph.labels, dimensions: graph.width } satisfies Opened
})

const orUnknown = (value: number | undefined): string => (value === undefined ? "not said" : String(value))

const cacheLines = (it: FolderReport, slots: number): ReadonlyArray<readonly [string, string]> => {
  const { cacheBytesPerToken: bytes, cacheType, contextLength } = it
  if (bytes === undefined) return []
  const whole = contextLength === undefined ? 0 : bytes * contextLength * slots
  const full = whole === 0 ? "" : `, ${formatBytes(whole)} where ${slots} answers fill the context`
  return [["cache", `${formatBytes(bytes)} a token (${cacheType})${full}`]]
}

const decoderLines = (it: FolderReport, { path }: Opened, slots: number): ReadonlyArray<readonly [string, string]> =>
  it.kind === "encoder"
    ? []
    : [
        ["path", path === undefined ? "not known" : `${path.kind}: ${path.reason}`],
        [
          "attention",
          `${it.attention}${it.slidingWindow === undefined ? "" : `, looking back on ${it.slidingWindow} tokens`}`,
        ],
        ...cacheLines(it, slots),
        ["chat template", it.hasChatTemplate ? "yes" : "no"],
        ["end tokens", it.endTokenIds.length === 0 ? "none" : it.endTokenIds.join(", ")],
      ]

const headsOf = ({ headDim, kvHeads, queryHeads }: FolderReport): string =>
  [
    orUnknown(queryHeads),
    ...(kvHeads === undefined ? [] : [`${kvHeads} with keys and values`]),
    ...(headDim === undefined ? [] : [`${headDim} wide`]),
  ].join(", ")

const format = (it: FolderReport, opened: Opened, slots: number): ReadonlyArray<string> => [
  ...formatPairs([
    ["model", it.name],
    [
      "kind",
      `${opened.isSeq2Seq ? "encoder-decoder" : it.kind}, ${it.modelType}, ${it.dtype}${it.stepSensitive ? ", quantises activations as it runs" : ""}`,
    ],
    ["dtypes", it.dtypes.map(({ dtype, file }) => `${dtype} (${file})`).join(", ")],
    ["layers", orUnknown(it.layers)],
    ["heads", headsOf(it)],
    ["vocabulary", orUnknown(it.vocabSize)],
    ["context", it.contextLength === undefined ? "not said" : `${it.contextLength} tokens`],
    ...decoderLines(it, opened, slots),
    ...(opened.labels.length === 0 ? [] : ([["labels", opened.labels.join(", ")]] as const)),
    ...(opened.dimensions === undefined ? [] : ([["dimensions", String(opened.dimensions)]] as const)),
    ["inputs", it.inputs.join(", ")],
    ["outputs", it.outputs.join(", ")],
    ["weights", `sha256 ${it.weightsHash}`],
    ["tokenizer", `sha256 ${it.tokenizerHash}`],
  ]),
  "files",
  ...it.files.map(({ bytes, path, role }) => `  ${path}  ${formatBytes(bytes)}, ${role}`),
]

export const inspectModel = Effect.fnUntraced(function* (output: Output, options: InspectOptions) {
  const report = yield* inspectFolder(resolve(options.folder), { dtype: options.dtype })
  const opened = yield* open(report, options.slots)
  yield* output.print(
    options.isJson
      ? [JSON.stringify({ ...report, ...opened, slots: options.slots })]
      : format(report, opened, options.slots),
  )
})
