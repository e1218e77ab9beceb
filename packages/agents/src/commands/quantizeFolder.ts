/** `pontoon-models quantize`: a smaller variant of a folder's model, and what it gained and lost, as measured here. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { Effect } from "effect"
import { isSeq2Seq } from "../inference/decoding/openSeq2Seq.ts"
import { type Dtype, type ModelFolder, oneLine, readModelFolder } from "../inference/folder/modelFolder.ts"
import type { DecoderLoss } from "../quantization/measureDecoder.ts"
import type { EncoderLoss } from "../quantization/measureEncoder.ts"
import { QUANTIZE_RULES, type QuantizeRules } from "../quantization/quantizeGraph.ts"
import { type QuantizeReport, quantizeModel } from "../quantization/quantizeModel.ts"
import { measureLoss } from "./measureLoss.ts"
import { measureSpeed, type Speed } from "./measureSpeed.ts"
import { formatBytes, formatPairs, type Output, refuse } from "./Output.ts"

export interface QuantizeOptions {
  readonly folder: string
  readonly to: "int8" | "q4"
  /** Where the smaller model goes; the folder itself unless given. */
  readonly out: string | undefined
  readonly text: string | undefined
  readonly csv: string | undefined
  readonly activations: "block" | "row" | "tensor"
  readonly embeddings: "fp32" | "int8" | undefined
  readonly accuracyLevel: 0 | 1 | 4
  readonly isForced: boolean
  readonly isJson: boolean
}

/** The names that transformers.js has for them, and `dtype` of the engine. */
const FILES = { int8: "model_quantized.onnx", q4: "model_q4.onnx" } as const

const INT8_PRODUCTS = { block: "blocks8", row: "rows", tensor: "tensor" } as const

const rulesOf = ({ accuracyLevel, activations, embeddings, to }: QuantizeOptions): QuantizeRules => ({
  products: to === "int8" ? INT8_PRODUCTS[activations] : QUANTIZE_RULES[to].products,
  accuracyLevel,
  embeddings: embeddings ?? QUANTIZE_RULES[to].embeddings,
})

/** Configuration and tokenizer, which both variants share; weights and whatever lies in folders stay where they are. */
const copyAround = (from: string, to: string) =>
  Effect.try({
    try: () => {
      mkdirSync(join(to, "onnx"), { recursive: true })
      for (const name of readdirSync(from)) {
        if (/\.(json|jinja|txt|model)$/.test(name) && statSync(join(from, name)).isFile()) {
          copyFileSync(join(from, name), join(to, name))
        }
      }
    },
    catch: (cause) => refuse(`${to} cannot be written: ${oneLine(cause)}.`),
  })

interface Outcome {
  readonly report: QuantizeReport
  readonly loss: DecoderLoss | EncoderLoss
  readonly speed: Speed
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

const lossLines = (loss: DecoderLoss | EncoderLoss): ReadonlyArray<readonly [string, string]> =>
  "tokens" in loss
    ? [
        [
          "perplexity",
          `${loss.perplexityBefore.toFixed(3)} -> ${loss.perplexityAfter.toFixed(3)}, over ${loss.tokens} tokens`,
        ],
        ["same next token", percent(loss.agreement)],
        ["divergence", `${loss.divergence.toFixed(4)} nats a token`],
      ]
    : [
        ...(loss.accuracyBefore === undefined || loss.accuracyAfter === undefined
          ? []
          : ([["accuracy", `${percent(loss.accuracyBefore)} -> ${percent(loss.accuracyAfter)}`]] as const)),
        ...(loss.agreement === undefined
          ? []
          : ([["same label", `${percent(loss.agreement)} of ${loss.texts} texts`]] as const)),
        ...(loss.differenceMax === undefined
          ? []
          : ([["probabilities", `differ by ${loss.differenceMax.toFixed(4)} at most`]] as const)),
        ...(loss.cosine === undefined
          ? []
          : ([["cosine", `${loss.cosine.toFixed(5)} on average, of ${loss.texts} texts`]] as const)),
      ]

const format = (path: string, { loss, report, speed }: Outcome): ReadonlyArray<string> =>
  formatPairs([
    ["written", [path, ...report.files.slice(1).map((file) => basename(file.path))].join(" and ")],
    ["size", `${formatBytes(report.bytesBefore)} -> ${formatBytes(report.bytesAfter)}`],
    [
      "smaller now",
      `${report.products} products${report.tables > 0 ? `, ${report.tables} table of word vectors` : ""}`,
    ],
    ...speed.rounds.map(
      ({ after, before, concurrency }, index) =>
        [
          index === 0 ? "speed" : "",
          `${before.toFixed(0)} -> ${after.toFixed(0)} ${speed.unit}/s, ${concurrency} at once`,
        ] as const,
    ),
    ...lossLines(loss),
  ])

const refuseToReplace = (path: string) =>
  refuse(`${path} is there already; give --force to replace it, or --out FOLDER to write elsewhere.`)

/** Both variants under the dtypes that the engine knows them by. */
const measure = Effect.fnUntraced(function* (
  before: ModelFolder,
  folder: string,
  options: QuantizeOptions,
  output: Output,
) {
  const { csv, text, to } = options
  const after = yield* readModelFolder(basename(folder), folder, to satisfies Dtype)
  output.progress("measuring what was lost …")
  const { kind, loss } = yield* measureLoss(before, after, { text, csv })
  output.progress("measuring the speed …")
  const speed = yield* measureSpeed(before, after, kind)
  output.progress("")
  return { loss, speed }
})

export const quantizeFolder = Effect.fnUntraced(function* (output: Output, options: QuantizeOptions) {
  const { csv, isForced, isJson, out, text, to } = options
  if (text !== undefined && csv !== undefined) return yield* refuse("Give --text or --csv, not both.")
  const path = resolve(options.folder)
  const before = yield* readModelFolder(basename(path), path, "fp32")
  if (isSeq2Seq(before)) {
    return yield* refuse(
      `${options.folder} is an encoder-decoder, of several graphs; only models of one graph are quantised.`,
    )
  }
  const folder = out === undefined ? path : resolve(out)
  const target = join(folder === path ? dirname(before.weightsPath) : join(folder, "onnx"), FILES[to])
  if (existsSync(target) && !isForced) return yield* refuseToReplace(target)
  if (folder !== path) yield* copyAround(path, folder)
  output.progress("quantising …")
  const report = yield* quantizeModel({ from: before.weightsPath, to: target, rules: rulesOf(options) })
  const outcome = { report, ...(yield* measure(before, folder, options, output)) }
  yield* output.print(isJson ? [JSON.stringify({ to, path: target, ...outcome })] : format(target, outcome))
})
